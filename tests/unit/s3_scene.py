"""A pool in an S3 store for one test: its backend, its faults, and a picture of all that it holds."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from uuid import UUID

from gateway.backends.s3 import S3Backend, S3Options
from gateway.backends.s3.bucket import Bucket
from gateway.backends.s3.layout import Layout
from gateway.backends.s3.pool import Pool
from gateway.core.backend import Note, VolumeSpec
from gateway.core.model import VolumeKind
from gateway.testing.object_store import S3Server, fresh_options


class Died(BaseException):
    """Stands for the end of the process: nothing may clean up after it."""


class Faults:
    """Notes every point passed, and dies once at the armed one."""

    def __init__(self) -> None:
        self.points: list[str] = []
        self.armed = ""

    def __call__(self, point: str) -> None:
        self.points.append(point)
        if point == self.armed:
            self.armed = ""
            raise Died(point)


class Scene:
    """A pool in a part of the tests' bucket."""

    def __init__(self, options: S3Options, *, copy_max: int = 5 << 30) -> None:
        self.options = options
        self.layout = Layout(options.prefix)
        self.faults = Faults()
        self.copy_max = copy_max
        self.backend = self.fresh()

    def fresh(self) -> S3Backend:
        return S3Backend("pool", self.options, fault=self.faults, copy_max=self.copy_max)

    @property
    def pool(self) -> Pool:
        assert self.backend._opened is not None
        return self.backend._opened.pool

    @property
    def data(self) -> Bucket:
        return self.pool.data

    async def reopen(self) -> None:
        """End in an orderly way, and open the pool as a new process would."""
        await self.backend.close()
        self.backend = self.fresh()
        await self.backend.open()

    async def killed(self) -> None:
        """Open the pool as a new process would after the one before was killed: nobody gives the lease back."""
        session, self.backend._opened = self.backend._opened, None
        assert session is not None
        await session.abandon()
        self.backend = self.fresh()
        await self.backend.open()

    # --- content, as clients that have keys of their own make it ---

    def write(self, volume: UUID, **objects: bytes) -> None:
        for key, body in objects.items():
            self.data.put(f"{self.layout.below(volume)}{key}", body)

    def remove(self, volume: UUID, *keys: str) -> None:
        for key in keys:
            self.data.delete(f"{self.layout.below(volume)}{key}")

    def versions(self, volume: UUID) -> list[tuple[str, bool]]:
        """Give all that is kept below a volume: keys, and whether it is a marker."""
        return [(each.key, each.marker) for each in self.pool.own(volume)]

    async def listed(self, volume: UUID, snapshot: UUID | None = None) -> dict[str, str]:
        """Give the objects of a volume or snapshot with what the store says of their bytes."""
        return {each.key: each.etag async for each in self.backend.objects(volume, snapshot)}

    async def held(self, volume: UUID, snapshot: UUID | None = None) -> dict[str, bytes]:
        """Give the objects of a volume or snapshot with their bytes."""
        found = [each async for each in self.backend.objects(volume, snapshot)]
        get = self.data.s3.get_object
        return {
            each.key: get(Bucket=each.bucket, Key=each.stored_key, VersionId=each.version)["Body"].read()
            for each in found
        }

    def documents(self) -> list[str]:
        """Give the keys of the gateway's documents, without those of the pool itself."""
        begin = len(self.layout.prefix)
        own = {"pool.json", "lease.json", "manifest"}
        return [key[begin:] for key in self.pool.control.keys(self.layout.prefix) if key[begin:] not in own]

    async def picture(self) -> dict[str, object]:
        """Give everything that the pool shows."""
        backend = self.backend
        shown: dict[str, object] = {"manifest": await backend.manifest()}
        async for seen in backend.scan():
            assert seen.id is not None, seen
            content = await self.listed(seen.id)
            shown[str(seen.id)] = (seen.note, seen.size, seen.origin, seen.origin_snapshot, content)
        async for taken in backend.scan_snapshots():
            assert taken.id is not None
            assert taken.volume_id is not None
            content = await self.listed(taken.volume_id, taken.id)
            shown[str(taken.id)] = (taken.note, taken.volume_id, taken.size, content)
        return shown

    def assert_tidy(self) -> None:
        """Fail when anything is kept that nothing needs, or said of what is not there."""
        wanted, live = self.assert_covered()
        for found in self.pool.data.versions(self.layout.objects):
            owner, key = found.key[len(self.layout.objects) :].split("/", 1)
            hides = found.marker and found.latest
            assert (owner, key, found.version) in wanted or (owner in live and found.latest) or hides, found

    def assert_covered(self) -> tuple[set[tuple[str, str, str]], set[str]]:
        """Fail when a document is missing, or speaks of what is not there; give what is needed, and whose is live."""
        pool = self.pool
        said: dict[str, set[tuple[str, ...]]] = {}
        for document in self.documents():
            kind, *rest = document.split("/")
            said.setdefault(kind, set()).add(tuple(part.removesuffix(".json") for part in rest))
        assert not said.keys() & {"unsettled", "restores", "probes"}, said
        volumes = {UUID(name): pool.volume(UUID(name)) for (name,) in said.get("volumes", set())}
        snapshots = {UUID(name): pool.snapshot(UUID(of), UUID(name)) for of, name in said.get("snapshots", set())}
        bases = {sidecar.base for sidecar in volumes.values() if sidecar.base is not None}
        holds = {(str(found.base.snapshot), str(name)) for name, found in volumes.items() if found.base is not None}
        assert said.get("holds", set()) == holds
        inventories = {*snapshots, *(base.snapshot for base in bases)}
        assert said.get("inventories", set()) == {(str(name),) for name in inventories}
        needs = {(str(owner), str(name)) for name, found in snapshots.items() for owner in found.owners}
        needs |= {(str(owner), str(base.snapshot)) for base in bases for owner in base.owners}
        assert said.get("needs", set()) == needs
        wanted = {
            (str(entry.owner), entry.key, entry.version)
            for inventory in inventories
            for entry in pool.inventories.entries(inventory)
        }
        below = len(self.layout.objects)
        there = {(*found.key[below:].split("/", 1), found.version) for found in pool.data.versions(self.layout.objects)}
        assert wanted <= there, wanted - there
        return wanted, {str(volume) for volume in volumes}


def note(name: str, document: bytes = b"{}") -> Note:
    return Note(name=name, tenant="tenant", document=document)


def spec(volume: UUID, *, size: int = 1 << 20) -> VolumeSpec:
    return VolumeSpec(id=volume, kind=VolumeKind.OBJECTS, size=size, note=note("volume"))


@asynccontextmanager
async def scene(server: S3Server, *, copy_max: int = 5 << 30) -> AsyncIterator[Scene]:
    """Have a fresh pool."""
    at = Scene(fresh_options(server), copy_max=copy_max)
    await at.backend.open()
    try:
        yield at
    finally:
        await at.backend.close()
