"""Use case of moving a volume to another pool."""

from __future__ import annotations

from uuid import UUID, uuid4

import msgspec

from gateway.core import errors
from gateway.core.assigned import require_assigned
from gateway.core.capability import require, require_size
from gateway.core.change import Plan, Started
from gateway.core.context import Core
from gateway.core.model import Pool, Snapshot, Volume, utc_now
from gateway.core.pools import OpenPool
from gateway.core.replicas import require_unreplicated
from gateway.core.retired import spare
from gateway.core.snapshots import require_one_more
from gateway.core.volumes import settled, snapshots_of

_NAME = "move."
_NAME_DIGITS = 12


async def move(core: Core, volume_id: UUID, pool_id: UUID, *, description: str) -> Started:
    """Start moving a volume to another pool of the same driver. It stays the same volume.

    It then has the content that it had at one instant of the move, which is
    that of a snapshot: whoever goes on writing by a path of this host that he
    was told of before writes into what goes. A clone becomes independent of its
    source, whose base snapshot `gateway.core.retired.collect` may then collect;
    snapshots that the core took for clones that are gone go. To its own pool
    nothing changes.

    InUse when it has snapshots that somebody asked for, clones, a junction path,
    attachments or mounts, or a replication has it; NotFound when there is no such pool; Unsupported when
    the pools do not understand each other, or the new one cannot have such
    volumes; AlreadyExists when it has something under the volume's id.
    OutOfSpace, when the new pool has not enough, changes nothing.
    """
    sent_id = uuid4()

    async def plan() -> Plan:
        before = await settled(core, volume_id)
        await core.get(Pool, pool_id)
        if before.pool_id == pool_id:
            return Plan(
                operation="volume.update", description=description, pool_id=pool_id, before=before, after=before
            )
        await require_assigned(core, before.tenant_id, pool_id)
        await require_unreplicated(core, before, action="move")
        spares = await _spares(core, before)
        old, new = core.pools.get(before.pool_id), core.pools.get(pool_id)
        _require_way(before, old, new)
        require_one_more(core, before)
        if await new.backend.inspect(volume_id) is not None:
            raise errors.AlreadyExists(kind="volume", name=before.name, field="id")
        return Plan(
            operation="volume.move",
            description=description,
            pool_id=before.pool_id,
            before=before,
            after=_moved(before, pool_id),
            snapshot_after=_sent(before, sent_id),
            also=spares,
        )

    # What it was cloned from is not locked, which can last long: nothing that the source counts goes before the end.
    return await core.start({volume_id}, plan)


async def _spares(core: Core, volume: Volume) -> tuple[Snapshot, ...]:
    """Give the snapshots that go with the move; InUse when something keeps the volume where it is."""
    taken = await snapshots_of(core, volume.id)
    for by, there in (
        ("clones", volume.clone_count),
        ("snapshots", not all(snapshot.transient and spare(snapshot) for snapshot in taken)),
        ("export", volume.junction_path),
        ("attachments", volume.attachments),
        ("mounts", volume.mounts),
    ):
        if there:
            raise errors.InUse(kind="volume", ref=volume.name, by=by, action="move")
    return taken


def _require_way(volume: Volume, old: OpenPool, new: OpenPool) -> None:
    """Raise Unsupported unless the volume can be sent from one pool to the other, and be there as it is."""
    if old.substrate.driver != new.substrate.driver:
        reason = f"what a pool of {old.substrate.driver} sends no pool of {new.substrate.driver} understands"
        raise errors.Unsupported(capability="move", backend=new.name, reason=reason)
    for pool in (old, new):
        require(pool.capability(volume.kind), "replicate")
    capability = new.capability(volume.kind)
    require(capability, "thick" if volume.thick else "thin")
    require_size(capability, volume.size)


def _moved(volume: Volume, pool_id: UUID) -> Volume:
    """Give the volume as it is in the other pool. What publishes it must not take it for what was published before."""
    return msgspec.structs.replace(
        volume, pool_id=pool_id, origin=None, snapshot_count=0, generation=volume.generation + 1
    )


def _sent(volume: Volume, snapshot_id: UUID) -> Snapshot:
    """Give the snapshot that is sent. Nobody else's has the name: those that are there were taken for clones."""
    return Snapshot(
        id=snapshot_id,
        name=_NAME + snapshot_id.hex[:_NAME_DIGITS],
        volume_id=volume.id,
        tenant_id=volume.tenant_id,
        pool_id=volume.pool_id,
        created=utc_now(),
        internal=True,
        transient=True,
    )
