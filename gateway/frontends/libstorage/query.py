"""Query parameters and what the protocol makes of their values. Pure."""

from __future__ import annotations

import re
from collections.abc import Mapping
from urllib.parse import parse_qsl

import msgspec

QueryValue = bool | int | str | tuple[str, ...]

ATTACHMENTS = 31
"""All bits of an attachments mask."""

PARAMETERS_MAX = 256
"""How many parameters count; what follows is not looked at."""

_DIGITS = re.compile(r"[+-]?[0-9]{1,19}")
_WORDS: Mapping[str, bool] = {
    **dict.fromkeys(("1", "t", "T", "TRUE", "true", "True"), True),
    **dict.fromkeys(("0", "f", "F", "FALSE", "false", "False"), False),
}
_TRUE_MASK = 15


class Query(msgspec.Struct, frozen=True):
    """Parameters by name, which counts in any case."""

    values: dict[str, QueryValue] = {}

    def has(self, name: str) -> bool:
        """Tell whether a parameter is there, whatever its value."""
        return name.lower() in self.values

    def flag(self, name: str) -> bool:
        """Give a parameter as a flag: there and not said to be off."""
        return as_flag(self.text(name)) or False

    def text(self, name: str) -> str:
        """Give a parameter as a text, "" if it is not there."""
        value = self.values.get(name.lower(), "")
        if isinstance(value, bool):
            return "true" if value else "false"
        return f"[{' '.join(value)}]" if isinstance(value, tuple) else str(value)

    def mask(self) -> int:
        """Give the attachments mask, which of all bits has those that mean something."""
        value = self.values.get("attachments", 0)
        if isinstance(value, bool):
            return _TRUE_MASK if value else 1
        return value & ATTACHMENTS if isinstance(value, int) else 0


def parse_query(text: str) -> Query:
    """Read what follows the question mark of a URL."""
    found: dict[str, list[str]] = {}
    text = "&".join(text.split("&", PARAMETERS_MAX)[:PARAMETERS_MAX])
    for name, value in parse_qsl(text, keep_blank_values=True):
        found.setdefault(name.lower(), []).append(value)
    return Query({name: tuple(values) if len(values) > 1 else _value(values[0]) for name, values in found.items()})


def as_whole(text: str) -> int | None:
    """Give the whole number of 64 bits that a text is, if it is one."""
    found = int(text) if _DIGITS.fullmatch(text) else 2**63
    return found if -(2**63) <= found < 2**63 else None


def as_flag(text: str) -> bool | None:
    """Give the flag that a text is in the words of Go, if it is one."""
    return _WORDS.get(text)


def _value(text: str) -> QueryValue:
    """Give a value as the reference converts it: nothing is true, whole numbers go before flags."""
    if not text:
        return True
    for read in (as_whole, as_flag):
        if (found := read(text)) is not None:
            return found
    return text
