"""Snapshots of several volumes at one instant: taken as one change, refused as one, after a crash all or nothing."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from pathlib import Path
from uuid import uuid4

import msgspec
import pytest
from core_scene import PaperExporter, Script, everything, make, scripted_pool, snap

from gateway.core import clones, errors, groups, retired, snapshots, volumes
from gateway.core.change import Plan
from gateway.core.context import Core
from gateway.core.model import (
    ExportPolicy,
    Job,
    JobState,
    Snapshot,
    SnapshotState,
    Tenant,
    Volume,
    VolumeKind,
    VolumeState,
    utc_now,
)
from gateway.core.notes import read_snapshot
from gateway.core.observer import SilentObserver
from gateway.core.ownership import Ownership
from gateway.core.principal import Principal
from gateway.core.query import Query
from gateway.core.rebuild import rebuild
from gateway.core.reconcile import Reconciler
from gateway.core.snapshots import NewSnapshot
from gateway.testing.cores import core_on, memory_pool
from gateway.testing.faults import Recorder

BUSY = errors.Busy(what="disk")
TOGETHER = {"memory.snapshot_group.begin", "memory.snapshot_group.done"}


class Crash(BaseException):
    """Stands for the end of the process: nothing of ours may catch it."""


def crash() -> None:
    raise Crash


def members_of(*found: Volume, name: str = "group", **more: object) -> list[NewSnapshot]:
    return [NewSnapshot(volume_id=volume.id, name=name, **more) for volume in found]


async def take(core: Core, members: list[NewSnapshot]) -> tuple[Snapshot, ...]:
    await (await groups.create(core, members, description="test")).result()
    return await groups.taken(core, members)


async def jobs(core: Core) -> list[Job]:
    return list((await core.catalog.page(Job, Query())).records)


async def assert_whole(core: Core) -> None:
    """Fail when catalog and substrate do not hold the same, or when anything is half made."""
    found = await everything(core)
    assert found["Intent"] == []
    assert sorted(v.id for v in found["Volume"]) == found["substrate"]
    assert sorted(s.id for s in found["Snapshot"]) == found["snapshots"]
    assert all(s.state is SnapshotState.VALID for s in found["Snapshot"])
    for volume in found["Volume"]:
        assert volume.snapshot_count == len(await volumes.snapshots_of(core, volume.id))
    assert all(job.state in {JobState.SUCCESS, JobState.FAILURE} for job in await jobs(core))
    (pool,) = core.pools
    assert await Reconciler(core, pool, SilentObserver()).run() == []


async def test_a_group_is_one_change(tmp_path: Path) -> None:
    passed = Recorder()
    async with core_on(tmp_path, [memory_pool(fault=passed)]) as core:
        files, blocks = await make(core, "files"), await make(core, "blocks", kind=VolumeKind.BLOCK)
        await snap(core, files, "old")
        passed.points.clear()
        wanted = [
            *members_of(blocks, name="b", labels={"cinder.snapshot": "1"}, comment="c"),
            *members_of(files, name="f"),
        ]
        started = await groups.create(core, wanted, description="both at once")
        job = await started.result()
        first, second = await groups.taken(core, wanted)
        assert [point for point in passed.points if "snapshot" in point] == sorted(TOGETHER)
        assert (first.volume_id, first.name, first.labels, first.comment) == (
            blocks.id,
            "b",
            {"cinder.snapshot": "1"},
            "c",
        )
        assert (second.volume_id, second.name, second.created) == (files.id, "f", first.created)
        assert (job.operation, job.description, job.target_id) == ("snapshot.group", "both at once", first.id)
        counts = [(await core.get(Volume, volume.id)).snapshot_count for volume in (files, blocks)]
        assert counts == [2, 1]
        await assert_whole(core)
        (pool,) = core.pools
        noted = {seen.id: read_snapshot(seen.note) async for seen in pool.backend.scan_snapshots()}
        assert noted[first.id] == msgspec.structs.replace(first, revision=0, size=0)


async def test_each_is_a_snapshot_like_any_other(tmp_path: Path) -> None:
    async with core_on(tmp_path, [memory_pool()]) as core:
        one, two = await make(core, "one"), await make(core, "two")
        first, second = await take(core, members_of(one, two))
        new = clones.NewClone(name="kid", tenant_id=one.tenant_id, source_id=one.id, snapshot_id=first.id)
        await (await clones.create(core, new, description="t")).result()
        await (await snapshots.delete(core, second.id, description="t")).result()
        with pytest.raises(errors.NotFound):
            await groups.taken(core, members_of(one, two))
        await assert_whole(core)


async def test_publications_stay_as_they_are(tmp_path: Path) -> None:
    exporter = PaperExporter()
    async with core_on(tmp_path, [scripted_pool(Script())], exporter=exporter) as core:
        policy = await core.find(ExportPolicy, name="default")
        assert policy is not None
        found = [await make(core, name, junction_path=f"/{name}", export_policy_id=policy.id) for name in ("a", "b")]
        published = dict(exporter.exports)
        exporter.down = True
        await take(core, members_of(*found))
        assert exporter.exports == published


# --- what is refused, before anything is written ---

Prepare = Callable[[Core, Volume], Awaitable[list[NewSnapshot]]]


async def offline(core: Core, volume: Volume) -> list[NewSnapshot]:
    change = volumes.VolumeChange(state=VolumeState.OFFLINE)
    await (await volumes.update(core, volume.id, change, description="t")).result()
    return members_of(volume)


async def retired_meanwhile(core: Core, volume: Volume) -> list[NewSnapshot]:
    await snap(core, volume, "kept")
    await (await retired.remove(core, volume.id, description="t")).result()
    return members_of(volume)


async def name_taken(core: Core, volume: Volume) -> list[NewSnapshot]:
    await snap(core, volume, "group")
    return members_of(volume)


async def name_unusable(_core: Core, volume: Volume) -> list[NewSnapshot]:
    return members_of(volume, name="a/b")


async def unknown(_core: Core, _volume: Volume) -> list[NewSnapshot]:
    return [NewSnapshot(name="s", volume_id=uuid4())]


async def in_another_pool(core: Core, _volume: Volume) -> list[NewSnapshot]:
    return members_of(await make(core, "v", pool="other"))


async def in_a_masked_pool(core: Core, _volume: Volume) -> list[NewSnapshot]:
    return members_of(await make(core, "v", pool="masked"))


async def of_another_tenant(core: Core, volume: Volume) -> list[NewSnapshot]:
    tenant = await core.find(Tenant, name="svm2")
    assert tenant is not None
    new = volumes.NewVolume(name="v", tenant_id=tenant.id, pool_id=volume.pool_id, size=volume.size)
    job = await (await volumes.create(core, new, description="t")).result()
    return members_of(await core.get(Volume, job.target_id))


async def named_twice(_core: Core, volume: Volume) -> list[NewSnapshot]:
    return [*members_of(volume, name="a"), *members_of(volume, name="b")]


async def too_many(_core: Core, _volume: Volume) -> list[NewSnapshot]:
    return [NewSnapshot(name="s", volume_id=uuid4()) for _ in range(groups.MEMBERS_MAX)]


REFUSED: list[tuple[Prepare, type[errors.GatewayError], str]] = [
    (offline, errors.InvalidState, "offline"),
    (retired_meanwhile, errors.InvalidState, "retired"),
    (name_taken, errors.AlreadyExists, "group"),
    (name_unusable, errors.InvalidArgument, "name"),
    (unknown, errors.NotFound, "volume"),
    (in_another_pool, errors.Unsupported, "several pools"),
    (in_a_masked_pool, errors.Unsupported, "disabled by the operator"),
    (of_another_tenant, errors.InvalidArgument, "several tenants"),
    (named_twice, errors.InvalidArgument, "twice"),
    (too_many, errors.LimitExceeded, "101"),
]


@pytest.mark.parametrize(("prepare", "error", "said"), REFUSED)
async def test_one_that_cannot_be_taken_refuses_all(
    tmp_path: Path, prepare: Prepare, error: type[errors.GatewayError], said: str
) -> None:
    pools = [memory_pool(), memory_pool("other"), memory_pool("masked", disabled=("snapshot_group",))]
    async with core_on(tmp_path, pools, tenants=("svm1", "svm2")) as core:
        wanted = members_of(await make(core, "sound")) + await prepare(core, await make(core, "unsound"))
        before = len(await jobs(core)), (await core.catalog.page(Snapshot, Query())).records
        with pytest.raises(error, match=said):
            await groups.create(core, wanted, description="t")
        with pytest.raises(errors.LimitExceeded):
            await groups.create(core, [], description="t")
        assert (len(await jobs(core)), (await core.catalog.page(Snapshot, Query())).records) == before


async def test_whoever_may_not_read_one_takes_none(tmp_path: Path) -> None:
    async with core_on(tmp_path, [memory_pool()]) as core:
        open_to_all = await make(core, "open")
        closed = await make(core, "closed", ownership=Ownership(owner="alice"))
        members = members_of(open_to_all, closed)
        with pytest.raises(errors.PermissionDenied):
            await groups.create(core.acting_for(Principal(name="bob", roles=())), members, description="t")
        await take(core.acting_for(Principal(name="alice", roles=())), members)
        assert [job.caller for job in await jobs(core) if job.operation == "snapshot.group"] == ["alice"]
        await assert_whole(core)


# --- what happens at once ---


async def test_groups_that_share_volumes_wait_for_each_other(tmp_path: Path) -> None:
    async with core_on(tmp_path, [memory_pool()]) as core:
        made = [await make(core, name) for name in ("a", "b", "c")]
        await asyncio.gather(
            *(take(core, members_of(*made[turn:], *made[:turn], name=f"g{turn}")) for turn in range(3)),
            *(snap(core, volume, "own") for volume in made),
        )
        assert [(await core.get(Volume, volume.id)).snapshot_count for volume in made] == [4, 4, 4]
        await assert_whole(core)


async def test_two_groups_of_one_name_are_taken_once(tmp_path: Path) -> None:
    async with core_on(tmp_path, [memory_pool()]) as core:
        members = members_of(await make(core, "a"), await make(core, "b"))
        ended = await asyncio.gather(*(take(core, members) for _ in range(3)), return_exceptions=True)
        assert sorted(type(one).__name__ for one in ended) == ["AlreadyExists", "AlreadyExists", "tuple"]
        await assert_whole(core)


async def test_a_volume_that_another_gateway_deletes_while_it_is_planned_is_not_there(tmp_path: Path) -> None:
    pool = scripted_pool(Script())
    async with core_on(tmp_path, [pool]) as one, core_on(tmp_path, [pool]) as two:
        kept, gone = await make(one, "kept"), await make(one, "gone")
        plans = 0

        async def plan() -> Plan:
            nonlocal plans
            plans += 1
            read, also = zip(
                *[
                    await snapshots.planned(one, new, snapshot_id=uuid4(), created=utc_now())
                    for new in members_of(kept, gone)
                ],
                strict=True,
            )
            if plans == 1:
                await (await volumes.delete(two, gone.id, description="t")).result()
            return Plan(operation="snapshot.group", description="t", pool_id=kept.pool_id, also=also, read=read)

        with pytest.raises(errors.NotFound):
            await one.start({kept.id, gone.id}, plan)
        assert plans > 1
        assert [job.operation for job in await jobs(one)].count("snapshot.group") == 0
        await assert_whole(two)


# --- failures and crashes ---


@pytest.mark.parametrize("point", sorted(TOGETHER))
async def test_a_group_that_fails_leaves_nothing(tmp_path: Path, point: str) -> None:
    script = Script()
    async with core_on(tmp_path, [scripted_pool(script)]) as core:
        made = [await make(core, name) for name in ("a", "b")]
        before = await everything(core)
        script.steps = {point: BUSY}
        with pytest.raises(errors.Busy):
            await take(core, members_of(*made))
        assert await everything(core) == before
        await take(core, members_of(*made))
        await assert_whole(core)


async def test_a_group_that_cannot_be_taken_back_is_so_later(tmp_path: Path) -> None:
    script = Script()
    async with core_on(tmp_path, [scripted_pool(script)]) as core:
        made = [await make(core, name) for name in ("a", "b", "c")]
        before = await everything(core)
        script.steps = {
            "memory.snapshot_group.done": BUSY,
            "memory.delete_snapshot.done": lambda: script.steps.update({"memory.delete_snapshot.begin": BUSY}),
        }
        with pytest.raises(errors.Busy):
            await take(core, members_of(*made))
        assert {s.state for s in (await everything(core))["Snapshot"]} == {SnapshotState.CREATING}
        await core.changes.resettle()
        assert await everything(core) == before


POINTS = ["snapshot.group.journalled", *sorted(TOGETHER), "snapshot.group.applied", "snapshot.group.committed"]


async def interrupted(core: Core, script: Script, point: str) -> dict[str, object]:
    """Let a process die at a point of a group of three; give what there was before."""
    made = [await make(core, name) for name in ("a", "b", "c")]
    await snap(core, made[0], "old")
    before = await everything(core)
    script.steps = {point: crash}
    with pytest.raises((Crash, asyncio.CancelledError)):
        await take(core, members_of(*made))
    return before


async def test_every_point_is_visited(tmp_path: Path) -> None:
    passed = Recorder()
    async with core_on(tmp_path, [memory_pool(fault=passed)], fault=passed) as core:
        made = [await make(core, name) for name in ("a", "b")]
        passed.points.clear()
        await take(core, members_of(*made))
    assert [point for point in passed.points if "group" in point] == POINTS


@pytest.mark.parametrize("point", POINTS)
async def test_a_crash_at_any_point_leaves_all_or_nothing(tmp_path: Path, point: str) -> None:
    script = Script()
    pool = scripted_pool(script)
    async with core_on(tmp_path, [pool], fault=script) as core:
        before = await interrupted(core, script, point)
    async with core_on(tmp_path, [pool]) as core:
        await assert_whole(core)
        (job,) = [job for job in await jobs(core) if job.operation == "snapshot.group"]
        taken = [s.name for s in (await everything(core))["Snapshot"]].count("group")
        assert (job.state, taken) == (JobState.SUCCESS, 3) or (job.state, await everything(core)) == (
            JobState.FAILURE,
            before,
        )
        assert (taken == 3) == (POINTS.index(point) > 1)


@pytest.mark.parametrize("left", [0, 1, 2])
async def test_a_substrate_that_kept_some_only_is_left_with_none(tmp_path: Path, left: int) -> None:
    """It is not to happen; and then the process dies again while the rest is taken away."""
    script = Script()
    pool = scripted_pool(script)
    async with core_on(tmp_path, [pool], fault=script) as core:
        before = await interrupted(core, script, "snapshot.group.applied")
        made = [s for s in (await everything(core))["Snapshot"] if s.name == "group"]
        for snapshot in made[left:]:
            await pool.backend.delete_snapshot(snapshot.volume_id, snapshot.id)
    if left:
        script.steps = {"memory.delete_snapshot.done": crash}
        with pytest.raises((Crash, asyncio.CancelledError)):
            async with core_on(tmp_path, [pool], fault=script):
                raise AssertionError
    async with core_on(tmp_path, [pool]) as core:
        assert await everything(core) == before
        await assert_whole(core)


async def test_rebuild_gives_the_same_catalog(tmp_path: Path) -> None:
    pool = memory_pool()
    first, second = tmp_path / "a", tmp_path / "b"
    first.mkdir()
    second.mkdir()
    async with core_on(first, [pool]) as core:
        made = [await make(core, name) for name in ("a", "b")]
        await take(core, members_of(*made, labels={"k": "v"}))
        before = await everything(core)
    async with core_on(second, [pool], tenants=()) as core:
        assert {found.did for found in await rebuild(core, SilentObserver())} == {"adopted"}
        assert await everything(core) == before
