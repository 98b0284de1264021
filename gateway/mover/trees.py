"""Directory trees: both are walked together, in the order of their names, one directory at a time.

Nothing is ever reached through a symbolic link: every step is from an open
directory to a name in it. What the source does not have goes first, so that
its room can be used. A move that died is repeated from the start, and moves
what still differs.
"""

from __future__ import annotations

import os
import stat
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager

from gateway.core.errors import OutOfSpace, Unavailable
from gateway.mover.attributes import Spot, source_attributes
from gateway.mover.batch import Way, open_folder
from gateway.mover.content import Source
from gateway.mover.failures import DESTINATION, SOURCE, at
from gateway.mover.files import Work
from gateway.mover.locks import alone
from gateway.mover.meter import Meter
from gateway.mover.others import Other
from gateway.mover.placing import Placer, finish_folder, remove


def move_tree(source_path: str, path: str, meter: Meter, *, full: bool) -> None:
    """Make a directory equal to another one, with all that is in it. `full`: trust no times."""
    flags = os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC
    with ExitStack() as stack:
        with at(SOURCE):
            source = os.open(source_path, flags)
        stack.callback(os.close, source)
        stack.enter_context(at(DESTINATION))
        root = os.open(path, flags)
        stack.callback(os.close, root)
        stack.enter_context(alone(root))
        try:
            with at(DESTINATION):
                _Walk(source, root, meter, full=full).run()
        except OutOfSpace:
            # What is to go may lie where the walk did not come yet.
            if not _Walk(source, root, meter, full=full).prune():
                raise
            _Walk(source, root, meter, full=full).run()


class _Frame:
    """A directory of both sides, and which of its names are still to come."""

    def __init__(self, source: int, target: int, way: Way) -> None:
        self.source = source
        self.target = target
        self.way = way
        with at(SOURCE):
            names = sorted(os.listdir(source))
        self.all = frozenset(names)
        self.left: Iterator[str] = iter(names)

    def close(self) -> None:
        """Close both."""
        os.close(self.source)
        os.close(self.target)


class _Walk:
    def __init__(self, source: int, root: int, meter: Meter, *, full: bool) -> None:
        self._source = source
        self._root = root
        self._meter = meter
        self._device = os.fstat(source).st_dev
        self._placer = Placer(root, meter, full=full)
        self._removed = 0

    def run(self) -> None:
        """Make the trees equal, durably."""
        self._walk(only_prune=False)
        self._placer.finish()

    def prune(self) -> bool:
        """Remove what the source does not have; tell whether anything was there."""
        self._walk(only_prune=True)
        return self._removed > 0

    def _walk(self, *, only_prune: bool) -> None:
        stack: list[_Frame] = []
        try:
            stack.append(self._enter(_Frame(os.dup(self._source), os.dup(self._root), ())))
            while stack:
                frame = stack[-1]
                name = next(frame.left, None)
                if name is None:
                    if not only_prune:
                        _finish(frame)
                        self._meter.passed("tree.finished")
                    stack.pop().close()
                    continue
                inner = self._visit(frame, name, only_prune=only_prune)
                if inner is not None:
                    stack.append(self._enter(inner))
        finally:
            for frame in stack:
                frame.close()

    def _enter(self, frame: _Frame) -> _Frame:
        with os.scandir(frame.target) as entries:
            surplus = [entry.name for entry in entries if entry.name not in frame.all]
        for name in surplus:
            remove(frame.target, name)
            self._meter.passed("tree.removed")
        self._removed += len(surplus)
        return frame

    def _visit(self, frame: _Frame, name: str, *, only_prune: bool) -> _Frame | None:
        """Deal with a name; give the directory that it is."""
        source, spot = Spot(frame.source, name), Spot(frame.target, name)
        with at(SOURCE):
            wanted = source.status()
        if wanted is None:
            raise Unavailable(what=SOURCE, reason="a part of it is gone")
        found = spot.status()
        if found is not None and stat.S_ISDIR(found.st_mode) != stat.S_ISDIR(wanted.st_mode):
            remove(frame.target, name)
            self._removed += 1
            found = None
        if stat.S_ISDIR(wanted.st_mode):
            return None if only_prune and found is None else self._descend(frame, name, wanted, found)
        if not only_prune:
            self._placer.put(spot, frame.way, found, Local(source, wanted))
        return None

    def _descend(self, frame: _Frame, name: str, wanted: os.stat_result, found: os.stat_result | None) -> _Frame:
        if wanted.st_dev != self._device:
            raise Unavailable(what=SOURCE, reason="another file system is mounted in it")
        if found is None:
            os.mkdir(name, 0o700, dir_fd=frame.target)
            self._meter.passed("tree.made")
        with at(SOURCE):
            source = open_folder(frame.source, name)
        try:
            target = open_folder(frame.target, name)
        except OSError:
            os.close(source)
            raise
        return _Frame(source, target, (*frame.way, name))


def _finish(frame: _Frame) -> None:
    """Give a directory, in which nothing more will be done, what is kept about it."""
    with at(SOURCE):
        wanted = os.fstat(frame.source)
    finish_folder(frame.target, wanted, source_attributes(frame.source))


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
