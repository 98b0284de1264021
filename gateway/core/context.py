"""What every use case gets: the catalog, the pools, and the path of change."""

from __future__ import annotations

from typing import TypeVar
from uuid import UUID

import msgspec

from gateway.core import errors
from gateway.core.catalog import Catalog
from gateway.core.change import Changes
from gateway.core.exports import Publisher
from gateway.core.known import Known
from gateway.core.manifest import ManifestKeeper
from gateway.core.model import Record
from gateway.core.pools import Pools
from gateway.core.query import And, Compare, Op, Query, Value

R = TypeVar("R", bound=Record)


class Core(msgspec.Struct, frozen=True):
    """The assembled core of one process."""

    catalog: Catalog
    pools: Pools
    changes: Changes
    publisher: Publisher
    manifest: ManifestKeeper
    known: Known

    async def get(self, kind: type[R], record_id: UUID) -> R:
        """Give a record by id, or raise NotFound."""
        found = await self.catalog.get(kind, record_id)
        if found is None:
            raise errors.NotFound(kind=word(kind), ref=str(record_id))
        return found

    async def find(self, kind: type[R], **conditions: Value) -> R | None:
        """Give the one record whose fields equal the conditions, or None. `__` in a name stands for a dot."""
        terms = tuple(Compare(name.replace("__", "."), Op.EQ, value) for name, value in conditions.items())
        page = await self.catalog.page(kind, Query(where=And(terms), limit=1))
        return page.records[0] if page.records else None


def word(kind: type[object]) -> str:
    """Give the vocabulary's word for a kind of record, as errors use it."""
    return "".join(f" {c.lower()}" if c.isupper() else c for c in kind.__name__).strip()
