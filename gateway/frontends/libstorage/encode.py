"""Bodies as the reference writes them: two spaces, keys of maps in order, what HTML cares about escaped. Pure."""

from __future__ import annotations

import asyncio
import itertools
from collections.abc import Mapping
from typing import Any

import msgspec

JSON = "application/json"
TEXT = "text/plain; charset=utf-8"

NOT_FOUND = b"404 page not found\n"
"""The answer, a text, where nothing is routed to."""

_ESCAPES: Mapping[bytes, bytes] = {
    b"<": b"\\u003c",
    b">": b"\\u003e",
    b"&": b"\\u0026",
    "\u2028".encode(): b"\\u2028",
    "\u2029".encode(): b"\\u2029",
}
"""What Go escapes in strings; none of it can be outside of a string."""

_AT_ONCE = 100
_ENCODER = msgspec.json.Encoder(order="deterministic")


def body(value: Any) -> bytes:
    """Give the body for a record of `model`, or for anything of JSON that has such in it."""
    return indented(_ENCODER.encode(value))


async def body_of_many(records: Mapping[str, Any]) -> bytes:
    """Give the same for a map of many records, in slices, so that it holds the loop for no longer than one takes."""
    parts = []
    ordered = iter(sorted(records))
    while part := {key: records[key] for key in itertools.islice(ordered, _AT_ONCE)}:
        parts.append(body(part).removeprefix(b"{\n").removesuffix(b"\n}"))
        if len(records) > _AT_ONCE:
            await asyncio.sleep(0)
    return b"{\n" + b",\n".join(parts) + b"\n}" if parts else b"{}"


def indented(text: bytes) -> bytes:
    """Give JSON as the reference lays it out."""
    result = msgspec.json.format(text, indent=2)
    for raw, escaped in _ESCAPES.items():
        if raw in result:
            result = result.replace(raw, escaped)
    return result
