"""Schedules, the policies and volumes that name them, and policies made of intervals."""

from __future__ import annotations

import asyncio
import contextlib
import sqlite3
from importlib import resources
from pathlib import Path
from uuid import uuid4

import msgspec
import pytest
from core_scene import Script, clone_of, make, scripted_pool, tenant_and_pool

from gateway.backends.memory import MemoryBackend, MemoryOptions
from gateway.catalog import SqliteCatalog
from gateway.core import errors, intervals, policies, schedules, tenants, volumes
from gateway.core.catalog import put
from gateway.core.context import Core
from gateway.core.intervals import Interval
from gateway.core.model import Schedule, SnapshotPolicy, SnapshotSchedule, Volume, utc_now
from gateway.core.observer import SilentObserver
from gateway.core.pools import Configured
from gateway.core.query import Query
from gateway.core.rebuild import rebuild
from gateway.core.recurrence import Cron, Daily, Monthly, Periodic, Weekly
from gateway.testing import records
from gateway.testing.cores import core_on, memory_pool

BUILTIN = {"5min", "8hour", "daily", "hourly", "monthly", "weekly"}
INTERVALS = (
    Interval(Weekly(6, 23, 59), 3),
    Interval(Periodic(90), 5),
    Interval(Daily(12, 30), 1),
    Interval(Monthly(28, 0, 0), 12),
)


@pytest.fixture
async def core(tmp_path: Path):
    async with core_on(tmp_path, [scripted_pool(Script())]) as made:
        yield made


async def there(core: Core) -> set[str]:
    return {s.name for s in (await core.catalog.page(Schedule, Query())).records}


def policy_on(*lines: SnapshotSchedule, name: str = "p") -> SnapshotPolicy:
    return SnapshotPolicy(id=uuid4(), name=name, created=utc_now(), copies=lines)


async def test_the_usual_schedules_are_there(core: Core) -> None:
    assert await there(core) == BUILTIN
    await tenants.ensure_defaults(core, ("svm1",))
    assert await there(core) == BUILTIN
    hourly = await core.find(Schedule, name="hourly")
    assert hourly is not None
    assert hourly.recurrence == Cron((5,))
    with pytest.raises(errors.InUse):
        await schedules.delete(core, hourly.id)


async def test_a_catalog_of_an_older_release_gets_them_too(tmp_path: Path) -> None:
    async with core_on(tmp_path, [memory_pool()], tenants=()) as core:
        await core.catalog.put_setting("defaults_made", "1")
        await tenants.ensure_defaults(core, ("svm1",))
        assert await there(core) == BUILTIN


async def test_life_of_a_schedule(core: Core) -> None:
    made = await schedules.create(core, "night", Cron((30, 0), (2,)))
    assert made.recurrence == Cron((0, 30), (2,))
    with pytest.raises(errors.AlreadyExists):
        await schedules.create(core, "night", Daily(1, 1))
    with pytest.raises(errors.InvalidArgument):
        await schedules.create(core, "a/b", Daily(1, 1))
    with pytest.raises(errors.InvalidArgument):
        await schedules.update(core, made.id, Cron((0,), days=(31,), months=(2,)))
    changed = await schedules.update(core, made.id, Periodic(600))
    assert (changed.id, changed.recurrence) == (made.id, Periodic(600))
    await schedules.delete(core, made.id)
    with pytest.raises(errors.NotFound):
        await core.get(Schedule, made.id)


async def test_a_schedule_that_is_named_stays(core: Core) -> None:
    night = await schedules.create(core, "night", Daily(2, 0))
    policy = await policies.create_snapshot_policy(core, policy_on(SnapshotSchedule(schedule="night", count=1)))
    with pytest.raises(errors.InUse) as caught:
        await schedules.delete(core, night.id)
    assert caught.value.by == "policies"
    await policies.delete_snapshot_policy(core, policy.id)
    volume = await make(core, "v", schedules=(SnapshotSchedule(schedule="night", count=2),))
    with pytest.raises(errors.InUse) as caught:
        await schedules.delete(core, night.id)
    assert caught.value.by == "volumes"
    await (await volumes.update(core, volume.id, volumes.VolumeChange(schedules=()), description="t")).result()
    await schedules.delete(core, night.id)


