"""The directory backend: every method is one call of a blocking part in the backend's own threads."""
# ruff: noqa: D102 - the protocols carry the contract of the methods

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping
from pathlib import Path
from typing import ClassVar
from uuid import UUID

import msgspec

from gateway.backends.directory.copies import Copies
from gateway.backends.directory.images import SECTOR, Abilities, Images, probe
from gateway.backends.files.backend import FOREIGN_OWNERS, SLICE, TREE, TREE_NEEDS, FileBackend
from gateway.backends.files.contents import Trees
from gateway.backends.files.failures import refused
from gateway.backends.files.opening import REASONS, Opened, Setting, open_pool
from gateway.backends.files.pool import Pool
from gateway.backends.files.session import Session
from gateway.backends.files.volumes import Volumes
from gateway.core import needs
from gateway.core.backend import FaultHook, Note, Observed, ObservedSnapshot, Substrate, VolumeSpec, no_fault
from gateway.core.capability import Facts
from gateway.core.errors import Unavailable
from gateway.core.model import LocalPath, VolumeKind
from gateway.core.worker import Worker

_NO_INSTANT = "a directory cannot be copied at one instant"
_NO_REFLINK = "the file system has no reflink (XFS and btrfs have)"
_NO_EXCHANGE = "the file system cannot exchange two names in one step"


class DirectoryOptions(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Settings of a directory pool.

    path: a directory for this pool alone; a relative one begins at the configuration file.
    threads: how many changes may be under way at once.
    durable: every change is on disk before it returns.
    """

    path: Path
    threads: int = 4
    durable: bool = True


class DirectoryBackend(FileBackend):
    """Volumes as directories and raw files below one directory; see `gateway.backends.files.layout`."""

    Options: ClassVar[type[DirectoryOptions]] = DirectoryOptions

    def __init__(self, name: str, options: DirectoryOptions, *, fault: FaultHook = no_fault) -> None:
        super().__init__(name)
        self._options = options
        self._fault = fault
        self._found: _Found | None = None

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
        try:
            found = await worker.run(_open, setting)
        except BaseException:
            await worker.close()
            raise
        self._found = found
        self._opened = Session(found.pool, found.volumes, worker, self._turns)

    def describe(self) -> Substrate:
        found = self._parts
        return Substrate(
            id=found.pool.id,
            driver="directory",
            kinds={VolumeKind.FILESYSTEM: TREE, VolumeKind.BLOCK: _facts(found.abilities)},
            lacks=_lacks(found.abilities, owners=found.owners),
            handles=("local_path",),
        )

    @property
    def _parts(self) -> _Found:
        if self._opened is None or self._found is None:
            raise Unavailable(what=self._name, reason="not open")
        return self._found

    async def access(self, volume: UUID, snapshot: UUID | None = None) -> LocalPath:
        return await self.session.run(_access, self.session.pool, volume, snapshot)

    # --- SnapshotBackend ---

    async def snapshot(self, volume: UUID, snapshot: UUID, note: Note) -> ObservedSnapshot:
        return await self.session.change(volume, self._parts.copies.snapshot, volume, snapshot, note)

    async def delete_snapshot(self, volume: UUID, snapshot: UUID) -> None:
        await self.session.change(volume, self._parts.copies.delete, volume, snapshot)

    async def annotate_snapshot(self, volume: UUID, snapshot: UUID, note: Note) -> None:
        await self.session.change(volume, self._parts.copies.annotate, volume, snapshot, note)

    async def inspect_snapshot(self, volume: UUID, snapshot: UUID) -> ObservedSnapshot | None:
        return await self.session.run(self._parts.copies.inspect, volume, snapshot)

    async def scan_snapshots(self) -> AsyncIterator[ObservedSnapshot]:
        session, copies = self.session, self._parts.copies
        names = await session.run(copies.names)
        for start in range(0, len(names), SLICE):
            for seen in await session.run(copies.look, names[start : start + SLICE]):
                yield seen

    # --- RestoreBackend, CloneBackend, ConvertBackend ---

    async def restore(self, volume: UUID, snapshot: UUID, token: UUID) -> None:
        await self.session.change(volume, self._parts.copies.restore, volume, snapshot, token)

    async def settle_restore(self, volume: UUID, token: UUID) -> bool:
        return await self.session.change(volume, self._parts.copies.settle_restore, volume, token)

    async def clone(self, source: UUID, snapshot: UUID | None, spec: VolumeSpec) -> Observed:
        return await self.session.change(spec.id, self._parts.copies.clone, source, snapshot, spec)

    async def split(self, volume: UUID) -> None:
        await self.session.change(volume, self._parts.copies.split, volume)

    async def convert(self, spec: VolumeSpec) -> Observed:
        return await self.session.change(spec.id, self._parts.copies.convert, spec)


class _Found:
    """What opening finds and makes of it."""

    def __init__(self, opened: Opened, abilities: Abilities) -> None:
        self.pool = opened.pool
        self.owners = opened.owners
        self.abilities = abilities
        trees, images = Trees(self.pool, owners=self.owners), Images(self.pool, abilities)
        self.volumes = Volumes(self.pool, trees, {VolumeKind.FILESYSTEM: trees, VolumeKind.BLOCK: images})
        self.copies = Copies(self.pool, self.volumes, images)


def _open(setting: Setting) -> _Found:
    opened = open_pool(setting)
    try:
        with refused(setting.name, f"cannot use {setting.path}", REASONS):
            return _Found(opened, probe(opened.pool))
    except BaseException:
        opened.pool.hold.close()
        raise


def _facts(abilities: Abilities) -> Facts:
    copies = abilities.reflink
    return Facts(
        quota=True,
        thin=abilities.sparse,
        thick=abilities.reserve or not abilities.sparse,
        split=copies,
        restore_keeps_newer=copies and abilities.exchange,
        crash_consistent=copies,
        size_min=SECTOR,
        size_step=SECTOR,
        size_max=abilities.size_max,
    )


def _lacks(abilities: Abilities, *, owners: bool) -> Mapping[VolumeKind, Mapping[str, str]]:
    copies = ("snapshot", "restore", "clone")
    tree = dict.fromkeys(copies, _NO_INSTANT)
    if not owners:
        tree["permissions"] = FOREIGN_OWNERS
    block = {"permissions": "a block volume has no top directory", "convert": "it is a block volume already"}
    if not abilities.exchange:
        block["restore"] = _NO_EXCHANGE
    if not abilities.reflink:
        block |= dict.fromkeys(copies, _NO_REFLINK)
    return {VolumeKind.FILESYSTEM: tree, VolumeKind.BLOCK: block}


def _access(pool: Pool, volume: UUID, snapshot: UUID | None) -> LocalPath:
    if snapshot is None:
        return LocalPath(path=str(pool.volume(volume).content))
    return LocalPath(path=str(pool.snapshot(volume, snapshot).content), read_only=True)
