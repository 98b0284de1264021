"""The git-lfs backend: every method is one call of a blocking part in the backend's own threads."""
# ruff: noqa: D102 - the protocols carry the contract of the methods

from __future__ import annotations

import time
from collections.abc import AsyncIterator, Iterator, Sequence
from contextlib import contextmanager
from functools import partial
from typing import ClassVar, ParamSpec, TypeVar
from uuid import UUID

import structlog

from gateway.backends.files.space import capacity
from gateway.backends.git_lfs.collecting import Collector
from gateway.backends.git_lfs.failures import translated
from gateway.backends.git_lfs.layout import MANIFEST
from gateway.backends.git_lfs.opening import Opened, open_pool
from gateway.backends.git_lfs.pool import GitLfsOptions, Pool
from gateway.backends.git_lfs.replicas import Replicas
from gateway.backends.git_lfs.repository import Move
from gateway.backends.git_lfs.snapshots import Snapshots
from gateway.backends.git_lfs.usage import Usage
from gateway.backends.git_lfs.volumes import Volumes
from gateway.backends.session import Session
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
from gateway.core.capability import Facts
from gateway.core.errors import GatewayError, Unavailable
from gateway.core.handles import GitRemote
from gateway.core.model import VolumeKind
from gateway.core.worker import Worker

P = ParamSpec("P")
T = TypeVar("T")

log = structlog.get_logger(__name__)

_ONE_STORE = "its volumes share their objects: whoever has a token of one and knows an object's id can have it"

_FACTS = Facts(
    shrink=True,
    split=True,
    restore_keeps_newer=True,
    crash_consistent=True,
    size_max=2**63 - 1,
)


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
        usage = Usage(self.pool.repository)
        self.volumes = Volumes(self.pool, usage)
        self.snapshots = Snapshots(self.pool, usage)
        self.replicas = Replicas(self.pool, usage)
        self.collector = Collector(self.pool, usage)
        self.untidy = True
        self._tidied = 0.0

    async def tidy(self) -> None:
        """Throw away large files, if something may have been the last to need them, or was sent and never needed.

        Nothing goes while it cannot be told what is needed, because the repository is damaged somewhere.
        """
        now = time.monotonic()
        if self.untidy or now - self._tidied > self.pool.options.grace_s:
            self.untidy, self._tidied = False, now
            try:
                await self.run(self.collector.collect)
            except GatewayError as error:
                log.warning("large files stay", pool=self.pool.name, **error.fields)

    async def close(self) -> None:
        await self.worker.close()
        self.lock.release()