@pytest.mark.parametrize(
    ("lines", "field"),
    [
        ([], "copies"),
        ([SnapshotSchedule(schedule="daily", count=0)], "copies.count"),
        ([SnapshotSchedule(schedule="daily", count=10_000)], "copies.count"),
        ([SnapshotSchedule(schedule="daily", count=1)] * 2, "copies.schedule.name"),
        (
            [
                SnapshotSchedule(schedule="daily", count=1, prefix="x"),
                SnapshotSchedule(schedule="hourly", count=1, prefix="x"),
            ],
            "copies.prefix",
        ),
        ([SnapshotSchedule(schedule="daily", count=1, prefix="a/b")], "copies.prefix"),
        ([SnapshotSchedule(schedule="daily", count=1, label="x" * 256)], "label"),
    ],
)
async def test_lines_that_cannot_stand(core: Core, lines: list[SnapshotSchedule], field: str) -> None:
    with pytest.raises(errors.InvalidArgument) as caught:
        await policies.create_snapshot_policy(core, policy_on(*lines))
    assert caught.value.field == field


async def test_lines_one_by_one(core: Core) -> None:
    hourly, daily = (SnapshotSchedule(schedule=name, count=2) for name in ("hourly", "daily"))
    policy = await policies.create_snapshot_policy(core, policy_on(hourly))
    with pytest.raises(errors.NotFound) as missing:
        await policies.add_line(core, policy.id, SnapshotSchedule(schedule="never", count=1))
    assert missing.value.kind == "schedule"
    await policies.add_line(core, policy.id, daily)
    with pytest.raises(errors.AlreadyExists):
        await policies.add_line(core, policy.id, daily)
    more = msgspec.structs.replace(daily, count=9)
    await policies.change_line(core, policy.id, more)
    assert (await core.get(SnapshotPolicy, policy.id)).copies == (hourly, more)
    with pytest.raises(errors.NotFound):
        await policies.change_line(core, policy.id, SnapshotSchedule(schedule="weekly", count=1))
    await policies.delete_line(core, policy.id, "hourly")
    with pytest.raises(errors.NotFound):
        await policies.delete_line(core, policy.id, "hourly")
    with pytest.raises(errors.InUse):
        await policies.delete_line(core, policy.id, "daily")


async def test_built_in_policies_keep_their_lines(core: Core) -> None:
    none = await core.find(SnapshotPolicy, name="none")
    assert none is not None
    with pytest.raises(errors.InUse):
        await policies.add_line(core, none.id, SnapshotSchedule(schedule="daily", count=1))
    assert (await policies.update_snapshot_policy(core, none.id, comment="x")).comment == "x"


async def test_a_volume_with_several_policies(core: Core) -> None:
    made = [
        await policies.create_snapshot_policy(core, policy_on(SnapshotSchedule(schedule="daily", count=1), name=name))
        for name in ("a", "b", "c")
    ]
    first, second, third = (policy.id for policy in made)
    line = SnapshotSchedule(schedule="8hour", count=4)
    volume = await make(
        core, "v", snapshot_policy_id=first, more_snapshot_policy_ids=(third, second), schedules=(line,)
    )
    assert volumes.policies_of(volume) == (first, third, second)
    twin = await clone_of(core, volume, "twin")
    assert (volumes.policies_of(twin), twin.schedules) == ((first, third, second), (line,))
    for policy in made:
        with pytest.raises(errors.InUse):
            await policies.delete_snapshot_policy(core, policy.id)
    for change, error in (
        ({"more_snapshot_policy_ids": (first,)}, errors.InvalidArgument),
        ({"more_snapshot_policy_ids": (uuid4(),)}, errors.NotFound),
        ({"schedules": (SnapshotSchedule(schedule="never", count=1),)}, errors.NotFound),
        ({"schedules": (line, line)}, errors.InvalidArgument),
    ):
        with pytest.raises(error):
            await volumes.update(core, volume.id, volumes.VolumeChange(**change), description="t")


async def test_another_tenants_policy_is_not_there(core: Core) -> None:
    other = await tenants.create(core, "svm2")
    theirs = msgspec.structs.replace(policy_on(SnapshotSchedule(schedule="daily", count=1)), tenant_id=other.id)
    await policies.create_snapshot_policy(core, theirs)
    with pytest.raises(errors.NotFound):
        await make(core, "v", more_snapshot_policy_ids=(theirs.id,))


