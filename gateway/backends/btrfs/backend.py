"""The btrfs backend: every method is one call of a blocking part in the backend's own threads."""
# ruff: noqa: D102 - the protocols carry the contract of the methods

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from functools import partial
from pathlib import Path
from typing import ClassVar, ParamSpec, TypeVar
from uuid import UUID

from gateway.backends.btrfs.failures import translated
from gateway.backends.btrfs.opening import Opened, keep_counting, open_pool
from gateway.backends.btrfs.pool import BtrfsOptions, Pool
from gateway.backends.btrfs.replicas import Replicas
from gateway.backends.btrfs.snapshots import Snapshots
from gateway.backends.btrfs.stream import Receiver, Sender, broken_stream, installed, parse_head
from gateway.backends.btrfs.volumes import Volumes
from gateway.backends.files.inside import Inside
from gateway.backends.files.names import read_file, replace_file
from gateway.backends.files.space import capacity
from gateway.backends.files.within import Within, WithinBackend
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
from gateway.core.model import RootDirectory, VolumeKind
from gateway.core.worker import Worker

P = ParamSpec("P")
T = TypeVar("T")
S = TypeVar("S", Sender, Receiver)

_SIZE_MAX = 2**63 - 1
_SLICE = 128


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
        self.pool = opened.pool
        self.record = opened.record
        self.lock = opened.lock
        self.volumes = Volumes(self.pool)
        self.snapshots = Snapshots(self.pool)
        self.replicas = Replicas(self.pool, self.volumes)
        self.replicates = installed()
        inside = Inside(self.pool.steps, durable=self.pool.options.durable, owners=True)
        self.within = Within(inside, self._top, self)
        self._programs: set[Sender | Receiver] = set()

    def _top(self, volume: UUID, snapshot: UUID | None) -> Path:
        return self.pool.volume(volume).path if snapshot is None else self.pool.snapshot(volume, snapshot).path

    @asynccontextmanager
    async def running(self, program: S) -> AsyncIterator[S]:
        """Run a program for a block; it ends with the block, and at the latest with the session."""
        self._programs.add(program)
        try:
            yield program
        finally:
            if program in self._programs:
                await self.worker.run(program.stop)
                self._programs.discard(program)

    async def close(self) -> None:
        for program in self._programs:
            program.kill()
        for program in tuple(self._programs):
            await self.worker.run(program.stop)
        self._programs.clear()
        await self.worker.close()
        self.lock.release()


