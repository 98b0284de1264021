"""Keeps a copy of tenants, policies and roles in every pool, so that a rebuilt catalog has them too.

The copy is derived: it is written after the catalog's commit, and again at
the next start when it differs. A copy of another catalog, which may be a lost
one that is still to be rebuilt, is left alone as long as the pool holds
volumes of it.
"""

from __future__ import annotations

import asyncio
from typing import TypeVar

from gateway.core import errors
from gateway.core.catalog import Catalog, walk
from gateway.core.model import (
    AccessRole,
    Document,
    ExportPolicy,
    HostGroup,
    InitiatorLogin,
    Pool,
    Schedule,
    SnapshotPolicy,
    Tenant,
    Volume,
)
from gateway.core.notes import Manifest, lasting, manifest_document, read_manifest
from gateway.core.observer import Observer
from gateway.core.pools import OpenPool, Pools
from gateway.core.query import Order, Query
from gateway.core.replication_model import Replication, ReplicationPolicy

CLUSTER_ID = "cluster_id"
_K = TypeVar(
    "_K",
    Tenant,
    ExportPolicy,
    SnapshotPolicy,
    Schedule,
    HostGroup,
    InitiatorLogin,
    AccessRole,
    Document,
    ReplicationPolicy,
    Replication,
    Pool,
)


async def everything(catalog: Catalog, kind: type[_K]) -> tuple[_K, ...]:
    """Give all records of a kind of which there are few."""
    return tuple([record async for record in walk(catalog, kind, Query(order=(Order("id"),), limit=1000))])


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
            cluster_id = await self._catalog.setting(CLUSTER_ID) or ""
            document = manifest_document(
                Manifest(
                    cluster_id=cluster_id,
                    pools_since={str(pool.id): pool.created for pool in await everything(self._catalog, Pool)},
                    tenants=await everything(self._catalog, Tenant),
                    export_policies=await everything(self._catalog, ExportPolicy),
                    snapshot_policies=await everything(self._catalog, SnapshotPolicy),
                    schedules=await everything(self._catalog, Schedule),
                    host_groups=await everything(self._catalog, HostGroup),
                    initiator_logins=await everything(self._catalog, InitiatorLogin),
                    access_roles=await everything(self._catalog, AccessRole),
                    documents=tuple(each for each in await everything(self._catalog, Document) if not each.passing),
                    replication_policies=await everything(self._catalog, ReplicationPolicy),
                    replications=tuple(map(lasting, await everything(self._catalog, Replication))),
                )
            )
            for pool in self._pools:
                try:
                    present = await pool.backend.manifest()
                    if present == document:
                        continue
                    if present is not None and await self._belongs_elsewhere(pool, present, cluster_id):
                        self._observer.event("manifest_of_another_catalog", pool=pool.name)
                        continue
                    await pool.backend.put_manifest(document)
                except errors.GatewayError as error:
                    self._observer.event("manifest_not_written", pool=pool.name, error=str(error))

    async def _belongs_elsewhere(self, pool: OpenPool, document: bytes, cluster_id: str) -> bool:
        manifest = read_manifest(document)
        if manifest is not None and manifest.cluster_id == cluster_id:
            return False
        async for seen in pool.backend.scan():
            if seen.id is not None and await self._catalog.get(Volume, seen.id) is None:
                return True
        return False