class GitLfsBackend:
    """Trees under version control as name spaces of one bare git repository; see `layout` for what lies where."""

    Options: ClassVar[type[GitLfsOptions]] = GitLfsOptions

    def __init__(self, name: str, options: GitLfsOptions, *, fault: FaultHook = no_fault) -> None:
        self._name = name
        self._options = options
        self._fault = fault
        self._opened: _Session | None = None

    @classmethod
    def needs(cls, options: GitLfsOptions) -> tuple[needs.Need, ...]:
        """Say what a pool in a repository takes; see `gateway.core.needs`."""
        return (
            needs.writable(options.path, "the repository is in it"),
            needs.program("git", "keeps everything"),
            needs.program("git-lfs", "sends large files to and from a path on this host", optional=True),
        )

    # --- life ---

    async def open(self) -> None:
        await self.close()
        worker = Worker(f"git-lfs-{self._name}", self._options.threads)
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

    def describe(self) -> Substrate:
        return Substrate(
            id=self._session.record.id,
            driver="git-lfs",
            kinds={VolumeKind.TREE: _FACTS},
            handles=("git",),
            remarks=(_ONE_STORE,),
        )

    # --- VolumeBackend ---

    async def create(self, spec: VolumeSpec) -> Observed:
        return await self._session.change(spec.id, self._session.volumes.create, spec)

    async def delete(self, volume: UUID) -> None:
        await self._session.change(volume, self._session.volumes.delete, volume)
        self._session.untidy = True

    async def annotate(self, volume: UUID, note: Note) -> None:
        await self._session.change(volume, self._session.volumes.annotate, volume, note)

    async def inspect(self, volume: UUID) -> Observed | None:
        return await self._session.run(self._session.volumes.inspect, volume)

    async def scan(self) -> AsyncIterator[Observed]:
        session = self._session
        await session.tidy()
        for seen in await session.run(session.volumes.look):
            yield seen

    async def capacity(self) -> Capacity:
        return await self._session.run(capacity, self._session.pool.repository.path)

    async def access(self, volume: UUID, snapshot: UUID | None = None) -> GitRemote:
        return await self._session.run(self._session.volumes.access, volume, snapshot)

    async def put_manifest(self, document: bytes) -> None:
        await self._session.change(self._session.record.id, _put_manifest, self._session.pool, document)

    async def manifest(self) -> bytes | None:
        return await self._session.run(_manifest, self._session.pool)

    # --- ResizeBackend ---

    async def resize(self, volume: UUID, size: int) -> None:
        await self._session.change(volume, self._session.volumes.resize, volume, size)

    # --- SnapshotBackend, GroupSnapshotBackend ---

    async def snapshot(self, volume: UUID, snapshot: UUID, note: Note) -> ObservedSnapshot:
        return await self._session.change(volume, self._session.snapshots.snapshot, volume, snapshot, note)

    async def delete_snapshot(self, volume: UUID, snapshot: UUID) -> None:
        await self._session.change(volume, self._session.snapshots.delete, volume, snapshot)
        self._session.untidy = True

    async def annotate_snapshot(self, volume: UUID, snapshot: UUID, note: Note) -> None:
        await self._session.change(volume, self._session.snapshots.annotate, volume, snapshot, note)

    async def inspect_snapshot(self, volume: UUID, snapshot: UUID) -> ObservedSnapshot | None:
        return await self._session.run(self._session.snapshots.inspect, volume, snapshot)

    async def scan_snapshots(self) -> AsyncIterator[ObservedSnapshot]:
        session = self._session
        for seen in await session.run(session.snapshots.look):
            yield seen

    async def snapshot_group(self, members: Sequence[GroupMember]) -> None:
        session = self._session
        async with session.keys.holding(*(member.volume for member in members)):
            await session.run(session.snapshots.snapshot_group, members)

    # --- RestoreBackend, CloneBackend ---

    async def restore(self, volume: UUID, snapshot: UUID, token: UUID) -> None:
        await self._session.change(volume, self._session.volumes.restore, volume, snapshot, token)
        self._session.untidy = True

    async def settle_restore(self, volume: UUID, token: UUID) -> bool:
        return await self._session.change(volume, self._session.volumes.settle_restore, volume, token)

    async def clone(self, source: UUID, snapshot: UUID | None, spec: VolumeSpec) -> Observed:
        async with self._session.keys.holding(source, spec.id):
            return await self._session.run(self._session.volumes.clone, source, snapshot, spec)

    async def split(self, volume: UUID) -> None:
        await self._session.change(volume, self._session.volumes.split, volume)

    # --- ReplicationBackend ---

    async def send(self, volume: UUID, snapshot: UUID, base: UUID | None) -> AsyncIterator[bytes]:
        session = self._session
        sender = await session.run(session.replicas.sender, volume, snapshot, base)
        try:
            while part := await session.run(sender.read):
                yield part
        finally:
            sender.stop()

    async def receive(self, spec: VolumeSpec, snapshot: UUID, note: Note, stream: AsyncIterator[bytes]) -> None:
        session = self._session
        async with session.keys.holding(spec.id):
            receiver = await session.run(session.replicas.receiver, spec.id, snapshot)
            if receiver is None:
                return
            try:
                async for part in stream:
                    await session.run(receiver.write, part)
                head = await session.run(receiver.finish)
                await session.run(session.replicas.land, spec, snapshot, note, head)
            finally:
                receiver.stop()


def _put_manifest(pool: Pool, document: bytes) -> None:
    passed = pool.steps("put_manifest")
    passed("begun")
    written = pool.repository.write(document)
    pool.keep()
    passed("written")
    pool.repository.move([Move(MANIFEST, written)])
    passed("noted")
    pool.keep()
    passed("durable")


def _manifest(pool: Pool) -> bytes | None:
    written = pool.repository.refs(MANIFEST).get(MANIFEST)
    if written is None:
        return None
    data = next(pool.repository.read([written]))
    if data is None:
        raise Unavailable(what=pool.name, reason="the manifest is damaged")
    return data