async def test_a_pool_without_snapshots_refuses_at_once(tmp_path: Path) -> None:
    async with core_on(tmp_path, [memory_pool(disabled=("snapshot",))]) as core:
        policy, none = await core.find(SnapshotPolicy, name="default"), await core.find(SnapshotPolicy, name="none")
        assert policy is not None
        assert none is not None
        line = SnapshotSchedule(schedule="daily", count=1)
        for asked in (
            {"snapshot_policy_id": policy.id},
            {"more_snapshot_policy_ids": (policy.id,)},
            {"schedules": (line,)},
        ):
            with pytest.raises(errors.Unsupported) as caught:
                await make(core, "v", **asked)
            assert caught.value.capability == "snapshot"
        volume = await make(core, "v", snapshot_policy_id=none.id)
        wished = volumes.VolumeChange(snapshot_policy_id=policy.id)
        with pytest.raises(errors.Unsupported):
            await volumes.update(core, volume.id, wished, description="t")
        # One that an older release let in can still be changed otherwise, and taken off.
        old = msgspec.structs.replace(await core.get(Volume, volume.id), snapshot_policy_id=policy.id)
        await core.catalog.commit(put(old))
        for change in (volumes.VolumeChange(comment="c"), volumes.VolumeChange(snapshot_policy_id=None)):
            await (await volumes.update(core, volume.id, change, description="t")).result()


async def test_intervals_come_back_as_they_were(core: Core) -> None:
    policy = await intervals.create(core, "sdk", INTERVALS)
    assert await intervals.intervals_of(core, (policy,)) == {policy.id: INTERVALS}
    assert [line.schedule for line in policy.copies] == [
        "weekly@saturday-23:59",
        "periodic@90s",
        "daily@12:30",
        "monthly@28-00:00",
    ]
    again = (INTERVALS[2], Interval(Daily(0, 10), 7), INTERVALS[0])
    changed = await intervals.update(core, policy.id, again)
    assert await intervals.read_lines(core, changed.copies) == again
    assert await there(core) == BUILTIN | {"weekly@saturday-23:59", "daily@12:30", "daily@00:10"}
    assert await intervals.find(core, "sdk") == changed
    await intervals.delete(core, policy.id)
    assert await there(core) == BUILTIN
    assert await intervals.find(core, "sdk") is None


async def test_policies_share_schedules_of_one_content(core: Core) -> None:
    first = await intervals.create(core, "a", INTERVALS)
    await intervals.create(core, "b", INTERVALS[:1])
    await intervals.delete(core, first.id)
    assert await there(core) == BUILTIN | {"weekly@saturday-23:59"}


async def test_the_same_policy_again(core: Core) -> None:
    await intervals.create(core, "a", INTERVALS)
    for others, same in ((INTERVALS, True), (INTERVALS[::-1], False), ((Interval(Daily(1, 1), 1),), False)):
        with pytest.raises(errors.AlreadyExists) as caught:
            await intervals.create(core, "a", others)
        assert caught.value.same_spec is same
    assert "daily@01:01" not in await there(core)


async def test_what_fails_leaves_no_schedules(core: Core) -> None:
    with pytest.raises(errors.InvalidArgument):
        await intervals.create(core, "a/b", INTERVALS)
    with pytest.raises(errors.NotFound):
        await intervals.create(core, "a", INTERVALS, tenant_id=uuid4())
    none = await core.find(SnapshotPolicy, name="none")
    assert none is not None
    with pytest.raises(errors.InUse):
        await intervals.update(core, none.id, INTERVALS)
    with pytest.raises(errors.NotFound):
        await intervals.update(core, uuid4(), INTERVALS)
    assert await there(core) == BUILTIN


async def test_policies_that_come_and_go_at_once(core: Core) -> None:
    """A schedule may go with another policy just when it was found for a new one."""

    async def life(number: int) -> None:
        for round_ in range(5):
            made = await intervals.create(core, f"p{number}_{round_}", INTERVALS[:2])
            await intervals.update(core, made.id, INTERVALS[1:3])
            await intervals.delete(core, made.id)

    await asyncio.gather(*(life(number) for number in range(6)))
    assert await there(core) == BUILTIN


def test_an_older_catalog_learns_who_names_which_schedule(tmp_path: Path) -> None:
    policy = policy_on(SnapshotSchedule(schedule="daily", count=1), SnapshotSchedule(schedule="hourly", count=1))
    volume = msgspec.structs.replace(records.volume("v"), snapshot_policy_id=policy.id)
    path = tmp_path / "catalog.sqlite"
    asyncio.run(written(path, policy, volume))
    with contextlib.closing(sqlite3.connect(path)) as connection:
        for table in ("schedule", "snapshot_policy_schedule", "volume_policy", "volume_schedule"):
            connection.execute(f"DROP TABLE {table}")
        connection.execute("DROP INDEX snapshot_taken_by")
        for column in ("taken_by", "due"):
            connection.execute(f"ALTER TABLE snapshot DROP COLUMN {column}")
        connection.execute("DELETE FROM record_count WHERE kind = 'schedule'")
        script = resources.files("gateway.catalog") / "schema" / "004_schedules.sql"
        connection.executescript(script.read_text())
        assert connection.execute("SELECT * FROM volume_policy").fetchall() == [(volume.id.bytes, policy.id.bytes)]
        named = connection.execute("SELECT policy_id, schedule FROM snapshot_policy_schedule ORDER BY 2").fetchall()
        assert named == [(policy.id.bytes, "daily"), (policy.id.bytes, "hourly")]


