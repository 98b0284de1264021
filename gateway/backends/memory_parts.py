"""Parts of the memory backend: the pool's room, the stream of a snapshot, and files as those see them who share it."""

from __future__ import annotations

import hashlib
from collections.abc import Collection, Iterator, Mapping, MutableMapping
from typing import Protocol
from uuid import UUID

import msgspec

from gateway.core.errors import InvalidArgument, InvalidState, OutOfSpace
from gateway.core.model import RootDirectory


class Files(Protocol):
    """What has the files of volumes."""

    def files(self, volume: UUID) -> Mapping[str, bytes]:
        """Give a volume's files; to be read only."""

    def write(self, volume: UUID, path: str, data: bytes | None) -> None:
        """Set one file's content (None: remove it), or raise OutOfSpace and change nothing."""


class Stream(msgspec.Struct, frozen=True, kw_only=True):
    """What replication carries: the files that differ from `base` (None: from nothing)."""

    lineage: UUID
    base: UUID | None
    root: RootDirectory
    changed: dict[str, bytes]
    removed: list[str]
    folders: dict[str, RootDirectory] = {}


class Space:
    """The pool's room: reservations plus shared bytes, each counted once."""

    def __init__(self, pool: str, size: int) -> None:
        self._pool = pool
        self.size = size
        self.used = 0
        self._holders: dict[int, int] = {}

    def take(self, wanted: int) -> None:
        """Take `wanted` bytes (negative: give back), or raise OutOfSpace and take nothing."""
        free = self.size - self.used
        if wanted > max(free, 0):
            raise OutOfSpace(pool=self._pool, wanted=wanted, free=max(free, 0))
        self.used += wanted

    def hold(self, contents: Collection[bytes]) -> None:
        """Count one more holder of each, or raise OutOfSpace and count none."""
        self.take(sum({id(c): len(c) for c in contents if id(c) not in self._holders}.values()))
        for content in contents:
            self._holders[id(content)] = self._holders.get(id(content), 0) + 1

    def release(self, contents: Collection[bytes]) -> None:
        """Count one holder less of each; what nobody holds is free again."""
        for content in contents:
            holders = self._holders.pop(id(content)) - 1
            if holders:
                self._holders[id(content)] = holders
            else:
                self.used -= len(content)


class VolumeFiles(MutableMapping[str, bytes]):
    """A volume's files, as they are at each access."""

    def __init__(self, backend: Files, volume: UUID) -> None:
        self._backend = backend
        self._volume = volume
        backend.files(volume)

    def __getitem__(self, path: str) -> bytes:
        return self._backend.files(self._volume)[path]

    def __setitem__(self, path: str, data: bytes) -> None:
        self._backend.write(self._volume, path, bytes(data))

    def __delitem__(self, path: str) -> None:
        if path not in self:
            raise KeyError(path)
        self._backend.write(self._volume, path, None)

    def __iter__(self) -> Iterator[str]:
        return iter(self._backend.files(self._volume))

    def __len__(self) -> int:
        return len(self._backend.files(self._volume))


class SnapshotFiles(MutableMapping[str, bytes]):
    """A snapshot's files; every write raises InvalidState."""

    def __init__(self, snapshot: UUID, files: Mapping[str, bytes]) -> None:
        self._snapshot = snapshot
        self._files = files

    def __getitem__(self, path: str) -> bytes:
        return self._files[path]

    def __setitem__(self, path: str, data: bytes) -> None:
        raise InvalidState(kind="snapshot", ref=str(self._snapshot), state="read_only", action="write")

    def __delitem__(self, path: str) -> None:
        raise InvalidState(kind="snapshot", ref=str(self._snapshot), state="read_only", action="write")

    def __iter__(self) -> Iterator[str]:
        return iter(self._files)

    def __len__(self) -> int:
        return len(self._files)


def decode_stream(stream: bytes) -> Stream:
    """Read a stream; InvalidArgument when it is broken."""
    digest, payload = stream[:32], stream[32:]
    if hashlib.sha256(payload).digest() != digest:
        raise InvalidArgument(field="stream", reason="broken or cut short")
    try:
        return msgspec.msgpack.decode(payload, type=Stream)
    except msgspec.DecodeError as error:
        raise InvalidArgument(field="stream", reason="not a stream of a memory pool") from error
