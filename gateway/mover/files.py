"""Regular files: how one in the destination gets the content and the attributes of one in the source.

The new content is made under another name and takes the place of the old in
one step. Where files can share blocks it begins as a copy of the old that
costs nothing, so that only what differs is written. Where they cannot, a large
file is changed in place: to copy it first would cost what moving differences
is to save. Whoever dies in that leaves a file without its mark (see
`gateway.mover.batch`), which the next move compares.
"""

from __future__ import annotations

import itertools
import os
from collections.abc import Iterable

import msgspec

from gateway.mover import kernel
from gateway.mover.attributes import (
    UNPROVEN,
    Attributes,
    Spot,
    alike,
    attributes_of,
    drafted,
    dress,
)
from gateway.mover.batch import Batch, Unproven, Way
from gateway.mover.content import Content, Difference, Piece, Present, Target, woven
from gateway.mover.meter import Meter

_SHARED_MIN = 64 * 1024
_IN_PLACE_MIN = 16 * 1024 * 1024


class Work(msgspec.Struct, frozen=True):
    """One file: where it is to be, and what it is to be."""

    spot: Spot
    way: Way
    status: os.stat_result
    attributes: Attributes
    content: Content


class Files:
    """Puts regular files into the destination.

    full: nothing is taken to be equal because of its times.
    """

    def __init__(self, batch: Batch, meter: Meter, *, full: bool) -> None:
        self._batch = batch
        self._meter = meter
        self._full = full
        self._shares = True

    def unchanged(self, wanted: os.stat_result, found: os.stat_result) -> bool:
        """Tell whether a file need not be looked into."""
        times = (wanted.st_size, wanted.st_mtime_ns, wanted.st_ctime_ns)
        return (
            not self._full and alike(wanted, found) and times == (found.st_size, found.st_mtime_ns, found.st_atime_ns)
        )

    def make(self, work: Work) -> None:
        """Put a file there, whatever was there."""
        with drafted(work.spot) as (name, fd):
            self._finish(work, fd, work.content.differences(Present(None), work.content.length), name)

    def update(self, work: Work, old: int) -> None:
        """Make the file that is there, and open, equal to what it is to be."""
        found, length = os.fstat(old), work.content.length
        changes = work.content.differences(Present(old), length)
        first = next(changes, None)
        if first is None and found.st_size == length:
            self.keep(work, old)
            return
        rest = itertools.chain(() if first is None else (first,), changes)
        if length >= _SHARED_MIN and self._shares:
            with drafted(work.spot) as (name, fd):
                self._shares = kernel.share(old, fd)
                if self._shares:
                    self._finish(work, fd, rest, name)
                    return
        if length >= _IN_PLACE_MIN and found.st_nlink == 1:
            fd = work.spot.open(os.O_RDWR)
            try:
                self._finish(work, fd, rest)
            finally:
                os.close(fd)
        elif work.content.distant:
            with drafted(work.spot) as (name, fd):
                self._finish(work, fd, woven(rest, Present(old), length), name)
        else:
            self.make(work)

    def keep(self, work: Work, old: int) -> None:
        """Leave the content of the file that is there, and open, alone: it is the same."""
        if not alike(work.status, os.fstat(old)) or attributes_of(old) != work.attributes:
            dress(old, work.status, work.attributes)
            self._meter.file()
        self._hand_over(work, old, ())

    def _finish(self, work: Work, fd: int, changes: Iterable[Difference], draft: str = "") -> None:
        """Write what differs, give it everything else, and put it into its place if it is not there yet."""
        target = Target(fd, self._meter)
        self._meter.passed("file.begun")
        for change in changes:
            target.put(change)
        os.ftruncate(fd, work.content.length)
        self._meter.passed("file.written")
        dress(fd, work.status, work.attributes)
        os.utime(fd, ns=(UNPROVEN, work.status.st_mtime_ns))
        self._meter.passed("file.dressed")
        if draft:
            work.spot.take(draft)
        self._meter.passed("file.placed")
        self._meter.file()
        self._hand_over(work, fd, target.pieces())

    def _hand_over(self, work: Work, fd: int, pieces: Iterable[Piece]) -> None:
        self._batch.add(
            Unproven(
                way=work.way,
                name=work.spot.name,
                inode=os.fstat(fd).st_ino,
                mark=work.status.st_ctime_ns,
                modified=work.status.st_mtime_ns,
                pieces=tuple(pieces),
            )
        )
