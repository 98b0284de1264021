"""What replications keep others from doing, and what both ends have in common."""

from __future__ import annotations

from collections.abc import Sequence
from uuid import UUID

import msgspec

from gateway.core import errors
from gateway.core.catalog import walk
from gateway.core.context import Core
from gateway.core.follower_model import followers_of, kept_for_followers
from gateway.core.model import Intent, Snapshot, SnapshotState, Volume
from gateway.core.query import Compare, Op, Order, Query
from gateway.core.replication_model import Replication, ReplicationState, Transfer

_TRANSFER = "transfer"
"""Begins the marks of transfers; those of schedules begin with an id."""

_ENDS = ("volume.id", "source.volume_id")


async def involving(core: Core, volume_id: UUID) -> tuple[Replication, ...]:
    """Give the replications that have a volume at one of their ends."""
    found: dict[UUID, Replication] = {}
    for field in _ENDS:
        query = Query(where=Compare(field, Op.EQ, volume_id), order=(Order("created"),))
        found |= {one.id: one async for one in walk(core.catalog, Replication, query)}
    return tuple(found.values())


async def into(core: Core, volume_id: UUID) -> tuple[Replication | Transfer, ...]:
    """Give the replication into a volume, if there is one, with its transfers: what goes with a volume that is lost."""
    replication = await core.find(Replication, volume__id=volume_id)
    if replication is None:
        return ()
    query = Query(where=Compare("replication.id", Op.EQ, replication.id), order=(Order("created"),))
    return (replication, *[run async for run in walk(core.catalog, Transfer, query)])


async def require_unreplicated(core: Core, volume: Volume, *, action: str) -> None:
    """Raise InUse while a replication has the volume at one of its ends."""
    for field in _ENDS:
        if await core.catalog.count(Replication, Compare(field, Op.EQ, volume.id)):
            raise errors.InUse(kind="volume", ref=volume.name, by="replication", action=action)
    if await followers_of(core, volume.id):
        raise errors.InUse(kind="volume", ref=volume.name, by="replication", action=action)


def require_writable(volume: Volume, *, action: str) -> None:
    """Raise InvalidState while the volume only follows another one."""
    if volume.replica_of is not None:
        raise errors.InvalidState(kind="volume", ref=volume.name, state="replica", action=action)


async def require_whole(core: Core, volume: Volume, *, action: str) -> None:
    """Raise InvalidState while a volume that follows another one is between two of the other's snapshots."""
    if volume.replica_of is None:
        return
    replication = await core.catalog.get(Replication, volume.replica_of)
    if replication is not None and replication.torn:
        raise errors.InvalidState(kind="volume", ref=volume.name, state="between two transfers", action=action)


async def require_unneeded(core: Core, *snapshots: Snapshot, action: str = "delete") -> None:
    """Raise InUse for a snapshot that a replication builds on or is sending. All are of one volume."""
    if not snapshots:
        return
    kept = await needed_of(core, snapshots[0].volume_id)
    for snapshot in snapshots:
        if snapshot.id in kept:
            raise errors.InUse(kind="snapshot", ref=snapshot.name, by="replication", action=action)


async def needed_of(core: Core, volume_id: UUID) -> frozenset[UUID]:
    """Give the ids of a volume's snapshots that replications build on or are sending."""
    kept: set[UUID] = set()
    for replication in await involving(core, volume_id):
        if replication.base_id is not None:
            kept |= await both_halves(core, replication, replication.base_id)
        elif replication.state in {ReplicationState.MIRRORED, ReplicationState.PAUSED}:
            # It was just rebuilt: nobody has looked for its base yet.
            kept |= await _likely_base(core, replication)
        transfer = await current(core, replication)
        if transfer is not None and transfer.snapshot_id is not None:
            kept |= {transfer.snapshot_id} | await _being_sent(core, volume_id)
    return frozenset(kept) | await kept_for_followers(core, volume_id)


async def _likely_base(core: Core, replication: Replication) -> set[UUID]:
    """Give the ids of what may be the base; of a source at a peer all copies, as it need not answer."""
    if replication.source.peer_id is not None:
        return {one.id for one in await snapshots_at(core, replication.volume_id) if one.lineage is not None}
    common = await in_common(core, replication.source.volume_id, replication.volume_id)
    return {common.source.id, common.destination.id} if common is not None else set()


