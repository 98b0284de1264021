"""Takes the snapshots that policies and volumes ask for, and removes those that they no longer keep.

`Scheduler.run` is one pass. It serves what became due since the last one, of
each line on each volume only the latest instant. What it remembers from pass
to pass is one setting of the catalog, written at the end: whatever is done
again after a crash finds its snapshot there, known by `taken_by` and `due`.

A pool that does not answer, and a volume that cannot be served, is owed what
became due since it was served last. Both are tried again less and less often,
and again only the latest instant counts.

A snapshot is taken before an older one goes: when that fails nothing is lost.
Only where a volume has as many as its substrate allows, and the line its full
number, does the line's oldest go first, as otherwise none could be taken.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Sequence
from datetime import datetime
from uuid import UUID, uuid4

import msgspec

from gateway.core import errors
from gateway.core.agenda import Agenda, Due, Memory, Owed, longer_owed, remembered
from gateway.core.backend import FaultHook, no_fault
from gateway.core.catalog import walk
from gateway.core.context import Core
from gateway.core.manifest import everything
from gateway.core.model import Pool, Snapshot, Volume, VolumeState
from gateway.core.observer import Observer
from gateway.core.pools import OpenPool
from gateway.core.query import And, Compare, Filter, Op, Or, Order, Query
from gateway.core.retention import Outcome, Retention

SETTING = "schedules"
"""The catalog's setting that holds the `Memory`."""

FAULTS = ("scheduler.taken", "scheduler.removed", "scheduler.served", "scheduler.remembered")
"""The points of a pass: behind each snapshot, behind each removal, before and behind the commit of what it did."""

_PAGE = 200
_LINES = 500
_AT_ONCE = 4
_OWED_MAX = 100
_AWAY = (errors.Unavailable, errors.Timeout)
_PASSED_BY = (errors.NotFound, errors.InvalidState)

Wanted = Sequence[tuple[Volume, Sequence[Due]]]


class _Pass(msgspec.Struct, frozen=True, kw_only=True):
    """What all rounds of one pass share."""

    core: Core
    observer: Observer
    now: datetime
    agenda: Agenda
    memory: Memory
    retention: Retention
    told: set[UUID]


class Scheduler:
    """Performs passes, one after the other. Of the processes that share a catalog one does this."""

    def __init__(self, core: Core, observer: Observer, *, fault: FaultHook = no_fault) -> None:
        self._core = core
        self._observer = observer
        self._fault = fault
        self._told: set[UUID] = set()

    async def run(self, now: datetime) -> Outcome:
        """Serve what is due by `now`. Raises errors of the catalog only; what was done is then found next time."""
        memory, event = remembered(await self._core.catalog.setting(SETTING), now)
        if event:
            self._observer.event(event, now=now.isoformat())
        retention = Retention(self._core, now, self._fault)
        if memory.until > now:
            return retention.outcome
        shared = _Pass(
            core=self._core,
            observer=self._observer,
            now=now,
            agenda=await Agenda.load(self._core),
            memory=memory,
            retention=retention,
            told=self._told,
        )
        later = await _over_pools(shared)
        self._fault("scheduler.served")
        await self._core.catalog.put_setting(SETTING, msgspec.json.encode(later).decode())
        self._fault("scheduler.remembered")
        return retention.outcome


async def _over_pools(shared: _Pass) -> Memory:
    """Serve every open pool that is not owed for a while yet, side by side; give what is to be remembered."""
    memory, now, catalog = shared.memory, shared.now, shared.core.catalog
    tried = [key for key, owed in memory.volumes.items() if owed.after <= now]
    retried = await catalog.get_many(Volume, tried)
    there = {pool.id: pool for pool in shared.core.pools}
    pools: dict[UUID, Owed] = {}
    rounds: list[_Round] = []
    for record in await everything(catalog, Pool):
        owed = memory.pools.get(record.id)
        if record.id not in there:
            pools[record.id] = Owed(since=owed.since if owed else memory.until, after=now)
        elif owed is not None and owed.after > now:
            pools[record.id] = owed
        else:
            again = [volume for volume in retried.values() if volume.pool_id == record.id]
            rounds.append(_Round(shared, there[record.id], again))
    try:
        async with asyncio.TaskGroup() as group:
            for one in rounds:
                group.create_task(one.run())
    except ExceptionGroup as failures:
        raise failures.exceptions[0] from None
    over = {volume.id for one in rounds for volume in one.retried} | (set(tried) - retried.keys())
    volumes = {key: owed for key, owed in memory.volumes.items() if key not in over}
    for one in rounds:
        volumes |= one.failed
        if one.owed is not None:
            pools[one.pool.id] = one.owed
    return Memory(until=now, pools=pools, volumes=volumes)


