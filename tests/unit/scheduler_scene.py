"""A scheduler under an injected clock, and a pool that a test makes slow, silent or full."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any
from uuid import UUID, uuid4

import msgspec
from core_scene import make

from gateway.backends.memory import MemoryBackend, MemoryOptions
from gateway.core import errors, policies
from gateway.core.backend import Capacity, FaultHook, Note, Substrate, no_fault
from gateway.core.catalog import put
from gateway.core.context import Core
from gateway.core.model import Schedule, Snapshot, SnapshotPolicy, SnapshotSchedule, Volume
from gateway.core.observer import SilentObserver
from gateway.core.pools import Configured
from gateway.core.query import Compare, Op, Query
from gateway.core.retention import Outcome
from gateway.core.scheduler import Scheduler
from gateway.testing.cores import core_on

LONG_AGO = datetime(2020, 1, 1, tzinfo=UTC)
MINUTE, HOUR = timedelta(minutes=1), timedelta(hours=1)


def at(text: str) -> datetime:
    """Give a time of one day in March 2026, or of another when the text says which."""
    return datetime.fromisoformat(text if " " in text else f"2026-03-01 {text}").replace(tzinfo=UTC)


class Log(SilentObserver):
    """Keeps the names of events."""

    def __init__(self) -> None:
        self.events: list[str] = []

    def event(self, name: str, **fields: str | int) -> None:
        del fields
        self.events.append(name)

    def defect(self, incident: str, error: BaseException) -> None:
        raise AssertionError(incident) from error


class Pool(MemoryBackend):
    """Everything fails while it is `down`, snapshots of `broken` volumes fail as said, and a volume has `most` of them.

    `busiest`: how many snapshots were ever taken at once; `calls`: how many were asked for.
    """

    def __init__(self, name: str = "memory", *, most: int | None = None, fault: FaultHook = no_fault) -> None:
        super().__init__(name, MemoryOptions(), fault=fault)
        self.down = False
        self.broken: dict[UUID, Exception] = {}
        self.busy = self.busiest = self.calls = 0
        self._most = most

    def describe(self) -> Substrate:
        found = super().describe()
        kinds = {kind: msgspec.structs.replace(facts, snapshot_max=self._most) for kind, facts in found.kinds.items()}
        # Two gateways of a test may have it.
        return msgspec.structs.replace(found, kinds=kinds, volatile=False)

    async def open(self) -> None:
        self._check()
        await super().open()

    async def capacity(self) -> Capacity:
        self._check()
        return await super().capacity()

    async def snapshot(self, volume: UUID, snapshot: UUID, note: Note) -> None:
        self.busy += 1
        self.calls += 1
        self.busiest = max(self.busiest, self.busy)
        try:
            await asyncio.sleep(0)
            self._check()
            if volume in self.broken:
                raise self.broken[volume]
            await super().snapshot(volume, snapshot, note)
        finally:
            self.busy -= 1

    def _check(self) -> None:
        if self.down:
            raise errors.Unavailable(what="disk", reason="it is away")


class Bed:
    """A core with a scheduler; `start` puts a new scheduler in its place, as a restart does."""

    def __init__(self, core: Core, pool: Pool) -> None:
        self.core = core
        self.pool = pool
        self.log = Log()
        self.start()

    def start(self, *, fault: FaultHook = no_fault) -> None:
        self.scheduler = Scheduler(self.core, self.log, fault=fault)

    async def run(self, *times: str | datetime) -> Outcome:
        """Perform a pass at each of the times; give what the last one did."""
        outcome = Outcome()
        for time in times:
            outcome = await self.scheduler.run(at(time) if isinstance(time, str) else time)
        return outcome

    async def policy(self, *lines: tuple[str, int], name: str = "p", **more: Any) -> SnapshotPolicy:
        """Make a policy that has been there for long."""
        made = SnapshotPolicy(
            id=uuid4(),
            name=name,
            created=LONG_AGO,
            copies=tuple(SnapshotSchedule(schedule=schedule, count=count) for schedule, count in lines),
            **more,
        )
        return await policies.create_snapshot_policy(self.core, made)

    async def volume(self, name: str, *policies_: SnapshotPolicy, created: datetime = LONG_AGO, **more: Any) -> Volume:
        """Make a volume with these policies that has been there for long."""
        ids = [policy.id for policy in policies_]
        made = await make(
            self.core,
            name,
            snapshot_policy_id=ids[0] if ids else None,
            more_snapshot_policy_ids=tuple(ids[1:]),
            **more,
        )
        return await self.put(msgspec.structs.replace(made, created=created))

    async def put(self, record: Any) -> Any:
        """Write a record as it is given."""
        return (await self.core.catalog.commit(put(record)))[record.id]

    async def snapshots(self, volume: Volume) -> list[Snapshot]:
        query = Query(where=Compare("volume.id", Op.EQ, volume.id))
        return list((await self.core.catalog.page(Snapshot, query)).records)

    async def names(self, volume: Volume, day: str = "2026-03-01_") -> list[str]:
        """Give the names of a volume's snapshots, without the usual day in them."""
        return sorted(snapshot.name.replace(day, "") for snapshot in await self.snapshots(volume))


@asynccontextmanager
async def bed(folder: Path, *, most: int | None = None, disabled: tuple[str, ...] = ()) -> AsyncIterator[Bed]:
    """Give a core whose built-in schedules have been there for long, and whose first pass was at midnight."""
    pool = Pool(most=most)
    async with core_on(folder, [Configured("memory", pool, disabled)]) as core:
        found = Bed(core, pool)
        for schedule in (await core.catalog.page(Schedule, Query())).records:
            await found.put(msgspec.structs.replace(schedule, created=LONG_AGO))
        await found.run("00:00")
        yield found
