"""The ONTAP backend: every method is one call of a blocking part in the backend's own threads.

Clients mount the cluster's volumes themselves; the gateway only looks after them.
"""
# ruff: noqa: D102 - the protocols carry the contract of the methods

from __future__ import annotations

import asyncio
import itertools
from collections.abc import AsyncIterator, Callable, Iterator
from datetime import datetime
from typing import ClassVar, ParamSpec, TypeVar
from uuid import UUID

from gateway.backends.ontap.carriers import bare
from gateway.backends.ontap.descriptions import Document, from_tags
from gateway.backends.ontap.failures import Subject, translated
from gateway.backends.ontap.opening import Opened, address, open_pool
from gateway.backends.ontap.options import OntapOptions
from gateway.backends.ontap.pool import Pool
from gateway.backends.ontap.snapshots import Snapshots
from gateway.core.backend import (
    Capacity,
    FaultHook,
    Note,
    Observed,
    ObservedSnapshot,
    Substrate,
    VolumeSpec,
    no_fault,
)
from gateway.core.capability import Facts
from gateway.core.errors import NotFound, Unavailable, Unsupported
from gateway.core.handles import NfsExport
from gateway.core.locks import KeyLocks
from gateway.core.model import RootDirectory, VolumeKind, utc_now
from gateway.core.worker import Worker

P = ParamSpec("P")
T = TypeVar("T")

_SIZE_MIN = 20 * 1024 * 1024
_SIZE_STEP = 4096
_SLICE = 128
_FIRST_LOOK_S, _LAST_LOOK_S = 0.1, 30.0
_IDLE_LOOKS = 4
"""So often in a row a split may be seen that has not ended and does not go on."""


