"""Calls of the kernel that Python has no names for. All of them block and raise plain OSError."""

from __future__ import annotations

import contextlib
import ctypes
import errno
import fcntl
import functools
import os
import signal

_FICLONE = 0x40049409
_KEEP_SIZE, _PUNCH_HOLE, _ZERO_RANGE = 0x01, 0x02, 0x10
_PR_SET_PDEATHSIG = 1
ABSENT = frozenset({errno.EOPNOTSUPP, errno.ENOTTY, errno.ENOSYS, errno.EINVAL, errno.EXDEV, errno.ENODEV})
"""How kernels say that a file system or device has no such operation."""


def share(source: int, target: int) -> bool:
    """Make an open file a copy of another by sharing its blocks; False where that cannot be."""
    try:
        fcntl.ioctl(target, _FICLONE, source)
    except OSError as error:
        if error.errno in ABSENT:
            return False
        raise
    return True


def clear(fd: int, offset: int, length: int, *, keep_room: bool) -> bool:
    """Make a part of a file or device read as zeros, without writing them; False where that cannot be.

    `keep_room`: the room that it takes stays reserved.
    """
    mode = _KEEP_SIZE | (_ZERO_RANGE if keep_room else _PUNCH_HOLE)
    if _libc().fallocate(fd, mode, offset, length) == 0:
        return True
    number = ctypes.get_errno()
    if number in ABSENT:
        return False
    raise OSError(number, os.strerror(number))


def sync(fd: int) -> None:
    """Put everything of the file system that holds an open file on disk."""
    if _libc().syncfs(fd):
        number = ctypes.get_errno()
        raise OSError(number, os.strerror(number))


def forget(fd: int) -> None:
    """Let the kernel drop what it remembers of a file that is on disk, so that it is read from there."""
    with contextlib.suppress(OSError):
        os.posix_fadvise(fd, 0, 0, os.POSIX_FADV_DONTNEED)


def data_from(fd: int, offset: int) -> int | None:
    """Give where there is something other than a hole, from an offset on; None: nowhere any more.

    Where nobody knows holes everything is something.
    """
    try:
        return os.lseek(fd, offset, os.SEEK_DATA)
    except OSError as error:
        if error.errno == errno.ENXIO:
            return None
        if error.errno in ABSENT:
            return offset
        raise


def die_with_parent() -> None:
    """Be killed when the thread that started this process is gone."""
    _libc().prctl(_PR_SET_PDEATHSIG, int(signal.SIGKILL), 0, 0, 0)


@functools.cache
def _libc() -> ctypes.CDLL:
    library = ctypes.CDLL(None, use_errno=True)
    library.fallocate.argtypes = (ctypes.c_int, ctypes.c_int, ctypes.c_int64, ctypes.c_int64)
    library.syncfs.argtypes = (ctypes.c_int,)
    return library
