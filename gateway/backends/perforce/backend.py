"""The Perforce backend: every method is one call of a blocking part in the backend's own threads."""
# ruff: noqa: D102 - the protocols carry the contract of the methods

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping
from contextlib import AbstractContextManager
from functools import partial
from typing import ClassVar, Final, ParamSpec, TypeVar
from uuid import UUID

import structlog

from gateway.backends.perforce.connection import Connect, P4Connection
from gateway.backends.perforce.failures import translated
from gateway.backends.perforce.opening import Opened, open_pool
from gateway.backends.perforce.pool import PerforceOptions, Pool
from gateway.backends.perforce.records import ManifestRecord, decode, encode
from gateway.backends.perforce.snapshots import Snapshots
from gateway.backends.perforce.volumes import Volumes
from gateway.backends.session import Session
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
from gateway.core.capability import SIZE_MAX, Facts
from gateway.core.errors import Unavailable
from gateway.core.handles import PerforceStream
from gateway.core.model import VolumeKind
from gateway.core.worker import Worker

P = ParamSpec("P")
T = TypeVar("T")

KINDS: Final[Mapping[VolumeKind, Facts]] = {
    VolumeKind.TREE: Facts(shrink=True, split=True, restore_keeps_newer=True, crash_consistent=True, size_max=SIZE_MAX)
}

log = structlog.get_logger(__name__)


class _Session(Session):
    """What lives from `open` to `close`."""

    def __init__(self, opened: Opened, worker: Worker) -> None:
        super().__init__(worker, partial(_within, opened.pool.name))
        self.pool = opened.pool
        self.record = opened.record
        self.remarks = opened.remarks
        self.volumes = Volumes(self.pool)
        self.snapshots = Snapshots(self.pool)
        self._connections = opened.connections

    async def close(self) -> None:
        await self.worker.close()
        self._connections.close()


class PerforceBackend:
    """Trees under version control, as streams of a Perforce server.

    Never run against a real server; see the notes.
    """

    Options: ClassVar[type[PerforceOptions]] = PerforceOptions

    def __init__(
        self, name: str, options: PerforceOptions, *, fault: FaultHook = no_fault, connect: Connect | None = None
    ) -> None:
        self._name = name
        self._options = options
        self._fault = fault
        self._connect = connect or partial(
            P4Connection,
            port=options.port,
            user=options.user,
            password=options.password,
            charset=options.charset,
            timeout_s=options.timeout_s,
        )
        self._opened: _Session | None = None

    # --- life ---

    async def open(self) -> None:
        await self.close()
        worker = Worker(f"perforce-{self._name}", self._options.threads)
        opened = await worker.begin(self._open)
        self._opened = _Session(opened, worker)

    def _open(self) -> Opened:
        with _within(self._name):
            return open_pool(self._name, self._options, self._connect, self._fault)

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
        return Substrate(
            id=session.record.id, driver="perforce", kinds=KINDS, handles=("perforce",), remarks=session.remarks
        )

    # --- VolumeBackend ---

    async def create(self, spec: VolumeSpec) -> Observed:
        return await self._session.change(spec.id, self._session.volumes.create, spec)

    async def delete(self, volume: UUID) -> None:
        await self._session.change(volume, self._session.volumes.delete, volume)

    async def annotate(self, volume: UUID, note: Note) -> None:
        await self._session.change(volume, self._session.volumes.annotate, volume, note)

    async def inspect(self, volume: UUID) -> Observed | None:
        return await self._session.run(self._session.volumes.inspect, volume)

    async def scan(self) -> AsyncIterator[Observed]:
        for seen in await self._session.run(self._session.volumes.scan):
            yield seen

    async def capacity(self) -> Capacity:
        return await self._session.run(self._session.pool.capacity)

    async def access(self, volume: UUID, snapshot: UUID | None = None) -> PerforceStream:
        return await self._session.run(_access, self._session.pool, volume, snapshot)

    async def put_manifest(self, document: bytes) -> None:
        await self._session.change(self._session.record.id, _put_manifest, self._session.pool, document)

    async def manifest(self) -> bytes | None:
        return await self._session.run(_manifest, self._session.pool)

    # --- ResizeBackend ---

    async def resize(self, volume: UUID, size: int) -> None:
        await self._session.change(volume, self._session.volumes.resize, volume, size)

    # --- SnapshotBackend ---

    async def snapshot(self, volume: UUID, snapshot: UUID, note: Note) -> ObservedSnapshot:
        return await self._session.change(volume, self._session.snapshots.snapshot, volume, snapshot, note)

    async def delete_snapshot(self, volume: UUID, snapshot: UUID) -> None:
        await self._session.change(volume, self._session.snapshots.delete, volume, snapshot)

    async def annotate_snapshot(self, volume: UUID, snapshot: UUID, note: Note) -> None:
        await self._session.change(volume, self._session.snapshots.annotate, volume, snapshot, note)

    async def inspect_snapshot(self, volume: UUID, snapshot: UUID) -> ObservedSnapshot | None:
        return await self._session.run(self._session.snapshots.inspect, volume, snapshot)

    async def scan_snapshots(self) -> AsyncIterator[ObservedSnapshot]:
        for seen in await self._session.run(self._session.snapshots.scan):
            yield seen

    # --- RestoreBackend, CloneBackend ---

    async def restore(self, volume: UUID, snapshot: UUID, token: UUID) -> None:
        await self._session.change(volume, self._session.snapshots.restore, volume, snapshot, token)

    async def settle_restore(self, volume: UUID, token: UUID) -> bool:
        return await self._session.change(volume, self._session.snapshots.settle, volume, token)

    async def clone(self, source: UUID, snapshot: UUID | None, spec: VolumeSpec) -> Observed:
        return await self._session.change(spec.id, self._session.volumes.clone, source, snapshot, spec)

    async def split(self, volume: UUID) -> None:
        await self._session.change(volume, self._session.volumes.split, volume)


def _within(pool: str) -> AbstractContextManager[None]:
    """Give what turns refusals of a block into errors as the core knows them."""
    return translated(pool, lambda text: log.warning("perforce_refused", pool=pool, text=text))


def _access(pool: Pool, volume: UUID, snapshot: UUID | None) -> PerforceStream:
    pool.volume(volume)
    revision = "" if snapshot is None else f"@{pool.snapshot(volume, snapshot).record.change}"
    port = pool.options.public_port or pool.options.port
    stream = pool.names.stream(volume)
    return PerforceStream(port=port, stream=stream, revision=revision, read_only=snapshot is not None)


def _put_manifest(pool: Pool, document: bytes) -> None:
    passed = pool.steps("put_manifest")
    passed("begun")
    title = f"What volume-gateway keeps for its pool in depot {pool.options.depot}."
    pool.save_label(pool.names.manifest, encode(title, ManifestRecord(document)))
    passed("written")


def _manifest(pool: Pool) -> bytes | None:
    form = pool.form("label", pool.names.manifest)
    if form is None:
        return None
    found = decode(form.get("Description"), ManifestRecord)
    if found is None:
        raise Unavailable(what=pool.name, reason=f"label {pool.names.manifest} cannot be read")
    return found.document
