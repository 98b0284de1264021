"""Sizes as text. Every unit is binary, as in the reference: `10GB` and `10GiB` are the same.

The reference drops a fraction, so that `1.5G` makes a volume of 1 GiB. Here it
counts, `1.5G` is 1610612736 bytes, and one that leaves no whole number of
bytes is refused.
"""

from __future__ import annotations

import re
from collections.abc import Mapping

SIZE_MAX = 2**63 - 1
GIB = 1 << 30

_SIZE = re.compile(r"([0-9]+)(?:\.([0-9]+))?[ \t]*([A-Za-z]*)")
_SCALES = {"K": 1 << 10, "M": 1 << 20, "G": GIB, "T": 1 << 40, "P": 1 << 50}
_UNITS: Mapping[str, int] = {"b": 1} | {
    word: scale
    for letter, scale in _SCALES.items()
    for word in (letter.lower(), f"{letter}b".lower(), f"{letter}i".lower(), f"{letter}ib".lower())
}
_DIGITS_MAX = 19
_FRACTION_MAX = 40


def parse_size(text: str, *, bare: int = GIB) -> int:
    """Give the bytes that a text such as `10GiB`, `1.5 T` or `10` means; ValueError says why it means none.

    `bare` is the unit of a number without one.
    """
    text = text.strip()
    match = _SIZE.fullmatch(text)
    if match is None:
        raise ValueError("is negative" if text.startswith("-") else "is not a size such as 10GiB")
    whole, fraction, unit = match[1].lstrip("0"), (match[2] or "").rstrip("0"), match[3].lower()
    if unit and unit not in _UNITS:
        raise ValueError("has an unknown unit; known are B, KiB, MiB, GiB, TiB and PiB")
    if len(whole) > _DIGITS_MAX:
        raise ValueError(f"is larger than {SIZE_MAX} bytes")
    if len(fraction) > _FRACTION_MAX:
        raise ValueError("is not a whole number of bytes")
    scale = _UNITS[unit] if unit else bare
    parts: int = 10 ** len(fraction)
    value, rest = divmod(int(f"{whole}{fraction}" or "0") * scale, parts)
    if rest:
        raise ValueError("is not a whole number of bytes")
    if value > SIZE_MAX:
        raise ValueError(f"is larger than {SIZE_MAX} bytes")
    return value


def size_text(value: int) -> str:
    """Give the shortest text that `parse_size` reads as exactly these bytes."""
    for letter, scale in reversed(_SCALES.items()):
        if value and value % scale == 0:
            return f"{value // scale}{letter}iB"
    return f"{value}B"
