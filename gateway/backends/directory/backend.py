"""The backend of a plain directory; see `gateway.backends.files.backend` for all that it does with volumes."""
# ruff: noqa: D102 - the protocols carry the contract of the methods

from __future__ import annotations

from pathlib import Path
from typing import ClassVar
from uuid import UUID

import msgspec

from gateway.backends.files.backend import TREE_NEEDS, FileBackend
from gateway.backends.files.faults import INSIDE_STEPS, fault_points
from gateway.backends.files.opening import Setting
from gateway.backends.files.parts import open_parts
from gateway.backends.files.pool import Pool
from gateway.backends.files.session import Session
from gateway.backends.files.within import NO_FILES, Within, WithinBackend
from gateway.core import needs
from gateway.core.backend import FaultHook, Substrate, no_fault
from gateway.core.handles import LocalPath
from gateway.core.model import VolumeKind
from gateway.core.worker import Worker

FAULT_POINTS = (*fault_points("directory"), *fault_points("directory", INSIDE_STEPS))

_NO_REFLINK = "the file system has no reflink (XFS and btrfs have)"


class DirectoryOptions(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Settings of a directory pool.

    path: a directory for this pool alone; a relative one begins at the configuration file.
    threads: how many changes may be under way at once.
    durable: every change is on disk before it returns.
    """

    path: Path
    threads: int = 4
    durable: bool = True


class DirectoryBackend(WithinBackend, FileBackend):
    """Volumes as directories and raw files below one directory; see `gateway.backends.files.layout`."""

    Options: ClassVar[type[DirectoryOptions]] = DirectoryOptions

    def __init__(self, name: str, options: DirectoryOptions, *, fault: FaultHook = no_fault) -> None:
        super().__init__(name)
        self._options = options
        self._fault = fault

    @classmethod
    def needs(cls, options: DirectoryOptions) -> tuple[needs.Need, ...]:
        """Say what a pool of files takes; see `gateway.core.needs`."""
        return (needs.writable(options.path, "volumes are in it"), *TREE_NEEDS)

    async def open(self) -> None:
        await self.close()
        worker = Worker(f"directory-{self._name}", self._options.threads)
        setting = Setting(
            name=self._name,
            driver="directory",
            path=self._options.path,
            durable=self._options.durable,
            fault=self._fault,
        )
        parts = await worker.begin(open_parts, setting)
        self._opened = Session(parts, worker, self._turns)

    @property
    def within(self) -> Within:
        session = self.session
        return Within(session.parts.inside, session.parts.top, session)

    def describe(self) -> Substrate:
        parts = self.session.parts
        lacks = {kind: dict(found) for kind, found in parts.lacks(no_reflink=_NO_REFLINK).items()}
        lacks[VolumeKind.BLOCK] |= NO_FILES
        if not parts.reflink:
            lacks[VolumeKind.FILESYSTEM]["clone_file"] = _NO_REFLINK
        return Substrate(
            id=parts.pool.id,
            driver="directory",
            kinds=parts.kinds(),
            lacks=lacks,
            handles=("local_path",),
        )

    async def access(self, volume: UUID, snapshot: UUID | None = None) -> LocalPath:
        return await self.session.run(_access, self.session.pool, volume, snapshot)


def _access(pool: Pool, volume: UUID, snapshot: UUID | None) -> LocalPath:
    if snapshot is None:
        return LocalPath(path=str(pool.volume(volume).content))
    return LocalPath(path=str(pool.snapshot(volume, snapshot).content), read_only=True)
