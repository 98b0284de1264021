"""Finding what a request means. To Docker a volume is its name, so names count over all tenants of the door."""

from __future__ import annotations

from collections.abc import AsyncIterator
from uuid import UUID

import msgspec

from gateway.core import errors
from gateway.core.catalog import walk
from gateway.core.context import Core
from gateway.core.model import Snapshot, Volume, VolumeState
from gateway.core.query import And, Compare, IsNull, Op, Or, Order, Query
from gateway.frontends.docker.site import Site

_PAGE = 500
_PASSING = frozenset({VolumeState.CREATING, VolumeState.DELETING})


class Source(msgspec.Struct, frozen=True):
    """What a volume is copied from: a volume as it is, or a snapshot of it."""

    volume: Volume
    snapshot: Snapshot | None = None


def whole(volume: Volume) -> bool:
    """Tell whether a volume is neither being made nor being deleted."""
    return volume.state not in _PASSING


async def named(core: Core, site: Site, name: str) -> Volume | None:
    """Give the volume of that name in the first tenant that has one, in any state; None when none has."""
    if "\0" in name:
        return None
    for tenant_id in (await site.tenant_ids(core)).values():
        volume = await core.find(Volume, tenant__id=tenant_id, name=name)
        if volume is not None and volume.retired is None:
            return volume
    return None


async def shown(core: Core, site: Site, name: str) -> Volume:
    """Give the volume of that name; NotFound also while it is being made or deleted."""
    volume = await named(core, site, name)
    if volume is None or not whole(volume):
        raise errors.NotFound(kind="volume", ref=name[:64])
    return volume


async def every(core: Core, site: Site) -> AsyncIterator[Volume]:
    """Yield the volumes that there are, by name; of several of one name the one that `named` gives."""
    ids = tuple((await site.tenant_ids(core)).values())
    mine = Or(tuple(Compare("tenant.id", Op.EQ, tenant_id) for tenant_id in ids))
    query = Query(where=And((mine, IsNull("retired"))), order=(Order("name"),), limit=_PAGE)
    waiting: Volume | None = None
    async for volume in walk(core.catalog, Volume, query):
        if not whole(volume):
            continue
        if waiting is not None and waiting.name != volume.name:
            yield waiting
            waiting = None
        if waiting is None or ids.index(volume.tenant_id) < ids.index(waiting.tenant_id):
            waiting = volume
    if waiting is not None:
        yield waiting


async def source(core: Core, site: Site, ref: str) -> Source:
    """Give what `from` names: VOLUME, VOLUME@SNAPSHOT, or the id of a volume or snapshot. NotFound."""
    found = await _by_id(core, site, ref)
    if found is None:
        found = await _by_name(core, site, ref)
    if found is None:
        raise errors.NotFound(kind="volume or snapshot", ref=ref[:64])
    return found


async def _by_name(core: Core, site: Site, ref: str) -> Source | None:
    whole_name = await named(core, site, ref)
    if whole_name is not None:
        return Source(whole_name)
    # Names of volumes and of snapshots may hold an @ themselves.
    for at in (index for index, sign in enumerate(ref) if sign == "@"):
        volume = await named(core, site, ref[:at])
        if volume is None or not ref[at + 1 :]:
            continue
        snapshot = await core.find(Snapshot, volume__id=volume.id, name=ref[at + 1 :])
        if snapshot is not None and not snapshot.internal:
            return Source(volume, snapshot)
    return None


async def _by_id(core: Core, site: Site, ref: str) -> Source | None:
    try:
        key = UUID(ref)
    except ValueError:
        return None
    tenants = set((await site.tenant_ids(core)).values())
    volume = await core.catalog.get(Volume, key)
    if volume is not None:
        return Source(volume) if volume.tenant_id in tenants and volume.retired is None else None
    snapshot = await core.catalog.get(Snapshot, key)
    if snapshot is None or snapshot.tenant_id not in tenants or snapshot.internal:
        return None
    volume = await core.catalog.get(Volume, snapshot.volume_id)
    return None if volume is None else Source(volume, snapshot)