async def written(path: Path, *made: SnapshotPolicy | Volume) -> None:
    catalog = SqliteCatalog(path)
    await catalog.open()
    await catalog.commit(put(*made))
    await catalog.close()


@pytest.mark.parametrize(
    ("wrong", "field"),
    [
        ((), "copies"),
        ((Interval(Daily(1, 1), 0),), "retain"),
        ((Interval(Daily(24, 1), 1),), "hour"),
        ((Interval(Daily(1, 1), 1), Interval(Daily(1, 1), 2)), "schedules"),
    ],
)
async def test_intervals_that_cannot_be(core: Core, wrong: tuple[Interval, ...], field: str) -> None:
    with pytest.raises(errors.InvalidArgument) as caught:
        await intervals.create(core, "p", wrong)
    assert caught.value.field == field
    assert await there(core) == BUILTIN


async def test_a_schedule_that_is_its_content_cannot_change(core: Core) -> None:
    policy = await intervals.create(core, "a", INTERVALS[2:3])
    (name,) = (line.schedule for line in policy.copies)
    schedule = await core.find(Schedule, name=name)
    assert schedule is not None
    with pytest.raises(errors.InvalidArgument):
        await schedules.update(core, schedule.id, Daily(1, 1))
    with pytest.raises(errors.InUse):
        await schedules.delete(core, schedule.id)


async def test_a_name_that_lies_is_gone_round(core: Core) -> None:
    await schedules.create(core, "daily@12:30", Cron((1,)))
    policy = await intervals.create(core, "a", INTERVALS[2:3])
    assert [line.schedule for line in policy.copies] == ["daily@12:30.2"]
    assert await intervals.read_lines(core, policy.copies) == INTERVALS[2:3]
    await intervals.delete(core, policy.id)
    assert await there(core) == BUILTIN | {"daily@12:30"}


async def test_lines_of_a_volume(core: Core) -> None:
    volume = await make(core, "v", schedules=await intervals.lines_of(core, INTERVALS))
    assert await intervals.read_lines(core, volume.schedules) == INTERVALS


async def test_a_rebuild_brings_them_back(tmp_path: Path) -> None:
    pool = Configured("memory", MemoryBackend("memory", MemoryOptions()))
    async with core_on(tmp_path, [pool]) as core:
        await schedules.create(core, "night", Cron((0,), (2,)))
        policy = await intervals.create(core, "sdk", INTERVALS)
        line = SnapshotSchedule(schedule="night", count=3, prefix="n")
        volume = await make(core, "v", more_snapshot_policy_ids=(policy.id,), schedules=(line,))
        before = {s.id: msgspec.structs.replace(s, revision=0) for s in await listed(core)}
    (tmp_path / "new").mkdir()
    async with core_on(tmp_path / "new", [pool], tenants=()) as core:
        await rebuild(core, SilentObserver())
        assert {s.id: msgspec.structs.replace(s, revision=0) for s in await listed(core)} == before
        found = await core.get(Volume, volume.id)
        assert (found.more_snapshot_policy_ids, found.schedules) == ((policy.id,), (line,))
        again = await core.get(SnapshotPolicy, policy.id)
        assert await intervals.read_lines(core, again.copies) == INTERVALS


async def listed(core: Core) -> list[Schedule]:
    return list((await core.catalog.page(Schedule, Query())).records)


async def test_a_volume_forgets_policies_that_a_rebuild_does_not_find(tmp_path: Path) -> None:
    pool = Configured("memory", MemoryBackend("memory", MemoryOptions()))
    async with core_on(tmp_path, [pool]) as core:
        policy = await intervals.create(core, "sdk", INTERVALS)
        volume = await make(core, "v", more_snapshot_policy_ids=(policy.id,), schedules=policy.copies)
        tenant, _ = await tenant_and_pool(core)
    (tmp_path / "new").mkdir()
    await pool.backend.put_manifest(b"{}")
    async with core_on(tmp_path / "new", [pool], tenants=()) as core:
        await core.catalog.commit(put(msgspec.structs.replace(tenant, revision=0)))
        findings = await rebuild(core, SilentObserver())
        assert "a policy or schedule of its snapshots is unknown" in [finding.why for finding in findings]
        found = await core.get(Volume, volume.id)
        assert (found.more_snapshot_policy_ids, found.schedules) == ((), ())
