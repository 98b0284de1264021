"""Filters in the syntax of LDAP: from a text to a tree, and whether a record matches. Pure.

`(name=data)`, `(name=*)`, `(name=a*b*)`, `(size>=2)`, `(size<=2)`,
`(name~=d a t a)`, `(&(..)(..))`, `(|(..)(..))`, `(!(..))`. Attributes are the
keys of a record, those of what is in it behind a dot: `fields.owner`,
`attachments.deviceName`. Names and values count in any case; numbers are
compared as such; a key that is not there is an empty text.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from typing import Any
from urllib.parse import unquote_plus

import msgspec

LENGTH_MAX = 4096
DEPTH_MAX = 32

NO_START = "filter does not start with an '()'"
NO_END = "unexpected end of filter"
NO_SENSE = "error parsing filter"
EXTRA = "finished compiling filter with extra at end"
TOO_LONG = "filter is too long"
TOO_DEEP = "filter is nested too deeply"

_TEST = re.compile(r"([^=<>~()]+)(>=|<=|~=|=)(.*)", re.DOTALL)
_BAD_ESCAPE = re.compile(r"%(?![0-9a-fA-F]{2})")
_HEX = re.compile(r"(?:\\[0-9a-fA-F]{2})+")
_NUMBER = re.compile(r"[+-]?[0-9]{1,30}(?:\.[0-9]{1,30})?")
_NOT_ALIKE = re.compile(r"[\W_]+")
_ABSENT: Mapping[str, str] = {"encrypted": "false", "size": "0", "iops": "0"}
"""What stands for keys that records leave out."""


class BadFilter(Exception):  # noqa: N818 - named by what is wrong, as in the core
    """A text that is no filter; `reason` says why."""

    def __init__(self, text: str, reason: str) -> None:
        super().__init__(reason)
        self.text = text
        self.reason = reason


class Comparison(msgspec.Struct, frozen=True):
    """A comparison by one of: =, >=, <=, ~=."""

    name: str
    op: str
    value: str


class Pattern(msgspec.Struct, frozen=True):
    """The pieces of a text between its stars; two empty ones match all that is there."""

    name: str
    pieces: tuple[str, ...]


class Not(msgspec.Struct, frozen=True):
    """What does not match."""

    part: Filter


class And(msgspec.Struct, frozen=True):
    """What matches every part; all of it if there is none."""

    parts: tuple[Filter, ...]


class Or(msgspec.Struct, frozen=True):
    """What matches a part; none of it if there is none."""

    parts: tuple[Filter, ...]


Filter = Comparison | Pattern | Not | And | Or


def parse_filter(text: str) -> Filter:
    """Read a filter, in which escapes of URLs may be left; BadFilter."""
    if len(text) > LENGTH_MAX:
        raise BadFilter(text, TOO_LONG)
    if _BAD_ESCAPE.search(text):
        raise BadFilter(text, NO_SENSE)
    plain = unquote_plus(text)
    if not plain.startswith("("):
        raise BadFilter(text, NO_START)
    try:
        found, end = _Reader(plain).group(1, DEPTH_MAX)
    except _Refused as refused:
        raise BadFilter(text, str(refused)) from None
    if end != len(plain):
        raise BadFilter(text, EXTRA)
    return found


def matches(wanted: Filter, shown: Mapping[str, Any]) -> bool:
    """Tell whether a record, as it is shown, matches."""
    texts: dict[str, list[str]] = {}
    for name, text in _texts("", shown):
        texts.setdefault(name, []).append(text)
    return _matches(wanted, texts)


def _matches(wanted: Filter, texts: Mapping[str, Sequence[str]]) -> bool:
    match wanted:
        case And(parts):
            return all(_matches(each, texts) for each in parts)
        case Or(parts):
            return any(_matches(each, texts) for each in parts)
        case Not(part):
            return not _matches(part, texts)
        case Pattern(name, pieces):
            return any(_fits(text, pieces) for text in texts.get(name, ()))
        case Comparison(name, op, value):
            return any(_compare(text, op, value) for text in texts.get(name) or [_ABSENT.get(name, "")])


class _Refused(Exception):  # noqa: N818 - named by what is wrong, as in the core
    """What cannot be read, in the words that are told."""


class _Reader:
    """The text of a filter, read from positions behind an opening parenthesis."""

    def __init__(self, text: str) -> None:
        self._text = text

    def group(self, start: int, depth: int) -> tuple[Filter, int]:
        """Read to the closing parenthesis, and give the position behind it."""
        if depth == 0:
            raise _Refused(TOO_DEEP)
        match self._at(start):
            case "&":
                parts, end = self._parts(start + 1, depth)
                return And(parts), end
            case "|":
                parts, end = self._parts(start + 1, depth)
                return Or(parts), end
            case "!":
                part, end = self._part(start + 1, depth)
                return Not(part), end
            case "(":
                return self._part(start, depth)
        end = self._text.find(")", start)
        if end < 0:
            raise _Refused(NO_END)
        return _test(self._text[start:end]), end + 1

    def _part(self, start: int, depth: int) -> tuple[Filter, int]:
        """Read one part with or without parentheses of its own, and what closes it."""
        if self._at(start) != "(":
            return self.group(start, depth - 1)
        part, end = self.group(start + 1, depth - 1)
        return part, self._closed(end)

    def _parts(self, start: int, depth: int) -> tuple[tuple[Filter, ...], int]:
        parts = []
        while self._at(start) == "(":
            part, start = self.group(start + 1, depth - 1)
            parts.append(part)
        return tuple(parts), self._closed(start)

    def _at(self, place: int) -> str:
        if place >= len(self._text):
            raise _Refused(NO_END)
        return self._text[place]

    def _closed(self, place: int) -> int:
        if self._at(place) != ")":
            raise _Refused(NO_SENSE)
        return place + 1


def _test(text: str) -> Filter:
    found = _TEST.fullmatch(text)
    if found is None or not found[1].strip():
        raise _Refused(NO_SENSE)
    name, op, value = found[1].strip().lower(), found[2], found[3]
    if op == "=" and "*" in value:
        return Pattern(name, tuple(_plain(piece).casefold() for piece in value.split("*")))
    return Comparison(name, op, _plain(value).casefold())


def _plain(text: str) -> str:
    r"""Give a text with its escapes such as `\2a` undone; a backslash before anything else is one."""
    return _HEX.sub(lambda found: bytes.fromhex(found[0].replace("\\", "")).decode("utf-8", "replace"), text)


def _texts(name: str, value: Any) -> Iterator[tuple[str, str]]:
    """Yield every text that is found in a value, with the name that leads to it."""
    if isinstance(value, Mapping):
        for key, inner in value.items():
            yield from _texts(f"{name}.{key}".removeprefix(".").lower(), inner)
    elif isinstance(value, list | tuple):
        for each in value:
            yield from _texts(name, each)
    elif isinstance(value, bool):
        yield name, "true" if value else "false"
    elif isinstance(value, str | int | float):
        yield name, str(value).casefold()


def _fits(text: str, pieces: tuple[str, ...]) -> bool:
    first, *middle, last = pieces
    if len(text) < len(first) + len(last) or not (text.startswith(first) and text.endswith(last)):
        return False
    place, end = len(first), len(text) - len(last)
    for piece in middle:
        found = text.find(piece, place, end)
        if found < 0:
            return False
        place = found + len(piece)
    return bool(text)


def _compare(text: str, op: str, value: str) -> bool:
    match op:
        case "=":
            return text == value
        case "~=":
            return _NOT_ALIKE.sub("", text) == _NOT_ALIKE.sub("", value)
    numbers = _NUMBER.fullmatch(text) and _NUMBER.fullmatch(value)
    left, right = (float(text), float(value)) if numbers else (text, value)
    return bool(left >= right if op == ">=" else left <= right)  # type: ignore[operator]