class _Session:
    """What lives from `open` to `close`."""

    def __init__(self, opened: Opened, worker: Worker) -> None:
        self.pool = opened.pool
        self.opened = opened
        self.volumes = opened.volumes
        self.snapshots = Snapshots(opened.pool, opened.carriers)
        self.keys = KeyLocks()
        self._worker = worker

    async def run(self, at: Subject, fn: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
        """Run a blocking part in a thread, with errors as the core knows them."""

        def guarded() -> T:
            with translated(at):
                return fn(*args, **kwargs)

        return await self._worker.run(guarded)

    async def change(self, key: UUID, at: Subject, fn: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
        """Run a change of a volume and what belongs to it: one at a time for each id."""
        async with self.keys.holding(key):
            return await self.run(at, fn, *args, **kwargs)

    async def each(self, at: Subject, found: Iterator[T]) -> AsyncIterator[T]:
        """Yield what a blocking part yields."""
        while part := await self.run(at, lambda: list(itertools.islice(found, _SLICE))):
            for one in part:
                yield one

    async def close(self) -> None:
        await self._worker.close()
        self.pool.cluster.close()


class OntapBackend:
    """Volumes as FlexVols of one SVM of an ONTAP cluster; see `names` and `descriptions` for what is kept where."""

    Options: ClassVar[type[OntapOptions]] = OntapOptions

    def __init__(
        self,
        name: str,
        options: OntapOptions,
        *,
        fault: FaultHook = no_fault,
        now: Callable[[], datetime] = utc_now,
    ) -> None:
        self._name = name
        self._options = options
        self._fault = fault
        self._now = now
        self._opened: _Session | None = None

    # --- life ---

    async def open(self) -> None:
        await self.close()
        worker = Worker(f"ontap-{self._name}", self._options.threads)
        opened = await worker.begin(open_pool, self._name, self._options, fault=self._fault, now=self._now)
        self._opened = _Session(opened, worker)

    async def close(self) -> None:
        session, self._opened = self._opened, None
        if session is not None:
            await session.close()

    @property
    def _session(self) -> _Session:
        if self._opened is None:
            raise Unavailable(what=self._name, reason="not open")
        return self._opened

    def describe(self) -> Substrate:
        session = self._session
        facts = Facts(
            quota=True,
            thick=self._options.thick,
            shrink=True,
            split="clone" not in session.opened.lacks,
            clone_needs_snapshot="clone" not in session.opened.lacks,
            crash_consistent=True,
            size_min=_SIZE_MIN,
            size_step=_SIZE_STEP,
        )
        return Substrate(
            id=session.pool.key,
            driver="ontap",
            kinds={VolumeKind.FILESYSTEM: facts},
            lacks={VolumeKind.FILESYSTEM: session.opened.lacks},
            handles=("nfs",),
            remarks=session.opened.remarks,
        )

    def _about(self, key: UUID, action: str = "inspect", kind: str = "volume") -> Subject:
        return Subject(pool=self._name, kind=kind, ref=str(key), action=action)

    # --- VolumeBackend ---

    async def create(self, spec: VolumeSpec) -> Observed:
        return await self._session.change(spec.id, self._about(spec.id, "create"), self._session.volumes.create, spec)

    async def delete(self, volume: UUID) -> None:
        await self._session.change(volume, self._about(volume, "delete"), self._session.volumes.delete, volume)

    async def annotate(self, volume: UUID, note: Note) -> None:
        at = self._about(volume, "annotate")
        await self._session.change(volume, at, self._session.volumes.annotate, volume, note)

    async def inspect(self, volume: UUID) -> Observed | None:
        return await self._session.run(self._about(volume), self._session.volumes.inspect, volume)

    async def scan(self) -> AsyncIterator[Observed]:
        session = self._session
        async for seen in session.each(Subject(pool=self._name, action="scan"), session.volumes.scan()):
            yield seen

    async def capacity(self) -> Capacity:
        return await self._session.run(Subject(pool=self._name, action="capacity"), _capacity, self._session.pool)

    async def access(self, volume: UUID, snapshot: UUID | None = None) -> NfsExport:
        """Give where the cluster serves a volume; one that somebody unmounted there is mounted again."""
        session = self._session
        at = self._about(volume, "access")
        path = await session.change(volume, at, _place, session.pool, volume, snapshot)
        where = session.opened.address or await session.run(at, address, session.pool)
        if not where:
            reason = "the SVM has no interface for NFS"
            raise Unsupported(capability="access", backend=self._name, reason=reason)
        return NfsExport(
            address=where,
            port=self._options.port,
            path=path,
            version=self._options.version,
            read_only=snapshot is not None,
        )

    async def put_manifest(self, document: bytes) -> None:
        session = self._session
        at = Subject(pool=self._name, action="put_manifest")
        await session.change(session.pool.key, at, _put_manifest, session.opened, document)

    async def manifest(self) -> bytes | None:
        return await self._session.run(Subject(pool=self._name, action="manifest"), self._session.pool.document)

    # --- ResizeBackend, PermissionsBackend ---

    async def resize(self, volume: UUID, size: int) -> None:
        at = self._about(volume, "resize")
        await self._session.change(volume, at, self._session.volumes.resize, volume, size)

    async def set_root(self, volume: UUID, root: RootDirectory) -> None:
        at = self._about(volume, "permissions")
        await self._session.change(volume, at, self._session.volumes.set_root, volume, root)

    # --- SnapshotBackend ---

    async def snapshot(self, volume: UUID, snapshot: UUID, note: Note) -> ObservedSnapshot:
        at = self._about(snapshot, "snapshot", "snapshot")
        return await self._session.change(volume, at, self._session.snapshots.snapshot, volume, snapshot, note)

    async def delete_snapshot(self, volume: UUID, snapshot: UUID) -> None:
        at = self._about(snapshot, "delete", "snapshot")
        await self._session.change(volume, at, self._session.snapshots.delete, volume, snapshot)

    async def annotate_snapshot(self, volume: UUID, snapshot: UUID, note: Note) -> None:
        at = self._about(snapshot, "annotate", "snapshot")
        await self._session.change(volume, at, self._session.snapshots.annotate, volume, snapshot, note)

    async def inspect_snapshot(self, volume: UUID, snapshot: UUID) -> ObservedSnapshot | None:
        at = self._about(snapshot, kind="snapshot")
        return await self._session.run(at, self._session.snapshots.inspect, volume, snapshot)

    async def scan_snapshots(self) -> AsyncIterator[ObservedSnapshot]:
        session = self._session
        async for seen in session.each(Subject(pool=self._name, action="scan"), session.snapshots.scan()):
            yield seen

    # --- RestoreBackend, CloneBackend ---

    async def restore(self, volume: UUID, snapshot: UUID, token: UUID) -> None:
        at = self._about(volume, "restore")
        await self._session.change(volume, at, self._session.volumes.restore, volume, snapshot, token)

    async def settle_restore(self, volume: UUID, token: UUID) -> bool:
        at = self._about(volume, "restore")
        return await self._session.change(volume, at, self._session.volumes.settle_restore, volume, token)

    async def clone(self, source: UUID, snapshot: UUID | None, spec: VolumeSpec) -> Observed:
        at = self._about(spec.id, "clone")
        return await self._session.change(spec.id, at, self._session.volumes.clone, source, snapshot, spec)

    async def split(self, volume: UUID) -> None:
        session, at = self._session, self._about(volume, "split")
        async with session.keys.holding(volume):
            await session.run(at, session.volumes.begin_split, volume)
            pause, idle = _FIRST_LOOK_S, 0
            # The cluster copies in the background, perhaps for hours: no thread waits for it.
            while (seen := await session.run(at, session.volumes.sharing, volume)).is_flexclone:
                idle = 0 if seen.split_initiated else idle + 1
                if idle == _IDLE_LOOKS:
                    raise Unavailable(what=self._name, reason="the cluster broke the split off")
                await asyncio.sleep(pause)
                pause = min(pause * 2, _LAST_LOOK_S)


def _capacity(pool: Pool) -> Capacity:
    space = [aggregate.space.block_storage for aggregate in pool.aggregates()]
    return Capacity(
        size=sum(one.size for one in space),
        used=sum(one.used for one in space),
        available=sum(one.available for one in space),
    )


def _place(pool: Pool, volume: UUID, snapshot: UUID | None) -> str:
    found = pool.volume(volume).flexvol
    copy = None if snapshot is None else pool.copy(found, snapshot)
    if snapshot is not None and copy is None:
        raise NotFound(kind="snapshot", ref=str(snapshot))
    path = found.nas.path
    if not path:
        path = pool.junction(volume)
        pool.cluster.set_volume(found, {"nas": {"path": path}})
    return path if copy is None else f"{path}/.snapshot/{copy.name}"


def _put_manifest(opened: Opened, document: bytes) -> None:
    pool, carriers = opened.pool, opened.carriers
    passed = pool.steps("put_manifest")
    passed("begun")
    family = pool.family(pool.key)
    kept = () if family.volume is None else family.volume.tags
    tags = carriers.tags(Document(document), pool.key, kept)
    passed("carried")
    if family.volume is None:
        aggregate = pool.aggregates()[0].name
        pool.cluster.make_volume(bare(pool.names.volume(pool.key), aggregate) | {"_tags": tags})
    else:
        pool.cluster.set_volume(family.volume, {"_tags": tags})
    passed("noted")
    told = from_tags(tags)
    carriers.drop(family.carriers, None if told is None else told[1])
    passed("dropped")
