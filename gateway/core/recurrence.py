"""When something is due again and again, and the last instant at which it was. All times are UTC.

A day that a month does not have is left out, as cron does: what is due on the
31st is due in seven months of a year.
"""

from __future__ import annotations

import calendar
import hashlib
from collections.abc import Iterator
from datetime import UTC, date, datetime, time, timedelta

import msgspec

from gateway.core import errors

PERIOD_MAX = 10 * 366 * 24 * 3600
"""The longest period in seconds."""

WEEKDAYS = ("sunday", "monday", "tuesday", "wednesday", "thursday", "friday", "saturday")
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_DIGEST = 12


class Periodic(msgspec.Struct, frozen=True, tag="periodic"):
    """Every so many seconds, counted from the beginning of 1970: every gateway finds the same instants."""

    seconds: int


class Daily(msgspec.Struct, frozen=True, tag="daily"):
    """Once a day."""

    hour: int
    minute: int


class Weekly(msgspec.Struct, frozen=True, tag="weekly"):
    """Once a week. `day` 0 is Sunday."""

    day: int
    hour: int
    minute: int


class Monthly(msgspec.Struct, frozen=True, tag="monthly"):
    """Once a month, on the `day`-th."""

    day: int
    hour: int
    minute: int


class Cron(msgspec.Struct, frozen=True, tag="cron"):
    """At each of these minutes of these hours of these days; empty means every one, but `minutes` must be given.

    `weekdays` 0 is Sunday. Where both days and weekdays are given a day needs
    to be one of either.
    """

    minutes: tuple[int, ...]
    hours: tuple[int, ...] = ()
    days: tuple[int, ...] = ()
    months: tuple[int, ...] = ()
    weekdays: tuple[int, ...] = ()


Recurrence = Periodic | Daily | Weekly | Monthly | Cron

_RANGES = {
    "minute": (0, 59),
    "minutes": (0, 59),
    "hour": (0, 23),
    "hours": (0, 23),
    "days": (1, 31),
    "months": (1, 12),
    "weekdays": (0, 6),
}


def checked(recurrence: Recurrence) -> Recurrence:
    """Give the recurrence, a cron's numbers in order and once each; InvalidArgument when it is never due."""
    if isinstance(recurrence, Periodic):
        _in_range("interval", recurrence.seconds, (1, PERIOD_MAX))
        return recurrence
    if not isinstance(recurrence, Cron):
        ranges = {**_RANGES, "day": (0, 6) if isinstance(recurrence, Weekly) else (1, 31)}
        for name in recurrence.__struct_fields__:
            _in_range(name, getattr(recurrence, name), ranges[name])
        return recurrence
    numbers = {name: tuple(sorted(set(getattr(recurrence, name)))) for name in recurrence.__struct_fields__}
    for name, values in numbers.items():
        for value in values:
            _in_range(f"cron.{name}", value, _RANGES[name])
    if not numbers["minutes"]:
        raise errors.InvalidArgument(field="cron.minutes", reason="at least one minute is needed")
    if numbers["days"] and not numbers["weekdays"]:
        longest = max(calendar.monthrange(2000, month)[1] for month in numbers["months"] or range(1, 13))
        if numbers["days"][0] > longest:
            raise errors.InvalidArgument(field="cron.days", reason="none of the months has such a day")
    return Cron(**numbers)


def as_cron(recurrence: Recurrence) -> Cron | None:
    """Give what is due at the same instants in the words of cron; None for a period."""
    match recurrence:
        case Daily(hour, minute):
            return Cron((minute,), (hour,))
        case Weekly(day, hour, minute):
            return Cron((minute,), (hour,), weekdays=(day,))
        case Monthly(day, hour, minute):
            return Cron((minute,), (hour,), (day,))
        case Cron():
            return recurrence
    return None


def canonical_name(recurrence: Recurrence) -> str:
    """Give the name of a schedule that is known by nothing but its content."""
    match recurrence:
        case Periodic(seconds):
            return f"periodic@{seconds}s"
        case Daily(hour, minute):
            return f"daily@{hour:02}:{minute:02}"
        case Weekly(day, hour, minute):
            return f"weekly@{WEEKDAYS[day]}-{hour:02}:{minute:02}"
        case Monthly(day, hour, minute):
            return f"monthly@{day:02}-{hour:02}:{minute:02}"
    return f"cron@{hashlib.sha256(msgspec.json.encode(recurrence)).hexdigest()[:_DIGEST]}"


def latest_due(recurrence: Recurrence, after: datetime, until: datetime) -> datetime | None:
    """Give the last instant in (after, until] at which it is due; None when there is none.

    It costs no more for a long time than for a short one, unless the days are rare.
    """
    if until <= after:
        return None
    until, after = until.astimezone(UTC), after.astimezone(UTC)
    cron = as_cron(recurrence)
    found = _latest_period(recurrence, until) if cron is None else _latest_cron(cron, after.date(), until)
    return found if found is not None and found > after else None


def _latest_period(recurrence: Recurrence, until: datetime) -> datetime:
    period = timedelta(seconds=recurrence.seconds if isinstance(recurrence, Periodic) else 1)
    return _EPOCH + (until - _EPOCH) // period * period


def _latest_cron(cron: Cron, first: date, until: datetime) -> datetime | None:
    for day in _days_back(cron, first, until.date()):
        for hour in reversed(cron.hours or range(24)):
            for minute in reversed(cron.minutes):
                instant = datetime.combine(day, time(hour, minute), UTC)
                if instant <= until:
                    return instant
    return None


def _days_back(cron: Cron, first: date, last: date) -> Iterator[date]:
    """Yield the days that the cron names, the last one first; months that it does not name cost nothing."""
    year, month = last.year, last.month
    while (year, month) >= (first.year, first.month):
        if not cron.months or month in cron.months:
            end = last.day if (year, month) == (last.year, last.month) else calendar.monthrange(year, month)[1]
            for day in range(end, 0, -1):
                if _named(cron, found := date(year, month, day)):
                    yield found
        year, month = (year, month - 1) if month > 1 else (year - 1, 12)


def _named(cron: Cron, day: date) -> bool:
    by_day, by_week = day.day in cron.days, day.isoweekday() % 7 in cron.weekdays
    if cron.days and cron.weekdays:
        return by_day or by_week
    return by_day if cron.days else by_week or not cron.weekdays


def _in_range(field: str, value: int, bounds: tuple[int, int]) -> None:
    if not bounds[0] <= value <= bounds[1]:
        raise errors.InvalidArgument(field=field, value=value, reason=f"must be {bounds[0]} to {bounds[1]}")
