"""Removing what was thrown away, in slices.

A directory inside the trash becomes a piece of trash of its own. So no tree is
too deep, each step is small, and what a crash leaves is just trash again.
"""

from __future__ import annotations

import errno
import os
import time
from collections.abc import Callable

import structlog

from gateway.backends.files.failures import GONE
from gateway.backends.files.layout import Layout, is_trash
from gateway.backends.files.names import descriptor

log = structlog.get_logger(__name__)

_DIRECTORY = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC


class Trash:
    """The trash of a pool. What cannot be removed is left alone until the next open.

    Clients may still hold directories in it open and change them, so no path is
    followed that they could bend: everything goes by descriptors.
    """

    def __init__(self, pool: str, layout: Layout, clock: Callable[[], float] = time.monotonic) -> None:
        self._pool = pool
        self._layout = layout
        self._clock = clock
        self._stuck: set[str] = set()

    def sweep(self, budget_s: float) -> bool:
        """Remove for so long; tell whether there may be more."""
        end = self._clock() + budget_s
        with descriptor(self._layout.staging) as staging:
            with os.scandir(staging) as entries:
                names = [each.name for each in entries if is_trash(each.name) and each.name not in self._stuck]
            for name in names:
                try:
                    self._remove(staging, name, end)
                except FileNotFoundError:
                    continue
                except OSError as error:
                    if error.errno in GONE:
                        raise
                    self._stuck.add(name)
                    log.warning("not removed", pool=self._pool, place=name, error=os.strerror(error.errno or 0))
                if self._clock() >= end:
                    break
        return bool(names)

    def _remove(self, staging: int, name: str, end: float) -> None:
        try:
            folder = _opened(staging, name)
        except OSError as error:
            if error.errno not in {errno.ENOTDIR, errno.ELOOP}:
                raise
            os.unlink(name, dir_fd=staging)
            return
        try:
            with os.scandir(folder) as entries:
                for entry in entries:
                    if entry.is_dir(follow_symlinks=False):
                        self._throw_away(folder, entry.name, staging)
                    else:
                        os.unlink(entry.name, dir_fd=folder)
                    if self._clock() >= end:
                        return
        finally:
            os.close(folder)
        os.rmdir(name, dir_fd=staging)

    def _throw_away(self, folder: int, name: str, staging: int) -> None:
        trash = self._layout.trash().name
        try:
            os.rename(name, trash, src_dir_fd=folder, dst_dir_fd=staging)
        except PermissionError:
            _open_up(folder, name)
            os.rename(name, trash, src_dir_fd=folder, dst_dir_fd=staging)


def _opened(staging: int, name: str) -> int:
    try:
        return os.open(name, _DIRECTORY, dir_fd=staging)
    except PermissionError:
        _open_up(staging, name)
        return os.open(name, _DIRECTORY, dir_fd=staging)


def _open_up(folder: int, name: str) -> None:
    """Let ourselves into a directory of ours whose mode keeps even its owner out."""
    fd = os.open(name, _DIRECTORY | os.O_PATH, dir_fd=folder)
    try:
        os.chmod(f"/proc/self/fd/{fd}", 0o700)  # noqa: PTH101 - by descriptor, because the name may be a link by now
    finally:
        os.close(fd)
