"""A btrfs pool for one test: its directory, its backend, its faults, and a picture of all that it holds."""

from __future__ import annotations

import subprocess
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from uuid import UUID, uuid4

import msgspec

from gateway.backends.btrfs import BtrfsBackend, BtrfsOptions
from gateway.backends.btrfs.kernel import Kernel
from gateway.core.backend import Note, VolumeSpec
from gateway.core.model import RootDirectory, VolumeKind

MIB = 1024**2
SIZE = 16 * MIB


class Died(BaseException):
    """Stands for the end of the process: nothing may clean up after it."""


class Faults:
    """Notes every point passed, shows it to who watches, and dies once at the armed one."""

    def __init__(self) -> None:
        self.points: list[str] = []
        self.armed = ""
        self.watch: Callable[[str], None] | None = None

    def __call__(self, point: str) -> None:
        self.points.append(point)
        if self.watch is not None:
            self.watch(point)
        if point == self.armed:
            self.armed = ""
            raise Died(point)


class Scene:
    """A pool in a directory of its own."""

    def __init__(self, folder: Path, **options: object) -> None:
        folder.mkdir(exist_ok=True)
        self.path = folder
        self.faults = Faults()
        self.kernel = Kernel()
        self.options = BtrfsOptions(path=folder, **options)
        self.backend = BtrfsBackend("pool", self.options, fault=self.faults)

    async def reopen(self, **options: object) -> None:
        """Open the pool as a new process would."""
        await self.backend.close()
        self.options = msgspec.structs.replace(self.options, **options)
        self.backend = BtrfsBackend("pool", self.options, fault=self.faults)
        await self.backend.open()

    async def volume(self, **files: bytes) -> UUID:
        """Make a volume with files."""
        made = spec()
        await self.backend.create(made)
        self.write(made.id, **files)
        return made.id

    async def snapshot(self, volume: UUID) -> UUID:
        """Take a snapshot."""
        snapshot = uuid4()
        await self.backend.snapshot(volume, snapshot, note("snapshot"))
        return snapshot

    def place(self, volume: UUID, snapshot: UUID | None = None) -> Path:
        """Give the directory of a volume or snapshot."""
        if snapshot is None:
            return self.path / "volumes" / str(volume)
        return self.path / "snapshots" / str(volume) / str(snapshot)

    def write(self, volume: UUID, **files: bytes) -> None:
        """Write files into a volume."""
        for name, data in files.items():
            (self.place(volume) / name).write_bytes(data)

    def files(self, volume: UUID, snapshot: UUID | None = None) -> dict[str, bytes]:
        """Give the files of a volume or snapshot with their bytes."""
        return {path.name: path.read_bytes() for path in sorted(self.place(volume, snapshot).iterdir())}

    def limit(self, path: Path) -> int | None:
        """Give the kernel's limit of the subvolume at a path."""
        subvolume = self.kernel.subvolume(path)
        assert subvolume is not None
        usage = self.kernel.usage(self.kernel.filesystem(self.path).id, subvolume.id)
        assert usage is not None
        return usage.limit

    async def stream(self, volume: UUID, snapshot: UUID, base: UUID | None = None) -> bytes:
        """Give the stream of a snapshot."""
        return b"".join([part async for part in self.backend.send(volume, snapshot, base)])

    async def picture(self) -> dict[str, object]:
        """Give all that can be seen of the pool."""
        picture: dict[str, object] = {"manifest": await self.backend.manifest()}
        async for seen in self.backend.scan():
            assert seen.id is not None, seen.place
            root = self.place(seen.id).stat()
            picture[f"volume {seen.id}"] = (
                seen.size,
                self.limit(self.place(seen.id)),
                seen.note,
                (seen.origin, seen.origin_snapshot),
                (root.st_mode, root.st_uid, root.st_gid),
                self.files(seen.id),
            )
        async for taken in self.backend.scan_snapshots():
            assert taken.id is not None, taken.place
            assert taken.volume_id is not None
            picture[f"snapshot {taken.id}"] = (taken.volume_id, taken.note, self.files(taken.volume_id, taken.id))
        return picture

    def assert_tidy(self) -> None:
        """Fail when anything is there that belongs to no volume and no snapshot."""
        assert list((self.path / "staging").iterdir()) == []
        volumes = [path.name for path in (self.path / "volumes").iterdir()]
        snapshots = [path.name for path in (self.path / "snapshots").glob("*/*")]
        notes = [path.name for path in (self.path / "notes").iterdir()]
        assert sorted(notes) == sorted(f"{name}.json" for name in volumes + snapshots)
        hidden = {path.name for path in (self.path / ".gateway").iterdir()}
        assert hidden <= {"pool.json", "manifest", "lock"}


@asynccontextmanager
async def scene(mount: Path, **options: object) -> AsyncIterator[Scene]:
    """Open a fresh pool in a new directory of a mounted btrfs."""
    made = Scene(mount / uuid4().hex, **options)
    try:
        await made.backend.open()
        yield made
    finally:
        await made.backend.close()


def note(name: str) -> Note:
    return Note(name=name, tenant="tenant", document=name.encode())


def spec(volume: UUID | None = None, *, size: int = SIZE, root: RootDirectory | None = None) -> VolumeSpec:
    kind = VolumeKind.FILESYSTEM
    return VolumeSpec(id=volume or uuid4(), kind=kind, size=size, root=root, note=note("volume"))


async def parts(data: bytes) -> AsyncIterator[bytes]:
    """Yield a stream in parts."""
    for start in range(0, len(data), 10_000):
        yield data[start : start + 10_000]


def command(*arguments: str | Path) -> str:
    """Run a program; give its output, or fail with CalledProcessError."""
    return subprocess.run(arguments, capture_output=True, text=True, check=True).stdout
