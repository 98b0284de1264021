"""The source's side of a tree: what the walk asks of it, and how a directory on this host answers."""

from __future__ import annotations

import os
import stat
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Protocol

from gateway.core.errors import Unavailable
from gateway.mover.attributes import Attributes, Spot, source_attributes
from gateway.mover.batch import Way, open_folder
from gateway.mover.content import Source
from gateway.mover.failures import SOURCE, at
from gateway.mover.files import Work
from gateway.mover.others import Other
from gateway.mover.placing import Item

Unchanged = Callable[[os.stat_result, os.stat_result], bool]
"""Tells whether a file, given what it is to be and what is there, will be left alone."""


class Branch(Protocol):
    """A directory of the source, which is gone through once; each of its names, when it is its turn."""

    @property
    def names(self) -> frozenset[str]:
        """Give all names in it."""

    def next(self) -> tuple[str, os.stat_result] | None:
        """Go to the next name, and say what it is; None: there are no more."""

    def item(self) -> Item:
        """Give what it is, when it is no directory."""

    def enter(self) -> Branch:
        """Give the directory that it is. Nothing else is asked of this one until that is closed."""

    def leave_out(self) -> None:
        """Say that the directory that it is will not be entered."""

    def about(self) -> tuple[os.stat_result, Attributes]:
        """Give what is kept about this directory itself."""

    def close(self) -> None:
        """Let go of it."""


class Origin(Protocol):
    """A tree to be moved."""

    def begin(self, present: int, unchanged: Unchanged | None) -> Branch:
        """Give its root. `present`: the open root of the destination.

        `unchanged` None: no content will be asked for.
        """


class LocalOrigin:
    """An open directory."""

    def __init__(self, root: int) -> None:
        self._root = root

    def begin(self, _present: int, _unchanged: Unchanged | None) -> Branch:
        """See `Origin`."""
        return LocalBranch(os.dup(self._root), os.fstat(self._root).st_dev)


class LocalBranch:
    """See `Branch`. `device`: where all of the tree has to be."""

    def __init__(self, fd: int, device: int) -> None:
        self._fd = fd
        self._device = device
        with at(SOURCE):
            names = sorted(os.listdir(fd))
        self.names = frozenset(names)
        self._left = iter(names)
        self._spot = Spot(fd, ".")
        self._status = os.fstat(fd)

    def next(self) -> tuple[str, os.stat_result] | None:
        """See `Branch`."""
        name = next(self._left, None)
        if name is None:
            return None
        self._spot = Spot(self._fd, name)
        with at(SOURCE):
            status = self._spot.status()
        if status is None:
            raise Unavailable(what=SOURCE, reason="a part of it is gone")
        if stat.S_ISDIR(status.st_mode) and status.st_dev != self._device:
            raise Unavailable(what=SOURCE, reason="another file system is mounted in it")
        self._status = status
        return name, status

    def item(self) -> Item:
        """See `Branch`."""
        return Local(self._spot, self._status)

    def enter(self) -> Branch:
        """See `Branch`."""
        with at(SOURCE):
            return LocalBranch(open_folder(self._fd, self._spot.name), self._device)

    def leave_out(self) -> None:
        """See `Branch`."""

    def about(self) -> tuple[os.stat_result, Attributes]:
        """See `Branch`."""
        with at(SOURCE):
            return os.fstat(self._fd), source_attributes(self._fd)

    def close(self) -> None:
        """See `Branch`."""
        os.close(self._fd)


class Local:
    """A name of the source's tree that is no directory; see `gateway.mover.placing.Item`."""

    def __init__(self, source: Spot, status: os.stat_result) -> None:
        self._source = source
        self.status = status
        self.identity = (status.st_dev, status.st_ino)

    def other(self) -> Other:
        """Look at it."""
        with at(SOURCE):
            link = stat.S_ISLNK(self.status.st_mode)
            points_to = os.readlink(self._source.name, dir_fd=self._source.folder) if link else None
        return Other(self.status, points_to, source_attributes(self._source.path))

    @contextmanager
    def work(self, spot: Spot, way: Way) -> Iterator[Work]:
        """Open it."""
        with at(SOURCE):
            fd = self._source.open(os.O_RDONLY)
        try:
            with at(SOURCE):
                status = os.fstat(fd)
            if not stat.S_ISREG(status.st_mode):
                raise Unavailable(what=SOURCE, reason="somebody changes it")
            yield Work(spot, way, status, source_attributes(fd), Source(fd))
        finally:
            os.close(fd)

    def known_in(self, _present: int) -> bool:
        """Whether it is has to be found out by comparing."""
        return False
