"""Where everything lies in a pool: the refs of one bare repository, and the sidecars behind some of them.

    refs/gateway/pool                               what this pool is, written once
    refs/gateway/manifest                           the core's document for the whole pool
    refs/gateway/volumes/<volume id>                the sidecar of a volume
    refs/gateway/snapshots/<volume id>/<id>         the sidecar of a snapshot
    refs/namespaces/<volume id>/refs/namespaces/<tree>/HEAD, /refs/...
                                                    the refs of one tree, as its clients see them
    lfs/objects/<aa>/<bb>/<sha256>                  large files, of all volumes
    gateway.lock                                    held by every process that uses the pool

A tree is a name space of git (gitnamespaces(7)). A snapshot's is called as the
snapshot, a volume's anew whenever its content is replaced; the sidecar says
which one it is. Nothing is there before its sidecar is, and a sidecar is one
ref, which changes in one step. So a tree that no sidecar names is a leftover.

All volumes share one store of objects. A clone is some refs, and git cannot
throw away what any volume or snapshot needs.
"""
# ruff: noqa: D103 - the table above says what each ref is

from __future__ import annotations

from uuid import UUID

import msgspec

from gateway.backends.files.names import parse_id
from gateway.core.backend import Note

FORMAT = 1

POOL = "refs/gateway/pool"
MANIFEST = "refs/gateway/manifest"
VOLUMES = "refs/gateway/volumes/"
SNAPSHOTS = "refs/gateway/snapshots/"
NAMESPACES = "refs/namespaces/"
HEAD = "HEAD"


class PoolRecord(msgspec.Struct, frozen=True, kw_only=True):
    """What `refs/gateway/pool` says."""

    format: int
    id: UUID


class SnapshotSidecar(msgspec.Struct, frozen=True, kw_only=True, tag="snapshot"):
    """What is kept with a snapshot."""

    id: UUID
    volume: UUID
    note: Note


class VolumeSidecar(msgspec.Struct, frozen=True, kw_only=True, tag="volume"):
    """What is kept with a volume. `tree` is its live tree, `restored` the token of the restore that brought it.

    `arriving` is a received snapshot whose content the tree has, and whose own sidecar is to follow.
    """

    id: UUID
    tree: UUID
    size: int
    note: Note
    origin: UUID | None = None
    origin_snapshot: UUID | None = None
    restored: UUID | None = None
    arriving: SnapshotSidecar | None = None


Sidecar = VolumeSidecar | SnapshotSidecar

sidecar_decoder = msgspec.json.Decoder(VolumeSidecar | SnapshotSidecar)
record_decoder = msgspec.json.Decoder(PoolRecord)


class Tree(msgspec.Struct, frozen=True):
    """One name space: of a volume, or of a snapshot of it."""

    volume: UUID
    name: UUID

    @property
    def namespace(self) -> str:
        """Give what GIT_NAMESPACE is for it."""
        return f"{self.volume}/{self.name}"

    @property
    def prefix(self) -> str:
        """Give what the names of all its refs begin with."""
        return f"{trees_of(self.volume)}{self.name}/"

    @property
    def head(self) -> str:
        """Give the ref that says which branch is checked out by default."""
        return self.prefix + HEAD


def trees_of(volume: UUID) -> str:
    return f"{NAMESPACES}{volume}/{NAMESPACES}"


def volume_ref(volume: UUID) -> str:
    return f"{VOLUMES}{volume}"


def snapshot_ref(volume: UUID, snapshot: UUID) -> str:
    return f"{SNAPSHOTS}{volume}/{snapshot}"


def snapshots_of(volume: UUID) -> str:
    return f"{SNAPSHOTS}{volume}/"


def sidecar_ref(sidecar: Sidecar) -> str:
    if isinstance(sidecar, VolumeSidecar):
        return volume_ref(sidecar.id)
    return snapshot_ref(sidecar.volume, sidecar.id)


def parse_volume(ref: str) -> UUID | None:
    """Give the id in the ref of a volume's sidecar; None for another ref."""
    return parse_id(ref.removeprefix(VOLUMES)) if ref.startswith(VOLUMES) else None


def parse_snapshot(ref: str) -> tuple[UUID, UUID] | None:
    """Give (volume, snapshot) in the ref of a snapshot's sidecar; None for another ref."""
    volume, _, snapshot = ref.removeprefix(SNAPSHOTS).partition("/")
    pair = parse_id(volume), parse_id(snapshot)
    return None if not ref.startswith(SNAPSHOTS) or pair[0] is None or pair[1] is None else (pair[0], pair[1])


def snapshot_of(ref: str) -> UUID | None:
    """Give the id of a snapshot in the ref of its sidecar; None for another ref."""
    pair = parse_snapshot(ref)
    return None if pair is None else pair[1]


def parse_tree(ref: str) -> tuple[Tree, str] | None:
    """Give the tree that a ref is in, and its name there; None for a ref of no tree."""
    parts = ref.split("/", 6)
    if len(parts) < 7 or f"{parts[0]}/{parts[1]}/" != NAMESPACES or f"{parts[3]}/{parts[4]}/" != NAMESPACES:  # noqa: PLR2004
        return None
    volume, name = parse_id(parts[2]), parse_id(parts[5])
    return None if volume is None or name is None else (Tree(volume, name), parts[6])
