"""The scheduler under an injected clock: what is taken, what goes, and what stays owed."""

from __future__ import annotations

import asyncio
import itertools
from datetime import timedelta
from pathlib import Path
from typing import Any
from uuid import uuid4

import msgspec
import pytest
from core_scene import clone_of, snap
from scheduler_scene import HOUR, LONG_AGO, MINUTE, Bed, Log, at, bed

from gateway.core import errors, policies, schedules, snapshots, volumes
from gateway.core.catalog import drop
from gateway.core.model import Job, Schedule, Snapshot, SnapshotPolicy, SnapshotSchedule, VolumeState
from gateway.core.pools import Configured
from gateway.core.query import ALL
from gateway.core.recurrence import Cron, Periodic
from gateway.core.scheduler import SETTING, Scheduler
from gateway.testing.cores import core_on


@pytest.fixture
async def here(tmp_path: Path):
    async with bed(tmp_path) as made:
        yield made


async def test_an_hourly_policy_through_a_morning(here: Bed) -> None:
    volume = await here.volume("v", await here.policy(("hourly", 3)))
    time = at("00:00")
    while time < at("06:00"):
        time += 7 * MINUTE
        await here.run(time)
    assert await here.names(volume) == ["hourly.0305", "hourly.0405", "hourly.0505"]
    assert (await here.core.get(type(volume), volume.id)).snapshot_count == 3


async def test_what_a_snapshot_tells(here: Bed) -> None:
    line = SnapshotSchedule(schedule="hourly", count=2, prefix="each", label="vault")
    made = SnapshotPolicy(id=uuid4(), name="p", created=LONG_AGO, copies=(line,))
    policy = await policies.create_snapshot_policy(here.core, made)
    volume = await here.volume("v", policy, schedules=(SnapshotSchedule(schedule="8hour", count=1),))
    assert (await here.run("02:20")).taken == 2
    first, second = sorted(await here.snapshots(volume), key=lambda s: s.name)
    assert (first.name, first.taken_by, first.due) == ("8hour.2026-03-01_0215", f"{volume.id}/8hour", at("02:15"))
    assert (second.name, second.taken_by, second.due) == ("each.2026-03-01_0205", f"{policy.id}/hourly", at("02:05"))
    assert (first.label, second.label) == ("", "vault")


async def test_the_first_pass_only_begins(tmp_path: Path, here: Bed) -> None:
    volume = await here.volume("v", await here.policy(("5min", 9)))
    for forgotten in ("", "{}", "[1"):
        await here.core.catalog.put_setting(SETTING, forgotten)
        assert (await here.run("10:02")).taken == 0
    assert here.log.events == ["schedules_forgotten"] * 3
    assert (await here.run("10:05")).taken == 1
    assert await here.names(volume) == ["5min.1005"]


async def test_after_a_night_off_only_the_latest_instant_counts(here: Bed) -> None:
    volume = await here.volume("v", await here.policy(("hourly", 6), ("daily", 2)))
    await here.run("2026-03-04 09:00")
    assert sorted(s.name for s in await here.snapshots(volume)) == ["daily.2026-03-04_0010", "hourly.2026-03-04_0805"]


async def test_a_pass_again_takes_nothing_twice(here: Bed) -> None:
    volume = await here.volume("v", await here.policy(("hourly", 6)))
    before = await here.core.catalog.setting(SETTING)
    assert before is not None
    await here.run("01:10")
    await here.core.catalog.put_setting(SETTING, before)
    here.start()
    assert vars_of(await here.run("01:20")) == (0, 0, 0)
    assert await here.names(volume) == ["hourly.0105"]


async def test_two_gateways_at_once(tmp_path: Path) -> None:
    async with bed(tmp_path) as here, core_on(tmp_path, [Configured("memory", here.pool)]) as other:
        made = [await here.volume(f"v{n}", await here.policy(("hourly", 1), name=f"p{n}")) for n in range(5)]
        second = Scheduler(other, Log())
        for hour in (1, 2, 3):
            time = at("00:06") + hour * HOUR
            await asyncio.gather(here.run(time), second.run(time))
        for volume in made:
            assert await here.names(volume) == ["hourly.0305"]


