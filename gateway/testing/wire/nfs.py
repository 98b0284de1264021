"""Files as an NFSv4 client reaches them: by libnfs, in this process, without the kernel's client."""
# ruff: noqa: D102 - `Content` and `Device` carry the contract of the methods

from __future__ import annotations

import asyncio
import ctypes
import errno
import os
import stat
from collections.abc import Iterator
from contextlib import closing, contextmanager
from functools import cache
from pathlib import PurePosixPath
from typing import Any, Self
from uuid import uuid4

from gateway.core.handles import AccessHandle, NfsExport
from gateway.core.model import RootDirectory
from gateway.testing.backends.content import told
from gateway.testing.wire.library import load

_WRITE_MAX = 3 * 1024
"""libnfs 4.0 cannot encode an NFSv4 write that does not fit into four kilobytes with all that goes with it."""

_READ_MAX = 1024**2
_DIRECTORY = 2
_MODE, _UID, _GID, _SIZE, _STAT_FIELDS = 2, 4, 5, 7, 17
"""Places in `struct nfs_stat_64`, which is 17 numbers of 64 bits."""


class _Url(ctypes.Structure):
    _fields_ = (("server", ctypes.c_char_p), ("path", ctypes.c_char_p), ("file", ctypes.c_char_p))


class _Entry(ctypes.Structure):
    """The beginning of `struct nfsdirent`."""

    _fields_ = (
        ("next", ctypes.c_void_p),
        ("name", ctypes.c_char_p),
        ("inode", ctypes.c_uint64),
        ("type", ctypes.c_uint32),
    )


_POINTER, _TEXT, _INT, _LONG = ctypes.c_void_p, ctypes.c_char_p, ctypes.c_int, ctypes.c_uint64
_OPENED = ctypes.POINTER(_POINTER)


@cache
def _library() -> Any:
    return load(
        "nfs",
        {
            "nfs_init_context": (_POINTER, ()),
            "nfs4_set_client_name": (None, (_POINTER, _TEXT)),
            "nfs_destroy_context": (None, (_POINTER,)),
            "nfs_parse_url_dir": (ctypes.POINTER(_Url), (_POINTER, _TEXT)),
            "nfs_destroy_url": (None, (ctypes.POINTER(_Url),)),
            "nfs_get_error": (_TEXT, (_POINTER,)),
            "nfs_mount": (_INT, (_POINTER, _TEXT, _TEXT)),
            "nfs_open2": (_INT, (_POINTER, _TEXT, _INT, _INT, _OPENED)),
            "nfs_close": (_INT, (_POINTER, _POINTER)),
            "nfs_pread": (_INT, (_POINTER, _POINTER, _LONG, _LONG, _POINTER)),
            "nfs_pwrite": (_INT, (_POINTER, _POINTER, _LONG, _LONG, _TEXT)),
            "nfs_fsync": (_INT, (_POINTER, _POINTER)),
            "nfs_unlink": (_INT, (_POINTER, _TEXT)),
            "nfs_mkdir": (_INT, (_POINTER, _TEXT)),
            "nfs_opendir": (_INT, (_POINTER, _TEXT, _OPENED)),
            "nfs_readdir": (ctypes.POINTER(_Entry), (_POINTER, _POINTER)),
            "nfs_closedir": (None, (_POINTER, _POINTER)),
            "nfs_stat64": (_INT, (_POINTER, _TEXT, _POINTER)),
        },
    )


