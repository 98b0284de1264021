"""The protocols between the core and what makes volumes reachable: servers for clients, and mounts on this host.

What should be published is desired state, computed from the catalog by
`gateway.core.exports`. The servers outside forget, so everything here is
idempotent by the id of an export, which is the volume's.
"""

from __future__ import annotations

import enum
from collections.abc import Mapping
from datetime import datetime
from typing import Protocol, runtime_checkable
from uuid import UUID

import msgspec

from gateway.core.handles import AccessHandle, GitRemote, LocalPath
from gateway.core.model import VolumeKind
from gateway.core.secret import Secret


class Export(msgspec.Struct, frozen=True, kw_only=True):
    """One publication that should exist: desired state, computed from the catalog.

    `id` is the volume's; `path` what clients ask for; `source` where the bytes
    are on this host; `rules` are ordered, first match decides.
    """

    id: UUID
    path: str
    source: AccessHandle
    rules: tuple[ExportAccess, ...]
    generation: int = 0


class ExportAccess(msgspec.Struct, frozen=True, kw_only=True):
    """One client pattern's right. `squash_root`: root becomes `anonymous_uid`."""

    clients: tuple[str, ...]
    write: bool
    squash_root: bool = False
    anonymous_uid: int = 65534


@runtime_checkable
class Exporter(Protocol):
    """Publishes volumes. The outside server forgets, so everything here is idempotent by export id.

    `generation` changes when the same volume's content was replaced (restore):
    a publication of another generation must be withdrawn and made anew.
    """

    async def open(self) -> None:
        """Start or find the export server."""

    async def publish(self, export: Export) -> None:
        """Make or change the publication so that it is as described."""

    async def withdraw(self, export_id: UUID) -> None:
        """End the publication and let go of its source. Nothing there: succeeds."""

    async def published(self) -> Mapping[UUID, Export | None]:
        """Give what is published now; None for one whose description is not known any more."""

    def handle(self, export: Export) -> AccessHandle:
        """Give what a client needs to reach the publication."""

    async def close(self) -> None:
        """Stop what `open` started. Idempotent."""


class Login(msgspec.Struct, frozen=True, kw_only=True):
    """A name and password by which an initiator, or the target to it, proves who it is."""

    user: str
    password: Secret


class BlockAccess(msgspec.Struct, frozen=True, kw_only=True):
    """One attachment's part of a block export.

    target: the iSCSI target's name, or the name of an NBD export.
    initiators: the names that may log in; none means nobody may.
    logins: when there are any, an initiator has to log in with one of them.
    target_login: with what the target proves itself to an initiator that asks.
    """

    id: UUID
    target: str
    lun: int
    write: bool
    initiators: tuple[str, ...] = ()
    logins: tuple[Login, ...] = ()
    target_login: Login | None = None


class BlockExport(msgspec.Struct, frozen=True, kw_only=True):
    """A block volume as it should be reachable by one transport: desired state, computed from the catalog.

    `source` is a raw file or device of `size` bytes on this host. `serial` is
    the twelve characters by which initiators recognise the volume.
    """

    id: UUID
    serial: str
    size: int
    source: LocalPath
    access: tuple[BlockAccess, ...]
    generation: int = 0


@runtime_checkable
class BlockExporter(Protocol):
    """Publishes block volumes by one transport.

    `generation` changes when the same volume's content was replaced (restore):
    clients must not go on with what they remember. A client that is connected
    is cut off only by force, and only if what it uses is not to be any more;
    without force InUse (by "sessions") is raised then and nothing is changed.
    A new `size` cuts nobody off: where a server cannot tell it to those that
    are connected it waits for a later `publish`.
    """

    async def open(self) -> None:
        """Start or find the server."""

    async def publish(self, export: BlockExport, *, force: bool = False) -> None:
        """Make or change the publication so that it is as described; access that is not described ends."""

    async def withdraw(self, export_id: UUID, *, force: bool = False) -> None:
        """End the publication and let go of its source. Nothing there: succeeds."""

    async def published(self) -> frozenset[UUID]:
        """Give what is published now, whole or in part."""

    def handle(self, export: BlockExport, access: BlockAccess) -> AccessHandle:
        """Give what the node of an attachment needs to reach the blocks."""

    async def close(self) -> None:
        """Stop what `open` started. Idempotent."""


class TreeExport(msgspec.Struct, frozen=True, kw_only=True):
    """A tree under version control as it should be reachable: desired state, computed from the catalog.

    `id` is the volume's; `source` where it is on this host. Its snapshots are
    reachable with it.
    """

    id: UUID
    source: GitRemote
    generation: int = 0


