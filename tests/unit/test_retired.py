"""Volumes that were deleted while snapshots or clones need them: what they still allow, and how they go in the end."""

from __future__ import annotations

from datetime import timedelta
from pathlib import Path
from uuid import UUID

import msgspec
import pytest
from core_scene import (
    MIB,
    LocalMemory,
    PaperExporter,
    Script,
    clone_of,
    everything,
    make,
    scripted_pool,
    snap,
    tenant_and_pool,
)

from gateway.core import attachments, clones, errors, policies, retired, snapshots, tenants, volumes
from gateway.core.catalog import drop, put
from gateway.core.context import Core
from gateway.core.model import Job, JobState, Snapshot, SnapshotState, Volume, VolumeKind, VolumeState, utc_now
from gateway.core.observer import SilentObserver
from gateway.core.query import Query
from gateway.core.rebuild import rebuild
from gateway.core.reconcile import Finding, Reconciler
from gateway.testing.cores import core_on, memory_pool


@pytest.fixture
async def core(tmp_path: Path):
    async with core_on(tmp_path, [scripted_pool(Script())]) as made:
        yield made


async def remove(core: Core, volume: Volume, *, force: bool = False) -> Volume | None:
    """Delete for the user; give what is left of the volume."""
    await (await retired.remove(core, volume.id, description="t", force=force)).result()
    return await core.catalog.get(Volume, volume.id)


async def unsnap(core: Core, snapshot: Snapshot) -> None:
    await (await snapshots.delete(core, snapshot.id, description="t")).result()


async def cloned(core: Core, source: Volume, name: str, *, transient: bool = True) -> Volume:
    new = clones.NewClone(name=name, tenant_id=source.tenant_id, source_id=source.id, transient_base=transient)
    job = await (await clones.create(core, new, description="t")).result()
    return await core.get(Volume, job.target_id)


async def names(core: Core) -> set[str]:
    return {volume.name for volume in (await core.catalog.page(Volume, Query())).records if volume.retired is None}


async def left(core: Core) -> tuple[int, int]:
    """Count volumes and snapshots, once catalog and substrate were found equal."""
    found = await everything(core)
    assert sorted(v.id for v in found["Volume"]) == found["substrate"]
    assert sorted(s.id for s in found["Snapshot"]) == found["snapshots"]
    return len(found["substrate"]), len(found["snapshots"])


async def compare(core: Core) -> list[Finding]:
    (pool,) = core.pools
    return await Reconciler(core, pool, SilentObserver()).run()


# --- retiring ---


async def test_a_volume_that_nobody_needs_is_deleted_at_once(core: Core) -> None:
    assert await remove(core, await make(core, "v")) is None
    assert await left(core) == (0, 0)


async def test_snapshots_outlive_their_volume_and_its_name_is_free(core: Core) -> None:
    volume = await make(core, "v", junction_path="/v", labels={"a": "b"})
    snapshot = await snap(core, volume, "s")
    gone = await remove(core, volume)
    assert gone is not None
    assert gone.retired is not None
    assert (gone.state, gone.name, gone.junction_path) == (
        VolumeState.OFFLINE,
        f"retired.{volume.id.hex[:12]}",
        None,
    )
    assert (gone.labels, gone.snapshot_count) == ({"a": "b"}, 1)
    assert (await core.get(Snapshot, snapshot.id)).state is SnapshotState.VALID
    again = await make(core, "v", junction_path="/v", kind=VolumeKind.FILESYSTEM)
    assert again.id != volume.id
    with pytest.raises(errors.NotFound):
        await remove(core, volume)
    await unsnap(core, snapshot)
    assert await retired.collect(core) == 1
    assert await names(core) == {"v"}
    assert await left(core) == (1, 0)


async def test_the_name_of_a_retired_volume_may_be_taken_by_somebody(core: Core) -> None:
    volume = await make(core, "v")
    await snap(core, volume, "s")
    await make(core, f"retired.{volume.id.hex[:12]}")
    gone = await remove(core, volume)
    assert gone is not None
    assert gone.name == f"retired.{volume.id.hex}"


