"""The protocols between the core and the servers that publish volumes to clients.

What should be published is desired state, computed from the catalog by
`gateway.core.exports`. The servers outside forget, so everything here is
idempotent by the id of an export, which is the volume's.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Protocol, runtime_checkable
from uuid import UUID

import msgspec

from gateway.core.model import AccessHandle, LocalPath
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
