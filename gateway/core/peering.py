"""What the core asks of other gateways, which are its peers; `gateway.peering` does it."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from contextlib import AbstractAsyncContextManager
from datetime import datetime
from typing import TYPE_CHECKING, Protocol
from uuid import UUID

import msgspec

from gateway.core.model import RootDirectory, Snapshot, VolumeKind

if TYPE_CHECKING:
    from gateway.core.mover import Place
    from gateway.core.peer_tenants import TenantAnswer, TenantPeer
    from gateway.core.peers import Offer, Peer
    from gateway.core.replication_model import Replication


class SourceVolume(msgspec.Struct, frozen=True, kw_only=True):
    """A volume as replications that read it have to know it.

    `tenant` is its tenant's name. `pool_id` None: it is at the peer `peer_id`.
    `why_not`: why nothing of it can be sent elsewhere, empty when it can.
    """

    id: UUID
    tenant: str
    name: str
    kind: VolumeKind
    size: int
    root: RootDirectory = RootDirectory()
    annotations: dict[str, str] = {}
    pool_id: UUID | None = None
    peer_id: UUID | None = None
    why_not: str = ""


class Source(Protocol):
    """What replications do at their sources.

    One at a peer raises Unavailable when that cannot be reached, and whatever
    it says itself; what it tells is believed for the volume it is about only.
    """

    async def volume(self) -> SourceVolume:
        """Give the volume as it is. NotFound."""

    async def snapshots(self) -> tuple[Snapshot, ...]:
        """Give its snapshots, oldest first."""

    async def follow(self) -> None:
        """Let the source's gateway know that it is followed: it keeps the volume, and what `keep` says. Idempotent."""

    async def keep(self, wanted: Collection[UUID]) -> None:
        """Let the source's gateway keep these snapshots, and none but these, as long as it is followed."""

    async def release(self) -> None:
        """Let the source's gateway know that it is followed no more; snapshots taken for transfers go. Idempotent."""

    async def take(self, snapshot_id: UUID, *, description: str) -> Snapshot:
        """Take a snapshot for a transfer, with an id chosen before. Idempotent by it."""

    async def remove(self, surplus: Sequence[Snapshot], *, description: str) -> None:
        """Delete snapshots that transfers took, as far as nothing else needs them."""


class Sending(msgspec.Struct, frozen=True):
    """A snapshot that can be read: of what kind its content is, and where a mover finds it."""

    kind: VolumeKind
    place: Place


class FarSource(Source, Protocol):
    """A source at a peer."""

    def sending(self, snapshot: Snapshot) -> AbstractAsyncContextManager[Sending]:
        """Give a snapshot for as long as the block lasts; the peer keeps it until `keep` says otherwise."""

    def sample(self, kind: VolumeKind) -> Sending:
        """Give what `sending` would, without an offer behind it: by it one tells what moves where."""


class Heard(msgspec.Struct, frozen=True):
    """Whether a peer answered when it was last asked, and when that was."""

    answers: bool
    when: datetime


class Peers(Protocol):
    """Reaches the gateways that this one has agreed with. Unavailable when one does not answer as it should.

    `name` is what this gateway calls itself.
    """

    name: str

    def hurry(self) -> None:
        """Wait for nobody for long from here on: this gateway is stopping."""

    def source(self, peer_id: UUID, replication: Replication) -> FarSource:
        """Give the source of a replication."""

    async def find(self, peer_id: UUID, *, tenant: str, volume: str, reader_id: UUID) -> SourceVolume:
        """Give the volume of a peer's tenant that is called so, for a tenant of ours; NotFound, PermissionDenied."""

    async def join(self, offer: Offer) -> Peer:
        """Agree with the gateway at the offer's addresses, to which the same passphrase was given.

        Unauthenticated when it does not believe us, or we do not believe it.
        """

    async def leave(self, peer: Peer) -> None:
        """Let a peer know that the agreement has ended."""

    async def propose(self, peer_id: UUID, tenant: TenantPeer, *, called: str) -> TenantAnswer:
        """Ask for a peer's tenant, for one of ours that is `called` so. NotFound when it has none."""

    async def tell(self, peer_id: UUID, tenant: TenantPeer) -> None:
        """Let a peer know in what state an agreement between tenants is now."""

    def heard(self, peer_id: UUID) -> Heard | None:
        """Tell whether a peer answered when this process asked it last; None: it was not asked yet."""

    async def ask(self, peer_id: UUID) -> None:
        """Ask a peer how it is, so that `heard` tells."""
