"""When snapshots are taken and how many stay, and the YAML list in which policies keep that."""

from __future__ import annotations

import enum
from collections.abc import Iterable, Mapping
from typing import Any

import msgspec

from gateway.frontends.openstorage.spec.values import hint, invalid
from gateway.frontends.openstorage.spec.yaml_text import load_yaml

RETAIN_MAX = 2**32 - 1
PERIOD_MAX_S = 2**63 // 10**9
"""Longest period in seconds: it is kept in nanoseconds as a signed number of 64 bits."""

MONTH_DAY_MAX = 31
POLICY_DAY_MAX = 28
"""Last day of the month that a schedule policy may name; a schedule text may name any."""


class Weekday(enum.IntEnum):
    """Days as the wire counts them."""

    SUNDAY = 0
    MONDAY = 1
    TUESDAY = 2
    WEDNESDAY = 3
    THURSDAY = 4
    FRIDAY = 5
    SATURDAY = 6


class Periodic(msgspec.Struct, frozen=True, kw_only=True, tag="periodic"):
    """A snapshot every `seconds`."""

    seconds: int
    retain: int = 5


class Daily(msgspec.Struct, frozen=True, kw_only=True, tag="daily"):
    """A snapshot a day."""

    hour: int = 0
    minute: int = 0
    retain: int = 7


class Weekly(msgspec.Struct, frozen=True, kw_only=True, tag="weekly"):
    """A snapshot a week."""

    weekday: Weekday = Weekday.SUNDAY
    hour: int = 0
    minute: int = 0
    retain: int = 5


class Monthly(msgspec.Struct, frozen=True, kw_only=True, tag="monthly"):
    """A snapshot a month. A month without `day` has its last day instead."""

    day: int = 1
    hour: int = 0
    minute: int = 0
    retain: int = 12


Interval = Periodic | Daily | Weekly | Monthly

KINDS: Mapping[str, type[Interval]] = {
    "periodic": Periodic,
    "daily": Daily,
    "weekly": Weekly,
    "monthly": Monthly,
}
"""Type of an interval, as texts name it -> its record."""

_KEYS: Mapping[str, tuple[str, ...]] = {
    "periodic": ("period", "retain"),
    "daily": ("hour", "minute", "retain"),
    "weekly": ("weekday", "hour", "minute", "retain"),
    "monthly": ("day", "hour", "minute", "retain"),
}
_RANGES: Mapping[str, tuple[int, int]] = {
    "retain": (1, RETAIN_MAX),
    "seconds": (1, PERIOD_MAX_S),
    "hour": (0, 23),
    "minute": (0, 59),
    "weekday": (0, 6),
    "day": (1, MONTH_DAY_MAX),
}
_NANOSECONDS = 10**9


def check_interval(interval: Interval, *, field: str, day_max: int = MONTH_DAY_MAX) -> Interval:
    """Give the interval back; InvalidArgument on `field` when one of its numbers is out of range."""
    for name in interval.__struct_fields__:
        least, most = _RANGES[name]
        if name == "day":
            most = day_max
        if not least <= getattr(interval, name) <= most:
            raise invalid(field, f"{name} must be {least} to {most}")
    return interval


def parse_list(text: str, *, field: str) -> tuple[Interval, ...]:
    """Give the intervals of a YAML list; InvalidArgument on `field`, Unsupported where PyYAML is not installed."""
    items = load_yaml(text, field=field)
    if not isinstance(items, list) or not all(isinstance(item, dict) for item in items):
        raise invalid(field, "is not a list of intervals")
    return tuple(_interval(item, field) for item in items)


def render_list(intervals: Iterable[Interval]) -> str:
    """Give the intervals as a YAML list, the form in which policies are stored; `parse_list` reads it."""
    return "".join(f"- {line}\n" if key == "freq" else f"  {line}\n" for key, line in _lines(intervals))


def render_flow(interval: Interval) -> str:
    """Give a YAML list of one interval in one line."""
    return f"[{{{', '.join(line for _, line in _lines([interval]))}}}]"


def _interval(item: Mapping[Any, Any], field: str) -> Interval:
    kind = item.get("freq")
    if not isinstance(kind, str) or kind not in KINDS:
        raise invalid(field, f"freq must be one of {', '.join(KINDS)}")
    for key in item:
        if key not in ("freq", *_KEYS[kind]):
            raise invalid(field, f"{kind} does not know the key {str(key)[:64]!r}{hint(str(key), _KEYS[kind])}")
    numbers = {key: _number(item[key], key, field) for key in _KEYS[kind] if key in item}
    if kind == "periodic":
        numbers["seconds"], rest = divmod(numbers.pop("period", 0), _NANOSECONDS)
        if rest:
            raise invalid(field, "period is in nanoseconds and must be whole seconds")
    # The reference leaves zeros out and takes them for its defaults.
    kept: dict[str, Any] = {key: number for key, number in numbers.items() if number or key not in {"day", "retain"}}
    interval = check_interval(KINDS[kind](**kept), field=field)
    if isinstance(interval, Weekly):
        return msgspec.structs.replace(interval, weekday=Weekday(interval.weekday))
    return interval


def _number(value: object, key: str, field: str) -> int:
    if not isinstance(value, int) or isinstance(value, bool):
        raise invalid(field, f"{key} must be a whole number")
    return value


def _lines(intervals: Iterable[Interval]) -> Iterable[tuple[str, str]]:
    for interval in intervals:
        kind = next(kind for kind, record in KINDS.items() if isinstance(interval, record))
        values = {name: int(getattr(interval, name)) for name in interval.__struct_fields__}
        if "seconds" in values:
            values["period"] = values["seconds"] * _NANOSECONDS
        yield "freq", f"freq: {kind}"
        yield from ((key, f"{key}: {values[key]}") for key in _KEYS[kind])