async def test_a_retired_volume_takes_no_change_but_its_end(core: Core) -> None:
    volume = await make(core, "v")
    snapshot = await snap(core, volume, "s")
    clone = await clone_of(core, volume, "c", snapshot)
    await remove(core, volume)
    refused = (
        volumes.update(core, volume.id, volumes.VolumeChange(state=VolumeState.ONLINE), description="t"),
        volumes.restore(core, volume.id, snapshot.id, description="t", discard_newer=True),
        volumes.convert(core, volume.id, size=MIB, annotations={}, description="t"),
        snapshots.create(core, snapshots.NewSnapshot(name="n", volume_id=volume.id), description="t"),
        clones.create(
            core,
            clones.NewClone(name="n", tenant_id=volume.tenant_id, source_id=volume.id),
            description="t",
        ),
        retired.retire(core, volume.id, description="t"),
        attachments.attach(core, volume.id, attachments.NewAttachment(node="n"), description="t"),
    )
    for change in refused:
        with pytest.raises(errors.InvalidState) as caught:
            await change
        assert caught.value.state == "retired"
    for deletion in (volumes.delete, retired.dispose):
        with pytest.raises(errors.InUse, match="clones"):
            await deletion(core, volume.id, description="t")
    assert await retired.collect(core) == 0
    assert (await core.get(Volume, clone.id)).state is VolumeState.ONLINE


async def test_snapshots_of_a_retired_volume_can_be_changed_and_cloned(core: Core) -> None:
    volume = await make(core, "v", annotations={"door.a": "1"})
    snapshot = await snap(core, volume, "s", annotations={"door.b": "2"})
    await remove(core, volume)
    change = snapshots.SnapshotChange(name="t", annotations={"door.b": "3"})
    await (await snapshots.update(core, snapshot.id, change, description="t")).result()
    clone = await clone_of(core, volume, "c", snapshot)
    assert (clone.retired, clone.state, clone.annotations) == (None, VolumeState.ONLINE, {"door.a": "1"})
    await unsnap_refused(core, snapshot)
    await snap(core, clone, "own")
    assert await remove(core, clone) is not None
    (own,) = await volumes.snapshots_of(core, clone.id)
    await unsnap(core, own)
    assert await retired.collect(core) == 1
    assert (await core.get(Snapshot, snapshot.id)).annotations == {"door.b": "3"}
    await unsnap(core, snapshot)
    assert await retired.collect(core) == 1
    assert await left(core) == (0, 0)


async def unsnap_refused(core: Core, snapshot: Snapshot) -> None:
    with pytest.raises(errors.InUse):
        await unsnap(core, snapshot)


async def test_nothing_keeps_policies_that_a_retired_volume_had(core: Core) -> None:
    tenant, _ = await tenant_and_pool(core)
    policy = await policies.create_export_policy(core, tenant.id, "p")
    volume = await make(core, "v", export_policy_id=policy.id)
    await snap(core, volume, "s")
    await remove(core, volume)
    await policies.delete_export_policy(core, policy.id)
    with pytest.raises(errors.InUse, match="volumes"):
        await tenants.delete(core, tenant.id)


async def test_a_pool_counts_the_volumes_that_users_have(core: Core) -> None:
    volume = await make(core, "v")
    await make(core, "other")
    await snap(core, volume, "s")
    await remove(core, volume)
    (pool,) = core.pools
    await core.pools.observe(pool)
    assert (await tenant_and_pool(core))[1].volume_count == 1


async def test_a_published_volume_is_withdrawn_and_comes_back_when_retiring_fails(tmp_path: Path) -> None:
    script, exporter = Script(), PaperExporter()
    async with core_on(tmp_path, [scripted_pool(script)], exporter=exporter, fault=script) as core:
        tenant, _ = await tenant_and_pool(core)
        policy = await policies.create_export_policy(core, tenant.id, "p")
        volume = await make(core, "v", junction_path="/v", export_policy_id=policy.id)
        await snap(core, volume, "s")
        assert volume.id in exporter.exports
        script.steps["volume.update.withdrawn"] = errors.Busy(what="disk")
        with pytest.raises(errors.Busy):
            await remove(core, volume)
        kept = await core.get(Volume, volume.id)
        assert (kept.name, kept.retired, kept.state) == ("v", None, VolumeState.ONLINE)
        assert volume.id in exporter.exports
        await remove(core, volume)
        assert exporter.exports == {}


