"""When snapshots of a volume are taken: the spec's schedule text against the core's policies and lines.

Policies are held by id, so one that another door gives to the volume is in the
text too. The intervals keep the text that they were given in, as an annotation.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any
from uuid import UUID

import msgspec
from grpc import StatusCode

from gateway.core import intervals
from gateway.core.context import Core
from gateway.core.model import SnapshotPolicy, SnapshotSchedule, Volume
from gateway.core.query import And, Compare, IsNull, Op, Or, Query
from gateway.core.recurrence import Daily, Monthly, Periodic, Recurrence, Weekly
from gateway.core.volumes import policies_of
from gateway.frontends.openstorage.call import Call, SdkError
from gateway.frontends.openstorage.pb import volume_spec_pb2 as spec_pb
from gateway.frontends.openstorage.spec import UNCHANGED_INTERVAL
from gateway.frontends.openstorage.spec import intervals as text_intervals
from gateway.frontends.openstorage.spec.schedule import Schedule, apply_policies, parse_schedule, schedule_text

SCHEDULE = "openstorage.schedule"
"""The annotation with the intervals' text."""

INTERVAL_RETAIN = 5


class Plan(msgspec.Struct, frozen=True, kw_only=True):
    """What a schedule text and an interval make of a volume."""

    policy_id: UUID | None
    more_policy_ids: tuple[UUID, ...]
    lines: tuple[SnapshotSchedule, ...]
    annotations: dict[str, str]

    @property
    def change(self) -> dict[str, Any]:
        """Give the fields of the volume that it sets, without annotations."""
        return {
            "snapshot_policy_id": self.policy_id,
            "more_snapshot_policy_ids": self.more_policy_ids,
            "schedules": self.lines,
        }


async def planned(
    call: Call, text: str, *, interval_min: int, unknown: StatusCode = StatusCode.INVALID_ARGUMENT
) -> Plan:
    """Read a schedule text and an interval in minutes (0: none). A policy that does not exist ends with `unknown`."""
    schedule = parse_schedule(text)
    ids = await _ids(call, schedule.policies, unknown)
    return Plan(
        policy_id=ids[0] if ids else None,
        more_policy_ids=ids[1:],
        lines=await _lines(call, schedule, interval_min),
        annotations={SCHEDULE: apply_policies(text, ())},
    )


async def replanned(call: Call, volume: Volume, before: spec_pb.VolumeSpec, after: spec_pb.VolumeSpec) -> Plan | None:
    """Give the plan that leads from a spec to another one, None when both say the same."""
    if after.snapshot_schedule != before.snapshot_schedule:
        return await planned(call, after.snapshot_schedule, interval_min=after.snapshot_interval)
    if after.snapshot_interval == before.snapshot_interval:
        return None
    # Not by the policies' names: what other doors call one the text may be unable to hold.
    text = volume.annotations.get(SCHEDULE, "")
    return Plan(
        policy_id=volume.snapshot_policy_id,
        more_policy_ids=volume.more_snapshot_policy_ids,
        lines=await _lines(call, parse_schedule(text), after.snapshot_interval),
        annotations={SCHEDULE: text},
    )


async def _lines(call: Call, schedule: Schedule, interval_min: int) -> tuple[SnapshotSchedule, ...]:
    wanted = [intervals.Interval(recurrence_of(each), each.retain) for each in schedule.intervals]
    if interval_min not in {0, UNCHANGED_INTERVAL}:
        wanted.append(intervals.Interval(Periodic(interval_min * 60), INTERVAL_RETAIN))
    return await intervals.lines_of(call.core, wanted)


async def with_policies(call: Call, volume: Volume, names: tuple[str, ...]) -> Plan:
    """Give a volume's schedule with other policies; what is its own stays. ABORTED for one that does not exist."""
    text = volume.annotations.get(SCHEDULE, "")
    apply_policies(text, names)
    ids = await _ids(call, tuple(dict.fromkeys(names)), StatusCode.ABORTED)
    return Plan(
        policy_id=ids[0] if ids else None,
        more_policy_ids=ids[1:],
        lines=volume.schedules,
        annotations={SCHEDULE: text},
    )


async def texts_of(core: Core, volumes: Iterable[Volume]) -> Mapping[UUID, str]:
    """Give the schedule text of each volume, with one look at the policies."""
    listed = tuple(volumes)
    known = await core.known.get_many(SnapshotPolicy, {key for volume in listed for key in policies_of(volume)})
    return {
        volume.id: schedule_text(
            volume.annotations.get(SCHEDULE, ""), [known[key].name for key in policies_of(volume) if key in known]
        )
        for volume in listed
    }


def recurrence_of(interval: text_intervals.Interval) -> Recurrence:
    """Give an interval's recurrence as the core has it."""
    match interval:
        case text_intervals.Periodic(seconds=seconds):
            return Periodic(seconds)
        case text_intervals.Daily(hour=hour, minute=minute):
            return Daily(hour, minute)
        case text_intervals.Weekly(weekday=weekday, hour=hour, minute=minute):
            return Weekly(int(weekday), hour, minute)
        case text_intervals.Monthly(day=day, hour=hour, minute=minute):
            return Monthly(day, hour, minute)


async def policy_named(call: Call, name: str) -> SnapshotPolicy | None:
    """Give the policy of that name: the tenant's own before one that is everybody's."""
    tenant = await call.site.tenant_id(call.core)
    where = And((Compare("name", Op.EQ, name), Or((IsNull("tenant.id"), Compare("tenant.id", Op.EQ, tenant)))))
    found = (await call.core.catalog.page(SnapshotPolicy, Query(where=where))).records
    return max(found, key=lambda policy: policy.tenant_id is not None, default=None)


async def _ids(call: Call, names: tuple[str, ...], unknown: StatusCode) -> tuple[UUID, ...]:
    ids = []
    for name in names:
        policy = await policy_named(call, name)
        if policy is None:
            raise SdkError(unknown, f"Schedule policy {name} not found")
        ids.append(policy.id)
    return tuple(ids)
