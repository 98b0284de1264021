"""The qcow2 backend: every method is one call of a blocking part in the backend's own threads."""
# ruff: noqa: D102 - the protocols carry the contract of the methods

from __future__ import annotations

import asyncio
import contextlib
import os
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager, contextmanager
from functools import partial
from typing import ClassVar, ParamSpec, TypeVar
from uuid import UUID

from gateway.backends.files.names import flush, read_file, replace_file
from gateway.backends.qcow2.devices import FUSE
from gateway.backends.qcow2.failures import translated
from gateway.backends.qcow2.layers import Layers
from gateway.backends.qcow2.layout import device_name
from gateway.backends.qcow2.opening import Opened, close_pool, open_pool
from gateway.backends.qcow2.pool import SNAPSHOT_MAX, Pool, Qcow2Options
from gateway.backends.qcow2.replicas import Replicas
from gateway.backends.qcow2.snapshots import Snapshots
from gateway.backends.qcow2.volumes import Volumes
from gateway.backends.session import Session
from gateway.core import needs
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
from gateway.core.errors import Unavailable
from gateway.core.handles import LocalPath
from gateway.core.model import VolumeKind
from gateway.core.worker import Worker

P = ParamSpec("P")
T = TypeVar("T")

_FACTS = Facts(
    quota=True,
    split=True,
    restore_keeps_newer=True,
    crash_consistent=True,
    size_min=512,
    size_max=64 * 1024**4,
    size_step=512,
    snapshot_max=SNAPSHOT_MAX,
)
_SLICE = 64


@contextmanager
def _within(pool: Pool) -> Iterator[None]:
    """Have the pool still in its place for a block, and errors as the core knows them."""
    with translated(pool.name):
        pool.check_place()
        yield


