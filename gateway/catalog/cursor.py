"""The opaque text that continues a page: the order values of its last row.

It holds all it needs, so any process that shares the catalog can continue,
also after a restart.
"""

from __future__ import annotations

import base64
import zlib
from collections.abc import Mapping, Sequence
from typing import Any

import msgspec

from gateway.catalog.compile import PagePlan
from gateway.catalog.tables import SqlValue, Type
from gateway.core.errors import InvalidArgument

_INT64 = 1 << 63
_STORED: Mapping[Type, type] = {Type.ID: bytes, Type.TEXT: str, Type.INTEGER: int, Type.BOOL: int, Type.TIME: int}

_decoder = msgspec.msgpack.Decoder(tuple[int, list[Any]])


def encode_cursor(plan: PagePlan, values: Sequence[SqlValue]) -> str:
    """Give the text for the row with these order values."""
    packed = msgspec.msgpack.encode((_signature(plan), list(values)))
    return base64.urlsafe_b64encode(packed).rstrip(b"=").decode()


def decode_cursor(plan: PagePlan, text: str) -> tuple[SqlValue, ...]:
    """Give the order values back; text that this order did not make raises InvalidArgument."""
    try:
        packed = base64.b64decode(text + "=" * (-len(text) % 4), altchars=b"-_", validate=True)
        signature, values = _decoder.decode(packed)
    except (ValueError, msgspec.MsgspecError):
        raise _refusal(text) from None
    if signature != _signature(plan) or len(values) != len(plan.keys):
        raise _refusal(text)
    for key, value in zip(plan.keys, values, strict=True):
        if not isinstance(value, _STORED[key.type] | None) or (
            isinstance(value, int) and not -_INT64 <= value < _INT64
        ):
            raise _refusal(text)
    return tuple(values)


def _signature(plan: PagePlan) -> int:
    order = ",".join(f"{key.name}{'-' if key.descending else '+'}" for key in plan.keys)
    return zlib.crc32(f"{plan.table.kind}:{order}".encode())


def _refusal(text: str) -> InvalidArgument:
    return InvalidArgument(field="after", value=text[:100], reason="is not a cursor of this order")
