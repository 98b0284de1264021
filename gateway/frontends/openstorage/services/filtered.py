"""Lists of volumes. To the SDK a snapshot is a volume too, so every list holds both."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterable

from gateway.core.catalog import walk
from gateway.core.model import Pool
from gateway.core.query import Compare, Filter, Not, Op, Query
from gateway.frontends.openstorage import listing, schedules
from gateway.frontends.openstorage.call import Call
from gateway.frontends.openstorage.lookup import Found
from gateway.frontends.openstorage.pb import ownership_pb2
from gateway.frontends.openstorage.pb import volume_pb2 as pb
from gateway.frontends.openstorage.project import inspected, name_of
from gateway.frontends.openstorage.services.snapshots import stem_of
from gateway.frontends.openstorage.specs import spec_of

_SLICE = 20
"""How many whole volumes are made before others have their turn."""

Filters = pb.SdkVolumeEnumerateWithFiltersRequest | pb.SdkVolumeInspectWithFiltersRequest


async def enumerate_(call: Call, _request: pb.SdkVolumeEnumerateRequest) -> pb.SdkVolumeEnumerateResponse:
    """Give the id of every volume that the caller may read."""
    every = pb.SdkVolumeEnumerateWithFiltersRequest()
    response = pb.SdkVolumeEnumerateResponse()
    # Id by id, because one by one they are put in between others' turns, and all at once they hold the loop.
    async for found in matching(call, every):
        response.volume_ids.append(str(found))
    return response


async def enumerate_with_filters(
    call: Call, request: pb.SdkVolumeEnumerateWithFiltersRequest
) -> pb.SdkVolumeEnumerateWithFiltersResponse:
    """Give the ids of those that pass every filter that is set."""
    response = pb.SdkVolumeEnumerateWithFiltersResponse()
    async for found in matching(call, request):
        response.volume_ids.append(str(found))
    return response


async def inspect_with_filters(
    call: Call, request: pb.SdkVolumeInspectWithFiltersRequest
) -> pb.SdkVolumeInspectWithFiltersResponse:
    """Give them whole."""
    drivers = {pool.id: pool.driver async for pool in walk(call.core.catalog, Pool, Query())}
    every = [found async for found in matching(call, request)]
    texts = await schedules.texts_of(call.core, [found.volume for found in every])
    response = pb.SdkVolumeInspectWithFiltersResponse()
    for start in range(0, len(every), _SLICE):
        for found in every[start : start + _SLICE]:
            whole = inspected(found, drivers[found.volume.pool_id], schedule=texts[found.volume.id])
            response.volumes.append(whole)
        await asyncio.sleep(0)
    return response


async def matching(call: Call, filters: Filters) -> AsyncIterator[Found]:
    """Yield what passes the filters, volumes first, each by name."""
    same = (Compare("name", Op.EQ, filters.name),) if filters.name else ()
    async for found in listing.volumes(call, *same, labels=filters.labels):
        if _passes(found, filters):
            yield found
    for similar in _may_be_named(filters.name) if filters.name else ((),):
        async for found in listing.snapshots(call, *similar, labels=filters.labels):
            if _passes(found, filters):
                yield found


def _may_be_named(name: str) -> Iterable[tuple[Filter, ...]]:
    """Give the conditions on names that `snapshots.create` may have made of one that was taken.

    One after the other, because both together are no range of an index.
    """
    same, stem = Compare("name", Op.EQ, name), stem_of(name)
    yield (same,)
    yield Compare("name", Op.GT, f"{stem}."), Compare("name", Op.LT, f"{stem}/"), Not(same)


def _passes(found: Found, filters: Filters) -> bool:
    if filters.name and name_of(found) != filters.name:
        return False
    if filters.HasField("group") and spec_of(found.volume, "").group.id != filters.group.id:
        return False
    return not filters.HasField("ownership") or _shares(found, filters.ownership)


def _shares(found: Found, asked: ownership_pb2.Ownership) -> bool:
    """Tell whether the owner, a group or a collaborator is the same; a public volume shares nothing."""
    ownership = found.volume.ownership
    if ownership is None:
        return False
    return bool(
        (asked.owner and asked.owner == ownership.owner)
        or ownership.groups.keys() & asked.acls.groups.keys()
        or ownership.collaborators.keys() & asked.acls.collaborators.keys()
    )
