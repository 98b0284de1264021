"""The text of `snapshot_schedule`: policies by name, and intervals with how many snapshots stay.

Parts are joined by `;`. A part is `policy=<name>[,<name>...]`, or an interval
`<type>=<when>[,<retain>]` with `periodic=<minutes>`, `daily=[@]hh[:mm]`,
`weekly=<weekday>[@hh[:mm]]`, `monthly=<day>[@hh[:mm]]`, or a YAML list of
intervals, the form in which policies are stored.

The reference shows intervals in a form that it cannot read back. Here the text
of an interval stays as it was written.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping
from typing import Any

import msgspec

from gateway.frontends.openstorage.spec.intervals import (
    KINDS,
    Daily,
    Interval,
    Monthly,
    Periodic,
    Weekday,
    Weekly,
    check_interval,
    parse_list,
    render_flow,
)
from gateway.frontends.openstorage.spec.values import hint, invalid

FIELD = "snapshot_schedule"
TEXT_MAX = 4096
"""Longest text. A list in YAML of this length takes a few hundredths of a second."""

_POLICY = "policy="
_NAME = re.compile(r"[A-Za-z0-9_]")
_NAME_NOT = re.compile(r"[,;=]")
_TIME = re.compile(r"(?:([0-9]{1,2})(?::([0-9]{1,2}))?)?")
_NUMBER = re.compile(r"[0-9]{1,19}")


class Schedule(msgspec.Struct, frozen=True, kw_only=True):
    """What a schedule text says. Each interval says how many snapshots stay, also where the text left it open."""

    policies: tuple[str, ...] = ()
    intervals: tuple[Interval, ...] = ()


def parse_schedule(text: str, *, field: str = FIELD) -> Schedule:
    """Give what a schedule text says; InvalidArgument on `field` for one that says nothing that can be done."""
    if len(text) > TEXT_MAX:
        raise invalid(field, f"has more than {TEXT_MAX} characters")
    policies: list[str] = []
    intervals: list[Interval] = []
    for part in map(str.strip, text.split(";")):
        if part.startswith(_POLICY):
            policies += map(str.strip, part.removeprefix(_POLICY).split(","))
        elif part.startswith(("-", "[")):
            intervals += parse_list(part, field=field)
        elif part:
            intervals.append(_written(part, field))
    return Schedule(policies=_names(policies, field), intervals=tuple(intervals))


def render_schedule(schedule: Schedule) -> str:
    """Give the text that `parse_schedule` reads as this schedule, policies first."""
    return ";".join(_policies(_names(schedule.policies, FIELD)) + [_text(interval) for interval in schedule.intervals])


def apply_policies(text: str, names: Iterable[str]) -> str:
    """Give the text with these policies instead of its own, without any when there are none.

    The intervals keep their text. InvalidArgument for a text that cannot be
    read and for a name that the text cannot hold.
    """
    parse_schedule(text)
    return schedule_text(text, _names(names, "policy_names"))


def schedule_text(text: str, names: Iterable[str]) -> str:
    """Give the same to be shown, whatever the names are."""
    kept = [part for part in text.split(";") if part.strip() and not part.strip().startswith(_POLICY)]
    return ";".join(_policies(tuple(names)) + kept)


def check_policy_name(field: str, name: str) -> None:
    """Raise InvalidArgument for a name that a schedule text cannot hold."""
    _names((name,), field)


def _policies(names: tuple[str, ...]) -> list[str]:
    return [_POLICY + ",".join(names)] if names else []


def _names(names: Iterable[str], field: str) -> tuple[str, ...]:
    """Give the names without repetitions; InvalidArgument for one that the text cannot hold."""
    kept = tuple(dict.fromkeys(names))
    for name in kept:
        if not _NAME.search(name) or _NAME_NOT.search(name) or name != name.strip() or not name.isprintable():
            reason = "is no policy's name: it needs a letter, digit or underscore and has no comma, semicolon or ="
            raise invalid(field, reason, value=name)
    return kept


def _written(part: str, field: str) -> Interval:
    """Read `<type>=<when>[,<retain>]`."""
    kind, _, value = part.partition("=")
    if kind not in _WHEN:
        offered = ", ".join(f"{known}=" for known in _WHEN)
        raise invalid(field, f"a part must begin with {_POLICY}, {offered}{hint(kind, ('policy', *_WHEN))}", value=part)
    when, comma, retain = value.partition(",")
    try:
        numbers = _WHEN[kind](when)
        if comma:
            numbers["retain"] = _number(retain, "the number of snapshots to keep")
    except ValueError as error:
        raise invalid(field, str(error), value=part) from None
    return check_interval(KINDS[kind](**numbers), field=field)


def _periodic(when: str) -> dict[str, Any]:
    return {"seconds": _number(when, "the period in minutes") * 60}


def _daily(when: str) -> dict[str, Any]:
    if not when:
        raise ValueError("the time of day is missing")
    return _time(when.removeprefix("@"))


def _weekly(when: str) -> dict[str, Any]:
    if not when:
        raise ValueError("the day of the week is missing")
    day, _, time = when.partition("@")
    name = day.upper() or Weekday.SUNDAY.name
    if name not in Weekday.__members__:
        raise ValueError(f"{day[:64]!r} is no day of the week")
    return {"weekday": Weekday[name], **_time(time)}


def _monthly(when: str) -> dict[str, Any]:
    day, _, time = when.partition("@")
    return {"day": _number(day, "the day of the month") or 1, **_time(time)}


_WHEN: Mapping[str, Callable[[str], dict[str, Any]]] = {
    "periodic": _periodic,
    "daily": _daily,
    "weekly": _weekly,
    "monthly": _monthly,
}
"""Type of an interval -> what its text says of when."""


def _time(text: str) -> dict[str, Any]:
    match = _TIME.fullmatch(text)
    if match is None:
        raise ValueError(f"{text[:64]!r} is no time such as 12:30")
    return {"hour": int(match[1] or 0), "minute": int(match[2] or 0)}


def _number(text: str, what: str) -> int:
    if not _NUMBER.fullmatch(text):
        raise ValueError(f"{what} must be a whole number")
    return int(text)


def _text(interval: Interval) -> str:
    """Give one interval's part: as people write it, or as a list when its period is no whole number of minutes."""
    match interval:
        case Periodic(seconds=seconds):
            if seconds % 60:
                return render_flow(interval)
            when = str(seconds // 60)
        case Daily():
            when = _clock(interval)
        case Weekly(weekday=weekday):
            when = f"{weekday.name.title()}{_clock(interval)}"
        case Monthly(day=day):
            when = f"{day}{_clock(interval)}"
    kind = next(kind for kind, record in KINDS.items() if isinstance(interval, record))
    return f"{kind}={when},{interval.retain}"


def _clock(interval: Daily | Weekly | Monthly) -> str:
    return f"@{interval.hour:02}:{interval.minute:02}"
