"""Reading and writing a volume's bytes the way its clients do: through the access handle."""
# ruff: noqa: D102 - `Content` carries the contract of the methods

from __future__ import annotations

import asyncio
import errno
import os
import stat
import struct
import zlib
from collections.abc import Iterator, Mapping, MutableMapping
from contextlib import contextmanager
from pathlib import Path
from typing import Protocol

import msgspec

from gateway.core.errors import InvalidState, OutOfSpace
from gateway.core.model import AccessHandle, InProcess, LocalPath, RootDirectory

_MAGIC = b"GWBC"
_HEAD = struct.Struct("<4sQQI")
_SLOT = 64 * 1024
"""Bytes of each of the two index slots at the start of a block device."""


class Content(Protocol):
    """The files of one volume or snapshot. Paths are relative, with slashes; directories come and go with files."""

    async def read(self, path: str) -> bytes:
        """Give a file's bytes; KeyError when there is no such file."""

    async def write(self, path: str, data: bytes) -> None:
        """Set a file's bytes durably; OutOfSpace beyond the quota, InvalidState when read only."""

    async def remove(self, path: str) -> None:
        """Remove a file; KeyError when there is no such file."""

    async def paths(self) -> set[str]:
        """Give the paths of all files."""

    async def root(self) -> RootDirectory:
        """Give the top directory's owner and mode."""


class LocalContent:
    """Content behind a `LocalPath` handle."""

    def __init__(self, handle: AccessHandle) -> None:
        if not isinstance(handle, LocalPath):
            raise TypeError(f"not a local path: {handle}")
        self._top = Path(handle.path)

    async def read(self, path: str) -> bytes:
        return await asyncio.to_thread(self._read, path)

    async def write(self, path: str, data: bytes) -> None:
        await asyncio.to_thread(self._write, path, data)

    async def remove(self, path: str) -> None:
        await asyncio.to_thread(self._remove, path)

    async def paths(self) -> set[str]:
        return await asyncio.to_thread(self._paths)

    async def root(self) -> RootDirectory:
        found = await asyncio.to_thread(self._top.stat)
        return RootDirectory(mode=stat.S_IMODE(found.st_mode), uid=found.st_uid, gid=found.st_gid)

    def _read(self, path: str) -> bytes:
        with _told(self._top, path):
            return (self._top / path).read_bytes()

    def _write(self, path: str, data: bytes) -> None:
        target = self._top / path
        with _told(self._top, path):
            target.parent.mkdir(parents=True, exist_ok=True)
            with target.open("wb") as file:
                file.write(data)
                file.flush()
                os.fsync(file.fileno())

    def _remove(self, path: str) -> None:
        with _told(self._top, path):
            (self._top / path).unlink()

    def _paths(self) -> set[str]:
        return {str(found.relative_to(self._top)) for found in self._top.rglob("*") if found.is_file()}


class BlockContent:
    """Content behind a `LocalPath` to a raw file or device: a tiny file system of the tests' own.

    Two index slots at the start take turns; the valid one with the higher
    generation counts. Data goes to room that the counting index does not use,
    so a snapshot at any instant holds the files as they were before or after a
    change.
    """

    def __init__(self, handle: AccessHandle) -> None:
        if not isinstance(handle, LocalPath):
            raise TypeError(f"not a local path: {handle}")
        self._path = Path(handle.path)
        self._read_only = handle.read_only

    async def read(self, path: str) -> bytes:
        return await asyncio.to_thread(self._read, path)

    async def write(self, path: str, data: bytes) -> None:
        await asyncio.to_thread(self._write, path, data)

    async def remove(self, path: str) -> None:
        await asyncio.to_thread(self._remove, path)

    async def paths(self) -> set[str]:
        with self._opened("rb") as device:
            return set(_index(device)[1])

    async def root(self) -> RootDirectory:
        raise TypeError("a block device has no top directory")

    @contextmanager
    def _opened(self, mode: str) -> Iterator[int]:
        if self._read_only and mode != "rb":
            raise InvalidState(kind="snapshot", ref=str(self._path), state="read_only", action="write")
        with _told(self._path, str(self._path)), self._path.open(mode, buffering=0) as device:
            yield device.fileno()

    def _read(self, path: str) -> bytes:
        with self._opened("rb") as device:
            return _pread(device, *_index(device)[1][path])

    def _write(self, path: str, data: bytes) -> None:
        with self._opened("r+b") as device:
            generation, files = _index(device)
            place = self._free(os.lseek(device, 0, os.SEEK_END), files, len(data))
            _pwrite(device, data, place)
            os.fsync(device)
            _put_index(device, generation + 1, {**files, path: (place, len(data))})

    def _remove(self, path: str) -> None:
        with self._opened("r+b") as device:
            generation, files = _index(device)
            del files[path]
            _put_index(device, generation + 1, files)

    def _free(self, size: int, files: Mapping[str, tuple[int, int]], wanted: int) -> int:
        """Give the first place with room for `wanted` bytes; OutOfSpace when the device has none."""
        start = 2 * _SLOT
        for place, length in sorted(files.values()):
            if place - start >= wanted:
                break
            start = max(start, place + length)
        if start + wanted > size:
            raise OutOfSpace(pool=str(self._path))
        return start


