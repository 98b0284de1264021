"""Snapshot policies for dialects whose policies carry their recurrences themselves, instead of naming schedules.

Each recurrence becomes a schedule that is known by its content, so that other
dialects see the same policy with schedules such as `daily@12:30`. Reading gives
back exactly what was written: the order, what is kept, each recurrence.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterable, Sequence
from uuid import UUID, uuid4

import msgspec

from gateway.core import errors, policies, schedules
from gateway.core.context import Core
from gateway.core.lines import COUNT_MAX
from gateway.core.model import SnapshotPolicy, SnapshotSchedule, utc_now
from gateway.core.query import Compare, Op, Query
from gateway.core.recurrence import Recurrence, checked

_RETRIES = 5
Lines = tuple[SnapshotSchedule, ...]


class Interval(msgspec.Struct, frozen=True):
    """When snapshots are taken, and how many of them are kept."""

    recurrence: Recurrence
    retain: int


async def create(
    core: Core, name: str, intervals: Sequence[Interval], *, tenant_id: UUID | None = None, comment: str = ""
) -> SnapshotPolicy:
    """Make a policy.

    AlreadyExists for its name; `same_spec` tells whether that policy has just
    these intervals. InvalidArgument without intervals, for one that keeps
    nothing, for two with the same recurrence, for one that is never due.
    """
    policy = SnapshotPolicy(id=uuid4(), name=name, created=utc_now(), tenant_id=tenant_id, comment=comment)

    async def write(lines: Lines) -> SnapshotPolicy:
        return await policies.create_snapshot_policy(core, msgspec.structs.replace(policy, copies=lines))

    try:
        return await _with_lines(core, intervals, write)
    except errors.AlreadyExists:
        there = await find(core, name, tenant_id=tenant_id)
        same = there is not None and (await intervals_of(core, (there,)))[there.id] == tuple(intervals)
        raise errors.AlreadyExists(kind="snapshot policy", name=name, field="name", same_spec=same) from None


async def update(core: Core, policy_id: UUID, intervals: Sequence[Interval]) -> SnapshotPolicy:
    """Replace all intervals of a policy. InvalidArgument as for `create`, InUse for a built-in policy.

    Snapshots of an interval that stays are counted on; those of one that goes stay for ever.
    """

    async def write(lines: Lines) -> SnapshotPolicy:
        return await policies.update_snapshot_policy(core, policy_id, copies=lines)

    before = await core.get(SnapshotPolicy, policy_id)
    after = await _with_lines(core, intervals, write)
    await schedules.forget_unnamed(core, {line.schedule for line in before.copies} - {n.schedule for n in after.copies})
    return after


async def delete(core: Core, policy_id: UUID) -> None:
    """Remove a policy and the schedules that only it had. InUse for a built-in one and while volumes use it."""
    policy = await core.get(SnapshotPolicy, policy_id)
    await policies.delete_snapshot_policy(core, policy_id)
    await schedules.forget_unnamed(core, (line.schedule for line in policy.copies))


async def find(core: Core, name: str, *, tenant_id: UUID | None = None) -> SnapshotPolicy | None:
    """Give the policy of that name: one that every tenant may use, or (`tenant_id`) that of a tenant."""
    page = await core.catalog.page(SnapshotPolicy, Query(where=Compare("name", Op.EQ, name)))
    return next((policy for policy in page.records if policy.tenant_id == tenant_id), None)


async def lines_of(core: Core, intervals: Sequence[Interval]) -> Lines:
    """Give the lines that say the same, for a policy or for `Volume.schedules`; schedules are found or made.

    Whoever gives a volume other lines calls `schedules.forget_unnamed` for the old ones.
    """
    found = [msgspec.structs.replace(interval, recurrence=checked(interval.recurrence)) for interval in intervals]
    for number, interval in enumerate(found):
        if not 1 <= interval.retain <= COUNT_MAX:
            reason = f"must be 1 to {COUNT_MAX}"
            raise errors.InvalidArgument(field="retain", value=interval.retain, reason=reason)
        if any(other.recurrence == interval.recurrence for other in found[:number]):
            raise errors.InvalidArgument(field="schedules", reason="two of them are due at the same instants")
    return tuple(
        [
            SnapshotSchedule(schedule=(await schedules.found_or_made(core, i.recurrence)).name, count=i.retain)
            for i in found
        ]
    )


async def read_lines(core: Core, lines: Iterable[SnapshotSchedule]) -> tuple[Interval, ...]:
    """Give what lines say, in their order, whoever made them; a recurrence may be any, also a cron."""
    wanted = tuple(lines)
    known = await schedules.named(core, (line.schedule for line in wanted))
    return tuple(Interval(known[line.schedule].recurrence, line.count) for line in wanted if line.schedule in known)


async def intervals_of(core: Core, found: Iterable[SnapshotPolicy]) -> dict[UUID, tuple[Interval, ...]]:
    """Give the intervals of many policies by id, with one look at the schedules."""
    listed = tuple(found)
    known = await schedules.named(core, (line.schedule for policy in listed for line in policy.copies))
    return {
        policy.id: tuple(
            Interval(known[line.schedule].recurrence, line.count) for line in policy.copies if line.schedule in known
        )
        for policy in listed
    }


async def _with_lines(
    core: Core, intervals: Sequence[Interval], write: Callable[[Lines], Awaitable[SnapshotPolicy]]
) -> SnapshotPolicy:
    """Write a policy with its lines. What was made for it goes again when it fails, and may go with another policy."""
    for attempt in range(_RETRIES + 1):
        lines = await lines_of(core, intervals)
        try:
            return await write(lines)
        except errors.GatewayError as error:
            await schedules.forget_unnamed(core, (line.schedule for line in lines))
            raced = isinstance(error, errors.NotFound) and error.kind == "schedule"
            if not raced or attempt == _RETRIES:
                raise
    raise AssertionError
