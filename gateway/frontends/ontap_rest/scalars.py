"""Text to values as ONTAP reads them, in queries and in bodies alike. Failures are ValueErrors."""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Mapping
from datetime import UTC, datetime, timedelta

from gateway.frontends.ontap_rest.schema import Kind

Scalar = str | int | float | bool | datetime | timedelta

INTEGER_MAX = 2**63 - 1
"""Numbers of this protocol are signed 64-bit; a larger one is refused, never wrapped."""

_INTEGER = re.compile(r"([+-]?\d{1,40})(?:\.(\d{1,9}))?\s?([kmgtp]?)(i?b)?", re.IGNORECASE | re.ASCII)
_SCALE = {"": 1, "k": 1 << 10, "m": 1 << 20, "g": 1 << 30, "t": 1 << 40, "p": 1 << 50}


def parse_integer(text: str) -> int:
    """Give the number, with sizes such as `240MB` or `1.5g` in powers of 1024."""
    match = _INTEGER.fullmatch(text)
    if match is None:
        raise ValueError(text)
    whole, fraction, unit, _ = match.groups()
    scale = _SCALE[unit.lower()]
    value = int(whole) * scale
    if fraction is not None:
        part, rest = divmod(int(fraction) * scale, 10 ** len(fraction))
        if rest and scale == 1:
            raise ValueError(text)
        value += -part if whole.startswith("-") else part
    return value


def parse_number(text: str) -> float:
    """Give a finite number."""
    value = float(text)
    if not math.isfinite(value):
        raise ValueError(text)
    return value


def parse_boolean(text: str) -> bool:
    """Give true or false, written in letters of any case."""
    lowered = text.lower()
    if lowered not in {"true", "false"}:
        raise ValueError(text)
    return lowered == "true"


def parse_datetime(text: str) -> datetime:
    """Give an ISO 8601 time as UTC; without an offset it is meant as UTC.

    A blank before the offset is a `+` that a client did not percent-encode.
    """
    head, blank, offset = text.rpartition(" ")
    if blank and "T" in head and ":" in offset:
        text = f"{head}+{offset}"
    try:
        value = datetime.fromisoformat(text)
        return value.replace(tzinfo=UTC) if value.tzinfo is None else value.astimezone(UTC)
    except OverflowError:
        raise ValueError(text) from None


def format_datetime(value: datetime) -> str:
    """Give a time as records show it: whole seconds, with offset."""
    return value.astimezone(UTC).replace(microsecond=0).isoformat()


_TIME = r"T(?=.)(?:([0-9]{1,6})H)?(?:([0-9]{1,6})M)?(?:([0-9]{1,9})S)?"
DURATION = rf"P(?=.)(?:([0-9]{{1,6}})W)?(?:([0-9]{{1,6}})D)?(?:{_TIME})?"
"""An ISO 8601 duration without years and months, which have no fixed length."""

_SECONDS = (604_800, 86_400, 3_600, 60, 1)


def parse_duration(text: str) -> int:
    """Give an ISO 8601 duration such as `P1DT2H3M4S` in seconds."""
    match = re.fullmatch(DURATION, text, re.ASCII)
    if match is None:
        raise ValueError(text)
    return sum(int(number or 0) * unit for number, unit in zip(match.groups(), _SECONDS, strict=True))


def format_duration(seconds: int) -> str:
    """Give seconds as records show them: days, hours, minutes and seconds as far as there are any."""
    days, rest = divmod(seconds, 86_400)
    time = "".join(
        f"{number}{letter}"
        for number, letter in ((rest // 3_600, "H"), (rest // 60 % 60, "M"), (rest % 60, "S"))
        if number
    )
    return "P" + (f"{days}D" if days else "") + (f"T{time}" if time or not days else "") + ("" if seconds else "0S")


def format_hours(seconds: int) -> str:
    """Give seconds as hours, minutes and seconds, however many hours: Cinder cannot read days."""
    return "PT" + "".join(
        f"{number}{letter}"
        for number, letter in ((seconds // 3_600, "H"), (seconds // 60 % 60, "M"), (seconds % 60, "S"))
        if number or (letter == "S" and not seconds)
    )


def parse_span(text: str) -> timedelta:
    """Give an ISO 8601 duration as one that compares; the vendor's own examples write `P2DT`."""
    return timedelta(seconds=parse_duration(text.removesuffix("T")))


PARSERS: Mapping[Kind, Callable[[str], Scalar]] = {
    Kind.STRING: str,
    Kind.PASSWORD: str,
    Kind.UUID: str.lower,
    Kind.INTEGER: parse_integer,
    Kind.NUMBER: parse_number,
    Kind.BOOLEAN: parse_boolean,
    Kind.DATETIME: parse_datetime,
    Kind.DURATION: parse_span,
}

HINTS: Mapping[Kind, str] = {
    Kind.STRING: "string",
    Kind.PASSWORD: "string",
    Kind.UUID: "UUID",
    Kind.INTEGER: "integer",
    Kind.NUMBER: "number",
    Kind.BOOLEAN: "true|false",
    Kind.DATETIME: "ISO 8601 date and time",
    Kind.DURATION: "ISO 8601 duration",
}
"""What a message says a value should have been."""
