"""What SnapMirror needs of volumes and snapshots that show nothing of it themselves."""

from __future__ import annotations

from collections.abc import Collection
from uuid import UUID

from gateway.core.catalog import walk
from gateway.core.context import Core
from gateway.core.follower_model import all_followers, kept_for_followers
from gateway.core.model import Snapshot
from gateway.core.query import Compare, Op, Or, Order, Query
from gateway.core.replication_model import Replication


async def sources_among(core: Core, volume_ids: Collection[UUID]) -> frozenset[UUID]:
    """Give those of the volumes that a relationship reads. Costs next to nothing where there are none."""
    found = await _touching(core, volume_ids, "source.volume_id")
    followed = {follower.volume_id for follower in await all_followers(core)} if volume_ids else set()
    return frozenset(replication.source.volume_id for replication in found) | followed.intersection(volume_ids)


async def bases_among(core: Core, volume_ids: Collection[UUID]) -> frozenset[UUID]:
    """Give the snapshots of the volumes, sources and destinations, from which the next transfers go on."""
    found = await _touching(core, volume_ids, "source.volume_id", "volume.id")
    ids = {replication.base_id for replication in found if replication.base_id is not None}
    followed = {follower.volume_id for follower in await all_followers(core)} if volume_ids else set()
    kept = {key for volume_id in followed.intersection(volume_ids) for key in await kept_for_followers(core, volume_id)}
    if not ids:
        return frozenset(kept)
    bases = await core.catalog.get_many(Snapshot, ids)
    # Where the ends were swapped, it is the source's that is the copy.
    copied = Query(where=Or(tuple(Compare("lineage", Op.EQ, base_id) for base_id in ids)), order=(Order("id"),))
    copies = [snapshot.id async for snapshot in walk(core.catalog, Snapshot, copied)]
    return frozenset({*bases, *copies, *kept} | {base.lineage for base in bases.values() if base.lineage is not None})


async def _touching(core: Core, volume_ids: Collection[UUID], *fields: str) -> list[Replication]:
    if not volume_ids or not await core.known.any(Replication):
        return []
    where = Or(tuple(Compare(field, Op.EQ, volume_id) for volume_id in volume_ids for field in fields))
    return [found async for found in walk(core.catalog, Replication, Query(where=where, order=(Order("id"),)))]
