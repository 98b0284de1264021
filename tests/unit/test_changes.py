"""The path of change over the memory backend: what is shown, refused, finished, taken back and recovered."""

from __future__ import annotations

import asyncio
from pathlib import Path

import msgspec
import pytest
from core_scene import MIB, clone_of, everything, make, snap, tenant_and_pool

from gateway.core import clones, errors, groups, policies, retired, snapshots, volumes
from gateway.core.catalog import drop
from gateway.core.context import Core
from gateway.core.model import ExportRule, Job, JobState, Snapshot, Tenant, Volume, VolumeState
from gateway.core.observer import SilentObserver
from gateway.core.operations import OPERATIONS as CHANGES
from gateway.core.query import Query
from gateway.core.rebuild import rebuild
from gateway.core.reconcile import Reconciler
from gateway.testing.cores import core_on, memory_pool


@pytest.fixture
async def core(tmp_path: Path):
    async with core_on(tmp_path, [memory_pool()]) as made:
        yield made


async def test_a_volume_is_made_changed_and_deleted(core: Core) -> None:
    volume = await make(core, "one", comment="hello", labels={"a": "b"})
    assert (volume.state, volume.size, volume.labels) == (VolumeState.ONLINE, 20 * MIB, {"a": "b"})
    change = volumes.VolumeChange(name="two", size=30 * MIB, comment="")
    await (await volumes.update(core, volume.id, change, description="test")).result()
    changed = await core.get(Volume, volume.id)
    assert (changed.name, changed.size, changed.comment, changed.labels) == ("two", 30 * MIB, "", {"a": "b"})
    assert changed.revision > volume.revision
    (pool,) = core.pools
    observed = await pool.backend.inspect(volume.id)
    assert observed is not None
    assert observed.size == 30 * MIB
    await (await volumes.delete(core, volume.id, description="test")).result()
    assert (await everything(core))["Volume"] == []
    assert (await everything(core))["substrate"] == []


async def test_the_core_refuses_what_the_substrate_would_do(core: Core) -> None:
    volume = await make(core, "parent")
    snapshot = await snap(core, volume, "s1")
    clone = await clone_of(core, volume, "child", snapshot)
    with pytest.raises(errors.InUse, match="clones"):
        await volumes.delete(core, volume.id, description="test")
    with pytest.raises(errors.InUse, match="clones"):
        await snapshots.delete(core, snapshot.id, description="test")
    before = await everything(core)
    await (await clones.split(core, clone.id, description="test")).result()
    assert (await core.get(Volume, clone.id)).origin is None
    assert (await core.get(Snapshot, snapshot.id)).clone_count == 0
    assert (await core.get(Volume, volume.id)).clone_count == 0
    await (await volumes.delete(core, volume.id, description="test")).result()
    assert [v.name for v in (await everything(core))["Volume"]] == ["child"]
    assert before["substrate"] != (await everything(core))["substrate"]


async def test_a_clone_may_be_larger_and_is_never_smaller(core: Core) -> None:
    volume = await make(core, "parent")

    def new(size: int | None) -> clones.NewClone:
        return clones.NewClone(name=f"of {size}", tenant_id=volume.tenant_id, source_id=volume.id, size=size)

    for size, true in ((None, 20 * MIB), (20 * MIB, 20 * MIB), (30 * MIB, 30 * MIB)):
        job = await (await clones.create(core, new(size), description="t")).result()
        assert job.target_id is not None
        (pool,) = core.pools
        observed = await pool.backend.inspect(job.target_id)
        assert observed is not None
        assert (observed.size, (await core.get(Volume, job.target_id)).size) == (true, true)
    for wrong in (20 * MIB - 1, 0, -1, 1 << 63):
        with pytest.raises(errors.LimitExceeded):
            await clones.create(core, new(wrong), description="t")


