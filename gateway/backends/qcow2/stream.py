"""What replication carries: the bytes of a snapshot, or those that differ from another one, run by run.

    magic, length of the head, head (MessagePack: size, lineage, base)
    runs: start, length, kind; for data, the bytes follow
    the end: a run of the kind END, then the SHA-256 of all before it

The layers are the record of what changed: a run is sent when a layer above the
base has it. No bitmap has to be kept, or can be lost.
"""

from __future__ import annotations

import hashlib
import struct
from collections.abc import Iterator, Sequence
from uuid import UUID

import msgspec

from gateway.backends.qcow2.images import Extent
from gateway.core.errors import GatewayError, InvalidArgument

MAGIC = b"gwqcow2\x01"
DATA, ZERO, END = 0, 1, 2
CHUNK = 1024 * 1024
HEAD_MAX = 64 * 1024
LENGTH = struct.Struct("<I")
RUN = struct.Struct("<QIB")


class Head(msgspec.Struct, frozen=True):
    """What a stream says first. `base`: the lineage of the snapshot that it is the difference from."""

    size: int
    lineage: UUID
    base: UUID | None


class Run(msgspec.Struct, frozen=True):
    """Bytes at a place; `data` None: zeros."""

    start: int
    length: int
    data: bytes | None


def encode_head(head: Head) -> bytes:
    """Give the beginning of a stream."""
    body = msgspec.msgpack.encode(head)
    return MAGIC + LENGTH.pack(len(body)) + body


def encode_run(run: Run) -> bytes:
    """Give a run as it is sent."""
    kind = ZERO if run.data is None else DATA
    return RUN.pack(run.start, run.length, kind) + (run.data or b"")


class Decoder:
    """Takes a stream in parts of any size."""

    def __init__(self) -> None:
        self._part = b""
        self._digest = hashlib.sha256()
        self.head: Head | None = None
        self.whole = False

    def take(self, part: bytes) -> Iterator[Run]:
        """Yield the runs that are complete with this part; InvalidArgument when it is no stream of ours."""
        self._part += part
        if self.head is None and not self._take_head():
            return
        while not self.whole and len(self._part) >= RUN.size:
            start, length, kind = RUN.unpack_from(self._part)
            if kind == END:
                self._take_end()
                return
            if kind not in {DATA, ZERO} or length > CHUNK:
                raise broken_stream()
            size = RUN.size + (length if kind == DATA else 0)
            if len(self._part) < size:
                return
            data = self._part[RUN.size : size] if kind == DATA else None
            self._advance(size)
            yield Run(start, length, data)

    def _take_head(self) -> bool:
        if self._part[: len(MAGIC)] != MAGIC[: len(self._part)]:
            raise broken_stream()
        begin = len(MAGIC) + LENGTH.size
        if len(self._part) < begin:
            return False
        (length,) = LENGTH.unpack_from(self._part, len(MAGIC))
        if length > HEAD_MAX:
            raise broken_stream()
        if len(self._part) < begin + length:
            return False
        try:
            self.head = msgspec.msgpack.decode(self._part[begin : begin + length], type=Head)
        except msgspec.DecodeError as error:
            raise broken_stream() from error
        self._advance(begin + length)
        return True

    def _take_end(self) -> None:
        size = RUN.size + hashlib.sha256().digest_size
        if len(self._part) < size:
            return
        digest = self._part[RUN.size : size]
        self._advance(RUN.size)
        if digest != self._digest.digest() or len(self._part) != len(digest):
            raise broken_stream()
        self.whole = True

    def _advance(self, size: int) -> None:
        self._digest.update(self._part[:size])
        self._part = self._part[size:]


def broken_stream() -> GatewayError:
    """Give the error of a stream that is damaged, cut short or no stream at all."""
    return InvalidArgument(field="stream", reason="broken or cut short")


# --- which runs ---


def changed(extents: Sequence[Extent], above: int) -> list[tuple[int, int]]:
    """Give the runs (begin, end) that the first `above` layers of a chain have, in order."""
    return [(each.start, each.start + each.length) for each in extents if each.present and each.depth < above]


def union(runs: Sequence[tuple[int, int]]) -> list[tuple[int, int]]:
    """Give the runs that cover what any of these cover, in order and apart."""
    joined: list[tuple[int, int]] = []
    for begin, end in sorted(runs):
        if joined and begin <= joined[-1][1]:
            joined[-1] = (joined[-1][0], max(end, joined[-1][1]))
        else:
            joined.append((begin, end))
    return joined


def pieces(extents: Sequence[Extent], runs: Sequence[tuple[int, int]]) -> Iterator[Extent]:
    """Yield what of the extents lies in the runs, in pieces of at most `CHUNK` bytes."""
    position = 0
    for begin, end in runs:
        while position < len(extents) and extents[position].start + extents[position].length <= begin:
            position += 1
        for extent in extents[position:]:
            if extent.start >= end:
                break
            yield from _cut(extent, max(begin, extent.start), min(end, extent.start + extent.length))


def _cut(extent: Extent, begin: int, end: int) -> Iterator[Extent]:
    for start in range(begin, end, CHUNK):
        offset = None if extent.offset is None else extent.offset + start - extent.start
        yield msgspec.structs.replace(extent, start=start, length=min(CHUNK, end - start), offset=offset)
