"""The bytes of two open files or devices: where they differ, and how the one gets what the other has.

Both are read in units and compared; what differs is written page by page.
Holes are neither read nor written, and pages of zeros become holes.
"""

from __future__ import annotations

import hashlib
import itertools
import os
import stat
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Protocol

import msgspec

from gateway.core.errors import Unavailable
from gateway.mover import kernel
from gateway.mover.failures import SOURCE, at
from gateway.mover.meter import Meter

UNIT = 1024 * 1024
PAGE = 4096
_PIECE_MAX = 64 * 1024 * 1024
_BYTES_MAX = 256 * 1024 * 1024
_PIECES_MAX = 64 * 1024
_ZEROS = bytes(PAGE)


Identity = tuple[int, int, int]


class Content(Protocol):
    """What is to be had. It does not change meanwhile; after its end there are zeros."""

    @property
    def length(self) -> int:
        """Give its bytes."""

    @property
    def distant(self) -> bool:
        """Tell whether it costs more to have something of it twice than to copy what is here."""

    def differences(self, present: Present, length: int) -> Iterator[Difference]:
        """Yield where the first `length` bytes are not what is present, in order."""


class Readable(Protocol):
    """What can be read here, in order; after its end there are zeros."""

    def data_from(self, offset: int) -> int | None:
        """Give where there may be something other than zeros, from an offset on; None: nowhere."""

    def read(self, offset: int, count: int) -> bytes:
        """Give so many bytes."""


class Source:
    """An open file or device as `Content`."""

    def __init__(self, fd: int) -> None:
        self._fd = fd
        self._length = length_of(fd)
        self.distant = False

    @property
    def length(self) -> int:
        """See `Content`."""
        return self._length

    def data_from(self, offset: int) -> int | None:
        """See `Readable`."""
        with at(SOURCE):
            return kernel.data_from(self._fd, offset) if offset < self._length else None

    def read(self, offset: int, count: int) -> bytes:
        """See `Readable`."""
        wanted = min(count, self._length - offset)
        with at(SOURCE):
            data = _read(self._fd, offset, wanted) if wanted > 0 else b""
        if len(data) < wanted:
            raise Unavailable(what=SOURCE, reason="a file of it became shorter")
        return data.ljust(count, b"\0")

    def differences(self, present: Present, length: int) -> Iterator[Difference]:
        """See `Content`."""
        return differences(self, present, length)

    def digest(self, offset: int, end: int) -> str:
        """See `Stored`."""
        made = checksum()
        for start in range(offset, end, UNIT):
            made.update(self.read(start, min(UNIT, end - start)))
        return made.hexdigest()


class Present:
    """What is there already, maybe nothing; after its end there are zeros."""

    def __init__(self, fd: int | None) -> None:
        self._fd = fd
        self._length = 0 if fd is None else length_of(fd)

    @property
    def identity(self) -> Identity | None:
        """Give what tells whether it is the same file, with the same content, as at another time."""
        return None if self._fd is None else identity(os.fstat(self._fd))

    def data_from(self, offset: int) -> int | None:
        """See `Readable`."""
        return None if self._fd is None or offset >= self._length else kernel.data_from(self._fd, offset)

    def read(self, offset: int, count: int) -> bytes:
        """See `Readable`."""
        if self._fd is None or offset >= self._length:
            return bytes(count)
        return _read(self._fd, offset, count).ljust(count, b"\0")


class Stored(Readable, Protocol):
    """What can be put into a store."""

    @property
    def length(self) -> int:
        """Give its bytes."""

    @property
    def distant(self) -> bool:
        """See `Content`."""

    def digest(self, offset: int, end: int) -> str:
        """Give the checksum that objects have, of a range."""


class Piece(msgspec.Struct, frozen=True, gc=False):
    """A range that was written, and the checksum of what was written there."""

    offset: int
    length: int
    digest: bytes


class Difference(msgspec.Struct, frozen=True, gc=False):
    """A range that has to be written. `data` None: zeros, which may become a hole. `copied`: it was here before."""

    offset: int
    length: int
    data: bytes | None
    copied: bool = False