async def test_a_clone_may_be_as_small_as_its_source_was(core: Core) -> None:
    volume = await make(core, "parent")
    early = await snap(core, volume, "early")
    assert early.volume_size == 20 * MIB
    grown = volumes.VolumeChange(size=30 * MIB)
    await (await volumes.update(core, volume.id, grown, description="t")).result()

    def new(size: int) -> clones.NewClone:
        return clones.NewClone(
            name="child", tenant_id=volume.tenant_id, source_id=volume.id, snapshot_id=early.id, size=size
        )

    with pytest.raises(errors.LimitExceeded) as refused:
        await clones.create(core, new(20 * MIB - 1), description="t")
    assert refused.value.minimum == 20 * MIB
    job = await (await clones.create(core, new(20 * MIB), description="t")).result()
    assert job.target_id is not None
    assert (await core.get(Volume, job.target_id)).size == 20 * MIB


async def test_a_clone_without_a_snapshot_takes_one_that_stays(core: Core) -> None:
    volume = await make(core, "parent")
    clone = await clone_of(core, volume, "child")
    (base,) = await volumes.snapshots_of(core, volume.id)
    assert base.name.startswith("clone_child.")
    assert clone.origin is not None
    assert clone.origin.snapshot_id == base.id
    assert (await core.get(Volume, volume.id)).snapshot_count == 1
    await (await volumes.delete(core, clone.id, description="test")).result()
    assert (await core.get(Snapshot, base.id)).clone_count == 0


async def test_restore_discards_newer_snapshots_unless_they_are_used(core: Core) -> None:
    volume = await make(core, "v")
    first = await snap(core, volume, "first")
    second = await snap(core, volume, "second")
    clone = await clone_of(core, volume, "child", second)
    with pytest.raises(errors.InUse):
        await volumes.restore(core, volume.id, first.id, description="t", discard_newer=True)
    await (await volumes.delete(core, clone.id, description="t")).result()
    await (await volumes.restore(core, volume.id, first.id, description="t", discard_newer=True)).result()
    assert [s.name for s in await volumes.snapshots_of(core, volume.id)] == ["first"]
    restored = await core.get(Volume, volume.id)
    assert (restored.snapshot_count, restored.generation) == (1, 1)


@pytest.mark.parametrize("name", ["", "a/b", "a\0b", "x" * 256, "..", "a\nb"])
async def test_unusable_names_change_nothing(core: Core, name: str) -> None:
    with pytest.raises(errors.InvalidArgument) as caught:
        await make(core, name)
    assert caught.value.field == "name"
    assert (await everything(core))["Volume"] == []


async def test_names_and_junction_paths_are_unique(core: Core) -> None:
    await make(core, "one", junction_path="/data")
    with pytest.raises(errors.AlreadyExists) as caught:
        await make(core, "one")
    assert caught.value.field == "name"
    with pytest.raises(errors.AlreadyExists) as caught:
        await make(core, "two", junction_path="/DATA")
    assert caught.value.field == "junction_path"


async def test_a_name_can_be_asked_to_be_the_only_one_in_any_case(core: Core) -> None:
    tenant, pool = await tenant_and_pool(core)
    source = await make(core, "Stra\u00dfe")

    def new(name: str) -> volumes.NewVolume:
        return volumes.NewVolume(name=name, tenant_id=tenant.id, pool_id=pool.id, size=MIB)

    def clone(name: str) -> clones.NewClone:
        return clones.NewClone(name=name, tenant_id=tenant.id, source_id=source.id)

    with pytest.raises(errors.AlreadyExists):
        await volumes.create(core, new("STRASSE"), description="t", caseless=True)
    with pytest.raises(errors.AlreadyExists):
        await clones.create(core, clone("strasse"), description="t", caseless=True)
    await (await volumes.create(core, new("STRASSE"), description="t")).result()
    makers = [volumes.create(core, new(name), description="t", caseless=True) for name in ("two", "Two", "TWO")]
    cloners = [clones.create(core, clone(name), description="t", caseless=True) for name in ("tWO", "twO")]
    started = await asyncio.gather(*makers, *cloners, return_exceptions=True)
    assert sorted(type(one).__name__ for one in started) == [*["AlreadyExists"] * 4, "Started"]


