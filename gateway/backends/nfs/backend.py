"""The backend of a bare NFS server. Clients go to that server; the gateway only makes and removes directories on it.

A server that does not answer holds no thread that anybody waits for: every
touch of the mount runs in an `ExpendableWorker`.
"""
# ruff: noqa: D102 - the protocols carry the contract of the methods

from __future__ import annotations

from pathlib import Path, PurePosixPath
from typing import ClassVar
from uuid import UUID

from gateway.backends.files.backend import TREE_NEEDS, FileBackend
from gateway.backends.files.faults import fault_points
from gateway.backends.files.opening import Setting
from gateway.backends.files.parts import open_parts
from gateway.backends.files.pool import Pool
from gateway.backends.files.session import Session
from gateway.backends.nfs.mounting import Mounting, NfsPoolOptions
from gateway.core import needs
from gateway.core.backend import FaultHook, Substrate, no_fault
from gateway.core.expendable import ExpendableWorker
from gateway.core.handles import LocalPath, NfsExport
from gateway.core.model import VolumeKind
from gateway.core.runner import Runner, SystemRunner
from gateway.core.worker import Worker

FAULT_POINTS = fault_points("nfs")

_NO_REFLINK = "the mounted server lets no files share blocks (that takes NFS 4.2, and CLONE at the server)"


class NfsBackend(FileBackend):
    """Volumes as directories and raw files of a mounted file server; see `gateway.backends.files.layout`."""

    Options: ClassVar[type[NfsPoolOptions]] = NfsPoolOptions

    def __init__(
        self, name: str, options: NfsPoolOptions, *, fault: FaultHook = no_fault, runner: Runner | None = None
    ) -> None:
        super().__init__(name)
        self._options = options
        self._fault = fault
        self._mounting = Mounting(name, options, SystemRunner() if runner is None else runner)
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
        self._opened = Session(await worker.run(open_parts, setting), worker, self._turns)

    async def _mount(self) -> None:
        worker = Worker(f"nfs-{self._name}-mount", 1)
        try:
            await worker.run(self._mounting.ensure)
        finally:
            await worker.close()

    def describe(self) -> Substrate:
        parts = self.session.parts
        return Substrate(
            id=parts.pool.id,
            driver="nfs",
            kinds=parts.kinds(),
            lacks=parts.lacks(no_reflink=_NO_REFLINK),
            handles=("nfs", "local_path"),
        )

    async def access(self, volume: UUID, snapshot: UUID | None = None) -> NfsExport:
        """Give the directory as an export, a raw file by its path below the pool's: one mount serves all of them."""
        return await self.session.run(self._export, self.session.pool, volume, snapshot)

    async def here(self, volume: UUID) -> LocalPath:
        """See `gateway.core.backend.HostBackend`: below the mount point of the pool."""
        return LocalPath(path=str(await self.session.run(_content, self.session.pool, volume)))

    def _export(self, pool: Pool, volume: UUID, snapshot: UUID | None) -> NfsExport:
        options, found = self._options, pool.volume(volume)
        content = found.content if snapshot is None else pool.snapshot(volume, snapshot).content
        top, below = PurePosixPath("/", options.export), content.relative_to(pool.layout.root)
        files = found.kind is VolumeKind.FILESYSTEM
        return NfsExport(
            address=options.address or options.server,
            port=options.port,
            path=str(top / below if files else top),
            file="" if files else str(below),
            version=options.version,
            read_only=snapshot is not None,
        )


def _content(pool: Pool, volume: UUID) -> Path:
    return pool.volume(volume).content
