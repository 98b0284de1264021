"""What a conformance case is given, and how it says what it needs."""

from __future__ import annotations

import functools
import inspect
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from dataclasses import dataclass
from types import CodeType, FunctionType
from typing import Protocol, TypeVar, cast
from uuid import UUID, uuid4

import msgspec
import pytest

from gateway.core.backend import (
    CloneBackend,
    CloneFileBackend,
    ConvertBackend,
    FilesBackend,
    GroupSnapshotBackend,
    Note,
    Observed,
    ObservedSnapshot,
    PermissionsBackend,
    ReplicationBackend,
    ResizeBackend,
    RestoreBackend,
    SignBackend,
    SnapshotBackend,
    VolumeBackend,
    VolumeSpec,
    derive,
)
from gateway.core.capability import FLAGS, OPERATIONS, Capability
from gateway.core.handles import AccessHandle
from gateway.core.model import RootDirectory, VolumeKind
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
    SignBackend,
    FilesBackend,
    CloneFileBackend,
    Protocol,
):
    """Every protocol at once, for the type checker; `needs` sees to it that a case calls only what is there."""


@dataclass
class Harness:
    """A fresh, empty, opened pool, and the way to its bytes.

    opened: the backend, opened; replaced by `lives`. The fixture closes it.
    content: gives access to the bytes behind a handle that the backend gave, for a block.
    reopen: closes `opened` and gives the same pool, opened anew; None when the pool is volatile.
    size: bytes of the volumes that cases make; a few times this must fit into the pool.
    """

    opened: VolumeBackend
    content: Callable[[AccessHandle], AbstractAsyncContextManager[Content]]
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
        if files:
            async with self.files(volume) as content:
                for path, data in files.items():
                    await content.write(path, data)

    async def remove(self, volume: UUID, *paths: str) -> None:
        """Remove files from a volume."""
        async with self.files(volume) as content:
            for path in paths:
                await content.remove(path)

    @asynccontextmanager
    async def files(self, volume: UUID, snapshot: UUID | None = None) -> AsyncIterator[Content]:
        """Have hold of the content of a volume or of its snapshot, for a block."""
        async with self.content(await self.opened.access(volume, snapshot)) as content:
            yield content

    async def held(self, volume: UUID, snapshot: UUID | None = None) -> dict[str, bytes]:
        """Give all files with their bytes."""
        async with self.files(volume, snapshot) as content:
            return {path: await content.read(path) for path in sorted(await content.paths())}

    async def root(self, volume: UUID) -> RootDirectory:
        """Give the owner and mode of a volume's top directory."""
        async with self.files(volume) as content:
            return await content.root()

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


_LOOKS = frozenset({Harness.files.__name__, Harness.held.__name__, Harness.root.__name__})


def looks_at_content(case: Callable[..., object]) -> bool:
    """Tell whether a case looks at what is in a volume: it uses `files`, `held` or `root`, or a function that does."""
    function = inspect.unwrap(case)
    assert isinstance(function, FunctionType)
    names = _names(function.__code__)
    called = (function.__globals__.get(name) for name in names)
    return not names.isdisjoint(_LOOKS) or any(
        looks_at_content(other) for other in called if isinstance(other, FunctionType) and other is not function
    )


def _names(code: CodeType) -> frozenset[str]:
    """Give every name that code and the functions in it use."""
    inner = [const for const in code.co_consts if isinstance(const, CodeType)]
    return frozenset(code.co_names).union(*map(_names, inner))


def content_cases(suite: type[_Suite]) -> type[_Suite]:
    """Leave a suite only the cases that look at content: others show nothing new where only its way differs.

    What a backend does to single files it does on its own host, whatever the way of clients.
    """
    for name in dir(suite):
        case = getattr(suite, name)
        if not name.startswith("test_") or case is None:
            continue
        if not looks_at_content(case) or "files" in case.__dict__.get("needs", ()):
            setattr(suite, name, None)
    return suite


def needed(suite: type) -> frozenset[str]:
    """Give every capability that at least one case of a suite needs."""
    cases = [getattr(suite, name) for name in dir(suite) if name.startswith("test_")]
    return frozenset().union(*(case.__dict__.get("needs", ()) for case in cases if case is not None))
