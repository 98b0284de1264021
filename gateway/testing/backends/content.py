"""Reading and writing a volume's bytes the way its clients do: through the access handle."""
# ruff: noqa: D102 - `Content` carries the contract of the methods

from __future__ import annotations

import asyncio
import errno
import os
import stat
from collections.abc import Iterator, MutableMapping
from contextlib import contextmanager
from pathlib import Path
from typing import Protocol, Self

from gateway.core.errors import InvalidState, OutOfSpace
from gateway.core.handles import AccessHandle, InProcess, LocalPath
from gateway.core.model import RootDirectory


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


class Loose:
    """What holds nothing open between calls; entering it is a formality."""

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        pass


class LocalContent(Loose):
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
        with told(str(self._top), path):
            return (self._top / path).read_bytes()

    def _write(self, path: str, data: bytes) -> None:
        target = self._top / path
        with told(str(self._top), path):
            target.parent.mkdir(parents=True, exist_ok=True)
            with target.open("wb") as file:
                file.write(data)
                file.flush()
                os.fsync(file.fileno())

    def _remove(self, path: str) -> None:
        with told(str(self._top), path):
            (self._top / path).unlink()

    def _paths(self) -> set[str]:
        return {str(found.relative_to(self._top)) for found in self._top.rglob("*") if found.is_file()}


class FilesInProcess(Protocol):
    """What a backend offers for its `InProcess` handles."""

    def content(self, key: str) -> MutableMapping[str, bytes]:
        """Give the files behind a key."""

    def root(self, key: str) -> RootDirectory:
        """Give the top directory's owner and mode."""


class MemoryContent(Loose):
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
def told(place: str, path: str) -> Iterator[None]:
    """Turn what a client's system says of a file into what `Content` says. `place` names the volume or snapshot."""
    try:
        yield
    except OSError as error:
        if error.errno in {errno.EDQUOT, errno.ENOSPC}:
            raise OutOfSpace(pool=place) from error
        if error.errno == errno.EROFS:
            raise InvalidState(kind="snapshot", ref=place, state="read_only", action="write") from error
        if error.errno == errno.ENOENT:
            raise KeyError(path) from error
        raise