async def _being_sent(core: Core, volume_id: UUID) -> set[UUID]:
    """Give the ids of a volume's snapshots that are being sent just now."""
    query = Query(where=Compare("operation", Op.EQ, "snapshot.receive"), order=(Order("created"),))
    sent = [one.snapshot_before async for one in walk(core.catalog, Intent, query)]
    return {one.id for one in sent if one is not None and one.volume_id == volume_id}


async def both_halves(core: Core, replication: Replication, base_id: UUID) -> set[UUID]:
    """Give the ids of a common snapshot at both ends, of which `base_id` is the destination's."""
    found = {base_id}
    base = await core.catalog.get(Snapshot, base_id)
    if base is not None and base.lineage is not None:
        found.add(base.lineage)
    other = await core.find(Snapshot, lineage=base_id, volume__id=replication.source.volume_id)
    return found | ({other.id} if other is not None else set())


async def current(core: Core, replication: Replication) -> Transfer | None:
    """Give the transfer under way, or None."""
    if replication.transfer_id is None:
        return None
    transfer = await core.catalog.get(Transfer, replication.transfer_id)
    return transfer if transfer is not None and transfer.ended is None else None


class Common(msgspec.Struct, frozen=True):
    """A snapshot that both ends have, as the source and as the destination has it."""

    source: Snapshot
    destination: Snapshot


async def in_common(core: Core, source_id: UUID, destination_id: UUID) -> Common | None:
    """Give the newest snapshot that two volumes of this gateway have in common."""
    return common_of(await snapshots_at(core, source_id), await snapshots_at(core, destination_id))


def common_of(at_source: Sequence[Snapshot], at_destination: Sequence[Snapshot]) -> Common | None:
    """Give the newest snapshot that two volumes have in common. Either may have come from the other."""
    there = {one.id: one for one in at_source}
    by_lineage = {one.lineage: one for one in at_source if one.lineage is not None}
    found: list[Common] = []
    for copy in at_destination:
        source = there.get(copy.lineage) if copy.lineage is not None else None
        source = source or by_lineage.get(copy.id)
        if source is not None and {source.state, copy.state} == {SnapshotState.VALID}:
            found.append(Common(source, copy))
    return max(found, key=lambda common: (common.source.created, common.source.id), default=None)


async def snapshots_at(core: Core, volume_id: UUID) -> tuple[Snapshot, ...]:
    """Give the snapshots of a volume at one of the ends, oldest first."""
    query = Query(where=Compare("volume.id", Op.EQ, volume_id), order=(Order("created"),))
    return tuple([snapshot async for snapshot in walk(core.catalog, Snapshot, query)])


def own_mark(replication_id: UUID) -> str:
    """Give what `Snapshot.taken_by` says of snapshots, and of their copies, that transfers took for themselves."""
    return f"{_TRANSFER}/{replication_id}"


def sound_mark(taken_by: str) -> bool:
    """Tell whether `Snapshot.taken_by` can be what it is here, for what is told by others."""
    what, _, owner = taken_by.partition("/")
    if what != _TRANSFER:
        return True
    try:
        UUID(owner)
    except ValueError:
        return False
    return True


async def abandoned(core: Core, there: Sequence[Snapshot], here: Sequence[Snapshot]) -> list[Snapshot]:
    """Give the snapshots that both of two volumes have because of transfers of replications that are gone."""
    known = {one.id for one in (*there, *here)}
    copies = [one for one in (*there, *here) if one.lineage in known]
    halves = {one.id for one in copies} | {one.lineage for one in copies}
    found: list[Snapshot] = []
    for one in (*there, *here):
        what, _, owner = one.taken_by.partition("/")
        if one.id in halves and what == _TRANSFER and await core.catalog.get(Replication, UUID(owner)) is None:
            found.append(one)
    followed = [follower for each in {one.volume_id for one in found} for follower in await followers_of(core, each)]
    living = {own_mark(follower.id) for follower in followed}
    return [one for one in found if one.taken_by not in living]