async def test_an_attached_volume_is_retired_by_force_only(core: Core) -> None:
    volume = await make(core, "v", kind=VolumeKind.BLOCK)
    await snap(core, volume, "s")
    await (await attachments.attach(core, volume.id, attachments.NewAttachment(node="host1"), description="t")).result()
    with pytest.raises(errors.InUse, match="attachments"):
        await remove(core, volume)
    gone = await remove(core, volume, force=True)
    assert gone is not None
    assert gone.attachments == ()


async def test_a_lost_volume_is_retired_and_stays_so_when_it_comes_back(tmp_path: Path) -> None:
    pool = scripted_pool(Script())
    assert isinstance(pool.backend, LocalMemory)
    first, second = tmp_path / "a", tmp_path / "b"
    first.mkdir()
    second.mkdir()
    async with core_on(first, [pool]) as core:
        volume = await make(core, "v")
        await snap(core, volume, "s")
        pool.backend.hidden.add(volume.id)
        await compare(core)
        gone = await remove(core, volume)
        assert gone is not None
        assert gone.state is VolumeState.ERROR
        pool.backend.hidden.clear()
        await compare(core)
        back = await core.get(Volume, volume.id)
        assert (back.state, back.reason, back.retired) == (VolumeState.OFFLINE, "", gone.retired)
        assert await compare(core) == []
    async with core_on(second, [pool], tenants=()) as core:
        await rebuild(core, SilentObserver())
        assert (await core.get(Volume, volume.id)).retired == gone.retired


# --- collecting ---


async def test_the_base_of_a_clone_goes_with_its_last_clone_if_asked_so(core: Core) -> None:
    volume = await make(core, "v")
    first, kept = await cloned(core, volume, "c1"), await cloned(core, volume, "c2", transient=False)
    base = await core.get(Snapshot, first.origin.snapshot_id)
    assert (base.internal, base.transient) == (True, True)
    second = await clone_of(core, volume, "c3", base)
    await remove(core, first)
    assert await retired.collect(core) == 0
    await (await clones.split(core, second.id, description="t")).result()
    await remove(core, kept)
    assert await retired.collect(core, [volume.id]) == 1
    assert [s.id for s in await volumes.snapshots_of(core, volume.id)] == [kept.origin.snapshot_id]
    assert await retired.collect(core) == 0


async def test_a_snapshot_that_clones_need_goes_with_the_last_of_them(core: Core) -> None:
    volume = await make(core, "v")
    taken, other = await snap(core, volume, "s"), await snap(core, volume, "other")
    first, second = await clone_of(core, volume, "c1", taken), await clone_of(core, volume, "c2", taken)
    await (await retired.remove_snapshot(core, taken.id, description="t")).result()
    left = await core.get(Snapshot, taken.id)
    assert (left.internal, left.transient, left.name.startswith("retired."), left.clone_count) == (True, True, True, 2)
    # Its name is free, and whoever asks again for its end is not told otherwise.
    await snap(core, volume, "s")
    await (await retired.remove_snapshot(core, taken.id, description="t")).result()
    await (await retired.remove_snapshot(core, other.id, description="t")).result()
    assert await core.catalog.get(Snapshot, other.id) is None
    await remove(core, first)
    assert await retired.collect(core) == 0
    await remove(core, second)
    assert await retired.collect(core) == 1
    assert [one.name for one in await volumes.snapshots_of(core, volume.id)] == ["s"]


async def test_a_snapshot_that_clones_need_keeps_no_volume_that_was_deleted(core: Core) -> None:
    volume = await make(core, "v")
    taken = await snap(core, volume, "s")
    clone = await clone_of(core, volume, "c", taken)
    await (await retired.remove_snapshot(core, taken.id, description="t")).result()
    await remove(core, volume)
    await remove(core, clone)
    assert await retired.collect(core) == 1
    assert await left(core) == (0, 0)


async def test_a_snapshot_is_not_retired_before_its_time(core: Core) -> None:
    volume = await make(core, "v")
    taken = await snap(core, volume, "s", expires=utc_now() + timedelta(hours=1))
    await clone_of(core, volume, "c", taken)
    with pytest.raises(errors.InUse) as refused:
        await retired.remove_snapshot(core, taken.id, description="t")
    assert refused.value.by == "expiry"


