"""The protocols between the core and its substrates.

`VolumeBackend` is obligatory and small; everything else is a sibling that a
backend implements or does not (`derive` looks). The contract of all of them:

* Objects are addressed by the id that the core minted and handed in. The
  backend keeps that id, and the `Note`, with the object, so that a lost
  catalog can be rebuilt from `scan`.
* Making and deleting are idempotent by id: a second create with the same id
  returns the existing object, deleting nothing succeeds. Recovery relies on it.
* When a call returns, its effect survives a power cut (unless the substrate
  says `volatile`). When it raises or the process dies in it, the object is
  either whole or is not reported by `inspect`; leftovers are the backend's to
  find and remove at the next `open`.
* Only errors of `gateway.core.errors` are raised. Backends never check
  capabilities; `gateway.core.change` has done that.
* Blocking work runs in the backend's own bounded executor.
"""

from __future__ import annotations

import enum
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from datetime import datetime
from typing import Protocol, runtime_checkable
from uuid import UUID

import msgspec

from gateway.core import capability as capabilities
from gateway.core.capability import Capability, Facts
from gateway.core.entries import Entry, FileSource
from gateway.core.handles import AccessHandle, LocalPath
from gateway.core.model import RootDirectory, VolumeKind

FaultHook = Callable[[str], None]
"""Called with the name of each point between two steps; the crash tests end the process there."""


def no_fault(_point: str) -> None:
    """Pass every fault point."""


class Note(msgspec.Struct, frozen=True, kw_only=True):
    """What the core wants kept with an object. `document` is opaque to the backend (at most 64 KiB)."""

    name: str
    tenant: str
    document: bytes


class VolumeSpec(msgspec.Struct, frozen=True, kw_only=True):
    """A volume to make. `size` in bytes is the quota (filesystem) or the length (block)."""

    id: UUID
    kind: VolumeKind
    size: int
    thick: bool = False
    root: RootDirectory | None = None
    note: Note


class Offer(msgspec.Struct, frozen=True):
    """What somebody else made, and the pool is to take on: its name there, and the tenant, by name, that gets it."""

    name: str
    tenant: str


class Observed(msgspec.Struct, frozen=True, kw_only=True):
    """A volume as the substrate has it. `id` None: not one of ours; `place` then says where it was seen.

    `offer`, of one without a note: it is to be adopted all the same, and gets its note by `annotate`.

    `origin` and `origin_snapshot` are our ids where the substrate knows them.
    `used` in bytes was true `used_age_s` seconds ago.
    """

    id: UUID | None
    kind: VolumeKind
    size: int | None = None
    used: int = 0
    used_age_s: int = 0
    note: Note | None = None
    offer: Offer | None = None
    origin: UUID | None = None
    origin_snapshot: UUID | None = None
    place: str = ""


class ObservedSnapshot(msgspec.Struct, frozen=True, kw_only=True):
    """A snapshot as the substrate has it; see `Observed`."""

    id: UUID | None
    volume_id: UUID | None
    size: int = 0
    note: Note | None = None
    place: str = ""


class GroupMember(msgspec.Struct, frozen=True, kw_only=True):
    """One snapshot of a group: of which volume, its id, and its note."""

    volume: UUID
    snapshot: UUID
    note: Note


class Capacity(msgspec.Struct, frozen=True, kw_only=True):
    """Space of a pool in bytes."""

    size: int
    used: int
    available: int


class Substrate(msgspec.Struct, frozen=True, kw_only=True):
    """What an opened backend is.

    id: stable identity that travels with the substrate.
    kinds: facts per kind of volume that it holds.
    lacks: per kind, operations that the class implements but this instance cannot do, with the reason.
    volatile: content is gone when the process ends.
    remarks: what the operator should know of this instance before trusting it, each a clause without a full stop.
    """

    id: UUID
    driver: str
    kinds: Mapping[VolumeKind, Facts]
    lacks: Mapping[VolumeKind, Mapping[str, str]] = {}
    handles: tuple[str, ...] = ()
    volatile: bool = False
    remarks: tuple[str, ...] = ()


class SignAction(enum.StrEnum):
    """What a signed request does with one object, or with one upload of it in parts."""

    GET = "get"
    PUT = "put"
    DELETE = "delete"
    MULTIPART_START = "multipart_start"
    MULTIPART_PART = "multipart_part"
    MULTIPART_COMPLETE = "multipart_complete"
    MULTIPART_ABORT = "multipart_abort"


EXPIRES_MAX_S = 604_800
"""Seconds that a signed request is good for at most: a week."""


class SignRequest(msgspec.Struct, frozen=True, kw_only=True):
    """A request that a client will make, and may make until `expires_s` from now.

    `key` is the object's, below the volume. `size` in bytes: the body has to be
    exactly that long. `upload` is the id that the start of an upload in parts
    gave, `part` the number of a part (from 1).
    """

    action: SignAction
    key: str
    expires_s: int = 900
    size: int | None = None
    content_type: str = ""
    upload: str = ""
    part: int = 0


