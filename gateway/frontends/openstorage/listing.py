"""Volumes and snapshots page after page: those of the door's tenant that the caller may read."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Mapping

import msgspec

from gateway.core.catalog import walk
from gateway.core.model import Snapshot, Volume
from gateway.core.ownership import readable
from gateway.core.query import And, Compare, Filter, IsNull, Op, Order, Query
from gateway.frontends.openstorage.call import Call
from gateway.frontends.openstorage.lookup import Found, parents

_PAGE = 500
_BY_NAME = (Order("name"),)


async def volumes(call: Call, *terms: Filter, labels: Mapping[str, str]) -> AsyncIterator[Found]:
    """Yield the volumes that have all of the labels and meet the other conditions, by name."""
    where = await _where(call, labels, (*terms, IsNull("retired")), label="label", reader="reader")
    async for volume in walk(call.core.catalog, Volume, Query(where=where, order=_BY_NAME, limit=_PAGE)):
        if _has(volume.labels, labels):
            yield Found(volume)


async def snapshots(call: Call, *terms: Filter, labels: Mapping[str, str]) -> AsyncIterator[Found]:
    """Yield the snapshots that do, with their volumes; those of retired volumes are among them."""
    asked = (*terms, Compare("internal", Op.EQ, value=False))
    where = await _where(call, labels, asked, label="labels", reader="volume.reader")
    query = Query(where=where, order=_BY_NAME, limit=_PAGE)
    while True:
        page = await call.core.catalog.page(Snapshot, query)
        for found in await parents(call, page.records):
            if found.snapshot is not None and _has(found.snapshot.labels, labels):
                yield found
        if page.cursor is None:
            return
        query = msgspec.structs.replace(query, after=page.cursor)
        await asyncio.sleep(0)


def _has(present: Mapping[str, str], labels: Mapping[str, str]) -> bool:
    """Tell whether the labels are really there: to the catalog `a:b` with `c` is the same as `a` with `b:c`."""
    return labels.items() <= present.items()


async def _where(
    call: Call, labels: Mapping[str, str], terms: tuple[Filter, ...], *, label: str, reader: str
) -> Filter:
    """Give the whole condition; `label` and `reader` are the names of these fields for what is listed."""
    tenant = Compare("tenant.id", Op.EQ, await call.site.tenant_id(call.core))
    visible = readable(call.core.caller, field=reader)
    held = [Compare(label, Op.EQ, f"{key}:{value}") for key, value in labels.items()]
    return And((tenant, *held, *terms, *(() if visible is None else (visible,))))
