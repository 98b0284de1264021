"""How much trees hold. Counting one means to look at every file, so it is done in slices and remembered.

A count that takes long is repeated only after twenty times as long: counting
never takes more than a twentieth of the time, and no figure is older than that
once somebody asks for it.
"""

from __future__ import annotations

import contextlib
import errno
import os
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from uuid import UUID

import msgspec

from gateway.backends.files.pool import BLOCK

SLICE_S = 0.1
_RARELY = 20
_LEFT_OUT = frozenset({errno.ENOENT, errno.ENOTDIR, errno.EACCES, errno.EPERM, errno.ELOOP, errno.ENAMETOOLONG})


class Counted(msgspec.Struct, frozen=True):
    """Allocated bytes, as they were `age_s` seconds ago."""

    bytes: int
    age_s: float


class _Walk:
    """One count under way."""

    def __init__(self, top: Path, began: float) -> None:
        self.began = began
        self.spent = 0.0
        self.bytes = 0
        self.turn = threading.Lock()
        self._steps = _walk(top)

    def go_on(self, budget_s: float, clock: Callable[[], float]) -> bool:
        """Count for so long; tell whether all is counted."""
        start = clock()
        for size in self._steps:
            self.bytes += size
            if clock() - start >= budget_s:
                break
        else:
            self.spent += clock() - start
            return True
        self.spent += clock() - start
        return False


class _Known(msgspec.Struct, frozen=True):
    """A finished count: when it began and how long it took, by the clock."""

    bytes: int
    began: float
    spent: float


class Usage:
    """The counts of a pool's trees. Safe for use from several threads at once."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._known: dict[UUID, _Known] = {}
        self._walks: dict[UUID, _Walk] = {}

    def count(self, volume: UUID, top: Path, budget_s: float) -> Counted:
        """Count now if that takes no longer than so; else give the last count, or what the first has found so far."""
        known = self._known.get(volume)
        now = self._clock()
        if known is not None and now - known.began < _RARELY * known.spent:
            return Counted(known.bytes, now - known.began)
        walk = self._walks.setdefault(volume, _Walk(top, now))
        if self._go_on(volume, walk, budget_s):
            return Counted(walk.bytes, self._clock() - walk.began)
        found = known or _Known(walk.bytes, walk.began, walk.spent)
        return Counted(found.bytes, self._clock() - found.began)

    def go_on(self) -> bool:
        """Count one slice of what was asked for; tell whether more is left to count."""
        for volume, walk in tuple(self._walks.items())[:1]:
            try:
                self._go_on(volume, walk, SLICE_S)
            except OSError:
                self._walks.pop(volume, None)
        return bool(self._walks)

    @property
    def unfinished(self) -> bool:
        """Tell whether more is left to count."""
        return bool(self._walks)

    def forget(self, volume: UUID) -> None:
        """Forget a volume that is gone."""
        self._walks.pop(volume, None)
        self._known.pop(volume, None)

    def _go_on(self, volume: UUID, walk: _Walk, budget_s: float) -> bool:
        if not walk.turn.acquire(blocking=False):
            return False
        try:
            done = walk.go_on(budget_s, self._clock)
        except BaseException:
            self._walks.pop(volume, None)
            raise
        finally:
            walk.turn.release()
        if done and self._walks.pop(volume, None) is not None:
            self._known[volume] = _Known(walk.bytes, walk.began, walk.spent)
        return done


def _walk(top: Path) -> Iterator[int]:
    """Yield the bytes of everything below a directory: each inode once, and nothing that is mounted in it.

    What vanishes meanwhile, may not be read, or lies deeper than a path can say is left out.
    """
    try:
        status = top.lstat()
    except FileNotFoundError:
        return
    yield status.st_blocks * BLOCK
    linked: set[int] = set()
    pending = [str(top)]
    while pending:
        path = pending.pop()
        for entry, found in _listed(path):
            if found.st_dev != status.st_dev or found.st_ino in linked:
                continue
            yield found.st_blocks * BLOCK
            if entry.is_dir(follow_symlinks=False):
                pending.append(f"{path}/{entry.name}")
            elif found.st_nlink > 1:
                linked.add(found.st_ino)


def _listed(path: str) -> Iterator[tuple[os.DirEntry[str], os.stat_result]]:
    """Yield what is in a directory with its status; nothing where a link has taken the directory's place."""
    try:
        fd = os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC)
        try:
            with os.scandir(fd) as entries:
                for entry in entries:
                    with contextlib.suppress(FileNotFoundError):
                        yield entry, entry.stat(follow_symlinks=False)
        finally:
            os.close(fd)
    except OSError as error:
        if error.errno not in _LEFT_OUT:
            raise