async def test_two_renames_race_for_one_name(core: Core) -> None:
    first, second = await make(core, "one"), await make(core, "two")
    change = volumes.VolumeChange(name="three")
    started = await asyncio.gather(
        *(volumes.update(core, v.id, change, description="t") for v in (first, second)), return_exceptions=True
    )
    outcomes = [one if isinstance(one, BaseException) else (await one.wait()).state for one in started]
    assert outcomes.count(JobState.SUCCESS) == 1
    names = sorted(v.name for v in (await everything(core))["Volume"])
    assert names in (["one", "three"], ["three", "two"])
    assert (await everything(core))["Intent"] == []
    (pool,) = core.pools
    notes = sorted([o.note.name async for o in pool.backend.scan()])
    assert notes == names


async def test_annotations_that_were_made_from_old_ones_do_not_hide_newer_ones(core: Core) -> None:
    volume = await make(core, "v", annotations={"door.a": "1"})
    outcomes = await asyncio.gather(
        *(
            volumes.update(
                core,
                volume.id,
                volumes.VolumeChange(annotations={**volume.annotations, "door.b": word}),
                description="t",
                annotated=volume.annotations,
            )
            for word in ("first", "second")
        ),
        return_exceptions=True,
    )
    (refused,) = [one for one in outcomes if isinstance(one, BaseException)]
    assert isinstance(refused, errors.Conflict)
    (kept,) = [one for one in outcomes if not isinstance(one, BaseException)]
    await kept.result()
    assert (await core.get(Volume, volume.id)).annotations.keys() == {"door.a", "door.b"}


async def test_a_masked_pool_refuses_at_once(tmp_path: Path) -> None:
    async with core_on(tmp_path, [memory_pool(disabled=("snapshot",))]) as core:
        volume = await make(core, "v")
        with pytest.raises(errors.Unsupported) as caught:
            await snap(core, volume, "s")
        assert caught.value.capability == "snapshot"
        assert caught.value.reason == "disabled by the operator"


async def test_an_offline_volume_loses_its_junction_path(core: Core) -> None:
    volume = await make(core, "v", junction_path="/v")
    change = volumes.VolumeChange(state=VolumeState.OFFLINE)
    await (await volumes.update(core, volume.id, change, description="t")).result()
    offline = await core.get(Volume, volume.id)
    assert (offline.state, offline.junction_path) == (VolumeState.OFFLINE, None)
    with pytest.raises(errors.InvalidState):
        await snap(core, offline, "s")


async def test_many_changes_of_one_volume_run_one_after_the_other(core: Core) -> None:
    volume = await make(core, "v")
    started = [
        await snapshots.create(core, snapshots.NewSnapshot(name=f"s{n}", volume_id=volume.id), description="t")
        for n in range(10)
    ]
    for one in started:
        await one.result()
    assert (await core.get(Volume, volume.id)).snapshot_count == 10


async def test_export_rules_keep_their_order(core: Core) -> None:
    tenant, _ = await tenant_and_pool(core)
    policy = await policies.create_export_policy(core, tenant.id, "p")
    for client in ("10.0.0.0/8", "192.168.0.0/16"):
        await policies.add_rule(core, policy.id, ExportRule(index=0, clients=(client,)))
    await policies.add_rule(core, policy.id, ExportRule(index=1, clients=("127.0.0.1",)))
    rules = (await core.get(type(policy), policy.id)).rules
    assert [(r.index, r.clients[0]) for r in rules] == [(1, "127.0.0.1"), (2, "10.0.0.0/8"), (3, "192.168.0.0/16")]
    await policies.change_rule(core, policy.id, 3, msgspec.structs.replace(rules[2], index=1))
    rules = (await core.get(type(policy), policy.id)).rules
    assert [r.clients[0] for r in rules] == ["192.168.0.0/16", "127.0.0.1", "10.0.0.0/8"]


async def test_a_used_or_builtin_policy_stays(core: Core) -> None:
    tenant, _ = await tenant_and_pool(core)
    policy = await policies.create_export_policy(core, tenant.id, "p")
    await make(core, "v", export_policy_id=policy.id)
    with pytest.raises(errors.InUse, match="volumes"):
        await policies.delete_export_policy(core, policy.id)
    default = await core.find(type(policy), name="default")
    assert default is not None
    with pytest.raises(errors.InUse, match="builtin"):
        await policies.delete_export_policy(core, default.id)


