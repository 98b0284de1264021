"""Where everything lies in a pool of files and directories.

    .gateway/pool.json                                   what this pool is, written once
    .gateway/manifest                                    the core's document for the whole pool
    .gateway/lock                                        held by every process that uses the pool
    volumes/<volume id>/data                             a directory (filesystem) or a raw file (block)
    volumes/<volume id>/volume.json                      what is kept with the volume
    snapshots/<volume id>/<snapshot id>/data             a raw file
    snapshots/<volume id>/<snapshot id>/snapshot.json    what is kept with the snapshot
    staging/                                             whatever is being made or removed

A volume's content and its sidecar lie in one directory, its container. That is
made in staging and gets into its place by one rename, is replaced by one
exchange and goes by one rename. So neither is ever there without the other.
"""
# ruff: noqa: D102 - the table above says what each path is

from __future__ import annotations

import os
import secrets
from collections.abc import Callable
from pathlib import Path
from typing import TypeVar
from uuid import UUID

import msgspec

from gateway.backends.files.names import PASSABLE, PRIVATE, parse_id, read_file, replace_file
from gateway.core.backend import Note

S = TypeVar("S")

FORMAT = 1
CONTENT = "data"
_VOLUME = "volume.json"
_SNAPSHOT = "snapshot.json"
_TRASH = ".trash"
_TRIAL = ".trial"


class PoolRecord(msgspec.Struct, frozen=True, kw_only=True):
    """What `pool.json` says."""

    format: int
    id: UUID


class VolumeSidecar(msgspec.Struct, frozen=True, kw_only=True, tag="volume"):
    """What is kept with a volume. `restored`: the token of the restore that brought the content here."""

    id: UUID
    size: int
    note: Note
    thick: bool = False
    origin: UUID | None = None
    origin_snapshot: UUID | None = None
    restored: UUID | None = None


class SnapshotSidecar(msgspec.Struct, frozen=True, kw_only=True, tag="snapshot"):
    """What is kept with a snapshot."""

    id: UUID
    volume: UUID
    note: Note


_volume = msgspec.json.Decoder(VolumeSidecar)
_snapshot = msgspec.json.Decoder(SnapshotSidecar)
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
        self.staging = root / "staging"

    def volume(self, volume: UUID) -> Path:
        return self.volumes / str(volume)

    def family(self, volume: UUID) -> Path:
        return self.snapshots / str(volume)

    def snapshot(self, volume: UUID, snapshot: UUID) -> Path:
        return self.snapshots / str(volume) / str(snapshot)

    def staged(self, token: UUID) -> Path:
        return self.staging / str(token)

    def trash(self) -> Path:
        """Give a new name for something that is to be removed."""
        return self.staging / f"{secrets.token_hex(16)}{_TRASH}"

    def trial(self) -> Path:
        """Give a place to try things out in, that no other process sweeps away meanwhile."""
        return self.staging / f"{secrets.token_hex(16)}{_TRIAL}"

    def make(self) -> None:
        """Make the directories. Names in them are no secret to whoever has one, but nobody else may list them."""
        for folder, mode in (
            (self.private, PRIVATE),
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


def is_trash(name: str) -> bool:
    """Tell whether a name in staging is one that `Layout.trash` gave."""
    return name.endswith(_TRASH)


def is_ours(name: str) -> bool:
    """Tell whether a name in staging is one that we give."""
    return is_trash(name) or name.endswith(_TRIAL) or parse_id(name) is not None


def volume_sidecar(container: Path, volume: UUID) -> VolumeSidecar | None:
    """Give what is kept with a volume in its container; None when that is not this volume's."""
    found = _decoded(_volume, _read(container / _VOLUME))
    return found if found is not None and found.id == volume else None


def is_emptied(container: Path, volume: UUID) -> bool:
    """Tell whether this is a volume's container whose content a conversion removed before it was cut short."""
    return volume_sidecar(container, volume) is not None and not os.path.lexists(container / CONTENT)


def snapshot_sidecar(container: Path, volume: UUID, snapshot: UUID) -> SnapshotSidecar | None:
    """Give what is kept with a snapshot in its container; None when that is not this snapshot's."""
    found = _decoded(_snapshot, _read(container / _SNAPSHOT))
    return found if found is not None and (found.volume, found.id) == (volume, snapshot) else None


def put_sidecar(container: Path, sidecar: VolumeSidecar | SnapshotSidecar, written: Callable[[], None]) -> None:
    """Replace what is kept in a container; see `replace_file`."""
    name = _VOLUME if isinstance(sidecar, VolumeSidecar) else _SNAPSHOT
    replace_file(container / name, msgspec.json.encode(sidecar), written)


def _read(path: Path) -> bytes | None:
    try:
        return read_file(path)
    except (NotADirectoryError, IsADirectoryError):
        return None


def _decoded(decoder: msgspec.json.Decoder[S], data: bytes | None) -> S | None:
    try:
        return None if data is None else decoder.decode(data)
    except msgspec.DecodeError:
        return None
