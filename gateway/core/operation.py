"""What every operation works with: see `gateway.core.operations`."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import Protocol, TypeVar
from uuid import UUID

import msgspec

from gateway.core import errors
from gateway.core.backend import FaultHook, Note, SnapshotBackend, VolumeBackend, VolumeSpec
from gateway.core.carried import Carried
from gateway.core.catalog import Batch, Catalog, Guard, drop, put, when
from gateway.core.exports import Publisher
from gateway.core.lines import named_there
from gateway.core.model import ExportPolicy, HostGroup, Intent, Snapshot, SnapshotPolicy, Tenant, Volume
from gateway.core.mover import Mover
from gateway.core.notes import note
from gateway.core.peering import Peers
from gateway.core.pools import Pools
from gateway.core.query import Compare, Op

P = TypeVar("P")
S = TypeVar("S", Volume, Snapshot)


class Context(msgspec.Struct, frozen=True):
    """What operations work with.

    `mover` None: content only goes where streams go. `peers` None: this
    gateway has nothing to do with others. `stopping` is set when
    the gateway stops: what lasts long is to be given up. `carried` are the
    transfers under way.
    """

    catalog: Catalog
    pools: Pools
    publisher: Publisher
    fault: FaultHook
    mover: Mover | None = None
    peers: Peers | None = None
    stopping: asyncio.Event = msgspec.field(default_factory=asyncio.Event)
    carried: Carried = msgspec.field(default_factory=Carried)

    def backend(self, intent: Intent) -> VolumeBackend:
        """Give the backend that the intent speaks of; Unavailable when its pool is closed."""
        return self.pools.get(intent.pool_id).backend

    def part(self, intent: Intent, protocol: type[P]) -> P:
        """Give the backend as one of the optional protocols. The capability was required before."""
        return self.part_of(intent.pool_id, protocol)

    def part_of(self, pool_id: UUID, protocol: type[P]) -> P:
        """The same for the backend of any pool."""
        pool = self.pools.get(pool_id)
        if not isinstance(pool.backend, protocol):
            raise errors.Unsupported(capability=protocol.__name__, backend=pool.name)
        return pool.backend

    async def note(self, record: Volume | Snapshot) -> Note:
        """Give the note to keep with a volume or snapshot."""
        tenant = await self.catalog.get(Tenant, record.tenant_id)
        return note(record, tenant.name if tenant else "")

    async def present(self, record: S) -> S:
        """Give the catalog's row of the record as it is now; NotFound when it is gone."""
        found = await self.catalog.get(type(record), record.id)
        if found is None:
            raise errors.NotFound(kind=type(record).__name__.lower(), ref=str(record.id))
        return found

    async def counted(self, volume_id: UUID, *, snapshots: int = 0, clones: int = 0) -> Batch:
        """Give the write that moves a volume's counters; nothing when the volume is gone."""
        volume = await self.catalog.get(Volume, volume_id)
        if volume is None:
            return Batch()
        return put(
            msgspec.structs.replace(
                volume,
                snapshot_count=volume.snapshot_count + snapshots,
                clone_count=volume.clone_count + clones,
            )
        )

    def references(self, volume: Volume) -> Batch:
        """Give the guards that hold while everything that the volume refers to exists."""
        wanted: tuple[tuple[type[Tenant | ExportPolicy | SnapshotPolicy | HostGroup], str, UUID | None], ...] = (
            (Tenant, "tenant", volume.tenant_id),
            (ExportPolicy, "export policy", volume.export_policy_id),
            (SnapshotPolicy, "snapshot policy", volume.snapshot_policy_id),
        )
        wanted += tuple((SnapshotPolicy, "snapshot policy", key) for key in volume.more_snapshot_policy_ids)
        wanted += tuple((HostGroup, "host group", a.host_group_id) for a in volume.attachments)
        return named_there(volume.schedules) + when(
            *(
                Guard(kind, Compare("id", Op.EQ, key), exists=True, error=errors.NotFound(kind=word, ref=str(key)))
                for kind, word, key in wanted
                if key is not None
            )
        )

    async def unborn(self, *records: Volume | Snapshot) -> Batch:
        """Give the removal of rows that were shown for objects which did not come to be."""
        rows = [await self.catalog.get(type(record), record.id) for record in records]
        return drop(*(row for row in rows if row is not None))


class Operation(Protocol):
    """The parts of an operation; `gateway.core.operations` says when each is called."""

    async def shown(self, context: Context, intent: Intent) -> Batch:
        """Give the records that readers see while it runs."""

    async def apply(self, context: Context, intent: Intent) -> None:
        """Do the substrate's part. Idempotent."""

    async def finish(self, context: Context, intent: Intent) -> Batch:
        """Give the records that make it true."""

    async def revert(self, context: Context, intent: Intent) -> Batch:
        """Undo the substrate's part after a failure, and give the records as they were."""

    async def happened(self, context: Context, intent: Intent) -> bool:
        """Tell after a crash whether the substrate's part took effect."""


def needed(record: S | None) -> S:
    """Give a record that the intent of the operation must have."""
    if record is None:
        raise errors.Internal(incident="an intent lacks the record its operation is about")
    return record


async def spec_of(context: Context, volume: Volume, *, root: bool) -> VolumeSpec:
    """Give a volume as a backend is to make it. `root`: with the owner and mode of its top directory."""
    return VolumeSpec(
        id=volume.id,
        kind=volume.kind,
        size=volume.size,
        thick=volume.thick,
        root=volume.root if root else None,
        note=await context.note(volume),
    )


async def make_gone(delete: Callable[[], Awaitable[None]], inspect: Callable[[], Awaitable[object | None]]) -> None:
    """Delete. Once more when it failed after the deed: a row must not come back for what the substrate lost."""
    try:
        await delete()
    except errors.GatewayError:
        if await inspect() is not None:
            raise
        await delete()


async def leave_origin(context: Context, clone: Volume) -> Batch:
    """Give the writes by which a clone stops counting at its parent and base snapshot."""
    if clone.origin is None:
        return Batch()
    batch = await context.counted(clone.origin.volume_id, clones=-1)
    if clone.origin.snapshot_id is not None:
        snapshot = await context.catalog.get(Snapshot, clone.origin.snapshot_id)
        if snapshot is not None:
            batch += put(msgspec.structs.replace(snapshot, clone_count=snapshot.clone_count - 1))
    return batch


async def lost_by(context: Context, intent: Intent) -> list[Snapshot]:
    """Give those of the snapshots to be removed with the operation that are removed."""
    return [
        snapshot
        for snapshot in intent.also
        if await context.part(intent, SnapshotBackend).inspect_snapshot(snapshot.volume_id, snapshot.id) is None
    ]