@pytest.mark.parametrize("transient", [True, False])
async def test_the_base_of_a_clone_keeps_no_volume_that_was_deleted(core: Core, *, transient: bool) -> None:
    volume = await make(core, "v")
    clone = await cloned(core, volume, "c", transient=transient)
    gone = await remove(core, volume)
    assert gone is not None
    assert await retired.collect(core) == 0
    assert await remove(core, clone) is None
    assert await retired.collect(core, [volume.id]) == 1
    assert await left(core) == (0, 0)


async def test_an_unneeded_base_does_not_keep_a_volume_from_being_deleted_at_once(core: Core) -> None:
    volume = await make(core, "v", kind=VolumeKind.BLOCK)
    await remove(core, await cloned(core, volume, "c"))
    await (await volumes.delete(core, volume.id, description="t", with_snapshots=False)).result()
    other = await make(core, "w")
    await remove(core, await cloned(core, other, "c", transient=False))
    assert await remove(core, other) is None
    assert await left(core) == (0, 0)


async def test_an_internal_snapshot_of_a_retired_volume_goes_although_others_stay(core: Core) -> None:
    volume = await make(core, "v")
    clone = await cloned(core, volume, "c", transient=False)
    asked = await snap(core, volume, "s")
    await remove(core, volume)
    await remove(core, clone)
    assert await retired.collect(core) == 1
    assert [s.id for s in await volumes.snapshots_of(core, volume.id)] == [asked.id]


@pytest.mark.parametrize("around", [True, False])
async def test_a_chain_is_collected_from_its_leaf_up(core: Core, *, around: bool) -> None:
    chain = [await make(core, "v0")]
    for number in range(1, 6):
        chain.append(await cloned(core, chain[-1], f"v{number}"))
    for volume in chain[:-1]:
        assert await remove(core, volume) is not None
    assert await retired.collect(core) == 0
    assert await names(core) == {"v5"}
    assert await remove(core, chain[-1]) is None
    found = [chain[-2].id] if around else None
    assert await retired.collect(core, found, most=2) == 2
    assert len((await everything(core))["Volume"]) == 3
    assert await retired.collect(core) == 3
    assert await left(core) == (0, 0)


async def test_a_snapshot_with_an_expiry_keeps_a_retired_volume(core: Core) -> None:
    volume = await make(core, "v")
    clone = await cloned(core, volume, "c")
    base = clone.origin.snapshot_id
    later = snapshots.SnapshotChange(expires=utc_now() + timedelta(days=1))
    await (await snapshots.update(core, base, later, description="t")).result()
    await remove(core, volume)
    await remove(core, clone)
    assert await retired.collect(core) == 0
    with pytest.raises(errors.InUse):
        await retired.dispose(core, volume.id, description="t", force=True)
    past = snapshots.SnapshotChange(expires=utc_now() - timedelta(days=1))
    await (await snapshots.update(core, base, past, description="t")).result()
    assert await retired.collect(core) == 1


async def test_a_retired_volume_is_deleted_with_its_snapshots_by_force(core: Core) -> None:
    volume = await make(core, "v")
    with pytest.raises(errors.InvalidState):
        await retired.dispose(core, volume.id, description="t", force=True)
    await snap(core, volume, "s")
    await remove(core, volume)
    with pytest.raises(errors.InUse, match="snapshots"):
        await retired.dispose(core, volume.id, description="t")
    await (await retired.dispose(core, volume.id, description="t", force=True)).result()
    assert await left(core) == (0, 0)


async def test_what_cannot_be_deleted_is_left_alone_for_a_while(tmp_path: Path) -> None:
    script = Script()
    async with core_on(tmp_path, [scripted_pool(script)]) as core:
        broken, whole = await make(core, "broken"), await make(core, "whole")
        for volume in (broken, whole):
            await (await retired.retire(core, volume.id, description="t")).result()
        script.forever = True
        script.steps["memory.delete.begin"] = errors.Busy(what="disk")
        assert await retired.collect(core) == 0
        script.steps.clear()
        assert await retired.collect(core) == 0
        jobs = [j for j in (await core.catalog.page(Job, Query())).records if j.state is JobState.FAILURE]
        assert {job.target_id for job in jobs} == {broken.id, whole.id}
        for job in jobs:
            earlier = msgspec.structs.replace(job, ended=utc_now() - timedelta(hours=1))
            await core.catalog.commit(put(earlier))
        assert await retired.collect(core) == 2
        assert await left(core) == (0, 0)


