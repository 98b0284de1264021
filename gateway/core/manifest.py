"""Keeps a copy of tenants and policies in every pool, so that a rebuilt catalog has them too.

The copy is derived: it is written after the catalog's commit, and again at
the next start when it differs.
"""

from __future__ import annotations

import asyncio
from typing import TypeVar

from gateway.core import errors
from gateway.core.catalog import Catalog
from gateway.core.model import ExportPolicy, Pool, SnapshotPolicy, Tenant
from gateway.core.notes import Manifest, manifest_document
from gateway.core.observer import Observer
from gateway.core.pools import Pools
from gateway.core.query import Order, Query

CLUSTER_ID = "cluster_id"
_K = TypeVar("_K", Tenant, ExportPolicy, SnapshotPolicy, Pool)


async def everything(catalog: Catalog, kind: type[_K]) -> tuple[_K, ...]:
    """Give all records of a kind of which there are few."""
    found: list[_K] = []
    query = Query(order=(Order("id"),), limit=1000)
    while True:
        page = await catalog.page(kind, query)
        found.extend(page.records)
        if page.cursor is None:
            return tuple(found)
        query = Query(order=query.order, limit=query.limit, after=page.cursor)


class ManifestKeeper:
    """Writes the manifest into the open pools, one writer at a time."""

    def __init__(self, catalog: Catalog, pools: Pools, observer: Observer) -> None:
        self._catalog = catalog
        self._pools = pools
        self._observer = observer
        self._lock = asyncio.Lock()

    async def write(self) -> None:
        """Bring every open pool's copy up to date. A pool that fails is logged and caught up at the next write."""
        async with self._lock:
            document = manifest_document(
                Manifest(
                    cluster_id=await self._catalog.setting(CLUSTER_ID) or "",
                    pools_since={str(pool.id): pool.created for pool in await everything(self._catalog, Pool)},
                    tenants=await everything(self._catalog, Tenant),
                    export_policies=await everything(self._catalog, ExportPolicy),
                    snapshot_policies=await everything(self._catalog, SnapshotPolicy),
                )
            )
            for pool in self._pools:
                try:
                    if await pool.backend.manifest() != document:
                        await pool.backend.put_manifest(document)
                except errors.GatewayError as error:
                    self._observer.event("manifest_not_written", pool=pool.name, error=str(error))
