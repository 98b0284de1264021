"""Schedule policies of the cluster: a name, and a text with a YAML list of intervals.

The list of all has them as the SDK shows them, which is how the reference is.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from gateway.core import errors
from gateway.frontends.openstorage.call import SdkError
from gateway.frontends.openstorage.older.answer import Answer, Refused, json_answer, list_answer
from gateway.frontends.openstorage.older.ask import Ask
from gateway.frontends.openstorage.older.decode import BadJson, decode_members
from gateway.frontends.openstorage.older.encode import rpc_error
from gateway.frontends.openstorage.pb import schedule_policy_pb2 as pb
from gateway.frontends.openstorage.spec.intervals import (
    Daily,
    Interval,
    Monthly,
    Periodic,
    Weekday,
    Weekly,
    parse_list,
    render_list,
)

_NAME, _SCHEDULE = "Name", "Schedule"


async def enumerate_(ask: Ask) -> Answer:
    """Give every policy."""
    try:
        found = await ask.sdk.call(
            "OpenStorageSchedulePolicy/Enumerate",
            pb.SdkSchedulePolicyEnumerateRequest(),
            pb.SdkSchedulePolicyEnumerateResponse,
        )
    except SdkError as error:
        raise Refused(500, rpc_error(error)) from None
    return await list_answer(found.policies)


async def inspect(ask: Ask) -> Answer:
    """Give a policy with its text."""
    try:
        found = await ask.sdk.call(
            "OpenStorageSchedulePolicy/Inspect",
            pb.SdkSchedulePolicyInspectRequest(name=ask.id),
            pb.SdkSchedulePolicyInspectResponse,
        )
    except SdkError as error:
        raise Refused(500, error.text) from None
    text = render_list(map(interval_of, found.policy.schedules))
    return json_answer({_NAME: found.policy.name, _SCHEDULE: text})


async def create(ask: Ask) -> Answer:
    """Make a policy."""
    request = pb.SdkSchedulePolicyCreateRequest(schedule_policy=_policy(ask))
    try:
        await ask.sdk.call("OpenStorageSchedulePolicy/Create", request, pb.SdkSchedulePolicyCreateResponse)
    except SdkError as error:
        raise Refused(500, error.text) from None
    return Answer()


async def update(ask: Ask) -> Answer:
    """Replace the intervals of a policy."""
    request = pb.SdkSchedulePolicyUpdateRequest(schedule_policy=_policy(ask))
    try:
        await ask.sdk.call("OpenStorageSchedulePolicy/Update", request, pb.SdkSchedulePolicyUpdateResponse)
    except SdkError as error:
        raise Refused(500, error.text) from None
    return Answer()


async def delete(ask: Ask) -> Answer:
    """Remove a policy; one that is not known is removed already."""
    request = pb.SdkSchedulePolicyDeleteRequest(name=ask.id)
    try:
        await ask.sdk.call("OpenStorageSchedulePolicy/Delete", request, pb.SdkSchedulePolicyDeleteResponse)
    except SdkError as error:
        raise Refused(500, error.text) from None
    return Answer()


def interval_of(message: pb.SdkSchedulePolicyInterval) -> Interval:
    """Give an interval of the SDK as texts are made of."""
    retain = message.retain
    match message.WhichOneof("period_type"):
        case "daily":
            return Daily(hour=message.daily.hour, minute=message.daily.minute, retain=retain)
        case "weekly":
            weekly = message.weekly
            return Weekly(weekday=Weekday(weekly.day), hour=weekly.hour, minute=weekly.minute, retain=retain)
        case "monthly":
            monthly = message.monthly
            return Monthly(day=monthly.day, hour=monthly.hour, minute=monthly.minute, retain=retain)
    return Periodic(seconds=message.periodic.seconds, retain=retain)


def message_of(interval: Interval) -> pb.SdkSchedulePolicyInterval:
    """Give an interval of a text as the SDK has it."""
    period: Mapping[str, Any]
    match interval:
        case Daily(hour=hour, minute=minute):
            period = {"daily": pb.SdkSchedulePolicyIntervalDaily(hour=hour, minute=minute)}
        case Weekly(weekday=day, hour=hour, minute=minute):
            wanted = pb.SdkSchedulePolicyIntervalWeekly(hour=hour, minute=minute)
            wanted.day = int(day)  # type: ignore[assignment] # the same numbers
            period = {"weekly": wanted}
        case Monthly(day=day, hour=hour, minute=minute):
            period = {"monthly": pb.SdkSchedulePolicyIntervalMonthly(day=day, hour=hour, minute=minute)}
        case Periodic(seconds=seconds):
            period = {"periodic": pb.SdkSchedulePolicyIntervalPeriodic(seconds=seconds)}
    return pb.SdkSchedulePolicyInterval(retain=interval.retain, **period)


def _policy(ask: Ask) -> pb.SdkSchedulePolicy:
    """Read a body; 400 for one that cannot be read."""
    try:
        given = decode_members(ask.body, (_NAME, _SCHEDULE), "schedpolicy.SchedPolicy")
    except BadJson as error:
        raise Refused(400, str(error)) from None
    try:
        intervals = parse_list(given[_SCHEDULE], field=_SCHEDULE) if given[_SCHEDULE] else ()
    except (errors.InvalidArgument, errors.Unsupported) as error:
        raise Refused(400, f"{_SCHEDULE}: {error.fields['reason']}") from None
    return pb.SdkSchedulePolicy(name=given[_NAME], schedules=map(message_of, intervals))