class SignedRequest(msgspec.Struct, frozen=True, kw_only=True):
    """A request for whoever holds it. It has to be made with all of `headers`, beside those that HTTP asks for."""

    method: str
    url: str
    headers: Mapping[str, str]
    expires: datetime


class StoredObject(msgspec.Struct, frozen=True, kw_only=True):
    """An object of a volume or snapshot, and where its bytes are: `version` of `stored_key` in `bucket`."""

    key: str
    size: int
    etag: str
    modified: datetime
    bucket: str
    stored_key: str
    version: str


@runtime_checkable
class VolumeBackend(Protocol):
    """The obligatory part. `open` probes, settles leftovers of a crash, and must precede everything else."""

    async def open(self) -> None:
        """Probe the substrate; raise Unavailable when it cannot be used."""

    def describe(self) -> Substrate:
        """Give what the probe found."""

    async def create(self, spec: VolumeSpec) -> Observed:
        """Make an empty volume, or return the existing one with this id."""

    async def delete(self, volume: UUID) -> None:
        """Remove the volume (not its snapshots: the core removes those first). Nothing there: succeeds."""

    async def annotate(self, volume: UUID, note: Note) -> None:
        """Replace the volume's note atomically. NotFound when there is no such volume."""

    async def inspect(self, volume: UUID) -> Observed | None:
        """Give the volume as it is, or None."""

    def scan(self) -> AsyncIterator[Observed]:
        """Yield every volume, and everything in their place that is not ours."""

    async def capacity(self) -> Capacity:
        """Give the pool's space."""

    async def access(self, volume: UUID, snapshot: UUID | None = None) -> AccessHandle:
        """Give the way to the bytes of a volume, or of one of its snapshots (read only)."""

    async def put_manifest(self, document: bytes) -> None:
        """Keep one opaque document for the whole pool, atomically replaced."""

    async def manifest(self) -> bytes | None:
        """Give what `put_manifest` kept."""

    async def close(self) -> None:
        """Release threads and descriptors. Idempotent."""


@runtime_checkable
class ResizeBackend(Protocol):
    """Changes a volume's size."""

    async def resize(self, volume: UUID, size: int) -> None:
        """Set the size in bytes. Idempotent."""


@runtime_checkable
class PermissionsBackend(Protocol):
    """Sets who owns a filesystem volume's top directory."""

    async def set_root(self, volume: UUID, root: RootDirectory) -> None:
        """Set owner and mode of the top directory. Idempotent."""


@runtime_checkable
class SnapshotBackend(Protocol):
    """Takes and removes snapshots."""

    async def snapshot(self, volume: UUID, snapshot: UUID, note: Note) -> ObservedSnapshot:
        """Take a snapshot, or return the existing one with this id."""

    async def delete_snapshot(self, volume: UUID, snapshot: UUID) -> None:
        """Remove a snapshot. Nothing there: succeeds."""

    async def annotate_snapshot(self, volume: UUID, snapshot: UUID, note: Note) -> None:
        """Replace the snapshot's note atomically."""

    async def inspect_snapshot(self, volume: UUID, snapshot: UUID) -> ObservedSnapshot | None:
        """Give the snapshot as it is, or None."""

    def scan_snapshots(self) -> AsyncIterator[ObservedSnapshot]:
        """Yield every snapshot of every volume."""


@runtime_checkable
class RestoreBackend(Protocol):
    """Brings a snapshot's content back in place."""

    async def restore(self, volume: UUID, snapshot: UUID, token: UUID) -> None:
        """Bring the snapshot's content back, in place. A second call with the same token changes nothing."""

    async def settle_restore(self, volume: UUID, token: UUID) -> bool:
        """After a crash: tell whether the restore with this token took effect, and remove its leftovers."""


@runtime_checkable
class CloneBackend(Protocol):
    """Makes writable copies."""

    async def clone(self, source: UUID, snapshot: UUID | None, spec: VolumeSpec) -> Observed:
        """Make a writable copy of a snapshot (None: of the volume as it is), or return the existing one."""

    async def split(self, volume: UUID) -> None:
        """Make a clone independent of its source. Idempotent. Called only where the fact `split` holds."""


@runtime_checkable
class ReplicationBackend(Protocol):
    """Sends and takes snapshots as streams."""

    def send(self, volume: UUID, snapshot: UUID, base: UUID | None) -> AsyncIterator[bytes]:
        """Yield the stream of a snapshot, whole or as the difference from `base`."""

    async def receive(self, spec: VolumeSpec, snapshot: UUID, note: Note, stream: AsyncIterator[bytes]) -> None:
        """Take a stream as snapshot `snapshot` of volume `spec.id` (made by the first, full stream). All or nothing."""