def _index(device: int) -> tuple[int, dict[str, tuple[int, int]]]:
    """Give generation and files (place and length) of the index that counts; an empty device has none."""
    newest: tuple[int, dict[str, tuple[int, int]]] = (0, {})
    for slot in (0, 1):
        magic, generation, length, check = _HEAD.unpack(_pread(device, slot * _SLOT, _HEAD.size))
        if magic != _MAGIC or generation <= newest[0]:
            continue
        table = _pread(device, slot * _SLOT + _HEAD.size, length)
        if zlib.crc32(table) == check:
            newest = generation, msgspec.msgpack.decode(table, type=dict[str, tuple[int, int]])
    return newest


def _put_index(device: int, generation: int, files: Mapping[str, tuple[int, int]]) -> None:
    table = msgspec.msgpack.encode(files)
    head = _HEAD.pack(_MAGIC, generation, len(table), zlib.crc32(table))
    _pwrite(device, head + table, generation % 2 * _SLOT)
    os.fsync(device)


def _pread(device: int, place: int, length: int) -> bytes:
    data = b""
    while len(data) < length:
        part = os.pread(device, length - len(data), place + len(data))
        if not part:
            raise OSError(errno.EIO, "the device ends too early")
        data += part
    return data


def _pwrite(device: int, data: bytes, place: int) -> None:
    done = 0
    while done < len(data):
        done += os.pwrite(device, data[done:], place + done)


class FilesInProcess(Protocol):
    """What a backend offers for its `InProcess` handles."""

    def content(self, key: str) -> MutableMapping[str, bytes]:
        """Give the files behind a key."""

    def root(self, key: str) -> RootDirectory:
        """Give the top directory's owner and mode."""


class MemoryContent:
    """Content behind an `InProcess` handle of the backend that gave it."""

    def __init__(self, backend: FilesInProcess, handle: AccessHandle) -> None:
        if not isinstance(handle, InProcess):
            raise TypeError(f"not in this process: {handle}")
        self._backend = backend
        self._key = handle.key

    async def read(self, path: str) -> bytes:
        return self._backend.content(self._key)[path]

    async def write(self, path: str, data: bytes) -> None:
        self._backend.content(self._key)[path] = data

    async def remove(self, path: str) -> None:
        del self._backend.content(self._key)[path]

    async def paths(self) -> set[str]:
        return set(self._backend.content(self._key))

    async def root(self) -> RootDirectory:
        return self._backend.root(self._key)


@contextmanager
def _told(top: Path, path: str) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        if error.errno in {errno.EDQUOT, errno.ENOSPC}:
            raise OutOfSpace(pool=str(top)) from error
        if error.errno == errno.EROFS:
            raise InvalidState(kind="snapshot", ref=str(top), state="read_only", action="write") from error
        if error.errno == errno.ENOENT:
            raise KeyError(path) from error
        raise
