"""Where everything lies in a pool, and the files beside the images.

    .gateway/pool.json                          what this pool is, written once
    .gateway/manifest                           the core's document for the whole pool
    .gateway/lock                               held by every process that uses the pool
    .gateway/changes                            locked by the family that a process changes
    .gateway/run/                               the storage daemon's sockets, pid file and output
    .gateway/open/layer<inode>.qcow2            second links of layers that the storage daemon has open
    devices/<volume id>                         raw view of an open volume
    devices/<volume id>.<snapshot id>           raw view of an open snapshot
    images/<family id>/<volume id>.<token>.qcow2    layers
    notes/<family id>/<volume id>/volume.json       a sidecar per volume
    notes/<family id>/<volume id>/<snapshot id>.json    a sidecar per snapshot
    kin/<volume id>                             of a clone: symbolic link that names its family

A volume is a chain of layers: immutable ones, and the head, which alone is
written. Taking a snapshot freezes the head and puts an empty layer on top;
clone and restore put one on the layer of a snapshot. Each layer names the one
below it in its own header, always in the same directory.

A family is a volume with everything that was ever cloned from it: all layers
that may depend on each other. It has the id of its first volume, also when
that is gone.

A sidecar is what makes its volume or snapshot exist. Layers that no sidecar
names are kept for those above them, or are leftovers.
"""
# ruff: noqa: D102 - the table above says what each path is

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from uuid import UUID

import msgspec

from gateway.backends.files.names import PASSABLE, PRIVATE, parse_id, read_file, replace_file
from gateway.core.backend import Note

FORMAT = 1
SUFFIX = ".qcow2"
UNFINISHED = ".*.new"
VOLUME_NOTE = "volume.json"


class PoolRecord(msgspec.Struct, frozen=True, kw_only=True):
    """What `pool.json` says."""

    format: int
    id: UUID


class SnapshotSidecar(msgspec.Struct, frozen=True, kw_only=True):
    """What is kept with a snapshot. `lineage` names the content through replication, whatever id each copy has."""

    id: UUID
    volume: UUID
    layer: str
    lineage: UUID
    note: Note


class VolumeSidecar(msgspec.Struct, frozen=True, kw_only=True):
    """What is kept with a volume. The size is in the header of its head.

    taken: the snapshot that came to be when `head` did. One file says both, so
    that they happen at one instant; the snapshot's own file is written next,
    and at the latest by the next opening.
    restored: the token of the last restore.
    """

    id: UUID
    head: str
    note: Note
    origin: UUID | None = None
    origin_snapshot: UUID | None = None
    restored: UUID | None = None
    taken: SnapshotSidecar | None = None


_volume = msgspec.json.Decoder(VolumeSidecar)
_snapshot = msgspec.json.Decoder(SnapshotSidecar)
_record = msgspec.json.Decoder(PoolRecord)


