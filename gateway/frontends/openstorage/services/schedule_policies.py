"""Schedule policies: when snapshots are taken and how many stay. Other doors show them as snapshot policies."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from gateway.core import errors, intervals
from gateway.core.catalog import walk
from gateway.core.intervals import Interval
from gateway.core.model import SnapshotPolicy
from gateway.core.query import Compare, IsNull, Op, Or, Order, Query
from gateway.core.recurrence import Daily, Monthly, Periodic, Recurrence, Weekly
from gateway.frontends.openstorage.call import Call, refuse, required
from gateway.frontends.openstorage.pb import schedule_policy_pb2 as pb
from gateway.frontends.openstorage.schedules import policy_named
from gateway.frontends.openstorage.spec.schedule import check_policy_name

_WHAT = "schedule policy name"
_HOURS, _MINUTES, _DAYS = range(24), range(60), range(1, 29)


async def create(call: Call, request: pb.SdkSchedulePolicyCreateRequest) -> pb.SdkSchedulePolicyCreateResponse:
    """Make a policy; the same one again is no error, another one of that name ALREADY_EXISTS."""
    name, wanted = _read(request.HasField("schedule_policy"), request.schedule_policy)
    check_policy_name("schedule_policy.name", name)
    try:
        await intervals.create(call.core, name, wanted, tenant_id=await call.site.tenant_id(call.core))
    except errors.AlreadyExists as error:
        if not error.same_spec:
            raise
    return pb.SdkSchedulePolicyCreateResponse()


async def update(call: Call, request: pb.SdkSchedulePolicyUpdateRequest) -> pb.SdkSchedulePolicyUpdateResponse:
    """Replace the intervals of a policy."""
    name, wanted = _read(request.HasField("schedule_policy"), request.schedule_policy)
    policy = await _policy(call, name)
    await intervals.update(call.core, policy.id, wanted)
    return pb.SdkSchedulePolicyUpdateResponse()


async def enumerate_(
    call: Call, _request: pb.SdkSchedulePolicyEnumerateRequest
) -> pb.SdkSchedulePolicyEnumerateResponse:
    """Give every policy whole."""
    tenant = await call.site.tenant_id(call.core)
    where = Or((IsNull("tenant.id"), Compare("tenant.id", Op.EQ, tenant)))
    query = Query(where=where, order=(Order("name"),))
    policies = [policy async for policy in walk(call.core.catalog, SnapshotPolicy, query)]
    found = await intervals.intervals_of(call.core, policies)
    shown = [_message(policy.name, found[policy.id]) for policy in policies]
    return pb.SdkSchedulePolicyEnumerateResponse(policies=shown)


async def inspect(call: Call, request: pb.SdkSchedulePolicyInspectRequest) -> pb.SdkSchedulePolicyInspectResponse:
    """Give a policy."""
    policy = await _policy(call, required(request.name, _WHAT))
    found = await intervals.intervals_of(call.core, (policy,))
    return pb.SdkSchedulePolicyInspectResponse(policy=_message(policy.name, found[policy.id]))


async def delete(call: Call, request: pb.SdkSchedulePolicyDeleteRequest) -> pb.SdkSchedulePolicyDeleteResponse:
    """Remove a policy; one that does not exist is removed already."""
    policy = await policy_named(call, required(request.name, _WHAT))
    if policy is not None:
        await intervals.delete(call.core, policy.id)
    return pb.SdkSchedulePolicyDeleteResponse()


async def _policy(call: Call, name: str) -> SnapshotPolicy:
    policy = await policy_named(call, name)
    if policy is None:
        raise errors.NotFound(kind="Schedule policy", ref=name)
    return policy


def _read(given: bool, policy: pb.SdkSchedulePolicy) -> tuple[str, list[Interval]]:
    if not given:
        refuse("Must supply a schedule policy")
    name = required(policy.name, _WHAT)
    if not policy.schedules:
        refuse("Must supply at least one schedule")
    return name, [read_interval(schedule) for schedule in policy.schedules]


def read_interval(schedule: pb.SdkSchedulePolicyInterval) -> Interval:
    """Give an interval; INVALID_ARGUMENT for one that is never due or keeps nothing."""
    if schedule.retain < 1:
        refuse("retain: must be greater than 0")
    kind = schedule.WhichOneof("period_type")
    if kind is None:
        refuse("Must supply a period: daily, weekly, monthly or periodic")
    return Interval(_READ[kind](getattr(schedule, kind)), schedule.retain)


def _periodic(period: pb.SdkSchedulePolicyIntervalPeriodic) -> Recurrence:
    if period.seconds < 1:
        refuse("periodic.seconds: must be greater than 0")
    return Periodic(period.seconds)


def _daily(period: pb.SdkSchedulePolicyIntervalDaily) -> Recurrence:
    return Daily(_in(_HOURS, "daily.hour", period.hour), _in(_MINUTES, "daily.minute", period.minute))


def _weekly(period: pb.SdkSchedulePolicyIntervalWeekly) -> Recurrence:
    day = _in(range(7), "weekly.day", period.day)
    return Weekly(day, _in(_HOURS, "weekly.hour", period.hour), _in(_MINUTES, "weekly.minute", period.minute))


def _monthly(period: pb.SdkSchedulePolicyIntervalMonthly) -> Recurrence:
    day = _in(_DAYS, "monthly.day", period.day)
    return Monthly(day, _in(_HOURS, "monthly.hour", period.hour), _in(_MINUTES, "monthly.minute", period.minute))


_READ: Mapping[str, Callable[[Any], Recurrence]] = {
    "periodic": _periodic,
    "daily": _daily,
    "weekly": _weekly,
    "monthly": _monthly,
}


def _in(numbers: range, field: str, value: int) -> int:
    if value not in numbers:
        refuse(f"{field}: {value} is not {numbers.start} to {numbers.stop - 1}")
    return value


def _message(name: str, found: tuple[Interval, ...]) -> pb.SdkSchedulePolicy:
    shown = (shown_interval(interval) for interval in found)
    return pb.SdkSchedulePolicy(name=name, schedules=[schedule for schedule in shown if schedule is not None])


def shown_interval(interval: Interval) -> pb.SdkSchedulePolicyInterval | None:
    """Give an interval; None for a recurrence that only other doors have, such as every five minutes by a cron."""
    result = pb.SdkSchedulePolicyInterval(retain=interval.retain)
    match interval.recurrence:
        case Periodic(seconds=seconds):
            result.periodic.seconds = seconds
        case Daily(hour=hour, minute=minute):
            result.daily.CopyFrom(pb.SdkSchedulePolicyIntervalDaily(hour=hour, minute=minute))
        case Weekly(day=day, hour=hour, minute=minute):
            result.weekly.CopyFrom(
                pb.SdkSchedulePolicyIntervalWeekly(day=day, hour=hour, minute=minute)  # type: ignore[arg-type]
            )
        case Monthly(day=day, hour=hour, minute=minute):
            result.monthly.CopyFrom(pb.SdkSchedulePolicyIntervalMonthly(day=day, hour=hour, minute=minute))
        case _:
            return None
    return result
