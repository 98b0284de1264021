"""Cinder, or its gateway, ends in the middle: nothing stays behind, neither there nor here."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from cinder_bed import Bed

pytestmark = [pytest.mark.root, pytest.mark.slow]

POOL = "images"
AT_WORK = "SELECT resource_id FROM workers WHERE service_id IS NOT NULL"
ENDED = "SELECT id FROM volumes WHERE deleted OR status = 'available'"


@pytest.fixture
def before(bed: Bed) -> Iterator[None]:
    """See that afterwards the pools hold what they held before, and that the gateway finds nothing wrong."""
    objects, volumes = bed.ground.objects(), set(bed.ground.volumes())
    yield
    bed.ground.until(lambda: set(bed.ground.volumes()) == volumes)
    bed.ground.gateway.stop()
    try:
        bed.ground.check()
        assert bed.ground.objects() == objects
    finally:
        bed.ground.gateway.start()
        bed.cloud.serves(POOL)


def test_cinder_is_killed_while_volumes_are_made_cloned_and_deleted(bed: Bed, before: None) -> None:
    cloud = bed.cloud
    kept, doomed = (cloud.volume(volume_type=POOL) for _ in range(2))
    taken = cloud.snapshot(kept)
    with bed.ground.gateway.held("qcow2.create.made") as reached:
        made = cloud.api.volumes.create(1, volume_type=POOL)
        reached()
        copy = cloud.api.volumes.create(1, snapshot_id=taken.id)
        cloud.api.volumes.delete(doomed)
        # What it is neither at work on nor done with is on its way, and only lives in its memory here.
        victims = {made.id, copy.id, doomed.id}
        bed.ground.until(lambda: victims <= {key for (key,) in (*bed.ask(AT_WORK), *bed.ask(ENDED))})
        bed.service.kill()
    bed.service.start()
    cloud.gone(doomed)
    cloud.settled(made, "error")
    bed.ground.until(lambda: cloud.api.volumes.get(copy.id).status in {"error", "available"})
    cloud.delete(made, copy)
    assert {one.name for one in bed.ground.bearing(kept.id)} == {f"volume-{kept.id}"}
    assert {one.id for one in cloud.api.volumes.list()} == {kept.id}
    cloud.delete(taken, kept)


@pytest.mark.parametrize("point", ["qcow2.create.noted", "qcow2.clone.made", "qcow2.delete.closed"])
def test_the_gateway_is_killed_while_cinder_waits(bed: Bed, before: None, point: str) -> None:
    cloud = bed.cloud
    kept = cloud.volume(volume_type=POOL)
    taken = cloud.snapshot(kept)
    bed.ground.gateway.arm(point)
    if "delete" in point:
        cloud.api.volume_snapshots.delete(taken)
        cloud.gone(taken)
        victim = kept
        cloud.api.volumes.delete(victim)
        status = "error_deleting"
    else:
        source = {"snapshot_id": taken.id} if "clone" in point else {}
        victim = cloud.api.volumes.create(1, volume_type=POOL, **source)
        status = "error"
    bed.ground.gateway.wait()
    bed.ground.gateway.start()
    cloud.serves(POOL)
    found = cloud.settled(victim, status)
    assert found.to_dict()["os-vol-host-attr:host"] == f"cinder@gateway#{POOL}"
    cloud.api.volumes.force_delete(victim)
    cloud.gone(victim)
    assert not bed.ground.bearing(victim.id)
    if victim is not kept:
        cloud.delete(taken, kept)
