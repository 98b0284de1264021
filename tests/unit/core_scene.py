"""Volumes, snapshots and clones made through a core, and substrates and exporters that follow a script."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from uuid import UUID

import msgspec

from gateway.backends.memory import MemoryBackend, MemoryOptions
from gateway.core import clones, errors, snapshots, volumes
from gateway.core.backend import Capacity, FaultHook, Note, Observed, ObservedSnapshot, Substrate, no_fault
from gateway.core.context import Core
from gateway.core.exporter import Export
from gateway.core.handles import AccessHandle, LocalPath, NfsExport
from gateway.core.model import Intent, Pool, Snapshot, Tenant, Volume, VolumeKind
from gateway.core.pools import Configured
from gateway.core.query import Query

MIB = 1 << 20


class Script:
    """A fault hook: what stands in `steps` happens when its point is passed, once, or always when `forever`."""

    def __init__(self) -> None:
        self.steps: dict[str, Callable[[], None] | Exception] = {}
        self.forever = False

    def __call__(self, point: str) -> None:
        step = self.steps.get(point) if self.forever else self.steps.pop(point, None)
        if isinstance(step, Exception):
            raise step
        if step is not None:
            step()


class LocalMemory(MemoryBackend):
    """A memory pool whose volumes claim to be directories of this host, so that they can be published.

    It does not find the volumes in `hidden`; `backwards`: it scans the youngest
    first; `silent`: it does not tell its space. `before_annotate` and
    `before_send` come first, and `while_scanning` before each snapshot of a
    scan and after the last.
    """

    def __init__(self, name: str, options: MemoryOptions, *, fault: FaultHook = no_fault) -> None:
        super().__init__(name, options, fault=fault)
        self.hidden: set[UUID] = set()
        self.backwards = False
        self.silent = False
        self.before_annotate: Callable[[], Awaitable[object]] | None = None
        self.before_send: Callable[[], Awaitable[object]] | None = None
        self.while_scanning: Callable[[], Awaitable[object]] | None = None

    def describe(self) -> Substrate:
        # Several cores of a test may have it, one after the other or at once.
        return msgspec.structs.replace(super().describe(), handles=("local_path",), volatile=False)

    async def inspect(self, volume: UUID) -> Observed | None:
        return None if volume in self.hidden else await super().inspect(volume)

    async def annotate(self, volume: UUID, note: Note) -> None:
        if self.before_annotate is not None:
            await self.before_annotate()
        await super().annotate(volume, note)

    async def send(self, volume: UUID, snapshot: UUID, base: UUID | None) -> AsyncIterator[bytes]:
        if self.before_send is not None:
            await self.before_send()
        async for part in super().send(volume, snapshot, base):
            await asyncio.sleep(0)
            yield part

    async def capacity(self) -> Capacity:
        if self.silent:
            raise errors.Busy(what="disk")
        return await super().capacity()

    async def scan(self) -> AsyncIterator[Observed]:
        seen = [one async for one in super().scan() if one.id not in self.hidden]
        for one in reversed(seen) if self.backwards else seen:
            yield one

    async def scan_snapshots(self) -> AsyncIterator[ObservedSnapshot]:
        for one in [one async for one in super().scan_snapshots()]:
            if self.while_scanning is not None:
                await self.while_scanning()
            yield one
        if self.while_scanning is not None:
            await self.while_scanning()

    async def access(self, volume: UUID, snapshot: UUID | None = None) -> AccessHandle:  # type: ignore[override]
        await super().access(volume, snapshot)
        return LocalPath(path=f"/volumes/{volume}")


class ServedMemory(LocalMemory):
    """A memory pool that claims to be on a file server, with its blocks as raw files, and to be mounted here."""

    def describe(self) -> Substrate:
        return msgspec.structs.replace(super().describe(), handles=("nfs", "local_path"))

    async def access(self, volume: UUID, snapshot: UUID | None = None) -> NfsExport:  # type: ignore[override]
        await super().access(volume, snapshot)
        seen = await self.inspect(volume)
        if seen is not None and seen.kind is VolumeKind.FILESYSTEM:
            return NfsExport(address="192.0.2.7", port=2049, path=f"/export/{volume}")
        return NfsExport(address="192.0.2.7", port=2049, path="/export", file=str(volume))

    async def here(self, volume: UUID) -> LocalPath:
        return LocalPath(path=f"/mnt/{volume}")


def scripted_pool(script: FaultHook, name: str = "memory") -> Configured:
    """Give a memory pool that passes its points to the script."""
    return Configured(name, LocalMemory(name, MemoryOptions(), fault=script))


class PaperExporter:
    """Writes down what it publishes. Refuses the ids in `broken`, and everything while it is `down`."""

    def __init__(self) -> None:
        self.exports: dict[UUID, Export] = {}
        self.broken: set[UUID] = set()
        self.down = False

    async def open(self) -> None:
        self._check()

    async def publish(self, export: Export) -> None:
        self._check()
        if export.id in self.broken:
            raise errors.Unavailable(what="nfs", reason="refused")
        self.exports[export.id] = export

    async def withdraw(self, export_id: UUID) -> None:
        self._check()
        self.exports.pop(export_id, None)

    async def published(self) -> Mapping[UUID, Export | None]:
        self._check()
        return dict(self.exports)

    def handle(self, export: Export) -> NfsExport:
        return NfsExport(address="127.0.0.1", port=2049, path=export.path)

    async def close(self) -> None:
        pass

    def _check(self) -> None:
        if self.down:
            raise errors.Unavailable(what="nfs", reason="the exporter is not open")


async def tenant_and_pool(core: Core, name: str = "memory") -> tuple[Tenant, Pool]:
    tenant, pool = await core.find(Tenant, name="svm1"), await core.find(Pool, name=name)
    assert tenant is not None
    assert pool is not None
    return tenant, pool


async def make(core: Core, name: str, *, pool: str = "memory", **more: object) -> Volume:
    tenant, found = await tenant_and_pool(core, pool)
    new = volumes.NewVolume(**{"name": name, "tenant_id": tenant.id, "pool_id": found.id, "size": 20 * MIB, **more})
    job = await (await volumes.create(core, new, description="test")).result()
    return await core.get(Volume, job.target_id)


async def snap(core: Core, volume: Volume, name: str, **more: object) -> Snapshot:
    new = snapshots.NewSnapshot(name=name, volume_id=volume.id, **more)
    job = await (await snapshots.create(core, new, description="test")).result()
    return await core.get(Snapshot, job.target_id)


async def clone_of(core: Core, volume: Volume, name: str, snapshot: Snapshot | None = None) -> Volume:
    new = clones.NewClone(
        name=name,
        tenant_id=volume.tenant_id,
        source_id=volume.id,
        snapshot_id=snapshot.id if snapshot else None,
    )
    job = await (await clones.create(core, new, description="test")).result()
    return await core.get(Volume, job.target_id)


async def everything(core: Core) -> dict[str, object]:
    """Give all volumes and snapshots without revisions, and what the substrate holds, for comparison."""
    rows = {
        kind.__name__: sorted(
            (msgspec.structs.replace(r, revision=0) for r in (await core.catalog.page(kind, Query())).records),
            key=lambda r: r.id,
        )
        for kind in (Volume, Snapshot, Intent)
    }
    (pool,) = core.pools
    held = sorted([o.id async for o in pool.backend.scan()])
    return {**rows, "substrate": held, "snapshots": sorted([s.id async for s in pool.backend.scan_snapshots()])}
