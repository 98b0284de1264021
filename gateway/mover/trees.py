"""Directory trees: both are walked together, in the order of their names, one directory at a time.

Nothing is ever reached through a symbolic link: every step is from an open
directory to a name in it. What the source does not have goes first, so that
its room can be used. A move that died is repeated from the start, and moves
what still differs.
"""

from __future__ import annotations

import os
import stat
from collections.abc import Collection, Iterator
from contextlib import ExitStack, suppress

from gateway.core.errors import OutOfSpace, Unavailable
from gateway.mover import kernel
from gateway.mover.attributes import Spot, draft_name, dress, source_attributes
from gateway.mover.batch import Batch, Folders, Way, open_folder
from gateway.mover.failures import DESTINATION, SOURCE, at
from gateway.mover.files import Files
from gateway.mover.locks import alone
from gateway.mover.meter import Meter
from gateway.mover.others import put_other

_Inode = tuple[int, int]


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


class _Links:
    """Which files have several names: at the source, and at the destination."""

    def __init__(self) -> None:
        self._first: dict[_Inode, tuple[Way, str, int]] = {}
        self._claimed: dict[int, _Inode] = {}

    def first(self, wanted: os.stat_result) -> tuple[Way, str, int] | None:
        """Give where another name of the source's file was put, and the inode there."""
        return self._first.get((wanted.st_dev, wanted.st_ino)) if wanted.st_nlink > 1 else None

    def remember(self, wanted: os.stat_result, way: Way, spot: Spot) -> None:
        """Note where a name was put."""
        put = spot.status() if wanted.st_nlink > 1 else None
        if put is not None:
            self._first[wanted.st_dev, wanted.st_ino] = (way, spot.name, put.st_ino)

    def claim(self, wanted: os.stat_result, found: os.stat_result) -> bool:
        """Tell whether what is there may become the source's file: it must not be another one's under another name."""
        mine = (wanted.st_dev, wanted.st_ino)
        return found.st_nlink == 1 or self._claimed.setdefault(found.st_ino, mine) == mine


class _Walk:
    def __init__(self, source: int, root: int, meter: Meter, *, full: bool) -> None:
        self._source = source
        self._root = root
        self._meter = meter
        self._device = os.fstat(source).st_dev
        self._batch = Batch(root, meter)
        self._files = Files(self._batch, meter, full=full)
        self._links = _Links()
        self._removed = 0

    def run(self) -> None:
        """Make the trees equal, durably."""
        self._walk(only_prune=False)
        self._batch.prove()
        kernel.sync(self._root)

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
            self._put(source, spot, frame.way, wanted, found)
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

    def _put(self, source: Spot, spot: Spot, way: Way, wanted: os.stat_result, found: os.stat_result | None) -> None:
        first = self._links.first(wanted)
        if first is not None:
            self._link(spot, *first, found=found)
            return
        if found is not None and not self._links.claim(wanted, found):
            found = None
        if not stat.S_ISREG(wanted.st_mode):
            put_other(source, spot, wanted, found, self._meter)
        elif found is None or not stat.S_ISREG(found.st_mode):
            self._files.make(source, spot, way)
        elif not self._files.unchanged(wanted, found):
            self._files.update(source, spot, way)
        self._links.remember(wanted, way, spot)

    def _link(self, spot: Spot, way: Way, name: str, inode: int, *, found: os.stat_result | None) -> None:
        """Make a further name of a file that is there."""
        if found is not None and found.st_ino == inode:
            return
        with Folders(self._root) as folders, draft_name(spot) as draft:
            folder = folders.open(way)
            os.link(name, draft.name, src_dir_fd=folder, dst_dir_fd=draft.folder, follow_symlinks=False)
            self._meter.passed("link.made")
            spot.take(draft.name)
        self._meter.passed("link.placed")
        self._meter.file()


def _finish(frame: _Frame) -> None:
    """Give a directory, in which nothing more will be done, what is kept about it."""
    with at(SOURCE):
        wanted = os.fstat(frame.source)
    dress(frame.target, wanted, source_attributes(frame.source))
    found = os.fstat(frame.target)
    if found.st_mtime_ns != wanted.st_mtime_ns:
        os.utime(frame.target, ns=(found.st_atime_ns, wanted.st_mtime_ns))


def remove(folder: int, name: str) -> None:
    """Remove a name from an open directory, with all that is in it, however deep."""
    pending = [_Doomed(folder, name)]
    try:
        while pending:
            doomed = pending[-1]
            inner = doomed.next()
            if inner is not None:
                pending.append(inner)
            else:
                pending.pop().end()
    finally:
        for doomed in pending:
            doomed.close()


class _Doomed:
    """Something that is to go, and the directories in it that are still to go before."""

    def __init__(self, folder: int, name: str) -> None:
        self._folder = folder
        self._name = name
        self._fd: int | None = None
        self._inner: Iterator[str] = iter(())
        try:
            os.unlink(name, dir_fd=folder)
        except IsADirectoryError:
            self._fd = open_folder(folder, name)
            self._inner = iter(_emptied(self._fd))

    def next(self) -> _Doomed | None:
        """Give what has to go next; None: nothing."""
        name = next(self._inner, None)
        return None if name is None or self._fd is None else _Doomed(self._fd, name)

    def end(self) -> None:
        """Remove it."""
        if self._fd is not None:
            self.close()
            os.rmdir(self._name, dir_fd=self._folder)

    def close(self) -> None:
        """Close it."""
        if self._fd is not None:
            with suppress(OSError):
                os.close(self._fd)


def _emptied(fd: int) -> Collection[str]:
    """Remove what is in a directory but directories; give the names of these."""
    with os.scandir(fd) as entries:
        found = [(entry.name, entry.is_dir(follow_symlinks=False)) for entry in entries]
    for name, folder in found:
        if not folder:
            os.unlink(name, dir_fd=fd)
    return [name for name, folder in found if folder]
