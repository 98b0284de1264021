"""Several Cinders at one gateway, and one Cinder at several: their names never collide."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from cinder_bed import Bed, stanza
from cinder_cloud import HERE, Cloud, read, write
from database import MariaDb
from ground import Ground, standing
from processes import NATIVE_THREADS, cinder, cinder_database, running

from gateway.testing.loop_pool import loop_pool

pytestmark = [pytest.mark.root, pytest.mark.slow]

OLD = b"old" * 1000


@pytest.fixture(scope="module")
def far(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Ground]:
    """Give another gateway."""
    folder = tmp_path_factory.mktemp("far")
    with loop_pool(folder / "disk", "xfs", "10G") as xfs:
        pools = {"blocks": {"driver": "directory", "path": str(xfs)}}
        with standing(Ground(folder / "gateway", pools=pools, exports=("local",))) as ground:
            yield ground


@pytest.fixture(scope="module")
def other(bed: Bed, far: Ground, database: MariaDb, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cloud]:
    """Give another Cinder, which has two backends: the gateway of the first Cinder, and another one."""
    folder: Path = tmp_path_factory.mktemp("other")
    backends = {
        "near": stanza(bed.ground, "near", gateway_pools="blocks"),
        "far": stanza(far, "far", gateway_pools="blocks"),
    }
    url = cinder_database(database, folder / "migration")
    with running(cinder(folder / "cinder", database=url, backends=backends, environment=NATIVE_THREADS)) as service:
        cloud = Cloud(service.url)
        for name in backends:
            cloud.kind(name, {"volume_backend_name": name})
        yield cloud


def test_two_cinders_have_volumes_of_one_gateway(bed: Bed, other: Cloud) -> None:
    ours = bed.cloud.volume(volume_type="blocks", name="data")
    theirs = other.volume(volume_type="near", name="data")
    taken = [cloud.snapshot(volume, name="first") for cloud, volume in ((bed.cloud, ours), (other, theirs))]
    assert {f"volume-{ours.id}", f"volume-{theirs.id}"} <= bed.ground.volumes().keys()
    assert {f"snapshot-{one.id}" for one in taken} <= bed.ground.snapshots().keys()
    listed = {
        one.reference["source-name"]: one
        for one in other.api.volumes.list_manageable("cinder@near#blocks", detailed=True)
    }
    foreign = listed[f"volume-{ours.id}"]
    assert not foreign.safe_to_manage
    assert ours.id in foreign.reason_not_safe
    other.delete(taken[1], theirs)
    assert f"volume-{ours.id}" in bed.ground.volumes()
    assert bed.cloud.settled(taken[0])
    bed.cloud.delete(taken[0], ours)


def test_one_cinder_has_volumes_of_two_gateways(bed: Bed, far: Ground, other: Cloud) -> None:
    near, away = (other.volume(volume_type=kind) for kind in ("near", "far"))
    assert bed.ground.bearing(near.id)
    assert not bed.ground.bearing(away.id)
    assert far.bearing(away.id)
    here = other.attach(near, HERE)
    write(here.device(), OLD)
    here.end()
    other.api.volumes.retype(near, "far", "on-demand")
    other.moved(near, "cinder@far#blocks")
    bed.ground.until(lambda: not bed.ground.bearing(near.id))
    assert len(far.bearing(near.id)) == 1
    here = other.attach(near, HERE)
    assert read(here.device(), len(OLD)) == OLD
    here.end()
    other.delete(near, away)
    assert far.volumes() == {}
