"""The destination's side of a tree: how one name after the other becomes what it is to be, wherever that comes from."""

from __future__ import annotations

import os
import stat
from collections.abc import Collection, Hashable, Iterator
from contextlib import AbstractContextManager, suppress
from typing import Protocol

from gateway.mover import kernel
from gateway.mover.attributes import Attributes, Spot, draft_name, dress
from gateway.mover.batch import Batch, Folders, Way, open_folder
from gateway.mover.files import Files, Work
from gateway.mover.meter import Meter
from gateway.mover.others import Other, put_other


class Item(Protocol):
    """What a name that is no directory is to be. `identity`: all names of one file have the same."""

    @property
    def status(self) -> os.stat_result:
        """Give what stat(2) says of it."""

    @property
    def identity(self) -> Hashable:
        """Give which file it is."""

    def other(self) -> Other:
        """Look at something that is no regular file."""

    def work(self, spot: Spot, way: Way) -> AbstractContextManager[Work]:
        """Open a regular file."""

    def known_in(self, present: int) -> bool:
        """Tell whether an open file is known to have its content, without comparing."""


class _Links:
    """Which files have several names: at the source, and at the destination."""

    def __init__(self) -> None:
        self._first: dict[Hashable, tuple[Way, str, int]] = {}
        self._claimed: dict[int, Hashable] = {}

    def first(self, item: Item) -> tuple[Way, str, int] | None:
        """Give where another name of the file was put, and the inode there."""
        return self._first.get(item.identity) if item.status.st_nlink > 1 else None

    def remember(self, item: Item, way: Way, spot: Spot) -> None:
        """Note where a name was put."""
        put = spot.status() if item.status.st_nlink > 1 else None
        if put is not None:
            self._first[item.identity] = (way, spot.name, put.st_ino)

    def claim(self, item: Item, found: os.stat_result) -> bool:
        """Tell whether what is there may become the file: it must not be another one's under another name."""
        return found.st_nlink == 1 or self._claimed.setdefault(found.st_ino, item.identity) == item.identity


class Placer:
    """Puts what is no directory into its place. `root` is the open directory of the destination."""

    def __init__(self, root: int, meter: Meter, *, full: bool) -> None:
        self._root = root
        self._meter = meter
        self._batch = Batch(root, meter)
        self._files = Files(self._batch, meter, full=full)
        self._links = _Links()

    def put(self, spot: Spot, way: Way, found: os.stat_result | None, item: Item) -> None:
        """Make a name what it is to be. `found`: what is there, no directory."""
        first = self._links.first(item)
        if first is not None:
            self._link(spot, *first, found=found)
            return
        if found is not None and not self._links.claim(item, found):
            found = None
        if stat.S_ISREG(item.status.st_mode):
            self._put_file(spot, way, found, item)
        else:
            put_other(spot, item.other(), found, self._meter)
        self._links.remember(item, way, spot)

    def unchanged(self, wanted: os.stat_result, found: os.stat_result) -> bool:
        """Tell whether a regular file that is there will be left alone."""
        return stat.S_ISREG(found.st_mode) and self._files.unchanged(wanted, found)

    def finish(self) -> None:
        """Prove what was put, durably."""
        self._batch.prove()
        kernel.sync(self._root)

    def _put_file(self, spot: Spot, way: Way, found: os.stat_result | None, item: Item) -> None:
        present = found if found is not None and stat.S_ISREG(found.st_mode) else None
        if present is not None and self._files.unchanged(item.status, present):
            return
        with item.work(spot, way) as work:
            if present is None:
                self._files.make(work)
                return
            old = spot.open(os.O_RDONLY)
            try:
                if item.known_in(old):
                    self._files.keep(work, old)
                else:
                    self._files.update(work, old)
            finally:
                os.close(old)

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


def finish_folder(fd: int, wanted: os.stat_result, attributes: Attributes) -> None:
    """Give an open directory, in which nothing more will be done, what is kept about it."""
    dress(fd, wanted, attributes)
    found = os.fstat(fd)
    if found.st_mtime_ns != wanted.st_mtime_ns:
        os.utime(fd, ns=(found.st_atime_ns, wanted.st_mtime_ns))


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
