"""Where everything lies in a pool, and the files beside the subvolumes.

    .gateway/pool.json                      what this pool is, written once
    .gateway/manifest                       the core's document for the whole pool
    .gateway/lock                           held by every process that uses the pool
    volumes/<volume id>                     writable subvolumes
    snapshots/<volume id>/<snapshot id>     read-only subvolumes, made where they stay
    snapshots/<volume id>/.<snapshot id>    one that is being received
    notes/<id>.json                         a sidecar per volume and per snapshot
    staging/                                whatever is being made or removed

The kernel cannot move a read-only subvolume to another directory (its `..`
would change), so only its name may change. Sidecars are files and not extended
attributes because a snapshot inherits those of its source, and they name the
subvolume that they speak of by its uuid, so that none is ever believed for
another one.

Order on disk: btrfs makes changes durable in the order in which they were
made, and a subvolume's rename cannot overtake anything. So a file only has to
be flushed before it is renamed into its place; flushing the directory at the
end of a change then makes all of it durable.
"""
# ruff: noqa: D102 - the table above says what each path is

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from uuid import UUID

import msgspec

from gateway.backends.files.names import PASSABLE, PRIVATE, parse_id, read_file, replace_file
from gateway.core.backend import Note

FORMAT = 1
GONE = ".gone"


class PoolRecord(msgspec.Struct, frozen=True, kw_only=True):
    """What `pool.json` says. `limited`: every volume has its size as the kernel's limit."""

    format: int
    id: UUID
    limited: bool = False


class Restored(msgspec.Struct, frozen=True, kw_only=True):
    """The last restore that began: it took effect if the volume is `tree` now."""

    token: UUID
    tree: UUID


class VolumeSidecar(msgspec.Struct, frozen=True, kw_only=True, tag="volume"):
    """What is kept with a volume. `tree` is the subvolume's uuid when this was written."""

    id: UUID
    tree: UUID
    size: int
    note: Note
    origin: UUID | None = None
    origin_snapshot: UUID | None = None
    restored: Restored | None = None

    def speaks_of(self, tree: UUID) -> bool:
        """Tell whether the subvolume with this uuid is the one described."""
        return tree == self.tree or (self.restored is not None and tree == self.restored.tree)


class SnapshotSidecar(msgspec.Struct, frozen=True, kw_only=True, tag="snapshot"):
    """What is kept with a snapshot.

    It is written before the snapshot is taken, so it names the `source` tree
    and the transaction `after` which it was taken. A received snapshot is there
    first, so its sidecar names its own `tree`, and the tree of the volume that
    it comes `with`.
    """

    id: UUID
    volume: UUID
    note: Note
    source: UUID | None = None
    after: int = 0
    tree: UUID | None = None
    with_: UUID | None = msgspec.field(default=None, name="with")


Sidecar = VolumeSidecar | SnapshotSidecar

_sidecar = msgspec.json.Decoder(VolumeSidecar | SnapshotSidecar)
_record = msgspec.json.Decoder(PoolRecord)


class Layout:
    """The paths of one pool and its small files."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self.private = root / ".gateway"
        self.lock = self.private / "lock"
        self.manifest = self.private / "manifest"
        self.record = self.private / "pool.json"
        self.volumes = root / "volumes"
        self.snapshots = root / "snapshots"
        self.notes = root / "notes"
        self.staging = root / "staging"

    def volume(self, volume: UUID) -> Path:
        return self.volumes / str(volume)

    def family(self, volume: UUID) -> Path:
        return self.snapshots / str(volume)

    def snapshot(self, volume: UUID, snapshot: UUID) -> Path:
        return self.snapshots / str(volume) / str(snapshot)

    def arriving(self, volume: UUID, snapshot: UUID) -> Path:
        return self.snapshots / str(volume) / f".{snapshot}"

    def staged(self, token: UUID) -> Path:
        return self.staging / str(token)

    def gone(self, volume: UUID) -> Path:
        return self.staging / f"{volume}{GONE}"

    def note(self, owner: UUID) -> Path:
        return self.notes / f"{owner}.json"

    def make(self) -> None:
        """Make the directories. Names in them are no secret to whoever has one, but nobody else may list them."""
        for folder, mode in (
            (self.private, PRIVATE),
            (self.notes, PRIVATE),
            (self.staging, PRIVATE),
            (self.volumes, PASSABLE),
            (self.snapshots, PASSABLE),
        ):
            folder.mkdir(exist_ok=True)
            folder.chmod(mode)

    def pool_record(self) -> PoolRecord | None:
        """Give what `pool.json` says; msgspec.DecodeError when it cannot be understood."""
        data = read_file(self.record)
        return None if data is None else _record.decode(data)

    def volume_sidecar(self, volume: UUID) -> VolumeSidecar | None:
        found = self._sidecar(volume)
        return found if isinstance(found, VolumeSidecar) else None

    def snapshot_sidecar(self, snapshot: UUID) -> SnapshotSidecar | None:
        found = self._sidecar(snapshot)
        return found if isinstance(found, SnapshotSidecar) else None

    def _sidecar(self, owner: UUID) -> Sidecar | None:
        data = read_file(self.note(owner))
        if data is None:
            return None
        try:
            found = _sidecar.decode(data)
        except msgspec.DecodeError:
            return None
        return found if found.id == owner else None

    def put_sidecar(self, sidecar: Sidecar, written: Callable[[], None]) -> None:
        """Replace a sidecar; see `replace_file`."""
        replace_file(self.note(sidecar.id), msgspec.json.encode(sidecar), written)


def arriving_id(name: str) -> UUID | None:
    """Give the snapshot's id that a hidden name tells; None when it is another name."""
    return parse_id(name[1:]) if name.startswith(".") else None
