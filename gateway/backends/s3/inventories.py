"""Inventories: what there was when a snapshot was taken, as immutable documents that are never held as a whole.

An inventory is a gzip file of JSON lines in order of keys, made of members of
a thousand lines each, so that one key is found by reading one member. The
last line but none says where each member begins; a last, empty member has as
its extra field where that line's member begins.
"""

from __future__ import annotations

import bisect
import gzip
import struct
import tempfile
import zlib
from collections.abc import Iterable, Iterator
from datetime import datetime
from uuid import UUID

import msgspec

from gateway.backends.s3.bucket import Bucket
from gateway.backends.s3.layout import Layout
from gateway.core.errors import Unavailable

BLOCK = 1000
"""Entries of one member."""
_IN_MEMORY = 8 << 20
_TAIL = 64 << 10
_READ = 1 << 20
_LEVEL = 1
_KEPT = 64
_FOOT = struct.Struct("<4sIBBHBBHQ")
_HEAD = (b"\x1f\x8b\x08\x04", 0, 0, 255, 12, ord("G"), ord("W"), 8)
_EMPTY = b"\x03\x00" + bytes(8)
_FOOT_SIZE = _FOOT.size + len(_EMPTY)


class Entry(msgspec.Struct, frozen=True, array_like=True, gc=False):
    """An object: `version` of `key` below the volume `owner`."""

    key: str
    owner: UUID
    version: str
    size: int
    etag: str
    modified: datetime


class Index(msgspec.Struct, frozen=True):
    """The first key of each member and where it begins; how many entries of how many bytes there are."""

    keys: tuple[str, ...]
    offsets: tuple[int, ...]
    count: int
    size: int


_decoder = msgspec.json.Decoder(Entry)
_encoder = msgspec.json.Encoder()


class Inventories:
    """The inventories of a pool."""

    def __init__(self, pool: str, control: Bucket, layout: Layout) -> None:
        self._pool = pool
        self._control = control
        self._layout = layout
        self._indexes: dict[UUID, Index] = {}

    def write(self, snapshot: UUID, entries: Iterable[Entry]) -> Index:
        """Keep an inventory. Entries come in order of keys, and go through memory a block at a time."""
        keys: list[str] = []
        offsets: list[int] = []
        count = size = 0
        with tempfile.SpooledTemporaryFile(_IN_MEMORY) as file:
            for block in _blocks(entries):
                keys.append(block[0].key)
                offsets.append(file.tell())
                count += len(block)
                size += sum(entry.size for entry in block)
                file.write(_member(_encoder.encode_lines(block)))
            begin = file.tell()
            index = Index(tuple(keys), (*offsets, begin), count, size)
            file.write(_member(_encoder.encode(index) + b"\n"))
            file.write(_FOOT.pack(*_HEAD, begin) + _EMPTY)
            file.seek(0)
            self._control.put(self._layout.inventory(snapshot), file)
        return index

    def remove(self, snapshot: UUID) -> None:
        """Remove an inventory. Nothing there: succeeds."""
        self._control.delete(self._layout.inventory(snapshot))
        self._indexes.pop(snapshot, None)

    def exists(self, snapshot: UUID) -> bool:
        """Tell whether there is an inventory."""
        return self._known(snapshot) is not None

    def entries(self, snapshot: UUID, *, start: str = "") -> Iterator[Entry]:
        """Yield the entries from the key `start` on, in order."""
        index = self._index(snapshot)
        first = max(0, bisect.bisect_right(index.keys, start) - 1)
        while first < len(index.keys):
            last = first + 1
            while last < len(index.keys) and index.offsets[last + 1] - index.offsets[first] <= _READ:
                last += 1
            for entry in self._read(snapshot, index.offsets[first], index.offsets[last]):
                if entry.key >= start:
                    yield entry
            first = last

    def find(self, snapshot: UUID, key: str) -> Entry | None:
        """Give the entry of a key, or None."""
        index = self._index(snapshot)
        at = bisect.bisect_right(index.keys, key) - 1
        if at < 0:
            return None
        found = self._read(snapshot, index.offsets[at], index.offsets[at + 1])
        return next((entry for entry in found if entry.key == key), None)

    def _index(self, snapshot: UUID) -> Index:
        known = self._known(snapshot)
        if known is None:
            raise self._damaged()
        return known

    def _known(self, snapshot: UUID) -> Index | None:
        """Give where everything is in an inventory; None when that is not there."""
        known = self._indexes.get(snapshot) or self._read_index(snapshot)
        if known is not None:
            # Threads may do this at once: what one of them forgets is read again.
            for oldest in list(self._indexes)[: max(0, len(self._indexes) - _KEPT)]:
                self._indexes.pop(oldest, None)
            self._indexes[snapshot] = known
        return known

    def _read_index(self, snapshot: UUID) -> Index | None:
        key = self._layout.inventory(snapshot)
        found = self._control.get_range(key, f"-{_TAIL}")
        if found is None:
            return None
        tail, total = found
        begin = self._foot(tail[-_FOOT_SIZE:])
        if total - begin > len(tail):
            tail, _ = self._there(self._control.get_range(key, f"{begin}-"))
        document = tail[len(tail) - (total - begin) :]
        return msgspec.json.decode(self._plain(document), type=Index)

    def _read(self, snapshot: UUID, begin: int, end: int) -> list[Entry]:
        data, _ = self._there(self._control.get_range(self._layout.inventory(snapshot), f"{begin}-{end - 1}"))
        return _decoder.decode_lines(self._plain(data))

    def _foot(self, data: bytes) -> int:
        if len(data) < _FOOT_SIZE or data[: len(_HEAD[0])] != _HEAD[0]:
            raise self._damaged()
        return int(_FOOT.unpack_from(data)[-1])

    def _plain(self, data: bytes) -> bytes:
        try:
            return gzip.decompress(data)
        except (zlib.error, EOFError, gzip.BadGzipFile):
            raise self._damaged() from None

    def _there(self, found: tuple[bytes, int] | None) -> tuple[bytes, int]:
        if found is None:
            raise self._damaged()
        return found

    def _damaged(self) -> Unavailable:
        return Unavailable(what=self._pool, reason="an inventory is damaged or missing")


def _blocks(entries: Iterable[Entry]) -> Iterator[list[Entry]]:
    block: list[Entry] = []
    for entry in entries:
        block.append(entry)
        if len(block) == BLOCK:
            yield block
            block = []
    if block:
        yield block


def _member(plain: bytes) -> bytes:
    return gzip.compress(plain, _LEVEL, mtime=0)
