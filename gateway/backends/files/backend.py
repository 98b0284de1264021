"""What every pool of files does: each method is one call of a blocking part in the backend's own threads."""
# ruff: noqa: D102 - the protocols carry the contract of the methods

from __future__ import annotations

from collections.abc import AsyncIterator
from uuid import UUID

from gateway.backends.files.session import Session, Turns
from gateway.core import needs
from gateway.core.backend import Capacity, Note, Observed, ObservedSnapshot, VolumeSpec
from gateway.core.errors import Unavailable
from gateway.core.model import RootDirectory

SLICE = 32
"""So many things are looked at in one call: on a slow server it must end well before its deadline."""
TREE_NEEDS = (
    needs.capability("CAP_CHOWN", "to give volumes to their owners", optional=True),
    needs.capability("CAP_FOWNER", "to set the mode of volumes that others own", optional=True),
    needs.capability("CAP_DAC_OVERRIDE", "to delete what others wrote into volumes", optional=True),
)
"""What volumes that are directories need of the machine to belong to anybody but the gateway."""


class FileBackend:
    """What a directory and a mounted file server have in common. A subclass opens, describes and gives access."""

    def __init__(self, name: str) -> None:
        self._name = name
        self._turns = Turns(name)
        self._opened: Session | None = None

    @property
    def session(self) -> Session:
        """Give the open pool."""
        if self._opened is None:
            raise Unavailable(what=self._name, reason="not open")
        return self._opened

    async def close(self) -> None:
        session, self._opened = self._opened, None
        if session is not None:
            await session.close()

    # --- VolumeBackend ---

    async def create(self, spec: VolumeSpec) -> Observed:
        return await self.session.change(spec.id, self.session.volumes.create, spec)

    async def delete(self, volume: UUID) -> None:
        await self.session.change(volume, self.session.volumes.delete, volume)

    async def annotate(self, volume: UUID, note: Note) -> None:
        await self.session.change(volume, self.session.volumes.annotate, volume, note)

    async def inspect(self, volume: UUID) -> Observed | None:
        return await self.session.run(self.session.volumes.inspect, volume)

    async def scan(self) -> AsyncIterator[Observed]:
        session = self.session
        names = await session.run(session.volumes.names)
        for start in range(0, len(names), SLICE):
            for seen in await session.run(session.volumes.look, names[start : start + SLICE]):
                yield seen

    async def capacity(self) -> Capacity:
        return await self.session.run(self.session.volumes.capacity)

    async def put_manifest(self, document: bytes) -> None:
        await self.session.change(self.session.pool.id, self.session.volumes.put_manifest, document)

    async def manifest(self) -> bytes | None:
        return await self.session.run(self.session.volumes.manifest)

    # --- ResizeBackend, PermissionsBackend ---

    async def resize(self, volume: UUID, size: int) -> None:
        await self.session.change(volume, self.session.volumes.resize, volume, size)

    async def set_root(self, volume: UUID, root: RootDirectory) -> None:
        await self.session.change(volume, self.session.volumes.set_root, volume, root)

    # --- SnapshotBackend ---

    async def snapshot(self, volume: UUID, snapshot: UUID, note: Note) -> ObservedSnapshot:
        return await self.session.change(volume, self.session.copies.snapshot, volume, snapshot, note)

    async def delete_snapshot(self, volume: UUID, snapshot: UUID) -> None:
        await self.session.change(volume, self.session.copies.delete, volume, snapshot)

    async def annotate_snapshot(self, volume: UUID, snapshot: UUID, note: Note) -> None:
        await self.session.change(volume, self.session.copies.annotate, volume, snapshot, note)

    async def inspect_snapshot(self, volume: UUID, snapshot: UUID) -> ObservedSnapshot | None:
        return await self.session.run(self.session.copies.inspect, volume, snapshot)

    async def scan_snapshots(self) -> AsyncIterator[ObservedSnapshot]:
        session = self.session
        names = await session.run(session.copies.names)
        for start in range(0, len(names), SLICE):
            for seen in await session.run(session.copies.look, names[start : start + SLICE]):
                yield seen

    # --- RestoreBackend, CloneBackend, ConvertBackend ---

    async def restore(self, volume: UUID, snapshot: UUID, token: UUID) -> None:
        await self.session.change(volume, self.session.copies.restore, volume, snapshot, token)

    async def settle_restore(self, volume: UUID, token: UUID) -> bool:
        return await self.session.change(volume, self.session.copies.settle_restore, volume, token)

    async def clone(self, source: UUID, snapshot: UUID | None, spec: VolumeSpec) -> Observed:
        return await self.session.change(spec.id, self.session.copies.clone, source, snapshot, spec)

    async def split(self, volume: UUID) -> None:
        await self.session.change(volume, self.session.copies.split, volume)

    async def convert(self, spec: VolumeSpec) -> Observed:
        return await self.session.change(spec.id, self.session.copies.convert, spec)