async def test_a_volume_made_after_the_instant_has_to_wait(here: Bed) -> None:
    policy = await here.policy(("hourly", 3))
    late = await here.volume("late", policy, created=at("01:05:01"))
    just = await here.volume("just", policy, created=at("01:05"))
    await here.run("01:06")
    assert (await here.names(late), await here.names(just)) == ([], ["hourly.0105"])
    await here.run("02:06")
    assert await here.names(late) == ["hourly.0205"]


async def test_a_policy_or_schedule_made_after_the_instant_has_to_wait(here: Bed) -> None:
    policy = await here.policy(("hourly", 3))
    await here.put(msgspec.structs.replace(policy, created=at("01:05:10")))
    volume = await here.volume("v", policy)
    night = await schedules.create(here.core, "night", Cron((0,)))
    await here.put(msgspec.structs.replace(night, created=at("01:00:01")))
    other = await here.volume("w", schedules=(SnapshotSchedule(schedule="night", count=1),))
    assert (await here.run("01:06")).taken == 0
    assert (await here.run("02:06")).taken == 2
    assert (await here.names(volume), await here.names(other)) == (["hourly.0205"], ["night.0200"])


async def test_disabled_changed_and_deleted_between(here: Bed) -> None:
    policy = await here.policy(("hourly", 3))
    volume = await here.volume("v", policy)
    await here.run("01:06", "02:06", "03:06")
    await policies.update_snapshot_policy(here.core, policy.id, enabled=False)
    assert (await here.run("04:06")).taken == 0
    await policies.update_snapshot_policy(here.core, policy.id, enabled=True)
    assert (await here.run("04:30")).taken == 0
    await policies.change_line(here.core, policy.id, SnapshotSchedule(schedule="hourly", count=1))
    await here.run("05:06")
    assert await here.names(volume) == ["hourly.0505"]
    await policies.update_snapshot_policy(here.core, policy.id, copies=(SnapshotSchedule(schedule="8hour", count=1),))
    await here.run("10:16", "18:16")
    assert await here.names(volume) == ["8hour.1815", "hourly.0505"]
    change = volumes.VolumeChange(snapshot_policy_id=None)
    await (await volumes.update(here.core, volume.id, change, description="t")).result()
    await policies.delete_snapshot_policy(here.core, policy.id)
    await here.run("23:59")
    assert await here.names(volume) == ["8hour.1815", "hourly.0505"]


async def test_a_schedule_that_changes_is_due_by_its_new_content(here: Bed) -> None:
    night = await schedules.create(here.core, "night", Cron((10,)))
    await here.put(msgspec.structs.replace(night, created=LONG_AGO))
    volume = await here.volume("v", schedules=(SnapshotSchedule(schedule="night", count=9),))
    await here.run("01:15")
    await schedules.update(here.core, night.id, Cron((40,)))
    await here.run("02:15")
    assert await here.names(volume) == ["night.0110", "night.0140"]


async def test_a_schedule_that_is_gone_is_never_due(here: Bed) -> None:
    night = await schedules.create(here.core, "night", Cron((10,)))
    volume = await here.volume("v", schedules=(SnapshotSchedule(schedule="night", count=9),))
    await here.core.catalog.commit(drop(await here.core.get(Schedule, night.id)))
    assert (await here.run("05:00")).taken == 0
    assert await here.names(volume) == []


async def test_offline_volumes_are_passed_by(here: Bed) -> None:
    volume = await here.volume("v", await here.policy(("hourly", 3)), state=VolumeState.OFFLINE)
    assert vars_of(await here.run("01:06")) == (0, 0, 0)
    await (
        await volumes.update(here.core, volume.id, volumes.VolumeChange(state=VolumeState.ONLINE), description="t")
    ).result()
    await here.run("01:10", "02:10")
    assert await here.names(volume) == ["hourly.0205"]


# --- what cannot be served ---