class Layout:
    """The paths of one pool and its small files."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self.private = root / ".gateway"
        self.record = self.private / "pool.json"
        self.manifest = self.private / "manifest"
        self.lock = self.private / "lock"
        self.changes = self.private / "changes"
        self.run = self.private / "run"
        self.open = self.private / "open"
        self.devices = root / "devices"
        self.images = root / "images"
        self.notes = root / "notes"
        self.kin = root / "kin"

    def make(self) -> None:
        """Make the directories. Nobody else may list them."""
        for folder, mode in (
            (self.private, PRIVATE),
            (self.run, PRIVATE),
            (self.open, PRIVATE),
            (self.devices, PASSABLE),
            (self.images, PRIVATE),
            (self.notes, PRIVATE),
            (self.kin, PRIVATE),
        ):
            folder.mkdir(exist_ok=True)
            folder.chmod(mode)

    def pool_record(self) -> PoolRecord | None:
        """Give what `pool.json` says; msgspec.DecodeError when it cannot be understood."""
        data = read_file(self.record)
        return None if data is None else _record.decode(data)

    # --- families ---

    def family(self, volume: UUID) -> UUID:
        """Give the family that a volume belongs to, is about to found, or belonged to."""
        try:
            found = parse_id(str((self.kin / str(volume)).readlink()))
        except FileNotFoundError:
            return volume
        return volume if found is None else found

    def families(self) -> list[UUID]:
        """Give every family of which there is anything."""
        names = {path.name for folder in (self.images, self.notes) for path in folder.iterdir() if path.is_dir()}
        return [family for family in map(parse_id, sorted(names)) if family is not None]

    def layers(self, family: UUID) -> Path:
        return self.images / str(family)

    def layer(self, family: UUID, name: str) -> Path:
        return self.images / str(family) / name

    # --- sidecars ---

    def members(self, family: UUID) -> list[UUID]:
        """Give the volumes of a family that have or had a sidecar."""
        names = names_in(self.notes / str(family))
        return [member for member in map(parse_id, names) if member is not None]

    def held(self, family: UUID) -> Iterator[str]:
        """Yield the layers of a family that sidecars name; msgspec.DecodeError when one cannot be understood."""
        for member in self.members(family):
            folder = self.notes / str(family) / str(member)
            for name in names_in(folder):
                data = read_file(folder / name) if not name.startswith(".") else None
                if data is None:
                    continue
                if name == VOLUME_NOTE:
                    sidecar = _volume.decode(data)
                    yield sidecar.head
                    if sidecar.taken is not None:
                        yield sidecar.taken.layer
                else:
                    yield _snapshot.decode(data).layer

    def folder(self, volume: UUID) -> Path:
        """Give the directory of a volume's sidecars."""
        return self.notes / str(self.family(volume)) / str(volume)

    def volume_note(self, volume: UUID) -> Path:
        return self.folder(volume) / VOLUME_NOTE

    def snapshot_note(self, volume: UUID, snapshot: UUID) -> Path:
        return self.folder(volume) / f"{snapshot}.json"

    def snapshots(self, volume: UUID) -> Iterator[UUID]:
        """Yield the snapshots of a volume that have a sidecar of their own."""
        for name in names_in(self.folder(volume)):
            found = parse_id(name.removesuffix(".json"))
            if found is not None:
                yield found

    def volume_sidecar(self, volume: UUID) -> VolumeSidecar | None:
        """Give a volume's sidecar; msgspec.DecodeError when it cannot be understood."""
        data = read_file(self.volume_note(volume))
        return None if data is None else _volume.decode(data)

    def snapshot_sidecar(self, volume: UUID, snapshot: UUID) -> SnapshotSidecar | None:
        """Give a snapshot's sidecar; msgspec.DecodeError when it cannot be understood."""
        data = read_file(self.snapshot_note(volume, snapshot))
        return None if data is None else _snapshot.decode(data)

    def put_volume(self, sidecar: VolumeSidecar, written: Callable[[], None] = lambda: None) -> None:
        """Replace a volume's sidecar; see `replace_file`."""
        replace_file(self.volume_note(sidecar.id), msgspec.json.encode(sidecar), written)

    def put_snapshot(self, sidecar: SnapshotSidecar, written: Callable[[], None] = lambda: None) -> None:
        """Replace a snapshot's sidecar; see `replace_file`."""
        replace_file(self.snapshot_note(sidecar.volume, sidecar.id), msgspec.json.encode(sidecar), written)


def names_in(folder: Path) -> list[str]:
    """Give the names in a directory, in order; none when it is not there."""
    try:
        return sorted(path.name for path in folder.iterdir())
    except FileNotFoundError:
        return []


def device_name(volume: UUID, snapshot: UUID | None = None) -> str:
    """Give the name of the raw view of a volume or snapshot."""
    return str(volume) if snapshot is None else f"{volume}.{snapshot}"


def parse_device(name: str) -> tuple[UUID, UUID | None] | None:
    """Give volume and snapshot that a raw view is of; None when it is something else."""
    first, dot, second = name.partition(".")
    volume, snapshot = parse_id(first), parse_id(second) if dot else None
    return None if volume is None or (dot and snapshot is None) else (volume, snapshot)


def owner(layer: str) -> UUID | None:
    """Give the volume that a layer was made for; None when the name is no layer's."""
    name, dot, token = layer.removesuffix(SUFFIX).partition(".")
    return parse_id(name) if layer.endswith(SUFFIX) and dot and token.isalnum() else None