async def test_a_policy_is_never_deleted_under_a_volume_that_is_being_made(core: Core) -> None:
    tenant, _ = await tenant_and_pool(core)
    for number in range(10):
        policy = await policies.create_export_policy(core, tenant.id, f"p{number}")
        outcomes = await asyncio.gather(
            make(core, f"v{number}", export_policy_id=policy.id),
            policies.delete_export_policy(core, policy.id),
            return_exceptions=True,
        )
        kept = await core.find(type(policy), name=f"p{number}")
        used = await core.find(Volume, name=f"v{number}")
        assert (kept is None) == (used is None), outcomes
        assert [type(one) for one in outcomes if isinstance(one, errors.GatewayError)] in (
            [errors.InUse],
            [errors.NotFound],
        )


async def test_a_volume_whose_policy_went_meanwhile_keeps_its_old_one(core: Core) -> None:
    tenant, _ = await tenant_and_pool(core)
    policy = await policies.create_export_policy(core, tenant.id, "p")
    volume = await make(core, "v")
    started = await volumes.update(
        core, volume.id, volumes.VolumeChange(comment="c", export_policy_id=policy.id), description="t"
    )
    try:
        await policies.delete_export_policy(core, policy.id)
    except errors.InUse:
        assert (await started.wait()).state is JobState.SUCCESS
        return
    job = await started.wait()
    assert job.state is JobState.FAILURE
    assert (await core.get(Volume, volume.id)).comment == ""
    assert (await everything(core))["Intent"] == []


class Crash(BaseException):
    """Stands for the end of the process: nothing of ours may catch it."""


IN_ONE_POOL = [
    operation
    for operation in CHANGES
    if not operation.startswith("file.") and operation not in {"volume.move", "snapshot.receive"}
]
"""The other ones have test_moves.py, test_replications.py and test_single_files.py."""
POINTS = [f"{operation}.{step}" for operation in IN_ONE_POOL for step in ("journalled", "applied", "committed")]


@pytest.mark.parametrize("point", POINTS)
async def test_a_change_interrupted_anywhere_either_happened_or_did_not(tmp_path: Path, point: str) -> None:
    """One process ends at the point; the next one finds everything settled."""
    pool = memory_pool()
    armed = False

    def fault(passed: str) -> None:
        if armed and passed == point:
            raise Crash

    operation = point.rpartition(".")[0]
    async with core_on(tmp_path, [pool], fault=fault) as core:
        parent = await make(core, "parent")
        snapshot = await snap(core, parent, "s1")
        child = await clone_of(core, parent, "child", snapshot)
        await make(core, "empty")
        await snap(core, child, "old")
        newer = await snap(core, child, "newer")
        before = await everything(core)
        armed = True
        with pytest.raises((Crash, asyncio.CancelledError)):
            await run(core, operation, parent, child, snapshot, newer)
        armed = False
    async with core_on(tmp_path, [pool]) as core:
        after = await everything(core)
        assert after["Intent"] == []
        assert sorted(v.id for v in after["Volume"]) == after["substrate"]
        assert sorted(s.id for s in after["Snapshot"]) == after["snapshots"]
        assert all((v.state is VolumeState.ONLINE) == (v.retired is None) for v in after["Volume"])
        for job in (await core.catalog.page(Job, Query())).records:
            assert job.state in {JobState.SUCCESS, JobState.FAILURE}
        (opened,) = core.pools
        findings = await Reconciler(core, opened, SilentObserver()).run()
        assert findings == []
        last = max((await core.catalog.page(Job, Query())).records, key=lambda j: j.created)
        if last.state is JobState.FAILURE:
            assert after == before
        else:
            assert after != before


