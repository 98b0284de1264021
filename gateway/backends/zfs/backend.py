"""The ZFS backend: every method is one call of a blocking part in the backend's own threads."""
# ruff: noqa: D102 - the protocols carry the contract of the methods

from __future__ import annotations

import os
from collections.abc import AsyncIterator, Sequence
from contextlib import AbstractContextManager, asynccontextmanager
from typing import ClassVar, ParamSpec, TypeVar
from uuid import UUID

import structlog

from gateway.backends.session import Session
from gateway.backends.zfs.commands import number
from gateway.backends.zfs.device import device
from gateway.backends.zfs.documents import load, part_names
from gateway.backends.zfs.failures import broken_stream, translated
from gateway.backends.zfs.opening import Opened, open_pool
from gateway.backends.zfs.pool import Pool, ZfsOptions
from gateway.backends.zfs.records import MANIFEST, MANIFEST_NAME
from gateway.backends.zfs.replicas import Arrival, Replicas
from gateway.backends.zfs.rights import facts, lacks
from gateway.backends.zfs.snapshots import Snapshots
from gateway.backends.zfs.stream import HEAD_SIZE, Receiver, Sender, parse_head
from gateway.backends.zfs.volumes import Volumes
from gateway.core import needs
from gateway.core.backend import (
    Capacity,
    FaultHook,
    GroupMember,
    Note,
    Observed,
    ObservedSnapshot,
    Substrate,
    VolumeSpec,
    no_fault,
)
from gateway.core.errors import NotFound, Unavailable
from gateway.core.handles import LocalPath
from gateway.core.model import RootDirectory
from gateway.core.runner import Runner, SystemRunner
from gateway.core.worker import Worker

P = ParamSpec("P")
T = TypeVar("T")
S = TypeVar("S", Sender, Receiver)

_SYSTEM_PATHS = ("/usr/local/sbin", "/usr/sbin", "/sbin")

log = structlog.get_logger(__name__)


class _Session(Session):
    """What lives from `open` to `close`."""

    def __init__(self, opened: Opened, worker: Worker) -> None:
        super().__init__(worker, self._within)
        self.pool = opened.pool
        self.record = opened.record
        self.rights = opened.rights
        self.lock = opened.lock
        self.volumes = Volumes(self.pool)
        self.snapshots = Snapshots(self.pool)
        self.replicas = Replicas(self.pool, self.volumes)
        self._programs: set[Sender | Receiver] = set()

    def _within(self) -> AbstractContextManager[None]:
        return translated(self.pool.name, self._refused)

    def _refused(self, text: str) -> None:
        log.warning("zfs_refused", pool=self.pool.name, text=text)

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
        self.pool.commands.close()
        self.lock.release()


