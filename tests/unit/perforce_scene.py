"""A pool on a stand-in for a Perforce server: its backend, its faults, and a picture of all that it holds."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from uuid import UUID, uuid4

from gateway.backends.perforce import PerforceBackend, PerforceOptions
from gateway.backends.perforce.connection import Record
from gateway.core.backend import Note, VolumeSpec
from gateway.core.model import VolumeKind
from gateway.testing.perforce import DEPOT, USER, StandIn, StreamContent

SIZE = 1024**2


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
    """A pool on a server of its own."""

    def __init__(self, server: StandIn | None = None, *, size: int | None = None) -> None:
        self.server = server or StandIn()
        self.options = PerforceOptions(port="perforce.example:1666", depot=DEPOT, user=USER, size=size)
        self.faults = Faults()
        self.backend = self.fresh()

    def fresh(self) -> PerforceBackend:
        return PerforceBackend("pool", self.options, fault=self.faults, connect=self.server.connect)

    async def killed(self) -> None:
        """Open the pool as a new process would after the one before was killed."""
        session, self.backend._opened = self.backend._opened, None
        assert session is not None
        await session.worker.close()
        self.backend = self.fresh()
        await self.backend.open()

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

    async def write(self, volume: UUID, **files: bytes) -> None:
        """Write files into a volume, each with a changelist of its own."""
        async with StreamContent(self.server, await self.backend.access(volume)) as content:
            for name, data in files.items():
                await content.write(name, data)

    async def files(self, volume: UUID, snapshot: UUID | None = None) -> dict[str, bytes]:
        """Give the files of a volume or snapshot with their bytes."""
        async with StreamContent(self.server, await self.backend.access(volume, snapshot)) as content:
            return {name: await content.read(name) for name in sorted(await content.paths())}

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

    def forms(self, kind: str) -> dict[str, Record]:
        """Give the forms that the server has, by name."""
        return self.server.state.forms[kind]

    async def assert_tidy(self) -> None:
        """Fail when anything is there that nothing needs."""
        volumes = {str(seen.place) async for seen in self.backend.scan()}
        assert self.forms("stream").keys() == volumes
        assert {self.server.state.stream_of(path) for path in self.server.state.files} <= {None, *volumes}
        assert self.forms("client") == {}
        assert not [each for each in self.server.state.changes.values() if each.status == "pending"]


def spec(volume: UUID | None = None, *, size: int = SIZE) -> VolumeSpec:
    """Describe a volume."""
    return VolumeSpec(id=volume or uuid4(), kind=VolumeKind.TREE, size=size, note=note("volume"))


def note(name: str) -> Note:
    """Make a note."""
    return Note(name=name, tenant="tenant", document=b"{}")


@asynccontextmanager
async def scene(server: StandIn | None = None, *, size: int | None = None) -> AsyncIterator[Scene]:
    """Have an open pool for a block."""
    at = Scene(server, size=size)
    await at.backend.open()
    try:
        yield at
    finally:
        await at.backend.close()
