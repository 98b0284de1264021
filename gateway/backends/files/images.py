"""Raw files, and what this file system can do with them: found out by doing it. All of it blocks."""

from __future__ import annotations

import ctypes
import errno
import fcntl
import functools
import os
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path

import msgspec

from gateway.backends.files.names import exchange
from gateway.backends.files.pool import BLOCK, Pool, Volume
from gateway.core.backend import VolumeSpec
from gateway.core.errors import InvalidArgument

SECTOR = 512
"""Sizes are multiples of it, because a device's are."""

_FICLONE = 0x40049409
_KEEP_SIZE = 0x01
_UNSHARE_RANGE = 0x40
_SAMPLE = 64 * 1024
_OFF_MAX = 2**63 - 1
_ABSENT = frozenset({errno.EOPNOTSUPP, errno.ENOTTY, errno.ENOSYS, errno.EINVAL, errno.EXDEV})
"""How kernels say that a file system has no such operation."""


class Abilities(msgspec.Struct, frozen=True, kw_only=True):
    """What the file system can do.

    sparse: a file takes no more room than was written. reflink: a file can be
    copied at one instant by sharing its blocks. exchange: two names can change
    places. reserve: room can be kept for a whole file, also for what it shares.
    size_max: bytes of the largest file.
    """

    sparse: bool
    reflink: bool
    exchange: bool
    reserve: bool
    size_max: int


class Images:
    """Raw files as contents of volumes; see `gateway.backends.files.contents`."""

    def __init__(self, pool: Pool, abilities: Abilities) -> None:
        self._pool = pool
        self._abilities = abilities

    def make(self, path: Path, spec: VolumeSpec) -> None:
        """Make a file of zeros, with all its room kept for it when it is thick."""
        with _made(path) as fd:
            self._finish(fd, spec.size, thick=spec.thick)

    def resize(self, found: Volume, size: int) -> None:
        """Make a file longer. A device that became shorter would cut off what somebody wrote."""
        if size < found.length:
            raise InvalidArgument(field="size", value=size, reason="a block volume does not shrink")
        with _opened(found.content, os.O_RDWR) as fd:
            self._finish(fd, size, thick=found.sidecar.thick)

    def size(self, found: Volume) -> int:
        """Give the length of the file."""
        return found.length

    def copy(self, source: Path, path: Path, *, size: int, thick: bool) -> None:
        """Copy a file as it is at one instant, and give the copy its size, which must not be below the source's."""
        with _opened(source, os.O_RDONLY) as original, _made(path) as fd:
            fcntl.ioctl(fd, _FICLONE, original)
            length = os.fstat(fd).st_size
            if size < length:
                raise InvalidArgument(field="size", value=size, reason=f"the source has {length} bytes")
            self._finish(fd, size, thick=thick)

    def freeze(self, source: Path, path: Path) -> None:
        """Copy a file as it is at one instant, into one that nobody may write to."""
        with _opened(source, os.O_RDONLY) as original, _made(path, 0o400) as fd:
            fcntl.ioctl(fd, _FICLONE, original)
            self._pool.keep_file(fd)

    def _finish(self, fd: int, size: int, *, thick: bool) -> None:
        length = os.fstat(fd).st_size
        if thick:
            try:
                _reserve(fd, size, unshare=self._abilities.reflink)
            except OSError:
                os.ftruncate(fd, length)  # room beyond the end would stay taken
                raise
        os.ftruncate(fd, size)
        self._pool.keep_file(fd)


def probe(pool: Pool) -> Abilities:
    """Try everything on files of its own."""
    folder = pool.layout.trial()
    folder.mkdir()
    try:
        return _probe(folder / "one", folder / "other")
    finally:
        for path in folder.iterdir():
            path.unlink()
        folder.rmdir()


def _probe(one: Path, other: Path) -> Abilities:
    with _made(one) as source, _made(other) as copy:
        os.pwrite(source, os.urandom(_SAMPLE), 0)
        reflink = _can(lambda: fcntl.ioctl(copy, _FICLONE, source))
        os.ftruncate(source, 2 * _SAMPLE)
        os.ftruncate(copy, 2 * _SAMPLE)
        reserve = _can(lambda: _reserve(copy, 2 * _SAMPLE, unshare=reflink))
        for fd in (source, copy):
            os.fsync(fd)
        abilities = Abilities(
            sparse=_held(source) < 2 * _SAMPLE,
            reflink=reflink,
            exchange=_can(lambda: exchange(one, other)),
            reserve=reserve and _held(copy) >= 2 * _SAMPLE,
            size_max=_largest(source),
        )
        for fd in (source, copy):
            os.ftruncate(fd, 0)  # XFS gives the room of removed files back a while later
        return abilities


def _can(attempt: Callable[[], object]) -> bool:
    try:
        attempt()
    except OSError as error:
        if error.errno not in _ABSENT:
            raise
        return False
    return True


def _held(fd: int) -> int:
    return os.fstat(fd).st_blocks * BLOCK


def _largest(fd: int) -> int:
    """Give the most bytes, in whole sectors, that a file may be told to have."""
    low, high = 0, _OFF_MAX // SECTOR
    while low < high:
        middle = (low + high + 1) // 2
        try:
            os.ftruncate(fd, middle * SECTOR)
        except OSError as error:
            if error.errno not in {errno.EFBIG, errno.EINVAL, errno.ENOSPC, errno.EOVERFLOW}:
                raise
            high = middle - 1
        else:
            low = middle
    return low * SECTOR


def _reserve(fd: int, size: int, *, unshare: bool) -> None:
    """Keep room for `size` bytes, also for what is shared with other files and would have to be written elsewhere."""
    for mode in (_KEEP_SIZE, _KEEP_SIZE | _UNSHARE_RANGE) if unshare else (_KEEP_SIZE,):
        if _libc().fallocate(fd, mode, 0, size):
            number = ctypes.get_errno()
            raise OSError(number, os.strerror(number))


@contextmanager
def _opened(path: Path, flags: int, mode: int = 0o600) -> Iterator[int]:
    fd = os.open(path, flags | os.O_NOFOLLOW | os.O_CLOEXEC, mode)
    try:
        yield fd
    finally:
        os.close(fd)


def _made(path: Path, mode: int = 0o600) -> AbstractContextManager[int]:
    return _opened(path, os.O_RDWR | os.O_CREAT | os.O_EXCL, mode)


@functools.cache
def _libc() -> ctypes.CDLL:
    library = ctypes.CDLL(None, use_errno=True)
    library.fallocate.argtypes = (ctypes.c_int, ctypes.c_int, ctypes.c_int64, ctypes.c_int64)
    return library