class _Round:
    """One pass over one pool. `failed` and `owed` then tell what could not be served."""

    def __init__(self, shared: _Pass, pool: OpenPool, retried: Sequence[Volume]) -> None:
        self.pool = pool
        self.retried = retried
        self.failed: dict[UUID, Owed] = {}
        self.owed: Owed | None = None
        self._shared = shared
        self._before = shared.memory.pools.get(pool.id)
        self._since = self._before.since if self._before else shared.memory.until
        self._places = asyncio.Semaphore(_AT_ONCE)
        self._given_up = False

    async def run(self) -> None:
        """Serve volumes that are owed something, then those that a due policy or a due line of their own names."""
        agenda, owed, since, now = self._shared.agenda, self._shared.memory.volumes, self._since, self._shared.now
        await self._serve([(v, agenda.of_volume(v, owed[v.id].since, now)) for v in self.retried])
        for policy_id, dues in agenda.policies_due(since, now):
            async for page in self._pages(Compare("schedule.policy", Op.EQ, policy_id)):
                await self._serve([(volume, dues) for volume in page])
        for name in agenda.schedules_due(since, now):
            async for page in self._pages(Compare("schedule.name", Op.EQ, name)):
                own = [(v, [d for d in agenda.own_lines(v, since, now) if d.line.schedule == name]) for v in page]
                await self._serve(own)
        if self._given_up:
            # What only some volumes are owed is older than what the pool is owed now.
            self.failed = {volume.id: self.failed.get(volume.id, owed[volume.id]) for volume in self.retried}
            self.owed = longer_owed(self._before, since, now)

    async def _pages(self, named: Filter) -> AsyncIterator[list[Volume]]:
        """Yield the pool's volumes that are named, without those that are owed something already."""
        where = And((named, Compare("pool.id", Op.EQ, self.pool.id)))
        query = Query(where=where, order=(Order("id"),), limit=_PAGE)
        while not self._given_up:
            page = await self._shared.core.catalog.page(Volume, query)
            yield [volume for volume in page.records if volume.id not in self._shared.memory.volumes]
            if page.cursor is None:
                return
            query = msgspec.structs.replace(query, after=page.cursor)

    async def _serve(self, wanted: Wanted) -> None:
        """Serve some volumes, a few at a time."""
        wanted = [
            (volume, lines)
            for volume, dues in wanted
            if volume.state is VolumeState.ONLINE
            and (lines := [due for due in dues if due.instant >= volume.created])
            and self._able(volume)
        ]
        own = await self._own(wanted)
        async with asyncio.TaskGroup() as group:
            for volume, dues in wanted:
                group.create_task(self._serve_one(volume, dues, own))

    def _able(self, volume: Volume) -> bool:
        """Tell whether the pool can; when not, that is logged once per process."""
        capability = self.pool.capabilities.get(volume.kind)
        if capability is not None and capability.can("snapshot"):
            # Where streams only go on top of the base, a snapshot of a destination's own would stop them.
            return volume.replica_of is None or capability.can("restore_keeps_newer")
        if self.pool.id not in self._shared.told:
            self._shared.told.add(self.pool.id)
            self._shared.observer.event("pool_takes_no_snapshots", pool=self.pool.name)
        return False

    async def _own(self, wanted: Wanted) -> dict[tuple[UUID, str], list[Snapshot]]:
        """Read the snapshots of all the lines at once."""
        found: dict[tuple[UUID, str], list[Snapshot]] = {
            (volume.id, due.taken_by(volume.id)): [] for volume, dues in wanted for due in dues
        }
        if not found:
            return found
        ids = sorted(volume.id for volume, _ in wanted)
        between = (Compare("volume.id", Op.GE, ids[0]), Compare("volume.id", Op.LE, ids[-1]))
        lines = sorted({taken_by for _, taken_by in found})
        for start in range(0, len(lines), _LINES):
            some = Or(tuple(Compare("taken_by", Op.EQ, line) for line in lines[start : start + _LINES]))
            query = Query(where=And((some, *between)), order=(Order("taken_by"), Order("volume.id")))
            async for snapshot in walk(self._shared.core.catalog, Snapshot, query):
                if (snapshot.volume_id, snapshot.taken_by) in found:
                    found[snapshot.volume_id, snapshot.taken_by].append(snapshot)
        return found

    async def _serve_one(
        self, volume: Volume, dues: Sequence[Due], own: dict[tuple[UUID, str], list[Snapshot]]
    ) -> None:
        async with self._places:
            try:
                for due in dues:
                    if self._given_up:
                        return
                    await self._shared.retention.serve(volume, due, own[volume.id, due.taken_by(volume.id)])
            except _PASSED_BY:
                return  # it went, or is no longer online
            except _AWAY as error:
                self._given_up = True
                self._failed(volume, error)
            except errors.GatewayError as error:
                self._failed(volume, error)
            except Exception as error:  # noqa: BLE001 - a defect met by one volume must not keep the others from theirs
                incident = uuid4().hex
                self._shared.observer.defect(incident, error)
                self._failed(volume, errors.Internal(incident=incident))

    def _failed(self, volume: Volume, error: errors.GatewayError) -> None:
        """Note that a volume is owed something; when too many are, the whole pool is."""
        before = self._shared.memory.volumes.get(volume.id)
        self.failed[volume.id] = longer_owed(before, self._since, self._shared.now)
        self._shared.retention.outcome.failed += 1
        self._shared.observer.event("snapshot_not_taken", volume=volume.name, pool=self.pool.name, error=str(error))
        self._given_up = self._given_up or len(self.failed) > _OWED_MAX
