"""A memory of the few records that many others refer to."""

from __future__ import annotations

import asyncio
from collections.abc import Collection, Mapping
from typing import TypeVar
from uuid import UUID

from gateway.core.catalog import Catalog
from gateway.core.model import AccessRole, Document, ExportPolicy, HostGroup, Pool, Record, SnapshotPolicy, Tenant
from gateway.core.query import ALL, Compare, Op, Query

K = TypeVar("K", Tenant, Pool, ExportPolicy, SnapshotPolicy, HostGroup, AccessRole, Document)
N = TypeVar("N", Tenant, Pool)
"""Those of them whose names are unique."""

_LIMIT = 4096


class Known:
    """Remembers tenants, pools, policies, roles while nothing in the catalog changes. Belongs to one event loop."""

    def __init__(self, catalog: Catalog) -> None:
        self._catalog = catalog
        self._version = -1
        self._turn, self._sure = 0, -1
        self._names: dict[tuple[type[Tenant | Pool], str], UUID] = {}
        self._present: dict[type[Record], bool] = {}
        self._kept: dict[UUID, Tenant | Pool | ExportPolicy | SnapshotPolicy | HostGroup | AccessRole | Document] = {}

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
            self._names.clear()
            self._present.clear()
            self._version = version
        return version

    def _next_turn(self) -> None:
        self._turn += 1

    async def named(self, kind: type[N], name: str) -> N | None:
        """Give the one of that name, at least as new as the last `renew`; None when there is none."""
        key = (kind, name)
        kept = self._names.get(key)
        if kept is not None and isinstance(record := self._kept.get(kept), kind):
            return record
        version = self._version
        where = Compare("name", Op.EQ, name)
        found = (await self._catalog.page(kind, Query(where=where, limit=1))).records
        if found and version == self._version and len(self._kept) < _LIMIT:
            self._kept[found[0].id] = found[0]
            self._names[key] = found[0].id
        return found[0] if found else None

    async def any(self, kind: type[Record]) -> bool:
        """Tell whether there is a record of the kind, at least as new as the last `renew`."""
        present = self._present.get(kind)
        if present is None:
            version = self._version
            present = await self._catalog.count(kind, ALL) > 0
            if version == self._version:
                self._present[kind] = present
        return present

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