async def test_a_pool_that_is_away_for_hours(here: Bed) -> None:
    volume = await here.volume("v", await here.policy(("hourly", 6)))
    await here.run("01:06")
    here.pool.down = True
    await here.core.pools.close_lost()
    for hour in range(2, 9):
        await here.run(f"{hour:02}:06")
    assert here.pool.calls == 1
    here.pool.down = False
    await here.core.pools.open("memory")
    await here.run("08:30", "08:31", "09:06")
    assert await here.names(volume) == ["hourly.0105", "hourly.0805", "hourly.0905"]


async def test_a_pool_that_goes_in_the_middle_is_left_alone_for_a_while(here: Bed) -> None:
    policy = await here.policy(("hourly", 6))
    made = [await here.volume(f"v{n}", policy) for n in range(12)]
    here.pool.down = True
    assert (await here.run("01:06")).taken == 0
    assert 1 <= here.pool.calls <= 4
    asked = here.pool.calls
    await here.run("01:06:10")
    assert here.pool.calls == asked
    here.pool.down = False
    outcome = await here.run("01:06:30")
    assert vars_of(outcome) == (12, 0, 0)
    for volume in made:
        assert await here.names(volume) == ["hourly.0105"]
    assert await owed(here) == ({}, {})


async def test_one_volume_that_fails_does_not_keep_others_from_theirs(here: Bed) -> None:
    policy = await here.policy(("hourly", 6))
    bad, good = await here.volume("bad", policy), await here.volume("good", policy)
    here.pool.broken[bad.id] = errors.Busy(what="disk")
    assert vars_of(await here.run("01:06")) == (1, 0, 1)
    tries = []
    time = at("01:06")
    while time < at("03:45"):
        time += timedelta(seconds=20)
        tries += [time] if (await here.run(time)).failed else []
    pauses = [(after - before).total_seconds() for before, after in itertools.pairwise(tries)]
    assert pauses[:6] == [40, 80, 160, 320, 640, 900]
    assert set(pauses[6:]) == {900}
    assert await here.names(good) == ["hourly.0105", "hourly.0205", "hourly.0305"]
    here.pool.broken.clear()
    await here.run(tries[-1] + 900 * timedelta(seconds=1))
    assert await here.names(bad) == ["hourly.0305"]
    assert await owed(here) == ({}, {})


async def test_a_volume_that_is_owed_something_and_goes(here: Bed) -> None:
    volume = await here.volume("v", await here.policy(("hourly", 6)))
    here.pool.broken[volume.id] = errors.OutOfSpace(pool="memory", wanted=1, free=0)
    await here.run("01:06")
    assert len((await owed(here))[1]) == 1
    await (await volumes.delete(here.core, volume.id, description="t")).result()
    await here.run("01:10")
    assert await owed(here) == ({}, {})


async def test_when_too_many_fail_the_pool_is_left_alone(here: Bed) -> None:
    policy = await here.policy(("hourly", 6))
    made = [await here.volume(f"v{n}", policy) for n in range(130)]
    full = errors.OutOfSpace(pool="memory", wanted=1, free=0)
    here.pool.broken = {volume.id: full for volume in made}
    await here.run("01:06")
    pools, volumes_ = await owed(here)
    assert (len(pools), volumes_) == (1, {})
    assert 100 < here.pool.calls < 110
    here.pool.broken.clear()
    assert vars_of(await here.run("02:07")) == (130, 0, 0)
    assert await owed(here) == ({}, {})


async def test_a_defect_met_by_one_volume_is_its_own(here: Bed) -> None:
    policy = await here.policy(("hourly", 6))
    bad, good = await here.volume("bad", policy), await here.volume("good", policy)
    here.pool.broken[bad.id] = ZeroDivisionError()
    assert vars_of(await here.run("01:06")) == (1, 0, 1)
    assert await here.names(good) == ["hourly.0105"]
    assert await here.core.catalog.count(Snapshot, ALL) == 1


async def test_a_pool_without_snapshots_is_told_once(tmp_path: Path) -> None:
    async with bed(tmp_path, disabled=("snapshot",)) as here:
        policy = await here.policy(("hourly", 6))
        volume = await here.volume("v")
        await here.put(msgspec.structs.replace(volume, snapshot_policy_id=policy.id))
        for hour in range(1, 5):
            assert vars_of(await here.run(f"{hour:02}:06")) == (0, 0, 0)
        assert here.log.events == ["pool_takes_no_snapshots"]
        assert await owed(here) == ({}, {})


