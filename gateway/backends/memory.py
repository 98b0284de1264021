"""The reference backend: volumes as small trees of files in this process.

It can do everything that a substrate may do, so it is the oracle for the real
ones. Content is immutable `bytes` shared between volumes, snapshots and clones
and counted once, and it is gone when the process ends.

Space follows one rule. A thick volume takes its whole size from the pool, so
that its writes cannot fail for want of room. Everything else (thin volumes and
all snapshots) takes the bytes that it holds, once however often they are shared.
A volume's size limits what is written; content that came by restore, clone or
shrink may exceed it and can then only become smaller.
"""
# ruff: noqa: D102 - the protocols carry the contract of the methods

from __future__ import annotations

import asyncio
import hashlib
from collections.abc import AsyncIterator, Iterator, Mapping, MutableMapping, Sequence
from contextlib import contextmanager
from typing import Annotated, ClassVar, Literal
from uuid import UUID, uuid5

import msgspec

from gateway.backends.memory_parts import SnapshotFiles, Space, Stream, VolumeFiles, decode_stream
from gateway.backends.memory_tree import FilesInMemory, Tree
from gateway.core.backend import (
    Capacity,
    FaultHook,
    GroupMember,
    Note,
    Observed,
    ObservedSnapshot,
    Substrate,
    VolumeSpec,
    no_fault,
)
from gateway.core.capability import Facts
from gateway.core.errors import InUse, InvalidArgument, NotFound, OutOfSpace
from gateway.core.handles import InProcess
from gateway.core.model import RootDirectory, VolumeKind

_POOLS = UUID("6f0d2f0e-3d1a-5c62-9c55-0a1f7d1c4b1e")
_CHUNK = 64 * 1024
_SCAN_SLICE = 256

_FACTS = Facts(
    quota=True,
    thin=True,
    thick=True,
    shrink=True,
    split=True,
    restore_keeps_newer=True,
    crash_consistent=True,
)
_KINDS: Mapping[VolumeKind, Facts] = {
    VolumeKind.FILESYSTEM: _FACTS,
    # Memory has no devices to lose data from, but a block volume that shrinks cuts off what somebody wrote.
    VolumeKind.BLOCK: msgspec.structs.replace(_FACTS, shrink=False),
}
_LACKS: Mapping[VolumeKind, Mapping[str, str]] = {
    VolumeKind.BLOCK: {
        "permissions": "a block volume has no top directory",
        "convert": "it is a block volume already",
        "files": "a block volume has no files",
        "clone_file": "a block volume has no files",
    }
}


