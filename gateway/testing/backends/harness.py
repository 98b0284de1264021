"""What a conformance case is given, and how it says what it needs."""

from __future__ import annotations

import functools
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass
from typing import Protocol, TypeVar, cast
from uuid import UUID, uuid4

import msgspec
import pytest

from gateway.core.backend import (
    CloneBackend,
    ConvertBackend,
    GroupSnapshotBackend,
    Note,
    Observed,
    ObservedSnapshot,
    PermissionsBackend,
    ReplicationBackend,
    ResizeBackend,
    RestoreBackend,
    SnapshotBackend,
    VolumeBackend,
    VolumeSpec,
    derive,
)
from gateway.core.capability import FLAGS, OPERATIONS, Capability
from gateway.core.model import AccessHandle, VolumeKind
from gateway.testing.backends.content import Content

MIB = 1024**2


class WholeBackend(
    VolumeBackend,
    ResizeBackend,
    PermissionsBackend,
    SnapshotBackend,
    RestoreBackend,
    CloneBackend,
    ReplicationBackend,
    GroupSnapshotBackend,
    ConvertBackend,
    Protocol,
):
    """Every protocol at once, for the type checker; `needs` sees to it that a case calls only what is there."""


@dataclass
class Harness:
    """A fresh, empty, opened pool, and the way to its bytes.

    opened: the backend, opened; replaced by `lives`. The fixture closes it.
    content: gives access to the bytes behind a handle that the backend gave.
    reopen: closes `opened` and gives the same pool, opened anew; None when the pool is volatile.
    size: bytes of the volumes that cases make; a few times this must fit into the pool.
    """

    opened: VolumeBackend
    content: Callable[[AccessHandle], Content]
    reopen: Callable[[], Awaitable[VolumeBackend]] | None = None
    size: int = 32 * MIB
    kind: VolumeKind = VolumeKind.FILESYSTEM
    pool: str = "conformance"

    @property
    def backend(self) -> WholeBackend:
        """Give the opened backend, typed as if it could do everything."""
        return cast("WholeBackend", self.opened)

    def capability(self) -> Capability:
        """Derive the pool's capability record."""
        return derive(self.pool, self.opened)[self.kind]

    async def lives(self) -> AsyncIterator[WholeBackend]:
        """Yield the backend as it is, and once more after closing and opening unless it is volatile."""
        yield self.backend
        if self.reopen is not None:
            self.opened = await self.reopen()
            yield self.backend

    def spec(self, **changes: object) -> VolumeSpec:
        """Describe a new volume of the usual size."""
        made = VolumeSpec(id=uuid4(), kind=self.kind, size=self.size, note=note())
        return msgspec.structs.replace(made, **changes)

    async def volume(self, **files: bytes) -> UUID:
        """Make a volume that holds `files`."""
        made = await self.backend.create(self.spec())
        assert made.id is not None
        await self.write(made.id, **files)
        return made.id

    async def write(self, volume: UUID, **files: bytes) -> None:
        """Write `files` into a volume."""
        content = await self.files(volume)
        for path, data in files.items():
            await content.write(path, data)

    async def files(self, volume: UUID, snapshot: UUID | None = None) -> Content:
        """Give the content of a volume or of its snapshot."""
        return self.content(await self.opened.access(volume, snapshot))

    async def held(self, volume: UUID, snapshot: UUID | None = None) -> dict[str, bytes]:
        """Give all files with their bytes."""
        content = await self.files(volume, snapshot)
        return {path: await content.read(path) for path in sorted(await content.paths())}

    async def volumes(self) -> dict[UUID | None, Observed]:
        """Scan the volumes; fail when one is reported twice."""
        found = [observed async for observed in self.opened.scan()]
        assert len({observed.id for observed in found}) == len(found)
        return {observed.id: observed for observed in found}

    async def snapshots(self) -> dict[UUID | None, ObservedSnapshot]:
        """Scan the snapshots; fail when one is reported twice."""
        found = [observed async for observed in self.backend.scan_snapshots()]
        assert len({observed.id for observed in found}) == len(found)
        return {observed.id: observed for observed in found}


def note(name: str = "plain", *, tenant: str = "tenant", document: bytes = b"{}") -> Note:
    """Make a note."""
    return Note(name=name, tenant=tenant, document=document)


_Suite = TypeVar("_Suite")
_Case = Callable[[_Suite, Harness], Awaitable[None]]


def needs(*names: str, without: tuple[str, ...] = ()) -> Callable[[_Case[_Suite]], _Case[_Suite]]:
    """Skip a case, visibly, unless the pool can do all of `names` and none of `without`."""
    unknown = {*names, *without} - {*OPERATIONS, *FLAGS}
    if unknown:
        raise ValueError(f"no such capability: {sorted(unknown)}")

    def decorate(case: _Case[_Suite]) -> _Case[_Suite]:
        @functools.wraps(case)
        async def keyed(self: _Suite, harness: Harness) -> None:
            capability = harness.capability()
            for name in names:
                if not capability.can(name):
                    pytest.skip(f"missing capability: {name}: {capability.why_not.get(name, 'not stated')}")
            for name in without:
                if capability.can(name):
                    pytest.skip(f"only for pools without the capability: {name}")
            await case(self, harness)

        keyed.__dict__["needs"] = frozenset(names)
        return keyed

    return decorate


def needed(suite: type) -> frozenset[str]:
    """Give every capability that at least one case of a suite needs."""
    cases = [getattr(suite, name) for name in dir(suite) if name.startswith("test_")]
    return frozenset().union(*(case.__dict__.get("needs", ()) for case in cases))