class NfsMount:
    """One client's mount of an export, until `close`. Paths begin with a slash. Every method blocks; OSError."""

    def __init__(self, export: NfsExport) -> None:
        self._library = _library()
        self._context = self._library.nfs_init_context()
        # By default all clients of a process that begin in one second are one to the server, the latest.
        self._library.nfs4_set_client_name(self._context, f"conformance {uuid4()}".encode())
        try:
            self._mount(export)
        except BaseException:
            self.close()
            raise

    def close(self) -> None:
        """Disconnect."""
        self._library.nfs_destroy_context(self._context)

    def read(self, path: str) -> bytes:
        """Give a file's bytes."""
        data, room = b"", ctypes.create_string_buffer(_READ_MAX)
        with self._open(path, os.O_RDONLY) as file:
            while done := self._done("nfs_pread", file, len(data), _READ_MAX, room):
                data += room.raw[:done]
        return data

    def write(self, path: str, data: bytes) -> None:
        """Set a file's bytes durably; the file is made when there is none, but no directory."""
        try:
            self._write(path, os.O_TRUNC, data)
        except FileNotFoundError:
            self._write(path, os.O_CREAT, data)

    def remove(self, path: str) -> None:
        """Remove a file."""
        self._done("nfs_unlink", path.encode())

    def make_directory(self, path: str) -> None:
        """Make a directory."""
        self._done("nfs_mkdir", path.encode())

    def names(self, path: str) -> dict[str, bool]:
        """Give the names in a directory, and of each whether it is a directory."""
        opened, found = _POINTER(), {}
        self._done("nfs_opendir", path.encode(), ctypes.byref(opened))
        try:
            while entry := self._library.nfs_readdir(self._context, opened):
                found[entry.contents.name.decode()] = entry.contents.type == _DIRECTORY
        finally:
            self._library.nfs_closedir(self._context, opened)
        return {name: directory for name, directory in found.items() if name not in {".", ".."}}

    def about(self, path: str) -> RootDirectory:
        """Give owner and mode of a directory."""
        found = self._stat(path)
        return RootDirectory(mode=stat.S_IMODE(found[_MODE]), uid=found[_UID], gid=found[_GID])

    def size(self, path: str) -> int:
        """Give the bytes of a file."""
        return int(self._stat(path)[_SIZE])

    def pread(self, path: str, length: int, place: int) -> bytes:
        """Give the bytes of a file from a place on, fewer at its end."""
        data, room = b"", ctypes.create_string_buffer(_READ_MAX)
        with self._open(path, os.O_RDONLY) as file:
            while wanted := min(length - len(data), _READ_MAX):
                done = self._done("nfs_pread", file, place + len(data), wanted, room)
                if not done:
                    break
                data += room.raw[:done]
        return data

    def pwrite(self, path: str, data: bytes, place: int) -> None:
        """Set bytes of a file from a place on, durably."""
        self._write(path, 0, data, place)

    def _mount(self, export: NfsExport) -> None:
        wanted = f"nfs://{export.address}{export.path}?version=4&nfsport={export.port}"
        url = self._library.nfs_parse_url_dir(self._context, wanted.encode())
        if not url:
            raise OSError(errno.EINVAL, self._error())
        try:
            self._done("nfs_mount", url.contents.server, url.contents.path)
        finally:
            self._library.nfs_destroy_url(url)

    def _stat(self, path: str) -> ctypes.Array[ctypes.c_uint64]:
        found = (ctypes.c_uint64 * _STAT_FIELDS)()
        self._done("nfs_stat64", path.encode(), found)
        return found

    def _write(self, path: str, how: int, data: bytes, place: int = 0) -> None:
        with self._open(path, os.O_WRONLY | how) as file:
            done = 0
            while part := data[done : done + _WRITE_MAX]:
                done += self._done("nfs_pwrite", file, place + done, len(part), part)
            self._done("nfs_fsync", file)

    @contextmanager
    def _open(self, path: str, flags: int) -> Iterator[ctypes.c_void_p]:
        file = _POINTER()
        self._done("nfs_open2", path.encode(), flags, 0o644, ctypes.byref(file))
        try:
            yield file
        except BaseException:
            self._library.nfs_close(self._context, file)
            raise
        self._done("nfs_close", file)

    def _done(self, function: str, *arguments: object) -> int:
        status: int = getattr(self._library, function)(self._context, *arguments)
        if status < 0:
            text = self._error()
            # libnfs 4.0 knows no number for this one.
            raise OSError(errno.EDQUOT if "NFS4ERR_DQUOT" in text else -status, text)
        return status

    def _error(self) -> str:
        return (self._library.nfs_get_error(self._context) or b"").decode(errors="replace")


class NfsDevice:
    """A `Device` that is the raw file behind an `NfsExport` handle: one mount, for a `with` block."""

    def __init__(self, handle: AccessHandle) -> None:
        if not isinstance(handle, NfsExport) or not handle.file:
            raise TypeError(f"not a file of an NFS export: {handle}")
        self._export = handle
        self._path = f"/{handle.file}"

    def __enter__(self) -> Self:
        self._mount = NfsMount(self._export)
        return self

    def __exit__(self, *_: object) -> None:
        self._mount.close()

    def size(self) -> int:
        return self._mount.size(self._path)

    def pread(self, length: int, place: int) -> bytes:
        data = self._mount.pread(self._path, length, place)
        if len(data) < length:
            raise OSError(errno.EIO, "the file ends too early")
        return data

    def pwrite(self, data: bytes, place: int) -> None:
        if self._export.read_only:
            raise OSError(errno.EROFS, os.strerror(errno.EROFS))
        self._mount.pwrite(self._path, data, place)

    def flush(self) -> None:
        """Do nothing: what was written is durable."""


class NfsContent:
    """Content behind an `NfsExport` handle; every call is a client of its own, which remembers nothing."""

    def __init__(self, handle: AccessHandle) -> None:
        if not isinstance(handle, NfsExport):
            raise TypeError(f"not an NFS export: {handle}")
        self._export = handle

    async def read(self, path: str) -> bytes:
        return await asyncio.to_thread(self._read, path)

    async def write(self, path: str, data: bytes) -> None:
        await asyncio.to_thread(self._write, path, data)

    async def remove(self, path: str) -> None:
        await asyncio.to_thread(self._remove, path)

    async def paths(self) -> set[str]:
        return await asyncio.to_thread(self._paths)

    async def root(self) -> RootDirectory:
        return await asyncio.to_thread(self._root)

    @contextmanager
    def _mounted(self, path: str) -> Iterator[NfsMount]:
        with told(self._export.path, path), closing(NfsMount(self._export)) as mount:
            yield mount

    def _read(self, path: str) -> bytes:
        with self._mounted(path) as mount:
            return mount.read(f"/{path}")

    def _write(self, path: str, data: bytes) -> None:
        with self._mounted(path) as mount:
            for folder in reversed(PurePosixPath(f"/{path}").parents[:-1]):
                try:
                    mount.make_directory(str(folder))
                except FileExistsError:
                    continue
            mount.write(f"/{path}", data)

    def _remove(self, path: str) -> None:
        with self._mounted(path) as mount:
            mount.remove(f"/{path}")

    def _paths(self) -> set[str]:
        found, folders = set(), [""]
        with self._mounted("/") as mount:
            for folder in folders:
                for name, directory in mount.names(f"/{folder}").items():
                    path = f"{folder}/{name}" if folder else name
                    if directory:
                        folders.append(path)
                    else:
                        found.add(path)
        return found

    def _root(self) -> RootDirectory:
        with self._mounted("/") as mount:
            return mount.about("/")