@runtime_checkable
class GroupSnapshotBackend(Protocol):
    """Takes snapshots of several volumes at one instant."""

    async def snapshot_group(self, members: Sequence[GroupMember]) -> None:
        """Take one snapshot of each member's volume, all at the same instant, or none at all.

        Members whose snapshot is there already are left as they are. NotFound
        when a volume is not there.
        """


@runtime_checkable
class ConvertBackend(Protocol):
    """Turns an empty volume into one of the other kind."""

    async def convert(self, spec: VolumeSpec) -> Observed:
        """Replace the empty filesystem volume `spec.id` by a block volume as described.

        InUse (by "content") when it holds anything: nothing is ever lost. One
        that is of the wanted kind already is returned as it is. When the
        process dies in it, the old volume is there, the new one, or none;
        calling again leads to the new one in each case.
        """


@runtime_checkable
class SignBackend(Protocol):
    """Signs requests for single objects, which clients then make themselves."""

    async def sign(self, volume: UUID, snapshot: UUID | None, request: SignRequest) -> SignedRequest:
        """Sign a request. NotFound where it is known that there is no such object.

        InvalidState when it would change a snapshot. What it leads to is decided
        when it is signed: a volume that is restored or split meanwhile may have
        other content than what an old request to read gives.
        """

    def objects(
        self, volume: UUID, snapshot: UUID | None, *, prefix: str = "", after: str = ""
    ) -> AsyncIterator[StoredObject]:
        """Yield the objects in order of their keys: those that begin with `prefix` and come after `after`."""


@runtime_checkable
class FilesBackend(Protocol):
    """Looks into filesystem volumes, and changes what single files and directories are called and who owns them.

    For paths see `gateway.core.entries`. NotFound (kind "file") where a
    directory on the way is missing, or is none. Names that are no UTF-8 are
    not shown, because nobody could ask for them.
    """

    async def list_files(
        self, volume: UUID, snapshot: UUID | None, path: str, *, after: str = "", limit: int
    ) -> Sequence[Entry]:
        """Give at most `limit` of what a directory holds, in order of the names' UTF-8: those after `after`."""

    async def inspect_file(self, volume: UUID, snapshot: UUID | None, path: str) -> Entry | None:
        """Give what is at a path, or None."""

    async def make_directory(self, volume: UUID, path: str, root: RootDirectory) -> None:
        """Make a directory with this owner and mode, or give them to the one that is there.

        AlreadyExists when it is something else.
        """

    async def rename_file(self, volume: UUID, path: str, to: str, *, inode: int) -> None:
        """Give a file or directory another path. Nothing to do when it has that one already.

        NotFound when `path` is not what `inode` names; AlreadyExists when `to`
        is taken, InvalidArgument when it lies within what is renamed.
        """

    async def delete_file(self, volume: UUID, path: str, *, inode: int, recursive: bool = False) -> None:
        """Remove a file or directory. Nothing to do when `path` is not what `inode` names.

        InUse (by "content") for a directory that holds anything, unless
        `recursive`; when that is cut short, part of it may be left.
        """


@runtime_checkable
class CloneFileBackend(Protocol):
    """Copies single files by sharing their blocks, as they are at one instant."""

    async def clone_file(
        self, volume: UUID, source: FileSource, to: str, *, token: UUID, overwrite: bool = False
    ) -> None:
        """Copy a file, with its owner, mode and times. A second call with the same token changes nothing.

        AlreadyExists when `to` is taken, unless by a file and `overwrite`: then
        it is replaced in one step.
        """

    async def settle_clone_file(self, volume: UUID, to: str, token: UUID) -> bool:
        """After a crash: tell whether the copy with this token is at `to`, and remove its leftovers."""


@runtime_checkable
class HostBackend(Protocol):
    """Has the bytes of its volumes on this host, although clients are told another way by `access`."""

    async def here(self, volume: UUID) -> LocalPath:
        """Give where a volume's bytes are on this host."""


PROTOCOLS: Mapping[str, type] = {
    "resize": ResizeBackend,
    "permissions": PermissionsBackend,
    "snapshot": SnapshotBackend,
    "restore": RestoreBackend,
    "clone": CloneBackend,
    "replicate": ReplicationBackend,
    "snapshot_group": GroupSnapshotBackend,
    "convert": ConvertBackend,
    "sign": SignBackend,
    "files": FilesBackend,
    "clone_file": CloneFileBackend,
}


def derive(pool: str, backend: VolumeBackend) -> dict[VolumeKind, Capability]:
    """Give the capability record per kind of an opened backend; CapabilityMismatch when it contradicts itself."""
    substrate = backend.describe()
    implemented = [name for name, protocol in PROTOCOLS.items() if isinstance(backend, protocol)]
    return {
        kind: capabilities.assemble(
            pool=pool, kind=kind, facts=facts, implemented=implemented, lacks=substrate.lacks.get(kind, {})
        )
        for kind, facts in substrate.kinds.items()
    }