class _Session(Session):
    """What lives from `open` to `close`."""

    def __init__(self, opened: Opened, worker: Worker) -> None:
        super().__init__(worker, partial(_within, opened.pool))
        self.opened = opened
        self.pool = opened.pool
        self.record = opened.record
        self.layers = Layers(self.pool)
        self.volumes = Volumes(self.pool, self.layers)
        self.snapshots = Snapshots(self.pool, self.layers, self.volumes)
        self.replicas = Replicas(self.pool, self.layers, self.volumes)
        self.watch = Watch(self)

    async def change(self, key: UUID, fn: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
        """Run a change of a volume and what belongs to it: one at a time for each family. `key`: the volume's id."""
        async with self.family(key):
            return await self.run(fn, *args, **kwargs)

    @asynccontextmanager
    async def family(self, volume: UUID) -> AsyncIterator[None]:
        """Keep everybody else from a volume and all that may share layers with it, for a block."""
        family = await self.run(self.pool.layout.family, volume)
        async with self.keys.holding(family):
            lock = await self.run(self.pool.lock, family)
            try:
                yield
            finally:
                lock.release()
        self.watch.begin()

    async def close(self) -> None:
        self.watch.end()
        await self.worker.run(close_pool, self.opened)
        await self.worker.close()


class Watch:
    """Has the storage daemon replaced as soon as it dies, from `begin` to `end`."""

    def __init__(self, session: _Session) -> None:
        self._session = session
        self._fd: int | None = None
        self._tasks: set[asyncio.Task[None]] = set()

    def begin(self) -> None:
        """Watch the daemon that runs, unless it is watched already."""
        pid = None if self._fd is not None else self._session.pool.devices.pid()
        if pid is None:
            return
        with contextlib.suppress(ProcessLookupError):
            self._fd = os.pidfd_open(pid)
            asyncio.get_running_loop().add_reader(self._fd, self._died)

    def _died(self) -> None:
        self._forget()
        task = asyncio.create_task(self._revive())
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _revive(self) -> None:
        with contextlib.suppress(Unavailable):
            await self._session.run(self._session.pool.devices.revive)
        self.begin()

    def _forget(self) -> None:
        if self._fd is not None:
            asyncio.get_running_loop().remove_reader(self._fd)
            os.close(self._fd)
            self._fd = None

    def end(self) -> None:
        """Stop watching. Idempotent."""
        self._forget()
        for task in self._tasks:
            task.cancel()


class Qcow2Backend:
    """Block volumes as chains of images in one directory; see `layout` for what lies where."""

    Options: ClassVar[type[Qcow2Options]] = Qcow2Options

    def __init__(self, name: str, options: Qcow2Options, *, fault: FaultHook = no_fault) -> None:
        self._name = name
        self._options = options
        self._fault = fault
        self._opened: _Session | None = None

    @classmethod
    def needs(cls, options: Qcow2Options) -> tuple[needs.Need, ...]:
        """Say what a pool of images takes; see `gateway.core.needs`."""
        return (
            needs.writable(options.path, "images are in it"),
            needs.program("qemu-img", "makes and changes images"),
            needs.program("qemu-storage-daemon", "shows images as raw devices", optional=True),
            needs.program("fusermount3", "to show them without root", optional=True),
            needs.device(str(FUSE), "to show images as raw devices", optional=True),
        )

    # --- life ---

    async def open(self) -> None:
        await self.close()
        worker = Worker(f"qcow2-{self._name}", self._options.threads)
        opened = await worker.begin(open_pool, self._name, self._options, self._fault)
        self._opened = _Session(opened, worker)
        self._opened.watch.begin()

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
        lacks = {} if FUSE.exists() else {"replicate": f"{FUSE} is missing"}
        return Substrate(
            id=self._session.record.id,
            driver="qcow2",
            kinds={VolumeKind.BLOCK: _FACTS},
            lacks={VolumeKind.BLOCK: lacks},
            handles=("local_path",),
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
        session = self._session
        families = await session.run(session.pool.layout.families)
        for start in range(0, len(families), _SLICE):
            for seen in await session.run(session.volumes.look, families[start : start + _SLICE]):
                yield seen
        for stranger in await session.run(session.volumes.strangers):
            yield stranger

    async def capacity(self) -> Capacity:
        return await self._session.run(_capacity, self._session.pool)

    async def access(self, volume: UUID, snapshot: UUID | None = None) -> LocalPath:
        session = self._session
        name = device_name(volume, snapshot)
        path = await session.run(session.pool.devices.showing, name)
        if path is None and snapshot is None:
            path = await session.change(volume, session.volumes.open, volume)
        elif path is None and snapshot is not None:
            path = await session.change(volume, session.snapshots.open, volume, snapshot)
        return LocalPath(path=str(path), read_only=snapshot is not None)

    async def put_manifest(self, document: bytes) -> None:
        async with self._session.keys.holding(self._session.record.id):
            await self._session.run(_put_manifest, self._session.pool, document)

    async def manifest(self) -> bytes | None:
        return await self._session.run(read_file, self._session.pool.layout.manifest)

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
        session = self._session
        families = await session.run(session.pool.layout.families)
        for start in range(0, len(families), _SLICE):
            for seen in await session.run(session.snapshots.look, families[start : start + _SLICE]):
                yield seen

    # --- RestoreBackend, CloneBackend ---

    async def restore(self, volume: UUID, snapshot: UUID, token: UUID) -> None:
        await self._session.change(volume, self._session.volumes.restore, volume, snapshot, token)

    async def settle_restore(self, volume: UUID, token: UUID) -> bool:
        return await self._session.change(volume, self._session.volumes.settle_restore, volume, token)

    async def clone(self, source: UUID, snapshot: UUID | None, spec: VolumeSpec) -> Observed:
        return await self._session.change(source, self._session.volumes.clone, source, snapshot, spec)

    async def split(self, volume: UUID) -> None:
        await self._session.change(volume, self._session.volumes.split, volume)

    # --- ReplicationBackend ---

    async def send(self, volume: UUID, snapshot: UUID, base: UUID | None) -> AsyncIterator[bytes]:
        session = self._session
        sender = await session.change(volume, session.replicas.sender, volume, snapshot, base)
        try:
            while part := await session.run(sender.read):
                yield part
        finally:
            sender.stop()

    async def receive(self, spec: VolumeSpec, snapshot: UUID, note: Note, stream: AsyncIterator[bytes]) -> None:
        session = self._session
        async with session.family(spec.id):
            receiver = await session.run(session.replicas.receiver, spec, snapshot)
            if receiver is None:
                return
            try:
                async for part in stream:
                    await session.run(receiver.write, part)
                arrived = await session.run(receiver.finish)
                lineage = receiver.head.lineage
                await session.run(session.replicas.land, spec, snapshot, note, arrived=arrived, lineage=lineage)
            except Exception:
                await session.run(receiver.abandon)
                raise


def _capacity(pool: Pool) -> Capacity:
    status = os.statvfs(pool.layout.root)
    unit = status.f_frsize
    return Capacity(
        size=status.f_blocks * unit,
        used=(status.f_blocks - status.f_bfree) * unit,
        available=status.f_bavail * unit,
    )


def _put_manifest(pool: Pool, document: bytes) -> None:
    passed = pool.steps("put_manifest")
    passed("begun")
    replace_file(pool.layout.manifest, document, lambda: passed("written"))
    passed("placed")
    flush(pool.layout.private)
    passed("durable")