class BtrfsBackend(WithinBackend):
    """Volumes as subvolumes of one directory on a mounted btrfs; see `layout` for what lies where."""

    Options: ClassVar[type[BtrfsOptions]] = BtrfsOptions

    def __init__(self, name: str, options: BtrfsOptions, *, fault: FaultHook = no_fault) -> None:
        self._name = name
        self._options = options
        self._fault = fault
        self._opened: _Session | None = None

    @classmethod
    def needs(cls, options: BtrfsOptions) -> tuple[needs.Need, ...]:
        """Say what managing subvolumes takes; see `gateway.core.needs`."""
        return (
            needs.writable(options.path, "volumes are in it"),
            needs.capability("CAP_SYS_ADMIN", "to limit, restore and delete subvolumes"),
            needs.capability("CAP_CHOWN", "to give volumes to their owners"),
            needs.capability("CAP_FOWNER", "to set the mode of volumes that others own"),
            needs.capability("CAP_DAC_OVERRIDE", "to delete what others wrote into volumes"),
            *needs.brought_files(),
            needs.program("btrfs", "to send and receive", optional=True),
        )

    # --- life ---

    async def open(self) -> None:
        await self.close()
        worker = Worker(f"btrfs-{self._name}", self._options.threads)
        opened = await worker.begin(open_pool, self._name, self._options, self._fault)
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

    @property
    def within(self) -> Within:
        return self._session.within

    def describe(self) -> Substrate:
        session = self._session
        facts = Facts(
            quota=self._options.quota,
            shrink=True,
            split=True,
            restore_keeps_newer=True,
            crash_consistent=True,
            # The kernel charges an empty subvolume with its root node: in less, nothing could be made.
            size_min=session.pool.filesystem.node_size,
            size_max=_SIZE_MAX,
        )
        lacks = {} if session.replicates else {"replicate": "the btrfs program is not installed"}
        return Substrate(
            id=session.record.id,
            driver="btrfs",
            kinds={VolumeKind.FILESYSTEM: facts},
            lacks={VolumeKind.FILESYSTEM: lacks},
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
        names = await session.run(_names_to_scan, session.pool, session.volumes)
        for start in range(0, len(names), _SLICE):
            for seen in await session.run(session.volumes.look, names[start : start + _SLICE]):
                yield seen

    async def capacity(self) -> Capacity:
        return await self._session.run(capacity, self._session.pool.layout.root)

    async def access(self, volume: UUID, snapshot: UUID | None = None) -> LocalPath:
        return await self._session.run(_access, self._session.pool, volume, snapshot)

    async def put_manifest(self, document: bytes) -> None:
        await self._session.change(self._session.record.id, _put_manifest, self._session.pool, document)

    async def manifest(self) -> bytes | None:
        return await self._session.run(read_file, self._session.pool.layout.manifest)

    # --- ResizeBackend, PermissionsBackend ---

    async def resize(self, volume: UUID, size: int) -> None:
        await self._session.change(volume, self._session.volumes.resize, volume, size)

    async def set_root(self, volume: UUID, root: RootDirectory) -> None:
        await self._session.change(volume, self._session.volumes.set_root, volume, root)

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
        names = await session.run(session.snapshots.names)
        for start in range(0, len(names), _SLICE):
            for seen in await session.run(session.snapshots.look, names[start : start + _SLICE]):
                yield seen

    # --- RestoreBackend, CloneBackend ---

    async def restore(self, volume: UUID, snapshot: UUID, token: UUID) -> None:
        await self._session.change(volume, self._session.volumes.restore, volume, snapshot, token)

    async def settle_restore(self, volume: UUID, token: UUID) -> bool:
        return await self._session.change(volume, self._session.volumes.settle_restore, volume, token)

    async def clone(self, source: UUID, snapshot: UUID | None, spec: VolumeSpec) -> Observed:
        return await self._session.change(spec.id, self._session.volumes.clone, source, snapshot, spec)

    async def split(self, volume: UUID) -> None:
        await self._session.change(volume, self._session.volumes.split, volume)

    # --- ReplicationBackend ---

    async def send(self, volume: UUID, snapshot: UUID, base: UUID | None) -> AsyncIterator[bytes]:
        session = self._session
        started = await session.run(session.replicas.sender, volume, snapshot, base)
        async with session.running(started) as sender:
            while part := await session.run(sender.read):
                yield part

    async def receive(self, spec: VolumeSpec, snapshot: UUID, note: Note, stream: AsyncIterator[bytes]) -> None:
        session = self._session
        async with session.keys.holding(spec.id):
            receiver = await session.run(session.replicas.receiver, spec.id, snapshot)
            if receiver is None:
                return
            try:
                await _pump(session, receiver, spec.id, stream)
            except BaseException:
                await session.run(session.replicas.abandon, snapshot)
                raise
            await session.run(session.replicas.land, spec, snapshot, note)


async def _pump(session: _Session, receiver: Receiver, volume: UUID, stream: AsyncIterator[bytes]) -> None:
    async with session.running(receiver):
        begin = await _begin(session, volume, stream)
        await session.run(receiver.write, begin)
        async for part in stream:
            await session.run(receiver.write, part)
        await session.run(receiver.finish)


async def _begin(session: _Session, volume: UUID, stream: AsyncIterator[bytes]) -> bytes:
    """Take as much of a stream as tells its base; NotFound when the volume has no such snapshot."""
    begin = b""
    async for part in stream:
        begin += part
        head = parse_head(begin)
        if head is not None:
            await session.run(session.replicas.require_base, volume, head.base)
            return begin
    raise broken_stream()


def _names_to_scan(pool: Pool, volumes: Volumes) -> list[str]:
    keep_counting(pool)
    pool.kernel.sync(pool.layout.root)
    return volumes.names()


def _access(pool: Pool, volume: UUID, snapshot: UUID | None) -> LocalPath:
    if snapshot is None:
        return LocalPath(path=str(pool.volume(volume).path))
    return LocalPath(path=str(pool.snapshot(volume, snapshot).path), read_only=True)


def _put_manifest(pool: Pool, document: bytes) -> None:
    passed = pool.steps("put_manifest")
    passed("begun")
    replace_file(pool.layout.manifest, document, lambda: passed("written"))
    passed("placed")
    pool.keep(pool.layout.private)
    passed("durable")
