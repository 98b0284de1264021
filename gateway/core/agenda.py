"""What the scheduler knows: what is due when, and what it still owes from earlier passes. Touches nothing."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from datetime import datetime, timedelta
from uuid import UUID

import msgspec

from gateway.core.context import Core
from gateway.core.manifest import everything
from gateway.core.model import Schedule, SnapshotPolicy, SnapshotSchedule, Volume
from gateway.core.recurrence import latest_due
from gateway.core.volumes import policies_of

_AHEAD_MAX = timedelta(minutes=10)
_FIRST_PAUSE_S = 20
_PAUSE_MAX_S = 900
_DOUBLINGS_MAX = 10


class Owed(msgspec.Struct, frozen=True, kw_only=True):
    """Not served since then. It was tried `tries` times and is not tried again before `after`."""

    since: datetime
    after: datetime
    tries: int = 0


class Memory(msgspec.Struct, frozen=True, kw_only=True):
    """What one pass leaves to the next. All that was due by `until` is served, but for the pools and volumes owed."""

    until: datetime
    pools: dict[UUID, Owed] = {}
    volumes: dict[UUID, Owed] = {}


def remembered(stored: str | None, now: datetime) -> tuple[Memory, str]:
    """Give the memory that was stored, and the name of an event when there is something wrong with it.

    Without one everything begins now. A clock that was set back a little is
    waited for; when it was far ahead, what is due from now on is due again.
    """
    fresh = Memory(until=now)
    if stored is None:
        return fresh, ""
    try:
        found = msgspec.json.decode(stored, type=Memory)
    except msgspec.MsgspecError:
        return fresh, "schedules_forgotten"
    if found.until <= now + _AHEAD_MAX:
        return found, ""
    pools, volumes = (
        {key: Owed(since=min(owed.since, now), after=now, tries=owed.tries) for key, owed in many.items()}
        for many in (found.pools, found.volumes)
    )
    return Memory(until=now, pools=pools, volumes=volumes), "clock_went_back"


def longer_owed(before: Owed | None, since: datetime, now: datetime) -> Owed:
    """Give what is owed after one more failure: twice the pause, up to a quarter of an hour."""
    tries = before.tries + 1 if before else 1
    pause = min(_FIRST_PAUSE_S * 2 ** min(tries - 1, _DOUBLINGS_MAX), _PAUSE_MAX_S)
    return Owed(since=before.since if before else since, after=now + timedelta(seconds=pause), tries=tries)


class Due(msgspec.Struct, frozen=True):
    """A line, and the instant at which it was due last. `policy_id` None: the line is the volume's own."""

    policy_id: UUID | None
    line: SnapshotSchedule
    instant: datetime

    @property
    def stamp(self) -> str:
        """Give the instant as names show it; seconds only where there are any."""
        return f"{self.instant:%Y-%m-%d_%H%M}" + (f"{self.instant:%S}" if self.instant.second else "")

    def taken_by(self, volume_id: UUID) -> str:
        """Give what `Snapshot.taken_by` says on this volume."""
        return f"{self.policy_id or volume_id}/{self.line.schedule}"


class Agenda:
    """Policies and schedules as they are at the beginning of a pass."""

    def __init__(self, policies: Iterable[SnapshotPolicy], schedules: Iterable[Schedule]) -> None:
        self._policies = {policy.id: policy for policy in policies if policy.enabled and policy.copies}
        self._schedules = {schedule.name: schedule for schedule in schedules}
        self._instants: dict[tuple[str, datetime, datetime], datetime | None] = {}

    @classmethod
    async def load(cls, core: Core) -> Agenda:
        """Read them from the catalog."""
        return cls(await everything(core.catalog, SnapshotPolicy), await everything(core.catalog, Schedule))

    def policies_due(self, since: datetime, now: datetime) -> Iterator[tuple[UUID, Sequence[Due]]]:
        """Yield the policies of which a line became due in (since, now], with those lines."""
        for policy in self._policies.values():
            dues = self._of_policy(policy, since, now)
            if dues:
                yield policy.id, dues

    def schedules_due(self, since: datetime, now: datetime) -> Iterator[str]:
        """Yield the names of the schedules that became due in (since, now]."""
        for name in self._schedules:
            if self._instant(name, since, now) is not None:
                yield name

    def own_lines(self, volume: Volume, since: datetime, now: datetime) -> list[Due]:
        """Give those of a volume's own lines that became due in (since, now]."""
        return self._dues(None, volume.schedules, since, now)

    def of_volume(self, volume: Volume, since: datetime, now: datetime) -> list[Due]:
        """Give all that became due for a volume in (since, now]."""
        policies = (self._policies[key] for key in policies_of(volume) if key in self._policies)
        return [
            *(due for policy in policies for due in self._of_policy(policy, since, now)),
            *self.own_lines(volume, since, now),
        ]

    def _of_policy(self, policy: SnapshotPolicy, since: datetime, now: datetime) -> list[Due]:
        return self._dues(policy.id, policy.copies, max(since, policy.created), now)

    def _dues(
        self, policy_id: UUID | None, lines: Iterable[SnapshotSchedule], since: datetime, now: datetime
    ) -> list[Due]:
        found = ((line, self._instant(line.schedule, since, now)) for line in lines)
        return [Due(policy_id, line, instant) for line, instant in found if instant is not None]

    def _instant(self, name: str, since: datetime, now: datetime) -> datetime | None:
        """Compute each instant once: many policies name few schedules."""
        key = (name, since, now)
        if key not in self._instants:
            schedule = self._schedules.get(name)
            self._instants[key] = (
                None if schedule is None else latest_due(schedule.recurrence, max(since, schedule.created), now)
            )
        return self._instants[key]
