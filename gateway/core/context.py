"""What every use case gets: the catalog, the pools, and the path of change."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterable
from typing import TYPE_CHECKING, TypeVar
from uuid import UUID

import msgspec

from gateway.core import errors
from gateway.core.catalog import Catalog
from gateway.core.change import Asked, Changes, Plan, Started
from gateway.core.exports import Publisher
from gateway.core.known import Known
from gateway.core.manifest import ManifestKeeper
from gateway.core.model import Record
from gateway.core.pools import Pools
from gateway.core.principal import Principal
from gateway.core.query import And, Compare, Op, Query, Value

if TYPE_CHECKING:
    from gateway.core.credentials import ObjectStores

R = TypeVar("R", bound=Record)


class Core(msgspec.Struct, frozen=True):
    """The assembled core of one process.

    `caller`: for whom it acts. Use cases then do only what that caller may do
    with the volumes they are about; None is the gateway itself, which may
    everything. `request`: in the course of what, as jobs keep it. `stores`:
    what reaches object stores that are no pools, where there is such.
    """

    catalog: Catalog
    pools: Pools
    changes: Changes
    publisher: Publisher
    manifest: ManifestKeeper
    known: Known
    caller: Principal | None = None
    request: str = ""
    stores: ObjectStores | None = None

    def acting_for(self, caller: Principal) -> Core:
        """Give the same core as it acts for a caller. An administrator without a name is the gateway itself."""
        if caller.administrator and not caller.named:
            return self
        return msgspec.structs.replace(self, caller=caller)

    def in_course_of(self, request: str) -> Core:
        """Give the same core as it acts in the course of a request, by which the jobs that begin can be found."""
        return msgspec.structs.replace(self, request=request)

    async def start(self, keys: Iterable[UUID], plan: Callable[[], Awaitable[Plan]]) -> Started:
        """Start a change in the caller's name; see `gateway.core.change.Changes.start`."""
        return await self.changes.start(keys, plan, asked=Asked(self.job_caller, self.request))

    @property
    def job_caller(self) -> str:
        """Give whose a job is that begins now."""
        return "" if self.caller is None or self.caller.administrator else self.caller.name

    async def get(self, kind: type[R], record_id: UUID) -> R:
        """Give a record by id, or raise NotFound."""
        found = await self.catalog.get(kind, record_id)
        if found is None:
            raise errors.NotFound(kind=word(kind), ref=str(record_id))
        return found

    async def find(self, kind: type[R], /, **conditions: Value) -> R | None:
        """Give the one record whose fields equal the conditions, or None. `__` in a name stands for a dot."""
        terms = tuple(Compare(name.replace("__", "."), Op.EQ, value) for name, value in conditions.items())
        page = await self.catalog.page(kind, Query(where=And(terms), limit=1))
        return page.records[0] if page.records else None


def word(kind: type[object]) -> str:
    """Give the vocabulary's word for a kind of record, as errors use it."""
    return "".join(f" {c.lower()}" if c.isupper() else c for c in kind.__name__).strip()
