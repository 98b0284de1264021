"""Bodies as the reference writes them: two spaces, keys of maps in order, what HTML cares about escaped. Pure."""

from __future__ import annotations

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

_ENCODER = msgspec.json.Encoder(order="deterministic")


def body(value: Any) -> bytes:
    """Give the body for a record of `model`, or for anything of JSON that has such in it."""
    return indented(_ENCODER.encode(value))


def indented(text: bytes) -> bytes:
    """Give JSON as the reference lays it out."""
    result = msgspec.json.format(text, indent=2)
    for raw, escaped in _ESCAPES.items():
        if raw in result:
            result = result.replace(raw, escaped)
    return result
