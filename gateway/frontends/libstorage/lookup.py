"""Finding what a path means: a service shows the volumes and snapshots of its tenant that are in its pools."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from uuid import UUID

import msgspec

from gateway.core.catalog import walk
from gateway.core.model import Snapshot, SnapshotState, Volume, VolumeState
from gateway.core.ownership import readable, visible
from gateway.core.query import And, Compare, Filter, IsNull, Not, Op, Or, Order, Query
from gateway.frontends.libstorage.ask import Ask
from gateway.frontends.libstorage.errors import not_found
from gateway.frontends.libstorage.site import Service

VOLUME, SNAPSHOT = "volume", "snapshot"
"""What paths call their keys."""

_PAGE = 200
_SAME_NAME_MAX = 100


class Found(msgspec.Struct, frozen=True):
    """A snapshot with its volume, which may be retired."""

    snapshot: Snapshot
    volume: Volume


def service_of(ask: Ask) -> Service:
    """Give the service that the path names."""
    if ask.service is None:
        raise AssertionError
    return ask.service


async def find_volume(ask: Ask) -> Volume:
    """Give the volume that the path names by its id, or with `byName` by its name in any case; 404."""
    service, ref = service_of(ask), ask.keys[VOLUME]
    found = await (_named(ask, service, ref) if ask.query.flag("byName") else _by_id(ask, service, ref))
    if found is None:
        raise not_found(ref)
    return found


async def find_snapshot(ask: Ask) -> Found:
    """Give the snapshot that the path names by its id; 404."""
    service, ref = service_of(ask), ask.keys[SNAPSHOT]
    key = as_uuid(ref)
    snapshot = None if key is None else await ask.core.catalog.get(Snapshot, key)
    if snapshot is None or snapshot.internal or snapshot.state is SnapshotState.CREATING:
        raise not_found(ref)
    volume = await ask.core.catalog.get(Volume, snapshot.volume_id)
    if volume is None or not await _is_of(ask, service, volume):
        raise not_found(ref)
    return Found(snapshot, volume)


async def volumes_of(ask: Ask, service: Service, *terms: Filter) -> AsyncIterator[Volume]:
    """Yield the volumes that a service shows and that meet the other conditions, by name."""
    made = Not(Compare("state", Op.EQ, VolumeState.CREATING.value))
    where = await _where(ask, service, IsNull("retired"), made, *terms, reader="reader")
    async for volume in walk(ask.core.catalog, Volume, Query(where=where, order=(Order("name"),), limit=_PAGE)):
        yield volume


async def snapshots_of(ask: Ask, service: Service) -> AsyncIterator[Found]:
    """Yield the snapshots that a service shows, those of retired volumes too, by name."""
    made = Not(Compare("state", Op.EQ, SnapshotState.CREATING.value))
    asked_for = Compare("internal", Op.EQ, value=False)
    where = await _where(ask, service, asked_for, made, reader="volume.reader")
    query = Query(where=where, order=(Order("name"),), limit=_PAGE)
    while True:
        page = await ask.core.catalog.page(Snapshot, query)
        volumes = await ask.core.catalog.get_many(Volume, {snapshot.volume_id for snapshot in page.records})
        for snapshot in page.records:
            if (volume := volumes.get(snapshot.volume_id)) is not None:
                yield Found(snapshot, volume)
        if page.cursor is None:
            return
        query = msgspec.structs.replace(query, after=page.cursor)
        await asyncio.sleep(0)


def as_uuid(ref: str) -> UUID | None:
    """Read an id as this door writes it; None for anything else."""
    try:
        key = UUID(ref)
    except ValueError:
        return None
    return key if str(key) == ref.lower() else None


async def _by_id(ask: Ask, service: Service, ref: str) -> Volume | None:
    key = as_uuid(ref)
    volume = None if key is None else await ask.core.catalog.get(Volume, key)
    if volume is None or volume.retired is not None or volume.state is VolumeState.CREATING:
        return None
    return volume if await _is_of(ask, service, volume) else None


async def _named(ask: Ask, service: Service, name: str) -> Volume | None:
    """Give the volume of that name. Other doors may have made several in different cases: then the exact one is it."""
    if "\0" in name:
        return None
    where = await _where(ask, service, IsNull("retired"), Compare("name_key", Op.EQ, name.casefold()), reader="reader")
    page = await ask.core.catalog.page(Volume, Query(where=where, limit=_SAME_NAME_MAX))
    found = [volume for volume in page.records if volume.state is not VolumeState.CREATING]
    return next((volume for volume in found if volume.name == name), found[0] if found else None)


async def _is_of(ask: Ask, service: Service, volume: Volume) -> bool:
    """Tell whether a service shows what is of the volume to the caller."""
    return (
        volume.tenant_id == await service.tenant_id(ask.core)
        and volume.pool_id in await service.pool_ids(ask.core)
        and visible(ask.core.caller, volume)
    )


async def _where(ask: Ask, service: Service, *terms: Filter, reader: str) -> Filter:
    """Give the whole condition; `reader` is the name of that field for what is listed."""
    tenant = Compare("tenant.id", Op.EQ, await service.tenant_id(ask.core))
    pools = Or(tuple(Compare("pool.id", Op.EQ, pool) for pool in await service.pool_ids(ask.core)))
    allowed = readable(ask.core.caller, field=reader)
    return And((tenant, pools, *terms, *(() if allowed is None else (allowed,))))
