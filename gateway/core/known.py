"""A memory of the few records that many others refer to."""

from __future__ import annotations

import asyncio
from collections.abc import Collection, Mapping
from typing import TypeVar
from uuid import UUID

from gateway.core.catalog import Catalog
from gateway.core.model import AccessRole, ExportPolicy, HostGroup, Pool, SnapshotPolicy, Tenant

K = TypeVar("K", Tenant, Pool, ExportPolicy, SnapshotPolicy, HostGroup, AccessRole)
_LIMIT = 4096


class Known:
    """Remembers tenants, pools, policies, roles while nothing in the catalog changes. Belongs to one event loop."""

    def __init__(self, catalog: Catalog) -> None:
        self._catalog = catalog
        self._version = -1
        self._turn, self._sure = 0, -1
        self._kept: dict[UUID, Tenant | Pool | ExportPolicy | SnapshotPolicy | HostGroup | AccessRole] = {}

    async def renew(self) -> int:
        """Give the catalog's version, and forget what is older. A request calls this once, before it reads.

        Requests that came before the loop's present turn began share one look
        at the catalog: none of their clients can know of a later commit.
        """
        if self._turn == self._sure:
            return self._version
        turn = self._turn
        asyncio.get_running_loop().call_soon(self._next_turn)
        version = await self._catalog.version()
        self._sure = turn
        if version != self._version:
            self._kept.clear()
            self._version = version
        return version

    def _next_turn(self) -> None:
        self._turn += 1

    async def get_many(self, kind: type[K], ids: Collection[UUID]) -> Mapping[UUID, K]:
        """Give those of the records that exist, at least as new as the last `renew`."""
        kept = self._kept
        found: dict[UUID, K] = {i: record for i in ids if isinstance(record := kept.get(i), kind)}
        if len(found) == len(ids):
            return found
        version = self._version
        missing = await self._catalog.get_many(kind, [i for i in ids if i not in found])
        # Another request may have renewed meanwhile: what was read before must not outlive that.
        if version == self._version and len(kept) + len(missing) <= _LIMIT:
            kept.update(missing)
        return {**found, **missing}
