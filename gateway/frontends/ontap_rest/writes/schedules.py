"""Schedules, and the lines of snapshot policies that name them."""

from __future__ import annotations

from uuid import UUID

import msgspec

from gateway.core import errors, policies, schedules
from gateway.core.context import Core
from gateway.core.model import Schedule, SnapshotPolicy, SnapshotSchedule
from gateway.core.recurrence import Cron, Periodic, Recurrence, as_cron
from gateway.frontends.ontap_rest.ask import Ask
from gateway.frontends.ontap_rest.body import Values
from gateway.frontends.ontap_rest.errors import WireError
from gateway.frontends.ontap_rest.render.policies import NO_LABEL
from gateway.frontends.ontap_rest.scalars import parse_duration
from gateway.frontends.ontap_rest.writes.names import text

_EVERY = Cron(())


async def create(ask: Ask, values: Values) -> Schedule:
    """Make a schedule out of `cron` or `interval`, of which a body has exactly one."""
    return await schedules.create(ask.core, text(values, "name") or "", _recurrence(values, None))


async def modify(ask: Ask, schedule: Schedule, values: Values) -> None:
    """Change when a schedule is due. What of a cron is not given stays, what is null or empty is every one."""
    if values:
        await schedules.update(ask.core, schedule.id, _recurrence(values, schedule.recurrence))


async def delete(ask: Ask, schedule: Schedule) -> None:
    """Remove a schedule that nobody names."""
    await schedules.delete(ask.core, schedule.id)


async def put_back(ask: Ask, before: Schedule, after: Schedule) -> None:
    """Undo a change."""
    await schedules.update(ask.core, after.id, before.recurrence)


async def create_line(ask: Ask, policy: SnapshotPolicy, values: Values) -> UUID:
    """Add a line to a policy; give its schedule's id, by which it is found."""
    line = await read_line(ask.core, values)
    await policies.add_line(ask.core, policy.id, line)
    return (await schedules.named(ask.core, (line.schedule,)))[line.schedule].id


async def modify_line(ask: Ask, policy: SnapshotPolicy, line: SnapshotSchedule, values: Values) -> None:
    """Change a line's number of copies or label."""
    count = values.get("count", line.count)
    label = _label(values) if "snapmirror_label" in values else line.label
    changed = msgspec.structs.replace(line, count=count if isinstance(count, int) else 0, label=label)
    await policies.change_line(ask.core, policy.id, changed)


async def read_line(core: Core, values: Values) -> SnapshotSchedule:
    """Give the line that a body describes; WireError when it lacks its schedule or number."""
    count = values.get("count")
    if not isinstance(count, int):
        raise WireError(400, "1638407", message='Field "copies.count" is required.', target="copies.count")
    schedule = await _named(core, values)
    return SnapshotSchedule(
        schedule=schedule.name,
        count=count,
        prefix=text(values, "prefix") or schedule.name,
        label=_label(values),
    )


def _label(values: Values) -> str:
    label = text(values, "snapmirror_label") or ""
    return "" if label == NO_LABEL else label


async def _named(core: Core, values: Values) -> Schedule:
    name, uuid = text(values, "schedule.name"), text(values, "schedule.uuid")
    if uuid is not None:
        found = await core.catalog.get(Schedule, _key(uuid))
    elif name is not None:
        found = await core.find(Schedule, name=name)
    else:
        raise WireError(400, "1638408", message='Field "copies.schedule" is required.', target="copies.schedule")
    if found is None or name not in {None, found.name}:
        raise errors.NotFound(kind="schedule", ref=name or uuid)
    return found


def _key(uuid: str) -> UUID:
    try:
        return UUID(uuid)
    except ValueError:
        raise errors.NotFound(kind="schedule", ref=uuid) from None


def _recurrence(values: Values, present: Recurrence | None) -> Recurrence:
    interval = text(values, "interval")
    cron = {
        path.removeprefix("cron."): tuple(numbers) if isinstance(numbers, list) else ()
        for path, numbers in values.items()
        if path.startswith("cron.")
    }
    if interval is not None and cron:
        raise _invalid("459760", 'A schedule has either a "cron" or an "interval"')
    if interval is not None:
        if present is not None and not isinstance(present, Periodic):
            raise _invalid("461785", "The schedule is a cron schedule; it cannot have an interval")
        return Periodic(parse_duration(interval))
    if isinstance(present, Periodic) and cron:
        raise _invalid("461786", "The schedule is an interval schedule; it cannot have a cron")
    if not cron:
        raise _invalid("459760", 'A schedule needs "cron.minutes" or an "interval"')
    base = _EVERY if present is None else as_cron(present) or _EVERY
    return msgspec.structs.replace(base, **cron)


def _invalid(code: str, message: str) -> WireError:
    return WireError(400, code, message=f"{message}.", target="interval")
