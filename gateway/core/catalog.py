"""The protocol of the catalog: what the core needs from its one durable store.

Reads see committed data only and never wait for a writer. Every change is a
`Batch`: all of it is durable when `commit` returns, or none of it happened.
Locks and leases live here, not in memory, so that several processes may share
one catalog: an intent's `keys` are locked by the very row that journals it.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterable, Mapping, Sequence
from typing import Generic, Protocol, TypeVar
from uuid import UUID

import msgspec

from gateway.core.errors import GatewayError
from gateway.core.model import Intent, Job, Record
from gateway.core.query import Filter, Query

R = TypeVar("R", bound=Record)


class Put(msgspec.Struct, frozen=True):
    """Write a record. Its `revision` is what the caller read: 0 inserts, anything else must still be current."""

    record: Record


class Drop(msgspec.Struct, frozen=True):
    """Remove a record that still has this revision."""

    record: Record


class Guard(msgspec.Struct, frozen=True):
    """A condition on the catalog as it is at the commit: some record matches, or (`exists` False) none does.

    The batch is refused with `error` when it does not hold. Guards keep
    references whole between changes that share no key.
    """

    kind: type[Record]
    where: Filter
    exists: bool
    error: GatewayError


class Batch(msgspec.Struct, frozen=True):
    """Writes that become durable together, in this order, if every guard holds before the first."""

    writes: tuple[Put | Drop, ...] = ()
    guards: tuple[Guard, ...] = ()

    def __add__(self, other: Batch) -> Batch:
        return Batch(self.writes + other.writes, self.guards + other.guards)


def put(*records: Record) -> Batch:
    """Give a batch that writes the records."""
    return Batch(tuple(Put(record) for record in records))


def when(*guards: Guard) -> Batch:
    """Give a batch that only asks whether the guards hold."""
    return Batch((), guards)


def drop(*records: Record) -> Batch:
    """Give a batch that removes the records."""
    return Batch(tuple(Drop(record) for record in records))


class Page(msgspec.Struct, Generic[R], frozen=True):
    """Records in order; `cursor` continues after the last one, None at the end."""

    records: tuple[R, ...]
    cursor: str | None = None


class Catalog(Protocol):
    """See the module's text. Raises errors of `gateway.core.errors` only; Unavailable when the store fails."""

    async def open(self) -> None:
        """Create or migrate the store and register this process as an owner."""

    async def close(self) -> None:
        """Finish pending commits. Idempotent."""

    @property
    def owner(self) -> str:
        """Name of this process among those that share the catalog; new at every open."""

    async def get(self, kind: type[R], record_id: UUID) -> R | None:
        """Give one record by id."""

    async def get_many(self, kind: type[R], ids: Iterable[UUID]) -> Mapping[UUID, R]:
        """Give those of the records that exist."""

    async def page(self, kind: type[R], query: Query) -> Page[R]:
        """Give one page by key. The id breaks ties, so every order is total."""

    async def count(self, kind: type[R], where: Filter) -> int:
        """Count matches; without a filter it costs the same whatever the number of records."""

    def fields(self, kind: type[R]) -> frozenset[str]:
        """Give the names that a query of this kind may filter and order by."""

    async def commit(self, batch: Batch) -> Mapping[UUID, Record]:
        """Make the batch durable and give the records put, with their new revisions, by id.

        AlreadyExists: a unique name or path is taken. StaleRevision: a record
        changed meanwhile. Conflict: an intent's key is held by another intent.
        A guard that does not hold raises its own error.
        """

    async def version(self) -> int:
        """Give the highest revision ever assigned. It moves with every commit of any process."""

    async def next_number(self, name: str) -> int:
        """Give the next of a named sequence of integers from 1; durable."""

    async def setting(self, name: str) -> str | None:
        """Give a small durable value, such as the cluster's id."""

    async def put_setting(self, name: str, value: str) -> None:
        """Set it."""

    async def adopt_orphans(self) -> tuple[Sequence[Intent], Sequence[Job]]:
        """Take over what processes that no longer live left behind: open intents, and unfinished jobs without one."""

    async def lives(self, owner: str) -> bool:
        """Tell whether the process of that name has the catalog open."""

    async def acquire_lease(self, name: str) -> bool:
        """Become or stay the only process that performs the named duty; False while a living process holds it."""

    async def release_lease(self, name: str) -> None:
        """Give the duty up. Idempotent."""


class Sequences:
    """Names used with `Catalog.next_number`."""

    EXPORT_POLICY = "export_policy"


async def walk(catalog: Catalog, kind: type[R], query: Query) -> AsyncIterator[R]:
    """Yield every match of a query, page after page; `query.limit` is the size of the pages.

    Others have their turn after each page, because reading one may not pause at all.
    """
    while True:
        page = await catalog.page(kind, query)
        for record in page.records:
            yield record
        if page.cursor is None:
            return
        query = msgspec.structs.replace(query, after=page.cursor)
        await asyncio.sleep(0)