# --- what goes and what stays ---


async def test_at_the_substrates_limit_the_oldest_of_the_line_goes_first(tmp_path: Path) -> None:
    async with bed(tmp_path, most=3) as here:
        volume = await here.volume("v", await here.policy(("hourly", 2)))
        await here.run("01:06", "02:06")
        await snap(here.core, volume, "mine")
        assert vars_of(await here.run("03:06")) == (1, 1, 0)
        assert await here.names(volume) == ["hourly.0205", "hourly.0305", "mine"]


async def test_at_the_limit_nothing_goes_that_the_line_still_owes(tmp_path: Path) -> None:
    async with bed(tmp_path, most=3) as here:
        volume = await here.volume("v", await here.policy(("hourly", 2)))
        await snap(here.core, volume, "mine")
        await here.run("01:06")
        other = await snap(here.core, volume, "too")
        assert vars_of(await here.run("02:06")) == (0, 0, 1)
        assert await here.names(volume) == ["hourly.0105", "mine", "too"]
        await (await snapshots.delete(here.core, other.id, description="t")).result()
        await here.run("02:10")
        assert await here.names(volume) == ["hourly.0105", "hourly.0205", "mine"]


async def test_what_a_clone_hangs_on_stays_and_is_not_counted(here: Bed) -> None:
    volume = await here.volume("v", await here.policy(("hourly", 2)))
    await here.run("01:06")
    (base,) = await here.snapshots(volume)
    clone = await clone_of(here.core, volume, "twin", base)
    await here.run("02:06", "03:06", "04:06")
    assert await here.names(volume) == ["hourly.0105", "hourly.0305", "hourly.0405"]
    await (await volumes.delete(here.core, clone.id, description="t")).result()
    await here.run("05:06")
    assert await here.names(volume) == ["hourly.0405", "hourly.0505"]


async def test_what_has_not_expired_stays_and_is_not_counted(here: Bed) -> None:
    volume = await here.volume("v", await here.policy(("hourly", 1)))
    await here.run("01:06")
    (base,) = await here.snapshots(volume)
    change = snapshots.SnapshotChange(expires=at("2999-01-01 00:00"))
    await (await snapshots.update(here.core, base.id, change, description="t")).result()
    await here.run("02:06", "03:06")
    assert await here.names(volume) == ["hourly.0105", "hourly.0305"]


async def test_a_users_snapshots_are_the_users(here: Bed) -> None:
    volume = await here.volume("v", await here.policy(("hourly", 1)))
    await snap(here.core, volume, "hourly.2026-03-01_0005")
    await snap(here.core, volume, "hourly.2026-03-01_0105")
    await here.run("01:06", "02:06")
    assert await here.names(volume) == ["hourly.0005", "hourly.0105", "hourly.0205"]
    kept = next(s for s in await here.snapshots(volume) if s.due)
    renamed = snapshots.SnapshotChange(name="before_upgrade")
    await (await snapshots.update(here.core, kept.id, renamed, description="t")).result()
    await here.run("03:06", "04:06")
    assert await here.names(volume) == ["before_upgrade", "hourly.0005", "hourly.0105", "hourly.0405"]


async def test_a_name_that_is_taken_gets_a_number(here: Bed) -> None:
    volume = await here.volume("v", await here.policy(("hourly", 1)), await here.policy(("hourly", 2), name="q"))
    await snap(here.core, volume, "hourly.2026-03-01_0105")
    assert (await here.run("01:06")).taken == 2
    assert await here.names(volume) == ["hourly.0105", "hourly.0105.1", "hourly.0105.2"]
    await here.run("02:06")
    assert await here.names(volume) == ["hourly.0105", await second_of(here, volume), "hourly.0205", "hourly.0205.1"]


