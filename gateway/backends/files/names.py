"""Small files and names that change in one step. Everything here blocks and raises plain OSError."""

from __future__ import annotations

import contextlib
import ctypes
import errno
import functools
import os
import secrets
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from uuid import UUID

UNFINISHED = ".*.new"
"""The pattern of what `replace_file` leaves when the process dies in it."""

PRIVATE = 0o700
PASSABLE = 0o711
"""Modes of directories: of the gateway alone, and those through which clients reach what is theirs."""

_AT_FDCWD = -100
_AT_STATX_FORCE_SYNC = 0x2000
_STATX_SIZE = 0x200
_STATX_BYTES = 256
_RENAME_NOREPLACE = 1
_RENAME_EXCHANGE = 2


def read_file(path: Path) -> bytes | None:
    """Give a file's content, or None."""
    try:
        return path.read_bytes()
    except FileNotFoundError:
        return None


def replace_file(path: Path, data: bytes, written: Callable[[], None] = lambda: None) -> None:
    """Replace a file in one step; `written` is called when the new content is flushed but not yet seen.

    The new name is durable once the directory is flushed.
    """
    new = path.with_name(f".{path.name}.{secrets.token_hex(8)}.new")
    try:
        fd = os.open(new, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
        with open(fd, "wb", closefd=True) as file:  # noqa: PTH123 - made by descriptor for its mode
            file.write(data)
            file.flush()
            put_on_disk(fd)
        written()
        new.replace(path)
    except OSError:
        new.unlink(missing_ok=True)
        raise


def move(source: Path, target: Path) -> None:
    """Rename; FileExistsError when the target is there.

    NFS and FUSE cannot promise that in the same step. There a directory may
    still take the place of an empty one, which loses nothing, and of nothing else.
    """
    try:
        _rename(source, target, _RENAME_NOREPLACE)
    except OSError as error:
        if error.errno != errno.EINVAL:
            raise
    else:
        return
    if os.path.lexists(target) or not source.is_dir():
        raise FileExistsError(errno.EEXIST, os.strerror(errno.EEXIST), str(target))
    source.rename(target)


def move_at(folder: int, name: str, target: int, other: str) -> None:
    """Rename between two open directories; FileExistsError when the new name is taken. For FUSE see `move`."""
    if not _libc().renameat2(folder, os.fsencode(name), target, os.fsencode(other), _RENAME_NOREPLACE):
        return
    number = ctypes.get_errno()
    if number != errno.EINVAL:
        raise OSError(number, os.strerror(number), name)
    with contextlib.suppress(FileNotFoundError):
        os.stat(other, dir_fd=target, follow_symlinks=False)
        raise FileExistsError(errno.EEXIST, os.strerror(errno.EEXIST), other)
    os.rename(name, other, src_dir_fd=folder, dst_dir_fd=target)


def exchange(one: Path, other: Path) -> None:
    """Let two names change places in one step; EINVAL where the file system cannot do that."""
    _rename(one, other, _RENAME_EXCHANGE)


def flush(path: Path) -> None:
    """Put a file's content, or a directory's names, on disk."""
    fd = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    try:
        put_on_disk(fd)
    finally:
        os.close(fd)


def put_on_disk(fd: int) -> None:
    """Put what was done to an open file or directory on disk.

    XFS that fails meanwhile throws away what is not in its log yet, and then
    finds nothing left to do: the call succeeds. Asked again, it says that it failed.
    """
    os.fsync(fd)
    os.fstat(fd)


@contextmanager
def descriptor(folder: Path) -> Iterator[int]:
    """Hold a directory open for a block."""
    fd = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        yield fd
    finally:
        os.close(fd)


def look_again(path: Path) -> None:
    """Have the kernel ask the file system for a file's size, although it has just asked: FUSE lets it remember."""
    nothing = ctypes.create_string_buffer(_STATX_BYTES)
    if _libc().statx(_AT_FDCWD, os.fsencode(path), _AT_STATX_FORCE_SYNC, _STATX_SIZE, nothing):
        number = ctypes.get_errno()
        raise OSError(number, os.strerror(number), str(path))


def parse_id(name: str) -> UUID | None:
    """Give the id that a name is, in the one spelling that we use; None when it is something else."""
    try:
        found = UUID(name)
    except ValueError:
        return None
    return found if str(found) == name else None


def _rename(source: Path, target: Path, flags: int) -> None:
    if _libc().renameat2(_AT_FDCWD, os.fsencode(source), _AT_FDCWD, os.fsencode(target), flags):
        number = ctypes.get_errno()
        raise OSError(number, os.strerror(number), str(source))


@functools.cache
def _libc() -> ctypes.CDLL:
    library = ctypes.CDLL(None, use_errno=True)
    library.renameat2.argtypes = (ctypes.c_int, ctypes.c_char_p, ctypes.c_int, ctypes.c_char_p, ctypes.c_uint)
    library.statx.argtypes = (ctypes.c_int, ctypes.c_char_p, ctypes.c_int, ctypes.c_uint, ctypes.c_void_p)
    return library
