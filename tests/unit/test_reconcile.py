"""What comparing catalog and substrate makes of lost rows, lost objects, chains of clones and changes under way."""

from __future__ import annotations

import asyncio
from pathlib import Path

import msgspec
import pytest
from core_scene import LocalMemory, Script, clone_of, everything, make, scripted_pool, snap

from gateway.core import attachments, errors, policies, snapshots, volumes
from gateway.core.catalog import drop, put
from gateway.core.context import Core
from gateway.core.model import ExportPolicy, Snapshot, Tenant, Volume, VolumeKind, VolumeState
from gateway.core.observer import SilentObserver
from gateway.core.query import Query
from gateway.core.rebuild import rebuild
from gateway.core.reconcile import Finding, Reconciler
from gateway.testing.cores import core_on, memory_pool


async def compare(core: Core) -> list[Finding]:
    (pool,) = core.pools
    return await Reconciler(core, pool, SilentObserver()).run()


async def forget(core: Core, *records: Volume | Snapshot) -> None:
    """Take rows out of the catalog, as if it had been lost."""
    for record in records:
        await core.catalog.commit(drop(await core.get(type(record), record.id)))


@pytest.fixture
async def core(tmp_path: Path):
    async with core_on(tmp_path, [scripted_pool(Script())]) as made:
        yield made


async def test_a_chain_of_clones_comes_back_whatever_the_order(tmp_path: Path) -> None:
    """A scan gives volumes in no order: here the youngest comes first."""
    pool = scripted_pool(Script())
    first, second = tmp_path / "a", tmp_path / "b"
    first.mkdir()
    second.mkdir()
    async with core_on(first, [pool]) as core:
        chain = [await make(core, "v0")]
        for number in range(1, 5):
            chain.append(await clone_of(core, chain[-1], f"v{number}"))
        before = await everything(core)
    assert isinstance(pool.backend, LocalMemory)
    pool.backend.backwards = True
    async with core_on(second, [pool], tenants=()) as core:
        await rebuild(core, SilentObserver())
        assert await everything(core) == before


async def test_a_snapshot_that_comes_back_knows_its_clones(core: Core) -> None:
    volume = await make(core, "v")
    snapshot = await snap(core, volume, "s")
    await clone_of(core, volume, "c", snapshot)
    await forget(core, snapshot)
    await compare(core)
    assert (await core.get(Snapshot, snapshot.id)).clone_count == 1
    with pytest.raises(errors.InUse):
        await snapshots.delete(core, snapshot.id, description="t")


async def test_counters_are_right_although_the_parent_is_being_changed(core: Core) -> None:
    parent = await make(core, "v")
    clone = await clone_of(core, parent, "c")
    lost = await core.get(Volume, parent.id)
    await forget(core, clone)
    await core.catalog.commit(put(msgspec.structs.replace(lost, clone_count=0)))
    async with core.changes.locks.holding(parent.id):
        comparing = asyncio.ensure_future(compare(core))
        await asyncio.wait({comparing}, timeout=0.2)
    await comparing
    assert (await core.get(Volume, parent.id)).clone_count == 1


async def test_a_volume_that_is_back_is_as_it_was(core: Core) -> None:
    volume = await make(core, "v")
    offline = volumes.VolumeChange(state=VolumeState.OFFLINE)
    await (await volumes.update(core, volume.id, offline, description="t")).result()
    (pool,) = core.pools
    assert isinstance(pool.backend, LocalMemory)
    pool.backend.hidden.add(volume.id)
    await compare(core)
    assert (await core.get(Volume, volume.id)).state is VolumeState.ERROR
    pool.backend.hidden.clear()
    await compare(core)
    back = await core.get(Volume, volume.id)
    assert (back.state, back.reason) == (VolumeState.OFFLINE, "")


async def test_a_volume_that_was_detached_while_it_was_broken_is_whole_again(core: Core) -> None:
    volume = await make(core, "v", kind=VolumeKind.BLOCK)
    new = attachments.NewAttachment(node="host1")
    await (await attachments.attach(core, volume.id, new, description="t")).result()
    (pool,) = core.pools
    assert isinstance(pool.backend, LocalMemory)
    pool.backend.hidden.add(volume.id)
    await compare(core)
    pool.backend.hidden.clear()
    await (await attachments.detach(core, volume.id, "host1", description="t")).result()
    await compare(core)
    assert (await core.get(Volume, volume.id)).state is VolumeState.ONLINE


async def test_a_volume_whose_policy_is_unknown_can_still_be_changed(core: Core) -> None:
    tenant = await core.find(Tenant, name="svm1")
    policy = await policies.create_export_policy(core, tenant.id, "p")
    volume = await make(core, "v", export_policy_id=policy.id)
    await forget(core, volume)
    await policies.delete_export_policy(core, policy.id)
    found = await compare(core)
    assert {(f.did, f.why) for f in found} == {
        ("corrected", "its export policy is unknown"),
        ("adopted", "was not in the catalog"),
    }
    assert (await core.get(Volume, volume.id)).export_policy_id is None
    change = volumes.VolumeChange(comment="c")
    await (await volumes.update(core, volume.id, change, description="t")).result()
    assert await compare(core) == []


async def test_two_gateways_pools_do_not_stop_a_rebuild(tmp_path: Path) -> None:
    """Both had a tenant svm1: the second one's volumes are reported."""
    one, two = memory_pool("one"), memory_pool("two")
    for folder, pool in (("a", one), ("b", two)):
        (tmp_path / folder).mkdir()
        async with core_on(tmp_path / folder, [pool]) as core:
            await make(core, f"of_{folder}", pool=pool.name)
    (tmp_path / "c").mkdir()
    async with core_on(tmp_path / "c", [one, two], tenants=()) as core:
        found = await rebuild(core, SilentObserver())
        assert ("adopted", "of_a") in {(f.did, f.ref) for f in found}
        assert ("flagged", "of_b") in {(f.did, f.ref) for f in found}
        assert ("flagged", "svm1") in {(f.did, f.ref) for f in found}
        assert [t.name for t in (await core.catalog.page(Tenant, Query())).records] == ["svm1"]


async def test_a_new_catalog_does_not_overwrite_what_a_lost_one_could_be_rebuilt_from(tmp_path: Path) -> None:
    pool = memory_pool()
    for folder in ("a", "b", "c"):
        (tmp_path / folder).mkdir()
    async with core_on(tmp_path / "a", [pool]) as core:
        await core.catalog.put_setting("cluster_id", "one")
        tenant = await core.find(Tenant, name="svm1")
        policy = await policies.create_export_policy(core, tenant.id, "p")
        await make(core, "v", export_policy_id=policy.id)
        before = await everything(core)
    async with core_on(tmp_path / "b", [pool]) as core:
        await core.catalog.put_setting("cluster_id", "two")
        await core.manifest.write()
    async with core_on(tmp_path / "c", [pool], tenants=()) as core:
        await rebuild(core, SilentObserver())
        assert await everything(core) == before
        assert await core.find(ExportPolicy, name="p") is not None
