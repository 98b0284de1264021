"""Files whose content is in its place but not proven to be on disk.

A file is marked once what was written of it has been flushed, read again and
compared: the time of its last access then is the time of the last change of
the source's file. No user can set that, so that a file of the same length,
with the same times and the mark, needs not be looked into by the next move.
Whatever lacks the mark, because a move died or because somebody read it, is
compared byte by byte.
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from typing import Self

import msgspec

from gateway.core.errors import Unavailable
from gateway.mover import kernel
from gateway.mover.attributes import Spot
from gateway.mover.content import Piece, prove
from gateway.mover.failures import DESTINATION
from gateway.mover.meter import Meter

_FILES_MAX = 4096
_BYTES_MAX = 256 * 1024 * 1024

Way = tuple[str, ...]
"""The names of the directories that lead from the root to a directory."""


class Unproven(msgspec.Struct, frozen=True, gc=False):
    """A file, and what was written of it. `mark` and `modified` are the times that it gets, in nanoseconds."""

    way: Way
    name: str
    inode: int
    mark: int
    modified: int
    pieces: Sequence[Piece]


class Batch:
    """Collects files and proves many at a time. `root` is the open directory of the destination."""

    def __init__(self, root: int, meter: Meter) -> None:
        self._root = root
        self._meter = meter
        self._files: list[Unproven] = []
        self._bytes = 0

    def add(self, file: Unproven) -> None:
        """Take a file; those that have come together are proven now and then."""
        self._files.append(file)
        self._bytes += sum(piece.length for piece in file.pieces)
        if len(self._files) >= _FILES_MAX or self._bytes >= _BYTES_MAX:
            self.prove()

    def prove(self) -> None:
        """Put everything on disk, compare what the disk says, and mark the files."""
        files, self._files, self._bytes = self._files, [], 0
        kernel.sync(self._root)
        self._meter.passed("batch.flushed")
        with Folders(self._root) as folders:
            for file in files:
                self._prove(folders, file)

    def _prove(self, folders: Folders, file: Unproven) -> None:
        fd = Spot(folders.open(file.way), file.name).open(os.O_RDONLY)
        try:
            if os.fstat(fd).st_ino != file.inode:
                raise Unavailable(what=DESTINATION, reason="somebody else changes it")
            prove(fd, file.pieces)
            os.utime(fd, ns=(file.mark, file.modified))
            self._meter.passed("batch.marked")
        finally:
            os.close(fd)


class Folders:
    """Opens directories by the way from the root, never through a symbolic link; keeps the last one open."""

    def __init__(self, root: int) -> None:
        self._root = root
        self._way: Way = ()
        self._open: int | None = None

    def __enter__(self) -> Self:
        """Give itself."""
        return self

    def __exit__(self, *_: object) -> None:
        """Close what is open."""
        self.close()

    def open(self, way: Way) -> int:
        """Give the open directory; it is closed when another one is asked for."""
        if not way:
            return self._root
        if self._open is None or way != self._way:
            self.close()
            for name in way:
                inner = open_folder(self._root if self._open is None else self._open, name)
                self.close()
                self._open = inner
            self._way = way
        return self._root if self._open is None else self._open

    def close(self) -> None:
        """Close what is open; another one can be opened."""
        self._way = ()
        if self._open is not None:
            os.close(self._open)
            self._open = None


def open_folder(folder: int, name: str) -> int:
    """Open a directory in an open directory."""
    return Spot(folder, name).open(os.O_RDONLY | os.O_DIRECTORY)