async def run(core: Core, operation: str, parent: Volume, child: Volume, base: Snapshot, newer: Snapshot) -> None:
    tenant, pool = await tenant_and_pool(core)
    change = volumes.VolumeChange(name="renamed", size=40 * MIB, comment="c")
    (old, _) = await volumes.snapshots_of(core, child.id)
    empty = await core.find(Volume, name="empty")
    assert empty is not None
    acts = {
        "volume.create": lambda: volumes.create(
            core, volumes.NewVolume(name="new", tenant_id=tenant.id, pool_id=pool.id, size=MIB), description="t"
        ),
        "volume.clone": lambda: clones.create(
            core, clones.NewClone(name="new", tenant_id=tenant.id, source_id=parent.id), description="t"
        ),
        "volume.delete": lambda: volumes.delete(core, child.id, description="t"),
        "volume.update": lambda: volumes.update(core, parent.id, change, description="t"),
        "volume.retire": lambda: retired.retire(core, parent.id, description="t"),
        "volume.convert": lambda: volumes.convert(
            core, empty.id, size=MIB, annotations={"door.key": "value"}, description="t"
        ),
        "volume.split": lambda: clones.split(core, child.id, description="t"),
        "volume.restore": lambda: volumes.restore(core, child.id, old.id, description="t", discard_newer=True),
        "snapshot.create": lambda: snapshots.create(
            core, snapshots.NewSnapshot(name="new", volume_id=parent.id), description="t"
        ),
        "snapshot.group": lambda: groups.create(
            core,
            [snapshots.NewSnapshot(name="new", volume_id=volume.id) for volume in (parent, child)],
            description="t",
        ),
        "snapshot.delete": lambda: snapshots.delete(core, newer.id, description="t"),
        "snapshot.update": lambda: snapshots.update(
            core, newer.id, snapshots.SnapshotChange(name="other"), description="t"
        ),
    }
    assert acts.keys() == set(IN_ONE_POOL)
    await (await acts[operation]()).result()


async def test_rebuild_gives_the_same_catalog(tmp_path: Path) -> None:
    pool = memory_pool()
    first, second = tmp_path / "a", tmp_path / "b"
    first.mkdir()
    second.mkdir()
    async with core_on(first, [pool]) as core:
        tenant, _ = await tenant_and_pool(core)
        policy = await policies.create_export_policy(core, tenant.id, "p", rules=[ExportRule(index=0, clients=("a",))])
        parent = await make(core, "parent", export_policy_id=policy.id, junction_path="/p", labels={"k": "v"})
        snapshot = await snap(core, parent, "s1", comment="c")
        child = await clone_of(core, parent, "child", snapshot)
        change = volumes.VolumeChange(name="renamed", comment="new")
        await (await volumes.update(core, child.id, change, description="t")).result()
        before = await everything(core)
        shared = {kind: (await core.catalog.page(kind, Query())).records for kind in (Tenant, type(policy))}
    async with core_on(second, [pool], tenants=()) as core:
        findings = await rebuild(core, SilentObserver())
        assert {f.did for f in findings} == {"adopted"}
        assert await everything(core) == before
        for kind, records in shared.items():
            again = (await core.catalog.page(kind, Query())).records
            strip = lambda rows: {msgspec.structs.replace(r, revision=0) for r in rows}
            assert strip(again) == strip(records)
        fresh = await policies.create_export_policy(core, tenant.id, "later")
        assert fresh.number > policy.number


async def test_the_reconciler_adopts_flags_and_heals(core: Core) -> None:
    volume = await make(core, "v")
    snapshot = await snap(core, volume, "s")
    (pool,) = core.pools
    stranger = await make(core, "stranger")
    row = await core.get(Volume, stranger.id)
    await core.catalog.commit(drop(row))
    await pool.backend.delete_snapshot(volume.id, snapshot.id)
    found = await Reconciler(core, pool, SilentObserver()).run()
    assert {(f.did, f.ref) for f in found} == {("adopted", "stranger"), ("flagged", "s")}
    await pool.backend.delete(volume.id)
    found = await Reconciler(core, pool, SilentObserver()).run()
    assert ("flagged", "v") in {(f.did, f.ref) for f in found}
    assert (await core.get(Volume, volume.id)).state is VolumeState.ERROR
    await (await volumes.delete(core, volume.id, description="t")).result()
    assert [v.name for v in (await everything(core))["Volume"]] == ["stranger"]