async def test_a_pool_that_is_closed_keeps_no_other_from_being_collected(tmp_path: Path) -> None:
    one, two = memory_pool("one"), memory_pool("two")
    async with core_on(tmp_path, [one, two]) as core:
        for name in ("one", "two"):
            volume = await make(core, name, pool=name)
            await (await retired.retire(core, volume.id, description="t")).result()
    async with core_on(tmp_path, [two]) as core:
        assert await retired.collect(core) == 1


# --- behind the gateway's back ---


async def test_a_snapshot_that_somebody_deleted_on_the_substrate_keeps_no_retired_volume(core: Core) -> None:
    volume = await make(core, "v")
    snapshot = await snap(core, volume, "s")
    await remove(core, volume)
    (pool,) = core.pools
    await pool.backend.delete_snapshot(volume.id, snapshot.id)
    assert await retired.collect(core) == 0
    await compare(core)
    assert await retired.collect(core) == 1
    assert await left(core) == (0, 0)


async def test_a_snapshot_that_seemed_to_be_gone_still_keeps_it(core: Core) -> None:
    volume = await make(core, "v")
    snapshot = await snap(core, volume, "s")
    await remove(core, volume)
    present = await core.get(Snapshot, snapshot.id)
    seems = msgspec.structs.replace(present, state=SnapshotState.ERROR, reason="missing from the substrate")
    await core.catalog.commit(put(seems))
    assert await retired.collect(core) == 0
    assert await core.catalog.get(Volume, volume.id) is not None


async def chain_with_snapshots(core: Core) -> dict[str, UUID]:
    """Make `old` (retired; a snapshot and a clone), `mid` (retired, a clone of it, with a clone), `new`."""
    old = await make(core, "old")
    await snap(core, old, "asked")
    mid = await cloned(core, old, "mid")
    new = await cloned(core, mid, "new")
    for volume in (old, mid):
        await remove(core, volume)
    return {"old": old.id, "mid": mid.id, "new": new.id}


async def test_a_rebuilt_catalog_keeps_retired_volumes_and_collects_nothing_meanwhile(tmp_path: Path) -> None:
    pool = scripted_pool(Script())
    assert isinstance(pool.backend, LocalMemory)
    first, second = tmp_path / "a", tmp_path / "b"
    first.mkdir()
    second.mkdir()
    async with core_on(first, [pool]) as core:
        ids = await chain_with_snapshots(core)
        before = await everything(core)
    pool.backend.backwards = True
    async with core_on(second, [pool], tenants=()) as core:
        collected: list[int] = []

        async def collect() -> None:
            collected.append(await retired.collect(core))

        # The volumes are adopted by then, their snapshots are not yet.
        pool.backend.while_scanning = collect
        await rebuild(core, SilentObserver())
        assert collected == [0] * 4
        assert await everything(core) == before
        assert await names(core) == {"new"}
        await remove(core, await core.get(Volume, ids["new"]))
        assert await retired.collect(core) == 2
        assert await left(core) == (1, 1)


async def test_a_retired_volume_is_not_collected_while_a_clone_of_it_has_no_place_in_the_catalog(core: Core) -> None:
    volume = await make(core, "v")
    clone = await cloned(core, volume, "c")
    gone = await remove(core, volume)
    assert gone is not None
    base = await core.get(Snapshot, clone.origin.snapshot_id)
    await core.catalog.commit(drop(await core.get(Volume, clone.id), base, await core.get(Volume, volume.id)))
    stranger = await make(core, "c")
    assert ("flagged", "c") in {(f.did, f.ref) for f in await compare(core)}
    assert await retired.collect(core) == 0
    with pytest.raises(errors.InvalidState):
        await retired.dispose(core, volume.id, description="t")
    await (await volumes.delete(core, stranger.id, description="t")).result()
    await compare(core)
    assert (await core.get(Volume, clone.id)).origin == clone.origin
    back = await core.get(Volume, volume.id)
    assert (back.state, back.clone_count, back.snapshot_count) == (VolumeState.OFFLINE, 1, 1)
    assert await retired.collect(core) == 0
    await remove(core, await core.get(Volume, clone.id))
    assert await retired.collect(core) == 1
    assert await left(core) == (0, 0)