class MemoryOptions(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Settings of a memory pool.

    size: the capacity in bytes that it pretends to have.
    kinds: which kinds of volumes it holds.
    step: the size of a block volume is a multiple of so many bytes.
    """

    size: int = 1024**4
    kinds: tuple[Literal["filesystem", "block"], ...] = ("filesystem", "block")
    step: Annotated[int, msgspec.Meta(ge=1)] = 1


class _Image(msgspec.Struct, frozen=True, kw_only=True):
    """Content at one instant. `files` is never changed after it was put here."""

    files: dict[str, bytes]
    used: int
    root: RootDirectory
    folders: dict[str, RootDirectory] = {}


class _Snapshot(msgspec.Struct, frozen=True, kw_only=True):
    """A snapshot. `lineage` names the content through replication, whatever id each copy has."""

    id: UUID
    volume_id: UUID
    lineage: UUID
    image: _Image
    note: Note


class _Volume(msgspec.Struct, kw_only=True):
    """A live volume: the one thing here that changes."""

    id: UUID
    kind: VolumeKind
    size: int
    thick: bool
    note: Note
    root: RootDirectory
    files: dict[str, bytes]
    folders: dict[str, RootDirectory]
    numbers: dict[str, int] = {}
    marks: dict[str, UUID] = {}
    used: int = 0
    origin: UUID | None = None
    origin_snapshot: UUID | None = None
    restored: UUID | None = None

    def image(self) -> _Image:
        return _Image(files=dict(self.files), used=self.used, root=self.root, folders=dict(self.folders))

    def reserved(self) -> int:
        return max(self.size, self.used) if self.thick else 0


class MemoryBackend(FilesInMemory):
    """Volumes in the gateway's memory, with every operation that there is; for trying out and for tests."""

    Options: ClassVar[type[MemoryOptions]] = MemoryOptions

    def __init__(self, name: str, options: MemoryOptions, *, fault: FaultHook = no_fault) -> None:
        self._name = name
        self._id = uuid5(_POOLS, name)
        self._fault = fault
        self._space = Space(name, options.size)
        steps = {VolumeKind.BLOCK: options.step}
        self._kinds = {
            kind: msgspec.structs.replace(facts, size_step=steps.get(kind, facts.size_step))
            for kind, facts in _KINDS.items()
            if kind in options.kinds
        }
        self._volumes: dict[UUID, _Volume] = {}
        self._snapshots: dict[UUID, dict[UUID, _Snapshot]] = {}
        self._manifest: bytes | None = None

    async def open(self) -> None:
        """Do nothing: memory needs no probe and a new process has no leftovers."""

    def describe(self) -> Substrate:
        return Substrate(
            id=self._id,
            driver="memory",
            kinds=self._kinds,
            lacks=_LACKS,
            handles=("in_process",),
            volatile=True,
            remarks=("its volumes are gone when the gateway ends",),
        )

    async def close(self) -> None:
        """Do nothing: the content lives as long as the object."""

    # --- VolumeBackend ---

    async def create(self, spec: VolumeSpec) -> Observed:
        volume = self._volumes.get(spec.id)
        if volume is None:
            image = _Image(files={}, used=0, root=RootDirectory())
            with self.step("create"):
                volume = self._make(spec, image)
        return _observed(volume)

    async def delete(self, volume: UUID) -> None:
        with self.step("delete"):
            gone = self._volumes.pop(volume, None)
            if gone is not None:
                self._space.take(-gone.reserved())
                self._space.release(() if gone.thick else gone.files.values())

    async def annotate(self, volume: UUID, note: Note) -> None:
        found = self._volume(volume)
        with self.step("annotate"):
            found.note = note

    async def inspect(self, volume: UUID) -> Observed | None:
        found = self._volumes.get(volume)
        return None if found is None else _observed(found)

    async def scan(self) -> AsyncIterator[Observed]:
        for index, volume in enumerate(list(self._volumes.values())):
            if index % _SCAN_SLICE == 0:
                await asyncio.sleep(0)
            yield _observed(volume)

    async def capacity(self) -> Capacity:
        space = self._space
        return Capacity(size=space.size, used=space.used, available=max(space.size - space.used, 0))

    async def access(self, volume: UUID, snapshot: UUID | None = None) -> InProcess:
        if snapshot is None:
            return InProcess(key=str(self._volume(volume).id))
        return InProcess(key=f"{volume}/{self._snapshot(volume, snapshot).id}", read_only=True)

    async def put_manifest(self, document: bytes) -> None:
        with self.step("put_manifest"):
            self._manifest = document

    async def manifest(self) -> bytes | None:
        return self._manifest

    # --- ResizeBackend, PermissionsBackend ---

    async def resize(self, volume: UUID, size: int) -> None:
        found = self._volume(volume)
        if found.kind is VolumeKind.BLOCK and size < found.size:
            raise InvalidArgument(field="size", value=size, reason="a block volume does not shrink")
        with self.step("resize"):
            if found.thick:
                self._space.take(max(size, found.used) - found.reserved())
            found.size = size

    async def set_root(self, volume: UUID, root: RootDirectory) -> None:
        found = self._volume(volume)
        with self.step("set_root"):
            found.root = root

    # --- SnapshotBackend ---

    async def snapshot(self, volume: UUID, snapshot: UUID, note: Note) -> ObservedSnapshot:
        taken = self._snapshots.get(volume, {}).get(snapshot)
        if taken is None:
            image = self._volume(volume).image()
            taken = _Snapshot(id=snapshot, volume_id=volume, lineage=snapshot, image=image, note=note)
            with self.step("snapshot"):
                self._keep(taken)
        return _observed_snapshot(taken)

    async def delete_snapshot(self, volume: UUID, snapshot: UUID) -> None:
        with self.step("delete_snapshot"):
            gone = self._snapshots.get(volume, {}).get(snapshot)
            if gone is not None:
                self._drop(gone)

    async def annotate_snapshot(self, volume: UUID, snapshot: UUID, note: Note) -> None:
        found = self._snapshot(volume, snapshot)
        with self.step("annotate_snapshot"):
            self._snapshots[volume][snapshot] = msgspec.structs.replace(found, note=note)

    async def inspect_snapshot(self, volume: UUID, snapshot: UUID) -> ObservedSnapshot | None:
        found = self._snapshots.get(volume, {}).get(snapshot)
        return None if found is None else _observed_snapshot(found)

    async def scan_snapshots(self) -> AsyncIterator[ObservedSnapshot]:
        for index, siblings in enumerate(list(self._snapshots.values())):
            if index % _SCAN_SLICE == 0:
                await asyncio.sleep(0)
            for snapshot in list(siblings.values()):
                yield _observed_snapshot(snapshot)

    async def snapshot_group(self, members: Sequence[GroupMember]) -> None:
        # Nothing else runs between the first image and the last: no await lies between them.
        missing = [m for m in members if m.snapshot not in self._snapshots.get(m.volume, {})]
        taken = [
            _Snapshot(
                id=m.snapshot,
                volume_id=m.volume,
                lineage=m.snapshot,
                image=self._volume(m.volume).image(),
                note=m.note,
            )
            for m in missing
        ]
        with self.step("snapshot_group"):
            for snapshot in taken:
                self._keep(snapshot)

    # --- ConvertBackend ---

    async def convert(self, spec: VolumeSpec) -> Observed:
        found = self._volumes.get(spec.id)
        if found is not None and found.kind is spec.kind:
            return _observed(found)
        if found is not None and (found.files or found.folders or self._snapshots.get(spec.id)):
            raise InUse(kind="volume", ref=str(spec.id), by="content", action="convert")
        with self.step("convert"):
            if found is not None:
                self._space.take(-found.reserved())
                del self._volumes[spec.id]
            return _observed(self._make(spec, _Image(files={}, used=0, root=RootDirectory())))

    # --- RestoreBackend ---

    async def restore(self, volume: UUID, snapshot: UUID, token: UUID) -> None:
        found = self._volume(volume)
        if found.restored == token:
            return
        image = self._snapshot(volume, snapshot).image
        with self.step("restore"):
            self._replace(found, image)
            found.restored = token

    async def settle_restore(self, volume: UUID, token: UUID) -> bool:
        return self._volume(volume).restored == token

    # --- CloneBackend ---

    async def clone(self, source: UUID, snapshot: UUID | None, spec: VolumeSpec) -> Observed:
        made = self._volumes.get(spec.id)
        if made is None:
            image = self._volume(source).image() if snapshot is None else self._snapshot(source, snapshot).image
            with self.step("clone"):
                made = self._make(spec, image)
                made.origin, made.origin_snapshot = source, snapshot
        return _observed(made)

    async def split(self, volume: UUID) -> None:
        found = self._volume(volume)
        with self.step("split"):
            found.origin = found.origin_snapshot = None

    # --- ReplicationBackend ---

    async def send(self, volume: UUID, snapshot: UUID, base: UUID | None) -> AsyncIterator[bytes]:
        new = self._snapshot(volume, snapshot)
        old = None if base is None else self._snapshot(volume, base)
        before = {} if old is None else old.image.files
        after = new.image.files
        payload = msgspec.msgpack.encode(
            Stream(
                lineage=new.lineage,
                base=None if old is None else old.lineage,
                root=new.image.root,
                changed={path: data for path, data in after.items() if before.get(path) != data},
                removed=[path for path in before if path not in after],
                folders=new.image.folders,
            )
        )
        stream = hashlib.sha256(payload).digest() + payload
        for start in range(0, len(stream), _CHUNK):
            yield stream[start : start + _CHUNK]

    async def receive(self, spec: VolumeSpec, snapshot: UUID, note: Note, stream: AsyncIterator[bytes]) -> None:
        if snapshot in self._snapshots.get(spec.id, {}):
            return
        received = decode_stream(b"".join([part async for part in stream]))
        files = {} if received.base is None else dict(self._by_lineage(spec.id, received.base).image.files)
        for path in received.removed:
            files.pop(path, None)
        files |= received.changed
        used = sum(map(len, files.values()))
        image = _Image(files=files, used=used, root=received.root, folders=received.folders)
        taken = _Snapshot(id=snapshot, volume_id=spec.id, lineage=received.lineage, image=image, note=note)
        with self.step("receive"):
            self._keep(taken)
            try:
                self._advance(spec, image)
            except OutOfSpace:
                self._drop(taken)
                raise

    # --- bytes, for whoever shares the process ---

    def content(self, key: str) -> MutableMapping[str, bytes]:
        """Give the files behind an `InProcess` handle's key, live; writes to a snapshot raise InvalidState."""
        volume, _, snapshot = key.partition("/")
        if snapshot:
            return SnapshotFiles(UUID(snapshot), self._snapshot(UUID(volume), UUID(snapshot)).image.files)
        return VolumeFiles(self, UUID(volume))

    def root(self, key: str) -> RootDirectory:
        """Give the top directory's owner and mode behind an `InProcess` handle's key."""
        volume, _, snapshot = key.partition("/")
        if snapshot:
            return self._snapshot(UUID(volume), UUID(snapshot)).image.root
        return self._volume(UUID(volume)).root

    def tree(self, volume: UUID, snapshot: UUID | None = None) -> Tree:
        """Give what is in a volume, live, or in a snapshot."""
        if snapshot is not None:
            image = self._snapshot(volume, snapshot).image
            return Tree(root=image.root, files=image.files, folders=image.folders, numbers={}, marks={})
        found = self._volume(volume)
        return Tree(root=found.root, files=found.files, folders=found.folders, numbers=found.numbers, marks=found.marks)

    def files(self, volume: UUID) -> Mapping[str, bytes]:
        """Give a volume's files; to be read only."""
        return self._volume(volume).files

    def write(self, volume: UUID, path: str, data: bytes | None) -> None:
        """Set one file's content (None: remove it), or raise OutOfSpace and change nothing."""
        found = self._volume(volume)
        old = found.files.get(path)
        growth = len(data or b"") - len(old or b"")
        if growth > 0 and found.used + growth > found.size:
            raise OutOfSpace(pool=self._name, wanted=growth, free=max(found.size - found.used, 0))
        before = found.reserved()
        if not found.thick:
            self._space.hold(() if data is None else (data,))
            self._space.release(() if old is None else (old,))
        if data is None:
            found.files.pop(path, None)
            found.numbers.pop(path, None)
        else:
            found.files[path] = data
        found.used += growth
        self._space.take(found.reserved() - before)

    # --- parts ---

    @contextmanager
    def step(self, name: str) -> Iterator[None]:
        """Pass the fault points before and after a change."""
        self._fault(f"memory.{name}.begin")
        yield
        self._fault(f"memory.{name}.done")

    def _volume(self, volume: UUID) -> _Volume:
        found = self._volumes.get(volume)
        if found is None:
            raise NotFound(kind="volume", ref=str(volume))
        return found

    def _snapshot(self, volume: UUID, snapshot: UUID) -> _Snapshot:
        found = self._snapshots.get(volume, {}).get(snapshot)
        if found is None:
            raise NotFound(kind="snapshot", ref=str(snapshot))
        return found

    def _by_lineage(self, volume: UUID, lineage: UUID) -> _Snapshot:
        for snapshot in self._snapshots.get(volume, {}).values():
            if snapshot.lineage == lineage:
                return snapshot
        raise NotFound(kind="snapshot", ref=str(lineage))

    def _make(self, spec: VolumeSpec, image: _Image) -> _Volume:
        volume = _Volume(
            id=spec.id,
            kind=spec.kind,
            size=spec.size,
            thick=spec.thick,
            note=spec.note,
            root=spec.root or image.root,
            files=dict(image.files),
            folders=dict(image.folders),
            used=image.used,
        )
        if volume.thick:
            self._space.take(volume.reserved())
        else:
            self._space.hold(volume.files.values())
        self._volumes[spec.id] = volume
        return volume

    def _replace(self, volume: _Volume, image: _Image) -> None:
        if volume.thick:
            self._space.take(max(volume.size, image.used) - volume.reserved())
        else:
            self._space.hold(image.files.values())
            self._space.release(volume.files.values())
        volume.files, volume.used, volume.root = dict(image.files), image.used, image.root
        volume.folders, volume.numbers, volume.marks = dict(image.folders), {}, {}

    def _advance(self, spec: VolumeSpec, image: _Image) -> None:
        if spec.id in self._volumes:
            self._replace(self._volumes[spec.id], image)
        else:
            self._make(spec, image)

    def _keep(self, snapshot: _Snapshot) -> None:
        self._space.hold(snapshot.image.files.values())
        self._snapshots.setdefault(snapshot.volume_id, {})[snapshot.id] = snapshot

    def _drop(self, snapshot: _Snapshot) -> None:
        self._space.release(snapshot.image.files.values())
        siblings = self._snapshots[snapshot.volume_id]
        del siblings[snapshot.id]
        if not siblings:
            del self._snapshots[snapshot.volume_id]


def _observed(volume: _Volume) -> Observed:
    return Observed(
        id=volume.id,
        kind=volume.kind,
        size=volume.size,
        used=volume.used,
        note=volume.note,
        origin=volume.origin,
        origin_snapshot=volume.origin_snapshot,
    )


def _observed_snapshot(snapshot: _Snapshot) -> ObservedSnapshot:
    return ObservedSnapshot(id=snapshot.id, volume_id=snapshot.volume_id, size=snapshot.image.used, note=snapshot.note)
