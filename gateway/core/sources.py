"""The source of a replication, wherever it is: in a pool of this gateway, or at a peer."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from typing import TYPE_CHECKING
from uuid import UUID, uuid4

import msgspec

from gateway.core import errors, snapshots
from gateway.core.model import Snapshot, SnapshotState, Tenant, Volume, utc_now
from gateway.core.peering import Source, SourceVolume
from gateway.core.replicas import Common, common_of, own_mark, snapshots_at
from gateway.core.replication_model import Replication, ReplicationSource
from gateway.core.replication_policies import OWN_LABEL
from gateway.core.snapshots import NewSnapshot

if TYPE_CHECKING:
    from gateway.core.context import Core

_NUMBERS = "transfer.snapshot"


class OwnSource:
    """A volume of this gateway. What follows it is in the same catalog, so nothing needs to be told."""

    def __init__(self, core: Core, replication: Replication) -> None:
        # The gateway itself acts there: not everybody who may transfer may change the source.
        self._core = msgspec.structs.replace(core, caller=None)
        self._replication = replication
        self._volume_id = replication.source.volume_id

    async def volume(self) -> SourceVolume:
        """See `Source`."""
        found = await self._core.get(Volume, self._volume_id)
        return await described(self._core, found)

    async def snapshots(self) -> tuple[Snapshot, ...]:
        """See `Source`."""
        return await snapshots_at(self._core, self._volume_id)

    async def follow(self) -> None:
        """See `Source`."""

    async def keep(self, wanted: Collection[UUID]) -> None:
        """See `Source`."""

    async def release(self) -> None:
        """See `Source`."""

    async def take(self, snapshot_id: UUID, *, description: str) -> Snapshot:
        """See `Source`."""
        return await taken(
            self._core, self._volume_id, self._replication.id, snapshot_id=snapshot_id, description=description
        )

    async def remove(self, surplus: Sequence[Snapshot], *, description: str) -> None:
        """See `Source`."""
        await snapshots.remove(self._core, surplus, description=description)


def source_of(core: Core, replication: Replication) -> Source:
    """Give the source of a replication. Unsupported for one at a peer when this gateway is to have none."""
    peer_id = replication.source.peer_id
    if peer_id is None:
        return OwnSource(core, replication)
    peers = core.changes.context.peers
    if peers is None:
        raise errors.Unsupported(capability="replicate", reason="this gateway is not configured to have peers")
    return peers.source(peer_id, replication)


async def newest_common(core: Core, replication: Replication) -> Common | None:
    """Give the newest snapshot that both ends have."""
    there = await source_of(core, replication).snapshots()
    return common_of(there, await snapshots_at(core, replication.volume_id))


async def in_common_with(core: Core, source: SourceVolume, destination: Volume) -> Common | None:
    """Give the newest snapshot that a volume has in common with one that it could follow."""
    could_be = Replication(
        id=uuid4(),
        tenant_id=destination.tenant_id,
        volume_id=destination.id,
        source=ReplicationSource(volume_id=source.id, tenant=source.tenant, volume=source.name, peer_id=source.peer_id),
        policy_id=uuid4(),
        created=utc_now(),
    )
    return await newest_common(core, could_be)


async def described(core: Core, volume: Volume) -> SourceVolume:
    """Give a volume of this gateway as a source."""
    tenant = await core.get(Tenant, volume.tenant_id)
    return SourceVolume(
        id=volume.id,
        tenant=tenant.name,
        name=volume.name,
        kind=volume.kind,
        size=volume.size,
        root=volume.root,
        annotations=volume.annotations,
        pool_id=volume.pool_id,
    )


async def taken(core: Core, volume_id: UUID, replication_id: UUID, *, snapshot_id: UUID, description: str) -> Snapshot:
    """Give the snapshot with an id that a replication's transfer takes of a volume; it is taken unless it is there."""
    found = await core.catalog.get(Snapshot, snapshot_id)
    if found is None:
        new = NewSnapshot(
            name=await _free_name(core, f"snapmirror.{replication_id}", volume_id),
            volume_id=volume_id,
            label=OWN_LABEL,
            taken_by=own_mark(replication_id),
        )
        await (await snapshots.create(core, new, snapshot_id=snapshot_id, description=description)).result()
        found = await core.get(Snapshot, snapshot_id)
    if found.volume_id != volume_id:
        raise errors.NotFound(kind="snapshot", ref=str(snapshot_id))
    return found


def usable(found: Snapshot) -> Snapshot:
    """Give a snapshot that can be sent; InvalidState."""
    if found.state is not SnapshotState.VALID:
        raise errors.InvalidState(kind="snapshot", ref=found.name, state=found.state, action="send")
    return found


async def _free_name(core: Core, stem: str, volume_id: UUID) -> str:
    """Give a name that no snapshot of the volume has: after a rebuild numbers begin anew."""
    while True:
        name = f"{stem}_{await core.catalog.next_number(_NUMBERS)}"
        if await core.find(Snapshot, name=name, volume__id=volume_id) is None:
            return name
