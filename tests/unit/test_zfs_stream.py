"""What the head of a stream tells."""

from __future__ import annotations

import struct

import pytest

from gateway.backends.zfs.stream import HEAD_SIZE, Head, parse_head
from gateway.core.errors import InvalidArgument

MAGIC = 0x2F5BACBAC


def head(
    *,
    order: str = "<",
    record: int = 0,
    magic: int = MAGIC,
    features: int = 4,
    kind: int = 2,
    to: int = 7,
    base: int = 0,
) -> bytes:
    version = features << 2 | 1
    return struct.pack(f"{order}IIQQQIIQQ", record, 0, magic, version, 1_700_000_000, kind, 0, to, base) + b"tank/a@s"


@pytest.mark.parametrize("order", ["<", ">"])
def test_a_head_is_read_whatever_machine_wrote_it(order: str) -> None:
    assert parse_head(head(order=order)) == Head(snapshot=7, base=0, block=False, resuming=False)
    assert parse_head(head(order=order, kind=3, base=9)) == Head(snapshot=7, base=9, block=True, resuming=False)
    assert parse_head(head(order=order, features=1 << 20)).resuming


@pytest.mark.parametrize(
    "data",
    [b"", head()[: HEAD_SIZE - 1], b"x" * 400, head(magic=1), head(record=3), head(to=0)],
    ids=["nothing", "short", "noise", "magic", "record", "package of streams"],
)
def test_what_is_no_stream_is_refused(data: bytes) -> None:
    with pytest.raises(InvalidArgument):
        parse_head(data)
