"""Reading and writing the bytes of a block volume: a tiny file system of the tests' own, on any device."""
# ruff: noqa: D102 - `Content` and `Device` carry the contract of the methods

from __future__ import annotations

import asyncio
import errno
import os
import struct
import zlib
from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path
from typing import Protocol, Self

import msgspec

from gateway.core.errors import OutOfSpace
from gateway.core.handles import AccessHandle, LocalPath
from gateway.core.model import RootDirectory
from gateway.testing.backends.content import Loose, told

_MAGIC = b"GWBC"
_HEAD = struct.Struct("<4sQQI")
_SLOT = 64 * 1024
"""Bytes of each of the two index slots at the start of a block device."""


class Device(Protocol):
    """A block device that is open. Every method blocks and raises OSError; EROFS when it may not be written."""

    def size(self) -> int:
        """Give its bytes."""

    def pread(self, length: int, place: int) -> bytes:
        """Give all `length` bytes from a place on."""

    def pwrite(self, data: bytes, place: int) -> None:
        """Set bytes from a place on."""

    def flush(self) -> None:
        """Make durable what was written."""


Connect = Callable[[AccessHandle], AbstractContextManager[Device]]
"""Opens the device behind a handle for a block; TypeError for a handle of another form."""


class FileDevice:
    """The raw file or device of this host behind a `LocalPath`, open for a `with` block."""

    def __init__(self, handle: AccessHandle) -> None:
        if not isinstance(handle, LocalPath):
            raise TypeError(f"not a local path: {handle}")
        self._path = Path(handle.path)
        self._read_only = handle.read_only

    def __enter__(self) -> Self:
        self._file = self._path.open("rb" if self._read_only else "r+b", buffering=0)
        return self

    def __exit__(self, *_: object) -> None:
        self._file.close()

    def size(self) -> int:
        return os.lseek(self._file.fileno(), 0, os.SEEK_END)

    def pread(self, length: int, place: int) -> bytes:
        data = b""
        while len(data) < length:
            part = os.pread(self._file.fileno(), length - len(data), place + len(data))
            if not part:
                raise OSError(errno.EIO, "the device ends too early")
            data += part
        return data

    def pwrite(self, data: bytes, place: int) -> None:
        if self._read_only:
            raise OSError(errno.EROFS, os.strerror(errno.EROFS))
        done = 0
        while done < len(data):
            done += os.pwrite(self._file.fileno(), data[done:], place + done)

    def flush(self) -> None:
        os.fsync(self._file.fileno())


class BlockContent(Loose):
    """Content of a block volume; `connect` opens its device anew for every call.

    Two index slots at the start take turns; the valid one with the higher
    generation counts. Data goes to room that the counting index does not use,
    so a snapshot at any instant holds the files as they were before or after a
    change.
    """

    def __init__(self, handle: AccessHandle, connect: Connect = FileDevice) -> None:
        self._handle = handle
        self._connect = connect

    async def read(self, path: str) -> bytes:
        return await asyncio.to_thread(self._read, path)

    async def write(self, path: str, data: bytes) -> None:
        await asyncio.to_thread(self._write, path, data)

    async def remove(self, path: str) -> None:
        await asyncio.to_thread(self._remove, path)

    async def paths(self) -> set[str]:
        return await asyncio.to_thread(self._paths)

    async def root(self) -> RootDirectory:
        raise TypeError("a block device has no top directory")

    @contextmanager
    def _opened(self) -> Iterator[Device]:
        with told(str(self._handle), str(self._handle)), self._connect(self._handle) as device:
            yield device

    def _read(self, path: str) -> bytes:
        with self._opened() as device:
            place, length = _index(device)[1][path]
            return device.pread(length, place)

    def _write(self, path: str, data: bytes) -> None:
        with self._opened() as device:
            generation, files = _index(device)
            place = _free(device.size(), files, len(data))
            if place is None:
                raise OutOfSpace(pool=str(self._handle))
            device.pwrite(data, place)
            device.flush()
            _put_index(device, generation + 1, {**files, path: (place, len(data))})

    def _remove(self, path: str) -> None:
        with self._opened() as device:
            generation, files = _index(device)
            del files[path]
            _put_index(device, generation + 1, files)

    def _paths(self) -> set[str]:
        with self._opened() as device:
            return set(_index(device)[1])


def _free(size: int, files: Mapping[str, tuple[int, int]], wanted: int) -> int | None:
    """Give the first place with room for `wanted` bytes, None when a device of `size` bytes has none."""
    start = 2 * _SLOT
    for place, length in sorted(files.values()):
        if place - start >= wanted:
            break
        start = max(start, place + length)
    return start if start + wanted <= size else None


def _index(device: Device) -> tuple[int, dict[str, tuple[int, int]]]:
    """Give generation and files (place and length) of the index that counts; an empty device has none."""
    newest: tuple[int, dict[str, tuple[int, int]]] = (0, {})
    for slot in (0, 1):
        magic, generation, length, check = _HEAD.unpack(device.pread(_HEAD.size, slot * _SLOT))
        if magic != _MAGIC or generation <= newest[0]:
            continue
        table = device.pread(length, slot * _SLOT + _HEAD.size)
        if zlib.crc32(table) == check:
            newest = generation, msgspec.msgpack.decode(table, type=dict[str, tuple[int, int]])
    return newest


def _put_index(device: Device, generation: int, files: Mapping[str, tuple[int, int]]) -> None:
    table = msgspec.msgpack.encode(files)
    head = _HEAD.pack(_MAGIC, generation, len(table), zlib.crc32(table))
    device.pwrite(head + table, generation % 2 * _SLOT)
    device.flush()