class Target:
    """What gets it. Knows what was written to it since that was last proven to be there."""

    def __init__(self, fd: int, meter: Meter, *, keep_room: bool = False) -> None:
        self._fd = fd
        self._meter = meter
        self._keep_room = keep_room
        self._pieces: list[Piece] = []
        self._start = self._end = self._unproven = 0
        self._hash = checksum()

    def put(self, difference: Difference) -> None:
        """Write a range."""
        if difference.data is not None:
            self._write(difference.offset, difference.data, counted=not difference.copied)
        elif not kernel.clear(self._fd, difference.offset, difference.length, keep_room=self._keep_room):
            for start in range(difference.offset, difference.offset + difference.length, UNIT):
                zeros = bytes(min(UNIT, difference.offset + difference.length - start))
                self._write(start, zeros, counted=True)
        if self._unproven >= _BYTES_MAX or len(self._pieces) >= _PIECES_MAX:
            self.prove()

    def pieces(self) -> list[Piece]:
        """Give what is not proven yet, for somebody else to prove; from here on it is none of ours."""
        self._seal()
        pieces, self._pieces, self._unproven = self._pieces, [], 0
        return pieces

    def prove(self) -> None:
        """Put what was written on disk and compare what the disk says."""
        pieces = self.pieces()
        os.fdatasync(self._fd)
        prove(self._fd, pieces)

    def _write(self, offset: int, data: bytes, *, counted: bool) -> None:
        done, view = 0, memoryview(data)
        while done < len(data):
            part = view[done : done + self._meter.stride]
            if counted:
                self._meter.allow(len(part))
            count = os.pwrite(self._fd, part, offset + done)
            if counted:
                self._meter.moved(count)
            done += count
        if offset != self._end or self._end - self._start >= _PIECE_MAX:
            self._seal()
            self._start = self._end = offset
        self._hash.update(data)
        self._end += len(data)
        self._unproven += len(data)

    def _seal(self) -> None:
        if self._end > self._start:
            self._pieces.append(Piece(self._start, self._end - self._start, self._hash.digest()))
        self._start = self._end
        self._hash = checksum()


def differences(source: Readable, present: Present, length: int) -> Iterator[Difference]:
    """Yield where the first `length` bytes differ, in order."""
    offset = 0
    while offset < length:
        starts = [start for start in (source.data_from(offset), present.data_from(offset)) if start is not None]
        if not starts:
            return
        offset = max(offset, min(starts) // UNIT * UNIT)
        count = min(UNIT, length - offset)
        wanted, found = source.read(offset, count), present.read(offset, count)
        if wanted != found:
            yield from runs(offset, wanted, found)
        offset += count


def woven(changes: Iterable[Difference], present: Present, length: int) -> Iterator[Difference]:
    """Yield changes, in order, and between them what is present: all that a new file of some length needs."""
    end = 0
    for change in changes:
        yield from _copied(present, end, change.offset)
        yield change
        end = change.offset + change.length
    yield from _copied(present, end, length)


def _copied(present: Present, start: int, end: int) -> Iterator[Difference]:
    while start < end and (data_from := present.data_from(start)) is not None:
        start = max(start, data_from)
        count = min(UNIT, end - start)
        if count > 0:
            yield Difference(start, count, present.read(start, count), copied=True)
        start += UNIT


def prove(fd: int, pieces: Sequence[Piece]) -> None:
    """Read again what was written to a file that is on disk by now; Unavailable when something else is there."""
    kernel.forget(fd)
    for piece in pieces:
        made, end = checksum(), piece.offset + piece.length
        for offset in range(piece.offset, end, UNIT):
            made.update(_read(fd, offset, min(UNIT, end - offset)))
        if made.digest() != piece.digest:
            raise Unavailable(what="destination", reason="what was written there reads back as something else")


def identity(status: os.stat_result) -> Identity:
    """Give what changes whenever a file is another one, or changes."""
    return status.st_dev, status.st_ino, status.st_ctime_ns


def length_of(fd: int) -> int:
    """Give the bytes that a file or device has."""
    status = os.fstat(fd)
    return os.lseek(fd, 0, os.SEEK_END) if stat.S_ISBLK(status.st_mode) else status.st_size


def runs(offset: int, wanted: bytes, found: bytes) -> Iterator[Difference]:
    """Yield where two parts of the same length, at an offset, differ: pages beside each other, those of zeros apart."""
    return grouped(offset, wanted, lambda start, page: page == found[start : start + PAGE])


def grouped(offset: int, wanted: bytes, same: Callable[[int, bytes], bool]) -> Iterator[Difference]:
    """Yield the like of a part, given what tells whether the page at a place in it needs not be written."""

    def what(start: int) -> bool | None:
        page = wanted[start : start + PAGE]
        return None if same(start, page) else page == _ZEROS[: len(page)]

    for zeros, starts in itertools.groupby(range(0, len(wanted), PAGE), key=what):
        run = list(starts)
        first, end = run[0], min(run[-1] + PAGE, len(wanted))
        if zeros is not None:
            yield Difference(offset + first, end - first, None if zeros else wanted[first:end])


def _read(fd: int, offset: int, count: int) -> bytes:
    """Give so many bytes, or those up to the end."""
    data = os.pread(fd, count, offset)
    while len(data) < count:
        more = os.pread(fd, count - len(data), offset + len(data))
        if not more:
            break
        data += more
    return data


def checksum() -> hashlib.blake2b:
    """Give the checksum of ours that ranges and objects get."""
    return hashlib.blake2b(digest_size=16)