@runtime_checkable
class TreeExporter(Protocol):
    """Publishes trees under version control to whoever has a token. Everything here is idempotent by export id.

    `generation` changes when the same volume's content was replaced (restore):
    what is under way then ends.
    """

    async def open(self) -> None:
        """Start or find the server."""

    async def publish(self, export: TreeExport) -> None:
        """Make or change the publication so that it is as described."""

    async def withdraw(self, export_id: UUID) -> None:
        """End the publication and all that is under way for it. Nothing there: succeeds."""

    async def published(self) -> frozenset[UUID]:
        """Give what is published now."""

    def handle(self, export: TreeExport, snapshot: UUID | None = None) -> AccessHandle:
        """Give what a client needs, but for a token, to reach the publication or a snapshot in it."""

    def token(self, export_id: UUID, *, write: bool) -> Secret:
        """Give what a client logs in with, to read or also to write. Unavailable while the exporter is not open."""

    async def close(self) -> None:
        """Stop what `open` started. Idempotent."""


class HostMount(msgspec.Struct, frozen=True, kw_only=True):
    """A mount as it should be on this host: desired state, computed from the catalog.

    `id` is the mount's. `source` is a directory, or a raw file or device of
    `size` bytes. `format`: what a block volume has to be, or "" when any will do.
    """

    id: UUID
    volume_id: UUID
    kind: VolumeKind
    path: str
    source: LocalPath
    size: int
    read_only: bool = False
    options: dict[str, str] = {}
    format: str = ""
    generation: int = 0


class Held(enum.StrEnum):
    """What is done to a quiesced volume.

    `frozen`: its file system on this host lets nobody write. `synced`: what was
    written by then is in it; its substrate takes snapshots of one instant, and
    the file system is one with that of other volumes, so nobody is held up.
    `hook`: a command of the operator has done what there was to do.
    """

    FROZEN = "frozen"
    SYNCED = "synced"
    HOOK = "hook"


class Quiesced(msgspec.Struct, frozen=True, kw_only=True):
    """A volume that is held still until a time, under the id by which its holder knows that."""

    volume_id: UUID
    quiesce_id: str
    how: Held
    until: datetime


class Quiesce(msgspec.Struct, frozen=True, kw_only=True):
    """A volume to be held still. `source` None: its bytes are not on this host."""

    volume_id: UUID
    name: str
    kind: VolumeKind
    source: LocalPath | None
    quiesce_id: str
    timeout_s: int


@runtime_checkable
class Mounter(Protocol):
    """Mounts volumes on this host. Mounts survive the process; everything is idempotent by the id of a mount.

    A mount that is in use is ended only by force; without it InUse (by
    "mounts") is raised and nothing is changed. Of a quiesced volume no mount
    ends but by force, which releases it.
    """

    @property
    def node(self) -> str:
        """Give the id of this host, as mounts have it."""

    @property
    def quiesce_max_s(self) -> int:
        """Give for how many seconds a volume may be quiesced at the most."""

    async def open(self) -> None:
        """Find what a predecessor mounted; release what it left quiesced."""

    async def check(self, wanted: HostMount) -> str:
        """Give the format that the mount will have ("" for files), changing nothing.

        InvalidArgument for a path, option or format that cannot be; InUse (by
        "content") for blocks that are something else than a file system.
        """

    async def mount(self, wanted: HostMount) -> None:
        """Make the mount, and first of all a file system where there is nothing but zeros; make it follow a new size.

        What fails leaves everything as it was.
        """

    async def unmount(self, mount_id: UUID, *, force: bool = False, delete_path: bool = False) -> None:
        """End a mount. Directories made for it go; `delete_path`: its own goes whoever made it. Not there: succeeds."""

    async def mounted(self) -> Mapping[UUID, UUID]:
        """Give what is mounted, whole or in part: mount -> volume."""

    async def quiesce(self, wanted: Quiesce) -> Quiesced:
        """Hold a volume still for a time at the most. The same id again begins the time anew.

        InUse (by "quiesce") when it is held under another id; Unsupported when
        nobody here could do it.
        """

    async def unquiesce(self, volume_id: UUID) -> None:
        """Release a volume. Not held: succeeds."""

    async def quiesced(self) -> Mapping[UUID, Quiesced]:
        """Give what is held still."""

    async def close(self) -> None:
        """Release what is quiesced; mounts stay. Idempotent."""
