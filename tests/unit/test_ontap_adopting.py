"""Volumes that were at the cluster before the gateway came."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path
from uuid import uuid4

import pytest
from cluster_scene import SIZE, far, scene, spec
from far_gateway import FarGateway

from gateway.core import errors, snapshots, volumes
from gateway.core.context import Core
from gateway.core.model import Pool, Snapshot, Tenant, Volume, VolumeState
from gateway.core.observer import SilentObserver
from gateway.core.pools import Configured
from gateway.core.query import Compare, Op, Query
from gateway.core.rebuild import rebuild
from gateway.core.reconcile import Finding, Reconciler
from gateway.testing.cores import core_on


@pytest.fixture
async def cluster(tmp_path: Path) -> AsyncIterator[FarGateway]:
    async with far(tmp_path) as gateway:
        yield gateway


async def given(cluster: FarGateway, name: str, **changes: object) -> Volume:
    """Make a volume at the cluster as its administrator would."""
    [tenant] = (await cluster.core.catalog.page(Tenant, Query())).records
    [pool] = (await cluster.core.catalog.page(Pool, Query())).records
    usual = {"comment": "keep", "labels": {"env": "prod"}, "junction_path": f"/{name}"}
    new = volumes.NewVolume(name=name, tenant_id=tenant.id, pool_id=pool.id, size=SIZE, **{**usual, **changes})
    started = await volumes.create(cluster.core, new, description="given")
    await started.result()
    return (await cluster.volumes())[name]


async def compare(core: Core) -> list[Finding]:
    (pool,) = core.pools
    return await Reconciler(core, pool, SilentObserver()).run()


async def named(core: Core) -> dict[str, Volume]:
    return {volume.name: volume for volume in (await core.catalog.page(Volume, Query(limit=100))).records}


def folder(tmp_path: Path, name: str) -> Path:
    made = tmp_path / name
    made.mkdir()
    return made


async def test_other_volumes_are_left_alone_unless_they_are_to_be_adopted(cluster: FarGateway) -> None:
    await given(cluster, "theirs")
    async with scene(cluster) as at:
        assert [seen async for seen in at.backend.scan()] == []
        assert [seen async for seen in at.backend.scan_snapshots()] == []


async def test_an_adopted_volume_is_one_of_ours_and_stays_as_it_is(cluster: FarGateway, tmp_path: Path) -> None:
    theirs = await given(cluster, "theirs")
    await (await cluster.held(theirs)).write("a", b"alpha")
    async with (
        scene(cluster, adopt="svm1") as at,
        core_on(folder(tmp_path, "a"), [Configured("pool", at.backend)]) as core,
    ):
        [found] = await compare(core)
        assert (found.did, found.ref) == ("adopted", "theirs")
        assert await compare(core) == []
        adopted = (await named(core))["theirs"]
        assert (adopted.id, adopted.size, adopted.state) == (theirs.id, SIZE, VolumeState.ONLINE)
        kept = (await cluster.volumes())["theirs"]
        assert (kept.comment, kept.junction_path) == ("keep", "/theirs")
        assert kept.labels.items() >= {"env": "prod"}.items()
        assert (await at.backend.access(theirs.id)).path == "/theirs"

        taken = snapshots.NewSnapshot(name="s1", volume_id=adopted.id)
        await (await snapshots.create(core, taken, description="take")).result()
        await (await cluster.held(kept)).write("a", b"changed")
        of_it = Query(where=Compare("volume.id", Op.EQ, adopted.id))
        [snapshot] = (await core.catalog.page(Snapshot, of_it)).records
        restored = await volumes.restore(core, adopted.id, snapshot.id, description="restore", discard_newer=False)
        await restored.result()
        assert await (await cluster.held(kept)).read("a") == b"alpha"
        assert await compare(core) == []
        await core.manifest.write()
    async with (
        scene(cluster, adopt="svm1") as at,
        core_on(folder(tmp_path, "b"), [Configured("pool", at.backend)]) as core,
    ):
        # Its note speaks of the pool that adopted it first.
        assert [finding.did for finding in await compare(core)] == ["flagged"]


async def test_a_lost_catalog_knows_it_again(cluster: FarGateway, tmp_path: Path) -> None:
    theirs = await given(cluster, "theirs")
    async with scene(cluster, adopt="svm1") as at:
        async with core_on(folder(tmp_path, "a"), [Configured("pool", at.backend)]) as core:
            await compare(core)
            await core.manifest.write()
        async with core_on(folder(tmp_path, "b"), [Configured("pool", at.backend)], tenants=()) as core:
            await rebuild(core, SilentObserver())
            assert {volume.id for volume in (await named(core)).values()} == {theirs.id}


async def test_nobody_adopts_for_a_tenant_that_is_not_there(cluster: FarGateway, tmp_path: Path) -> None:
    await given(cluster, "theirs")
    async with (
        scene(cluster, adopt="nobody") as at,
        core_on(folder(tmp_path, "a"), [Configured("pool", at.backend)]) as core,
    ):
        [found] = await compare(core)
        assert (found.did, found.ref) == ("flagged", "theirs")
        assert "'nobody'" in found.why
        assert await named(core) == {}
        assert (await cluster.volumes())["theirs"].labels == {"env": "prod"}


async def test_what_another_gateway_looks_after_is_not_adopted(cluster: FarGateway) -> None:
    async with scene(cluster) as other:
        await other.backend.create(spec(uuid4()))
        async with scene(cluster, adopt="svm1") as at:
            assert [seen async for seen in at.backend.scan()] == []


async def test_a_restore_does_not_take_away_what_others_took(cluster: FarGateway, tmp_path: Path) -> None:
    theirs = await given(cluster, "theirs")
    async with (
        scene(cluster, adopt="svm1") as at,
        core_on(folder(tmp_path, "a"), [Configured("pool", at.backend)]) as core,
    ):
        await compare(core)
        for owner, name in ((core, "s1"), (cluster.core, "hourly.1")):
            new = snapshots.NewSnapshot(name=name, volume_id=theirs.id)
            await (await snapshots.create(owner, new, description="take")).result()
        of_it = Query(where=Compare("volume.id", Op.EQ, theirs.id))
        [snapshot] = (await core.catalog.page(Snapshot, of_it)).records
        restoring = await volumes.restore(core, theirs.id, snapshot.id, description="restore", discard_newer=True)
        with pytest.raises(errors.InUse):
            await restoring.result()
        kept = {taken.name for taken in (await cluster.core.catalog.page(Snapshot, of_it)).records}
        assert kept > {"hourly.1"}
        assert len(kept) == 2
        assert (await named(core))["theirs"].state is VolumeState.ONLINE
