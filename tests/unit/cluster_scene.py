"""A pool on a far gateway for one test: its backend, its faults, and a picture of all that it holds."""

from __future__ import annotations

import os
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from uuid import UUID, uuid4

from far_gateway import FarGateway, far_gateway

from gateway.backends.ontap import OntapBackend
from gateway.backends.ontap.descriptions import Damaged, More, from_comment, from_tags
from gateway.backends.ontap.names import Names
from gateway.core.backend import Note, VolumeSpec
from gateway.core.model import VolumeKind
from gateway.frontends.ontap_rest.render.storage import labels_to_tags
from gateway.testing.backends import MemoryContent

MIB = 1024**2
SIZE = 40 * MIB
LONG = os.urandom(10_000)
"""More than the tags of one volume can say."""

LONGER = os.urandom(300)
"""More than the comment of a snapshot can say."""


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
    """A pool of its own on a gateway that several may share."""

    def __init__(self, far: FarGateway, **options: object) -> None:
        self.far = far
        self.prefix = f"gw{uuid4().hex[:6]}_"
        self.names = Names(self.prefix)
        self.faults = Faults()
        self.options = options
        self.backend = self.fresh()

    def fresh(self) -> OntapBackend:
        return OntapBackend("pool", self.far.options(prefix=self.prefix, **self.options), fault=self.faults)

    async def killed(self) -> None:
        """Open the pool as a new process would after the one before was killed."""
        await self.backend.close()
        self.backend = self.fresh()
        await self.backend.open()

    async def content(self, volume: UUID, snapshot: UUID | None = None) -> MemoryContent:
        """Give what is in a volume, mounted or not."""
        there = (await self.far.volumes())[self.names.volume(volume)]
        return await self.far.held(there, "" if snapshot is None else self.names.snapshot(snapshot))

    async def write(self, volume: UUID, **files: bytes) -> None:
        content = await self.content(volume)
        for path, data in files.items():
            await content.write(path, data)

    async def files(self, volume: UUID, snapshot: UUID | None = None) -> dict[str, bytes]:
        content = await self.content(volume, snapshot)
        return {path: await content.read(path) for path in sorted(await content.paths())}

    async def picture(self) -> dict[str, object]:
        """Give everything that the pool holds, as its users see it."""
        picture: dict[str, object] = {"manifest": await self.backend.manifest()}
        async for seen in self.backend.scan():
            assert seen.id is not None
            files = await self.files(seen.id)
            root = await (await self.content(seen.id)).root()
            picture[str(seen.id)] = (seen.size, seen.note, seen.origin, seen.origin_snapshot, files, root)
        async for taken in self.backend.scan_snapshots():
            assert taken.id is not None
            assert taken.volume_id is not None
            picture[f"{taken.volume_id}@{taken.id}"] = (taken.note, await self.files(taken.volume_id, taken.id))
        return picture

    async def assert_tidy(self) -> None:
        """Fail when anything is there that nothing names."""
        there, named = set(), set()
        for name, volume in (await self.far.volumes()).items():
            form = self.names.read(name)
            if form is None:
                continue
            assert not form.staged, name
            if form.generation:
                there.add((form.generation, form.index))
            told = from_tags(labels_to_tags(volume.labels))
            named |= _carriers(told[1] if told is not None else None)
            for taken, snapshot in (await self.far.snapshots(volume)).items():
                assert not self.names.is_marker(taken), taken
                named |= _carriers(_told(snapshot.comment))
        assert there == named


def _told(comment: str) -> More | None:
    try:
        found = from_comment(comment)
    except Damaged:
        return None
    return found if isinstance(found, More) else None


def _carriers(more: More | None) -> set[tuple[str, int]]:
    return set() if more is None else {(more.generation, index) for index in range(more.count)}


def note(name: str, document: bytes = b"{}") -> Note:
    return Note(name=name, tenant="tenant", document=document)


def spec(key: UUID, *, size: int = SIZE, document: bytes = LONG) -> VolumeSpec:
    return VolumeSpec(id=key, kind=VolumeKind.FILESYSTEM, size=size, note=note("volume", document))


@asynccontextmanager
async def scene(far: FarGateway, **options: object) -> AsyncIterator[Scene]:
    at = Scene(far, **options)
    await at.backend.open()
    try:
        yield at
    finally:
        await at.backend.close()


@asynccontextmanager
async def far(folder: Path) -> AsyncIterator[FarGateway]:
    async with far_gateway(folder / "far") as gateway:
        yield gateway
