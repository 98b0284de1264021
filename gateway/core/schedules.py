"""Use cases of schedules. They touch no substrate."""

from __future__ import annotations

import contextlib
from collections.abc import Iterable
from uuid import UUID, uuid4

import msgspec

from gateway.core import errors
from gateway.core.catalog import Batch, Guard, drop, put, when
from gateway.core.context import Core
from gateway.core.model import Record, Schedule, SnapshotPolicy, Volume, utc_now
from gateway.core.query import Compare, Op, Or, Query
from gateway.core.recurrence import Cron, Recurrence, canonical_name, checked
from gateway.core.replication_model import Replication, ReplicationPolicy
from gateway.core.volumes import check_name

_AT_ONCE = 500
_BUILTIN = {
    "5min": Cron(tuple(range(0, 60, 5))),
    "8hour": Cron((15,), (2, 10, 18)),
    "daily": Cron((10,), (0,)),
    "hourly": Cron((5,)),
    "monthly": Cron((20,), (0,), (1,)),
    "weekly": Cron((15,), (0,), weekdays=(0,)),
}

_NAMED_BY: tuple[tuple[type[Record], str, str], ...] = (
    (SnapshotPolicy, "schedule.name", "policies"),
    (Volume, "schedule.name", "volumes"),
    (ReplicationPolicy, "schedule.name", "policies"),
    (Replication, "schedule", "replications"),
)


async def create(core: Core, name: str, recurrence: Recurrence) -> Schedule:
    """Make a schedule. AlreadyExists for its name, InvalidArgument when it is never due."""
    check_name("name", name)
    schedule = Schedule(id=uuid4(), name=name, recurrence=checked(recurrence), created=utc_now())
    await core.catalog.commit(put(schedule))
    await core.manifest.write()
    return await core.get(Schedule, schedule.id)


async def update(core: Core, schedule_id: UUID, recurrence: Recurrence) -> Schedule:
    """Change when a schedule is due, for everybody who names it.

    InvalidArgument for one whose name tells its content (see `found_or_made`).
    """
    async with core.changes.locks.holding(schedule_id):
        before = await core.get(Schedule, schedule_id)
        after = msgspec.structs.replace(before, recurrence=checked(recurrence))
        if after != before:
            if is_content(before):
                raise errors.InvalidArgument(field="name", value=before.name, reason="tells when the schedule is due")
            await core.catalog.commit(put(after))
    await core.manifest.write()
    return await core.get(Schedule, schedule_id)


async def delete(core: Core, schedule_id: UUID) -> None:
    """Remove a schedule. InUse for a built-in one and while policies or volumes name it."""
    schedule = await core.get(Schedule, schedule_id)
    if schedule.builtin:
        raise errors.InUse(kind="schedule", ref=schedule.name, by="builtin", action="delete")
    await core.catalog.commit(_unnamed(schedule) + drop(schedule))
    await core.manifest.write()


async def found_or_made(core: Core, recurrence: Recurrence) -> Schedule:
    """Give the schedule that is known by its content, such as `daily@12:30`; it is made when it is not there.

    It cannot be changed, and goes with the last policy that `gateway.core.intervals` made with it.
    """
    wanted = checked(recurrence)
    stem, number = canonical_name(wanted), 1
    while True:
        name = stem if number == 1 else f"{stem}.{number}"
        found = await core.find(Schedule, name=name)
        if found is None:
            # Somebody else may make it just now, or take it away again: look once more.
            with contextlib.suppress(errors.AlreadyExists, errors.NotFound):
                return await create(core, name, wanted)
        elif found.recurrence == wanted:
            return found
        else:
            number += 1


def is_content(schedule: Schedule) -> bool:
    """Tell whether a schedule is one of those that are known by their content."""
    return schedule.name.partition(".")[0] == canonical_name(schedule.recurrence)


async def forget_unnamed(core: Core, names: Iterable[str]) -> None:
    """Remove those of the schedules that are known by their content and are named by nobody any more."""
    for name in names:
        schedule = await core.find(Schedule, name=name)
        if schedule is None or not is_content(schedule):
            continue
        try:
            await core.catalog.commit(_unnamed(schedule) + drop(schedule))
        except (errors.InUse, errors.StaleRevision):
            continue
    await core.manifest.write()


async def named(core: Core, names: Iterable[str]) -> dict[str, Schedule]:
    """Give the schedules of these names that are there."""
    wanted = sorted(set(names))
    found: dict[str, Schedule] = {}
    for start in range(0, len(wanted), _AT_ONCE):
        where = Or(tuple(Compare("name", Op.EQ, name) for name in wanted[start : start + _AT_ONCE]))
        page = await core.catalog.page(Schedule, Query(where=where, limit=_AT_ONCE))
        found |= {schedule.name: schedule for schedule in page.records}
    return found


async def ensure_builtin(core: Core) -> None:
    """Make those of the schedules that everybody expects which are not there."""
    for name, recurrence in _BUILTIN.items():
        if await core.find(Schedule, name=name) is None:
            schedule = Schedule(id=uuid4(), name=name, recurrence=recurrence, created=utc_now(), builtin=True)
            try:
                await core.catalog.commit(put(schedule))
            except errors.AlreadyExists:
                continue  # another process started at the same time


def _unnamed(schedule: Schedule) -> Batch:
    """Give the guards that hold while nobody names the schedule."""
    return when(
        *(
            Guard(
                kind,
                Compare(field, Op.EQ, schedule.name),
                exists=False,
                error=errors.InUse(kind="schedule", ref=schedule.name, by=by, action="delete"),
            )
            for kind, field, by in _NAMED_BY
        )
    )
