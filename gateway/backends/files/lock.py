"""A process's hold on a pool."""

from __future__ import annotations

import errno
import fcntl
import os
from pathlib import Path


class Lock:
    """An advisory lock on a file of the pool. `alone`: nobody else had one when it was taken.

    The file is open only for reading where that is enough, so that the file
    system can still be mounted read-only; NFS wants it open for writing.
    """

    def __init__(self, path: Path) -> None:
        self._fd: int | None
        try:
            self._fd, self.alone = _taken(path, os.O_RDONLY)
        except OSError as error:
            if error.errno != errno.EBADF:
                raise
            self._fd, self.alone = _taken(path, os.O_RDWR)

    def share(self) -> None:
        """Let other processes in."""
        if self._fd is not None:
            fcntl.flock(self._fd, fcntl.LOCK_SH)

    def release(self) -> None:
        """Let go. Idempotent."""
        fd, self._fd = self._fd, None
        if fd is not None:
            os.close(fd)


def _taken(path: Path, mode: int) -> tuple[int, bool]:
    """Give a descriptor with a lock, and whether nobody else had one."""
    fd = os.open(path, mode | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        fcntl.flock(fd, fcntl.LOCK_SH)
        return fd, False
    except BaseException:
        os.close(fd)
        raise
    return fd, True