async def second_of(here: Bed, volume: Any) -> str:
    """Give the name that the line which keeps two got at the first hour."""
    policy = await here.core.find(SnapshotPolicy, name="q")
    assert policy is not None
    mine = [s for s in await here.snapshots(volume) if s.taken_by == f"{policy.id}/hourly" and s.due == at("01:05")]
    return mine[0].name.replace("2026-03-01_", "")


async def test_names_of_instants_within_a_minute_differ(here: Bed) -> None:
    often = await schedules.create(here.core, "often", Periodic(45))
    await here.put(msgspec.structs.replace(often, created=LONG_AGO))
    volume = await here.volume("v", schedules=(SnapshotSchedule(schedule="often", count=3),))
    time = at("00:00")
    while time < at("00:03"):
        time += timedelta(seconds=15)
        await here.run(time)
    assert await here.names(volume) == ["often.000130", "often.000215", "often.0003"]


async def test_what_a_wrong_clock_took_for_the_future_goes_first(here: Bed) -> None:
    volume = await here.volume("v", await here.policy(("hourly", 2)))
    await here.run("01:06", "2031-01-01 00:06", "02:06")
    assert here.log.events == ["clock_went_back"]
    assert (await here.run("03:06")).taken == 1
    await here.run("04:06")
    assert await here.names(volume) == ["hourly.0305", "hourly.0405"]


async def test_a_clock_that_is_set_back_does_nothing_twice(here: Bed) -> None:
    volume = await here.volume("v", await here.policy(("5min", 99)))
    await here.run("01:05", "01:10", "01:12")
    assert vars_of(await here.run("01:04")) == (0, 0, 0)
    assert here.log.events == []
    assert (await here.run("01:15")).taken == 1
    await here.run("00:50")
    assert here.log.events == ["clock_went_back"]
    for minute in range(51, 60):
        await here.run(f"00:{minute}")
    for minute in range(20):
        await here.run(f"01:{minute:02}")
    expected = ["0055", "0100", "0105", "0110", "0115"]
    assert await here.names(volume) == [f"5min.{time}" for time in expected]


# --- cost ---


class Counting:
    """A catalog that counts reads and the largest page that was asked for."""

    def __init__(self, catalog: Any) -> None:
        self._catalog = catalog
        self.reads = self.largest = 0

    def __getattr__(self, name: str) -> Any:
        return getattr(self._catalog, name)

    async def get(self, *args: Any) -> Any:
        self.reads += 1
        return await self._catalog.get(*args)

    async def page(self, kind: Any, query: Any) -> Any:
        self.reads += 1
        self.largest = max(self.largest, query.limit)
        return await self._catalog.page(kind, query)


async def test_many_volumes_cost_few_reads_and_few_threads(here: Bed) -> None:
    policy = await here.policy(("hourly", 2), ("5min", 2))
    for n in range(250):
        await here.volume(f"v{n:03}", policy)
    before = await here.core.catalog.setting(SETTING)
    assert before is not None
    assert vars_of(await here.run("01:06")) == (500, 0, 0)
    assert here.pool.busiest <= 4
    jobs = await here.core.catalog.count(Job, ALL)
    counting = Counting(here.core.catalog)
    await here.core.catalog.put_setting(SETTING, before)
    repeated = Scheduler(msgspec.structs.replace(here.core, catalog=counting), here.log)
    assert vars_of(await repeated.run(at("01:06"))) == (0, 0, 0)
    # Policies, schedules, pools; for each of two pages of volumes their snapshots; and whose own lines are due.
    assert counting.reads <= 3 + 2 * 2 + len(("5min", "hourly", "daily", "weekly", "monthly"))
    assert counting.largest <= 1000
    assert await here.core.catalog.count(Job, ALL) == jobs
    counting.reads = 0
    await repeated.run(at("01:07"))
    assert counting.reads <= 3


async def owed(here: Bed) -> tuple[dict[str, Any], dict[str, Any]]:
    """Give what the scheduler still owes, to pools and to volumes."""
    stored = msgspec.json.decode(await here.core.catalog.setting(SETTING) or "")
    return stored.get("pools", {}), stored.get("volumes", {})


def vars_of(outcome: Any) -> tuple[int, int, int]:
    return outcome.taken, outcome.removed, outcome.failed
