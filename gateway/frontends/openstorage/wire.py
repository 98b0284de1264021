"""Messages as bytes, without holding the loop for long ones."""

from __future__ import annotations

import asyncio
from typing import Any

from google.protobuf.message import Message

_SLICE = 10_000
"""How many texts are encoded in one turn: some 0.5 ms."""


async def encoded(message: Message) -> bytes:
    """Give the bytes of a message, which long lists of texts are taken out of.

    These are encoded in slices, between which others have their turn: the
    bytes of parts of a message, one after the other, are those of the whole.
    """
    parts: list[bytes] = []
    for field, values in message.ListFields():
        if field.type != field.TYPE_STRING or isinstance(values, str) or len(values) <= _SLICE:
            continue
        for start in range(0, len(values), _SLICE):
            given: dict[str, Any] = {field.name: values[start : start + _SLICE]}
            parts.append(type(message)(**given).SerializeToString())
            await asyncio.sleep(0)
        message.ClearField(field.name)
    rest = message.SerializeToString()
    return b"".join((*parts, rest)) if parts else rest
