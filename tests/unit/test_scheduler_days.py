"""Days of a clock that jumps and of gateways that are restarted, compared with a plain model of what is promised."""

from __future__ import annotations

import random
from datetime import datetime, timedelta
from pathlib import Path

import msgspec
import pytest
from core_scene import clone_of
from scheduler_scene import LONG_AGO, Bed, at, bed

from gateway.core import schedules
from gateway.core.model import Schedule, SnapshotSchedule, Volume
from gateway.core.recurrence import Recurrence, Weekly, as_cron, latest_due

SECOND = timedelta(seconds=1)
LINES = {"hourly": 3, "daily": 2, "8hour": 1}
OWN = {"week": 1, "5min": 4}


class Line:
    """What one line promises: the instants of which there is a snapshot."""

    def __init__(self, recurrence: Recurrence, count: int) -> None:
        self.recurrence = recurrence
        self.count = count
        self.there: set[datetime] = set()
        self.held: set[datetime] = set()

    def serve(self, since: datetime, now: datetime) -> None:
        due = latest_due(self.recurrence, since, now)
        if due is None:
            return
        self.there.add(due)
        surplus = sorted(self.there - self.held, key=lambda instant: (instant <= now, instant))[: -self.count]
        self.there -= set(surplus)


class Model:
    """The watermark, in the words of the documentation."""

    def __init__(self, lines: dict[str, Line], start: datetime) -> None:
        self.lines = lines
        self.until = start

    def run(self, now: datetime) -> None:
        if self.until > now + timedelta(minutes=10):
            self.until = now
        if self.until <= now:
            for line in self.lines.values():
                line.serve(self.until, now)
            self.until = now


def jump(dice: random.Random) -> timedelta:
    """Give the time to the next pass: mostly some minutes, now and then a night, or some of it back."""
    kind = dice.random()
    if kind < 0.6:
        return dice.randint(20, 1_800) * SECOND
    if kind < 0.8:
        return dice.randint(1, 20) * timedelta(hours=1)
    if kind < 0.9:
        return -dice.randint(1, 599) * SECOND
    return -dice.randint(20, 900) * timedelta(minutes=1)


async def shown(here: Bed, volume: Volume) -> dict[str, set[datetime]]:
    found: dict[str, set[datetime]] = {name: set() for name in LINES | OWN}
    for snapshot in await here.snapshots(volume):
        assert snapshot.due is not None
        name = snapshot.taken_by.partition("/")[2]
        assert snapshot.due not in found[name], "taken twice"
        assert snapshot.name == f"{name}.{snapshot.due:%Y-%m-%d_%H%M}"
        found[name].add(snapshot.due)
    return found


@pytest.mark.parametrize("seed", range(4))
async def test_at_the_end_there_is_what_was_promised(tmp_path: Path, seed: int) -> None:
    dice = random.Random(seed)
    async with bed(tmp_path) as here:
        week = await schedules.create(here.core, "week", Weekly(2, 13, 37))
        await here.put(msgspec.structs.replace(week, created=LONG_AGO))
        policy = await here.policy(*LINES.items())
        own = tuple(SnapshotSchedule(schedule=name, count=count) for name, count in OWN.items())
        volume = await here.volume("v", policy, schedules=own)
        lines = {}
        for name, count in {**LINES, **OWN}.items():
            found = await here.core.find(Schedule, name=name)
            assert found is not None
            lines[name] = Line(found.recurrence, count)
        model, now = Model(lines, at("00:00")), at("00:00")
        for step in range(120):
            now += jump(dice)
            if dice.random() < 0.2:
                here.start()
            await here.run(now)
            model.run(now)
            assert await shown(here, volume) == {name: line.there for name, line in lines.items()}, step
            if step in {30, 60}:
                await hold_one(here, volume, lines, dice)
        assert all(as_cron(line.recurrence) and line.there for line in lines.values())


async def hold_one(here: Bed, volume: Volume, lines: dict[str, Line], dice: random.Random) -> None:
    """Hang a clone on one of the snapshots."""
    base = dice.choice(sorted(await here.snapshots(volume), key=lambda s: s.name))
    await clone_of(here.core, volume, f"twin{base.id.hex}", base)
    assert base.due is not None
    lines[base.taken_by.partition("/")[2]].held.add(base.due)
