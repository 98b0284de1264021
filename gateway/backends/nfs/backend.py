"""The backend of a bare NFS server. Clients go to that server; the gateway only makes and removes directories on it.

A server that does not answer holds no thread that anybody waits for: every
touch of the mount runs in an `ExpendableWorker`.
"""
# ruff: noqa: D102 - the protocols carry the contract of the methods

from __future__ import annotations

from pathlib import Path, PurePosixPath
from typing import ClassVar
from uuid import UUID

from gateway.backends.files.backend import FOREIGN_OWNERS, TREE, TREE_NEEDS, FileBackend
from gateway.backends.files.contents import Trees
from gateway.backends.files.faults import STEPS
from gateway.backends.files.opening import Setting, open_pool
from gateway.backends.files.pool import Pool
from gateway.backends.files.session import Session
from gateway.backends.files.volumes import Volumes
from gateway.backends.nfs.mounting import Mounting, NfsPoolOptions
from gateway.core import needs
from gateway.core.backend import FaultHook, Substrate, no_fault
from gateway.core.errors import NotFound
from gateway.core.expendable import ExpendableWorker
from gateway.core.model import LocalPath, NfsExport, VolumeKind
from gateway.core.runner import Runner, SystemRunner
from gateway.core.worker import Worker

FAULT_POINTS: tuple[str, ...] = tuple(f"nfs.{operation}.{step}" for operation, steps in STEPS.items() for step in steps)


class NfsBackend(FileBackend):
    """Volumes as directories of a mounted file server; see `gateway.backends.files.layout`."""

    Options: ClassVar[type[NfsPoolOptions]] = NfsPoolOptions

    def __init__(
        self, name: str, options: NfsPoolOptions, *, fault: FaultHook = no_fault, runner: Runner | None = None
    ) -> None:
        super().__init__(name)
        self._options = options
        self._fault = fault
        self._mounting = Mounting(name, options, SystemRunner() if runner is None else runner)
        self._owners = True
        self._worker = ExpendableWorker(
            f"nfs-{name}", options.threads, what=name, deadline_s=options.timeout_s, rest_s=options.rest_s
        )

    @classmethod
    def needs(cls, options: NfsPoolOptions) -> tuple[needs.Need, ...]:
        """Say what a pool on a file server takes; see `gateway.core.needs`."""
        mounting = (
            needs.program("mount.nfs", "to mount the export"),
            needs.capability("CAP_SYS_ADMIN", "to mount the export"),
        )
        return (needs.mount(options.path, "volumes are in it"), *(mounting if options.mount else ()), *TREE_NEEDS)

    async def open(self) -> None:
        await self.close()
        options, worker = self._options, self._worker
        await self._mount()
        setting = Setting(
            name=self._name,
            driver="nfs",
            path=options.path,
            durable=options.durable,
            fault=self._fault,
            wanted=worker.check,
            regain=self._mounting.ensure,
        )
        opened = await worker.run(open_pool, setting)
        trees = Trees(opened.pool, owners=opened.owners)
        self._owners = opened.owners
        volumes = Volumes(opened.pool, trees, {VolumeKind.FILESYSTEM: trees})
        self._opened = Session(opened.pool, volumes, worker, self._turns)

    async def _mount(self) -> None:
        worker = Worker(f"nfs-{self._name}-mount", 1)
        try:
            await worker.run(self._mounting.ensure)
        finally:
            await worker.close()

    def describe(self) -> Substrate:
        lacks = {} if self._owners else {"permissions": FOREIGN_OWNERS}
        return Substrate(
            id=self.session.pool.id,
            driver="nfs",
            kinds={VolumeKind.FILESYSTEM: TREE},
            lacks={VolumeKind.FILESYSTEM: lacks},
            handles=("nfs",),
        )

    async def access(self, volume: UUID, snapshot: UUID | None = None) -> NfsExport:
        if snapshot is not None:
            raise NotFound(kind="snapshot", ref=str(snapshot))
        below = await self.session.run(_place, self.session.pool, volume)
        options = self._options
        return NfsExport(
            address=options.address or options.server,
            port=options.port,
            path=str(PurePosixPath("/", options.export, below)),
            version=options.version,
        )

    async def here(self, volume: UUID) -> LocalPath:
        """See `gateway.core.backend.HostBackend`: below the mount point of the pool."""
        return LocalPath(path=str(await self.session.run(_content, self.session.pool, volume)))


def _content(pool: Pool, volume: UUID) -> Path:
    return pool.volume(volume).content


def _place(pool: Pool, volume: UUID) -> PurePosixPath:
    return PurePosixPath(_content(pool, volume).relative_to(pool.layout.root))