class ZfsBackend:
    """Volumes as datasets directly below one parent; see `records` for what lies where."""

    Options: ClassVar[type[ZfsOptions]] = ZfsOptions

    def __init__(
        self, name: str, options: ZfsOptions, *, fault: FaultHook = no_fault, runner: Runner | None = None
    ) -> None:
        self._name = name
        self._options = options
        self._fault = fault
        self._runner = runner or SystemRunner({"PATH": _path()})
        self._opened: _Session | None = None

    @classmethod
    def needs(cls, options: ZfsOptions) -> tuple[needs.Need, ...]:
        """Say what a pool on ZFS takes, besides what `zfs allow` gives; see `gateway.core.needs`."""
        del options
        return (
            needs.device("/dev/zfs", "leads to the kernel's part of ZFS"),
            needs.program("zfs", "manages datasets"),
            needs.program("zpool", "tells of the pool"),
            needs.capability("CAP_SYS_ADMIN", "to mount filesystem volumes", optional=True),
            needs.capability("CAP_CHOWN", "to give filesystem volumes to their owners", optional=True),
            needs.capability("CAP_FOWNER", "to set the mode of volumes that others own", optional=True),
            needs.capability(
                "CAP_DAC_OVERRIDE", "to replace what others own in volumes that follow others", optional=True
            ),
            *needs.brought_files(),
        )

    # --- life ---

    async def open(self) -> None:
        await self.close()
        worker = Worker(f"zfs-{self._name}", self._options.threads)
        opened = await worker.begin(open_pool, self._name, self._options, self._fault, self._runner)
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
    def engine(self) -> str:
        """Give the name of the engine that is in use: `cli` or `lzc`."""
        return self._session.pool.commands.name

    def describe(self) -> Substrate:
        session = self._session
        kinds = facts(session.rights, volblocksize=self._options.volblocksize)
        missing = lacks(session.rights)
        return Substrate(
            id=session.record.id,
            driver="zfs",
            kinds=kinds,
            lacks={kind: missing[kind] for kind in kinds},
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
        for seen in await self._session.run(self._session.volumes.scan):
            yield seen

    async def capacity(self) -> Capacity:
        return await self._session.run(_capacity, self._session.pool)

    async def access(self, volume: UUID, snapshot: UUID | None = None) -> LocalPath:
        return await self._session.change(volume, _access, self._session.pool, volume, snapshot)

    async def put_manifest(self, document: bytes) -> None:
        await self._session.change(self._session.record.id, _put_manifest, self._session.pool, document)

    async def manifest(self) -> bytes | None:
        return await self._session.run(_manifest, self._session.pool)

    # --- ResizeBackend, PermissionsBackend, ConvertBackend ---

    async def resize(self, volume: UUID, size: int) -> None:
        await self._session.change(volume, self._session.volumes.resize, volume, size)

    async def set_root(self, volume: UUID, root: RootDirectory) -> None:
        await self._session.change(volume, self._session.volumes.set_root, volume, root)

    async def convert(self, spec: VolumeSpec) -> Observed:
        return await self._session.change(spec.id, self._session.volumes.convert, spec)

    # --- SnapshotBackend, GroupSnapshotBackend ---

    async def snapshot(self, volume: UUID, snapshot: UUID, note: Note) -> ObservedSnapshot:
        return await self._session.change(volume, self._session.snapshots.snapshot, volume, snapshot, note)

    async def snapshot_group(self, members: Sequence[GroupMember]) -> None:
        async with self._session.keys.holding(*{member.volume for member in members}):
            await self._session.run(self._session.snapshots.group, members)

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

    # --- ReplicationBackend ---

    async def send(self, volume: UUID, snapshot: UUID, base: UUID | None) -> AsyncIterator[bytes]:
        session = self._session
        started = await session.run(session.replicas.sender, volume, snapshot, base)
        async with session.running(started) as sender:
            while part := await session.run(sender.read):
                yield part

    async def resume_token(self, volume: UUID) -> str | None:
        """Give what the sender of a stream that broke off needs to go on; None when nothing waits for the rest."""
        return await self._session.run(self._session.replicas.token, volume)

    async def send_rest(self, token: str) -> AsyncIterator[bytes]:
        """Yield what is left of a stream that broke off; `receive` takes it like the whole."""
        session = self._session
        started = await session.run(session.replicas.rest, token)
        async with session.running(started) as sender:
            while part := await session.run(sender.read):
                yield part

    async def receive(self, spec: VolumeSpec, snapshot: UUID, note: Note, stream: AsyncIterator[bytes]) -> None:
        session = self._session
        async with session.keys.holding(spec.id):
            if await session.run(session.pool.find_snapshot, spec.id, snapshot) is not None:
                return
            begin = await _begin(stream)
            head = parse_head(begin)
            arrival, receiver = await session.run(session.replicas.arrive, spec, snapshot, note, head)
            try:
                await _pump(session, receiver, begin, stream)
            except BaseException:
                await session.run(session.replicas.abandon, arrival)
                raise
            await _land(session, arrival)


async def _begin(stream: AsyncIterator[bytes]) -> bytes:
    """Take as much of a stream as tells what it is."""
    begin = b""
    async for part in stream:
        begin += part
        if len(begin) >= HEAD_SIZE:
            return begin
    raise broken_stream()


async def _pump(session: _Session, receiver: Receiver, begin: bytes, stream: AsyncIterator[bytes]) -> None:
    async with session.running(receiver):
        await session.run(receiver.write, begin)
        async for part in stream:
            await session.run(receiver.write, part)
        await session.run(receiver.finish)


async def _land(session: _Session, arrival: Arrival) -> None:
    await session.run(session.replicas.land, arrival)


def _path() -> str:
    """Give where programs are looked for: the tools of ZFS are not on everybody's path."""
    return os.pathsep.join([os.environ.get("PATH", os.defpath), *_SYSTEM_PATHS])


def _capacity(pool: Pool) -> Capacity:
    whole = pool.commands.get(pool.options.pool, "used", "available")
    here = pool.commands.get(pool.parent, "available")
    if not whole or not here:
        raise Unavailable(what=pool.name, reason=f"{pool.parent} is not there")
    used, available = number(whole["used"] or ""), number(whole["available"] or "")
    return Capacity(size=used + available, used=used, available=number(here["available"] or ""))


def _access(pool: Pool, volume: UUID, snapshot: UUID | None) -> LocalPath:
    found = pool.volume(volume)
    read_only = snapshot is not None
    taken = None if snapshot is None else pool.snapshot(volume, snapshot).snap
    holder = found.dataset if taken is None or taken.dataset == found.dataset.name else pool.dataset(taken.dataset)
    if holder is None:
        raise NotFound(kind="snapshot", ref=str(snapshot))
    if not holder.block:
        top = pool.mounted(holder)
        path = top if taken is None else top / ".zfs" / "snapshot" / taken.short
        return LocalPath(path=str(path), read_only=read_only)
    if taken is not None:
        pool.commands.set(holder.name, {"snapdev": "visible"})
    name = holder.name if taken is None else taken.name
    return LocalPath(path=str(device(name, timeout_s=pool.options.timeout_s)), read_only=read_only)


def _put_manifest(pool: Pool, document: bytes) -> None:
    place = f"{pool.parent}/{MANIFEST_NAME}"
    passed = pool.steps("put_manifest")
    present = pool.commands.get(place, MANIFEST).get(MANIFEST)
    passed("begun")
    pool.write(place, MANIFEST, document, present=present, passed=passed, last="placed")


def _manifest(pool: Pool) -> bytes | None:
    place = f"{pool.parent}/{MANIFEST_NAME}"
    found = pool.commands.get(place, MANIFEST)
    if not found:
        raise Unavailable(what=pool.name, reason=f"{place} is not there")
    head = found[MANIFEST]
    if head is None:
        return None
    names = part_names(MANIFEST, head)
    parts = pool.commands.get(place, *names) if names else {}
    return load(MANIFEST, head, {name: value or "" for name, value in parts.items()})
