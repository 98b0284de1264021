"""A pool of files for one test: its directory, its backend, its faults, and a picture of all that it holds."""

from __future__ import annotations

import os
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from uuid import UUID, uuid4

from btrfs_scene import Faults, note

from gateway.backends.directory import DirectoryBackend, DirectoryOptions
from gateway.backends.nfs import NfsBackend, NfsPoolOptions
from gateway.core.backend import SnapshotBackend, VolumeSpec
from gateway.core.model import RootDirectory, VolumeKind

MIB = 1024**2
SIZE = 4 * MIB
TREE, BLOCK = VolumeKind.FILESYSTEM, VolumeKind.BLOCK


class Scene:
    """A pool in a directory of its own. `driver`: directory or nfs."""

    def __init__(self, folder: Path, driver: str = "directory", **options: object) -> None:
        folder.mkdir(exist_ok=True)
        self.path = folder
        self.driver = driver
        self.faults = Faults()
        self.options = options
        self.backend = self._make()

    def _make(self) -> DirectoryBackend:
        if self.driver == "directory":
            return DirectoryBackend("pool", DirectoryOptions(path=self.path, **self.options), fault=self.faults)
        options = NfsPoolOptions(path=self.path, server="192.0.2.1", export="/export", **self.options)
        return NfsBackend("pool", options, fault=self.faults)

    async def reopen(self) -> None:
        """Open the pool as a new process would."""
        await self.backend.close()
        self.backend = self._make()
        await self.backend.open()

    async def volume(self, kind: VolumeKind = TREE, **files: bytes) -> UUID:
        """Make a volume, a tree with files in it."""
        made = spec(kind=kind)
        await self.backend.create(made)
        for name, data in files.items():
            (self.place(made.id) / name).write_bytes(data)
        return made.id

    async def snapshot(self, volume: UUID) -> UUID:
        """Take a snapshot."""
        snapshot = uuid4()
        await self.backend.snapshot(volume, snapshot, note("snapshot"))
        return snapshot

    def place(self, volume: UUID, snapshot: UUID | None = None) -> Path:
        """Give the directory or raw file of a volume or snapshot."""
        if snapshot is None:
            return self.path / "volumes" / str(volume) / "data"
        return self.path / "snapshots" / str(volume) / str(snapshot) / "data"

    def write(self, volume: UUID, data: bytes) -> None:
        """Write to the beginning of a block volume, durably."""
        fd = os.open(self.place(volume), os.O_WRONLY)
        try:
            os.pwrite(fd, data, 0)
            os.fsync(fd)
        finally:
            os.close(fd)

    def held(self, volume: UUID, snapshot: UUID | None = None) -> object:
        """Give what a volume or snapshot holds: its files with their bytes, or the beginning of its raw file."""
        place = self.place(volume, snapshot)
        if place.is_dir():
            return {path.name: path.read_bytes() for path in sorted(place.iterdir())}
        with place.open("rb") as file:
            return file.read(100).rstrip(b"\0"), place.stat().st_size

    async def picture(self) -> dict[str, object]:
        """Give all that can be seen of the pool."""
        picture: dict[str, object] = {"manifest": await self.backend.manifest()}
        async for seen in self.backend.scan():
            assert seen.id is not None, seen.place
            root = self.place(seen.id).stat()
            shape = (seen.kind, seen.size, seen.note, seen.origin, seen.origin_snapshot)
            picture[f"volume {seen.id}"] = (shape, (root.st_mode, root.st_uid, root.st_gid), self.held(seen.id))
        if isinstance(self.backend, SnapshotBackend):
            async for taken in self.backend.scan_snapshots():
                assert taken.id is not None, taken.place
                assert taken.volume_id is not None
                picture[f"snapshot {taken.id}"] = (taken.volume_id, taken.note, self.held(taken.volume_id, taken.id))
        return picture

    async def assert_tidy(self) -> None:
        """Fail when anything is there that belongs to no volume and no snapshot."""
        await self.backend.session.idle()
        assert list((self.path / "staging").iterdir()) == []
        for kind, pattern in (("volume", "volumes/*"), ("snapshot", "snapshots/*/*")):
            for container in self.path.glob(pattern):
                assert {path.name for path in container.iterdir()} == {"data", f"{kind}.json"}, container
        hidden = {path.name for path in (self.path / ".gateway").iterdir()}
        assert hidden <= {"pool.json", "manifest", "lock"}


@asynccontextmanager
async def scene(mount: Path, driver: str = "directory", **options: object) -> AsyncIterator[Scene]:
    """Open a fresh pool: in a new directory of a file system, or at the mount point of a file server."""
    made = Scene(mount / uuid4().hex if driver == "directory" else mount, driver, **options)
    try:
        await made.backend.open()
        yield made
    finally:
        await made.backend.close()


def spec(
    volume: UUID | None = None,
    *,
    kind: VolumeKind = TREE,
    size: int = SIZE,
    root: RootDirectory | None = None,
    thick: bool = False,
) -> VolumeSpec:
    """Describe a volume."""
    return VolumeSpec(id=volume or uuid4(), kind=kind, size=size, root=root, thick=thick, note=note("volume"))
