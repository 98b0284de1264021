"""Documents of any length in user properties, each of which holds 8191 bytes and is read by every local user.

A document that fits into its property is one value: `=` and the compressed
bytes as base64. A longer one is cut into parts under names of one of two sets,
and the property says which: `a 3` means `<property>.a0` to `.a2`. Replacing it
writes the other set first and turns the property last. That one value is the
commit: `zfs set` of many values is one transaction only as long as none fails,
and after a failure the kernel sets them one by one.
"""

from __future__ import annotations

import base64
import binascii
import zlib
from collections.abc import Mapping

import msgspec

VALUE_MAX = 8191
SETS = ("a", "b")
_INLINE = "="


class Stored(msgspec.Struct, frozen=True, kw_only=True):
    """A document as properties. `parts` go first, `head` is the value that makes them count."""

    head: str
    parts: Mapping[str, str] = {}


def store(name: str, document: bytes, present: str | None = None) -> Stored:
    """Give the values that keep a document in property `name`, of which the value is `present` now."""
    text = base64.urlsafe_b64encode(zlib.compress(document, 1)).decode()
    if len(text) < VALUE_MAX:
        return Stored(head=_INLINE + text)
    chosen = SETS[0] if present is None or not present.startswith(SETS[0]) else SETS[1]
    pieces = [text[start : start + VALUE_MAX] for start in range(0, len(text), VALUE_MAX)]
    return Stored(
        head=f"{chosen} {len(pieces)}",
        parts={f"{name}.{chosen}{number}": piece for number, piece in enumerate(pieces)},
    )


def part_names(name: str, head: str) -> tuple[str, ...]:
    """Give the names of the parts that a value refers to; none for a document that is its own value."""
    chosen, _, count = head.partition(" ")
    if chosen not in SETS or not count.isdecimal():
        return ()
    return tuple(f"{name}.{chosen}{number}" for number in range(int(count)))


def load(name: str, head: str, parts: Mapping[str, str]) -> bytes | None:
    """Give the document; None when the value is none of ours or a part is missing or damaged."""
    names = part_names(name, head)
    if not head.startswith(_INLINE) and not names:
        return None
    text = "".join(parts.get(part, "") for part in names) if names else head.removeprefix(_INLINE)
    try:
        return zlib.decompress(base64.urlsafe_b64decode(text))
    except (ValueError, binascii.Error, zlib.error):
        return None
