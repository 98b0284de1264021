"""A pool of qcow2 images for one test: its directory, its backend, its faults, and a picture of all that it holds."""

from __future__ import annotations

import asyncio
import os
import signal
import subprocess
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from uuid import UUID, uuid4

from gateway.backends.qcow2 import Qcow2Backend, Qcow2Options
from gateway.backends.qcow2.layers import Layers
from gateway.backends.qcow2.layout import parse_device
from gateway.backends.qcow2.pool import Pool
from gateway.backends.qcow2.process import gone
from gateway.core.backend import Note, VolumeSpec
from gateway.core.model import VolumeKind
from gateway.testing.backends import BlockContent

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

    def __init__(self, folder: Path) -> None:
        folder.mkdir(exist_ok=True)
        self.path = folder
        self.faults = Faults()
        self.backend = self.fresh()

    def fresh(self) -> Qcow2Backend:
        return Qcow2Backend("pool", Qcow2Options(path=self.path), fault=self.faults)

    @property
    def pool(self) -> Pool:
        assert self.backend._opened is not None
        return self.backend._opened.pool

    async def reopen(self) -> None:
        """End in an orderly way, and open the pool as a new process would."""
        await self.backend.close()
        self.backend = self.fresh()
        await self.backend.open()

    async def killed(self) -> None:
        """Open the pool as a new process would after the one before was killed: the storage daemon goes on."""
        session, self.backend._opened = self.backend._opened, None
        assert session is not None
        session.watch.end()
        await session.worker.close()
        session.pool.devices.hang_up()
        session.opened.lock.release()
        self.backend = self.fresh()
        await self.backend.open()

    def kill_daemon(self) -> None:
        """Kill the storage daemon, and wait until it is gone."""
        pid = self.pool.devices.pid()
        assert pid is not None
        os.kill(pid, signal.SIGKILL)
        assert gone(pid, 10)

    async def revived(self) -> None:
        """Wait until the pool has noticed that its daemon is gone and done what it does then."""
        assert self.backend._opened is not None
        tasks = self.backend._opened.watch._tasks
        while not tasks:  # noqa: ASYNC110 - the kernel has told already, the loop is about to
            await asyncio.sleep(0)
        await asyncio.gather(*tasks)

    async def volume(self, **files: bytes) -> UUID:
        """Make a volume with files."""
        made = spec()
        await self.backend.create(made)
        await self.write(made.id, **files)
        return made.id

    async def snapshot(self, volume: UUID) -> UUID:
        """Take a snapshot."""
        snapshot = uuid4()
        await self.backend.snapshot(volume, snapshot, note("snapshot"))
        return snapshot

    async def device(self, volume: UUID, snapshot: UUID | None = None) -> Path:
        """Give the raw device of a volume or snapshot."""
        return Path((await self.backend.access(volume, snapshot)).path)

    async def write(self, volume: UUID, **files: bytes) -> None:
        """Write files into a volume."""
        content = BlockContent(await self.backend.access(volume))
        for name, data in files.items():
            await content.write(name, data)

    async def files(self, volume: UUID, snapshot: UUID | None = None) -> dict[str, bytes]:
        """Give the files of a volume or snapshot with their bytes."""
        content = BlockContent(await self.backend.access(volume, snapshot))
        return {name: await content.read(name) for name in sorted(await content.paths())}

    def images(self) -> list[Path]:
        """Give the files of all layers."""
        return sorted((self.path / "images").glob("*/*"))

    async def stream(self, volume: UUID, snapshot: UUID, base: UUID | None = None) -> bytes:
        """Give the stream of a snapshot."""
        return b"".join([part async for part in self.backend.send(volume, snapshot, base)])

    async def picture(self) -> dict[str, object]:
        """Give all that can be seen of the pool."""
        picture: dict[str, object] = {"manifest": await self.backend.manifest()}
        async for seen in self.backend.scan():
            assert seen.id is not None, seen.place
            content = await self.files(seen.id)
            picture[f"volume {seen.id}"] = (seen.size, seen.note, seen.origin, seen.origin_snapshot, content)
        async for taken in self.backend.scan_snapshots():
            assert taken.id is not None
            assert taken.volume_id is not None
            content = await self.files(taken.volume_id, taken.id)
            picture[f"snapshot {taken.id}"] = (taken.volume_id, taken.note, content)
        return picture

    def assert_tidy(self) -> None:
        """Fail when anything is there that nothing needs."""
        pool, layout = self.pool, self.pool.layout
        for family in layout.families():
            layers = Layers(pool)
            kin = layers.kin(family)
            assert kin.layers, "a directory stayed"
            assert kin.idle() == []
            for _, upper in kin.pairs():
                assert {place for _, place in layers.users(kin, family)[upper.name]} == {0}, "layers stayed unmerged"
        assert list(layout.root.glob("**/.*.new")) == []
        for folder in layout.notes.glob("*/*"):
            assert list(folder.iterdir()), "a directory stayed"
        for path in layout.devices.iterdir():
            assert parse_device(path.name) is not None
            assert pool.locate(path.name) is not None
        known = {path.name for path in layout.notes.glob("*/*")}
        assert {path.name for path in layout.kin.iterdir()} <= known


@asynccontextmanager
async def scene(folder: Path) -> AsyncIterator[Scene]:
    """Open a fresh pool in a new directory."""
    made = Scene(folder / uuid4().hex)
    try:
        await made.backend.open()
        yield made
    finally:
        await made.backend.close()


def note(name: str) -> Note:
    return Note(name=name, tenant="tenant", document=name.encode())


def spec(volume: UUID | None = None, *, size: int = SIZE) -> VolumeSpec:
    return VolumeSpec(id=volume or uuid4(), kind=VolumeKind.BLOCK, size=size, note=note("volume"))


def command(*arguments: str) -> str:
    """Run a program; give its output, or fail with CalledProcessError."""
    return subprocess.run(arguments, capture_output=True, text=True, check=True).stdout


async def parts(data: bytes) -> AsyncIterator[bytes]:
    """Yield a stream in parts."""
    for start in range(0, len(data), 10_000):
        yield data[start : start + 10_000]
