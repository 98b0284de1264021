"""The catalog on one SQLite file, shared by any number of processes of one host.

Reads go through the `Reader`, on the event loop because a point read or a page
is shorter than a hop to a thread. Writes go through the `Writer`, one thread
that commits in groups.
"""

from __future__ import annotations

import asyncio
import sqlite3
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any, TypeVar
from uuid import UUID

import msgspec

from gateway.catalog.batch import apply_batch
from gateway.catalog.compile import FEW, PagePlan, count_statement, plan_page
from gateway.catalog.connection import connect_writer, translated
from gateway.catalog.cursor import decode_cursor, encode_cursor
from gateway.catalog.owners import Owners
from gateway.catalog.reader import Reader, Row
from gateway.catalog.tables import TABLES, R, SqlValue, table_of
from gateway.catalog.writer import Writer
from gateway.core.backend import FaultHook, no_fault
from gateway.core.catalog import Batch, Page, put
from gateway.core.errors import Unavailable
from gateway.core.model import Intent, Job, Record
from gateway.core.query import Filter, Query

T = TypeVar("T")
Owned = TypeVar("Owned", Intent, Job)

# A page of 1,000, and the row that tells whether there is more.
_SLICE = 1_001
_IDS = 256
_UNFINISHED = "state IN ('queued', 'running', 'paused')"


class SqliteCatalog:
    """See `gateway.core.catalog.Catalog`. Belongs to the event loop on which it was opened."""

    def __init__(self, path: Path, *, fault: FaultHook = no_fault) -> None:
        self._path = path
        self._fault = fault
        self._owners = Owners(path.parent / "owners")
        self._writer: Writer | None = None
        self._reader: Reader | None = None
        self._seen: tuple[int, int] = (-1, 0)
        self._gets: Mapping[type[Any], str] = {
            kind: f"SELECT doc FROM {table.kind} WHERE id = ?"  # noqa: S608 - names come from tables.py
            for kind, table in TABLES.items()
        }

    async def open(self) -> None:
        """Create or migrate the store and register this process as an owner."""
        writer = Writer(self._open_store, self._fault)
        with translated():
            await writer.start()
            try:
                self._reader = Reader(self._path)
            except BaseException:
                await writer.close()
                self._owners.resign()
                raise
        self._writer = writer
        self._seen = (-1, 0)

    async def close(self) -> None:
        """Finish pending commits. Idempotent."""
        if self._writer is not None:
            await self._writer.close()
        reader, self._reader, self._writer = self._reader, None, None
        if reader is not None:
            await reader.close()
        self._owners.resign()

    @property
    def owner(self) -> str:
        """Name of this process: host, process number and a random part."""
        return self._owners.name

    @property
    def transactions(self) -> int:
        """How many transactions this process committed; with group commit fewer than its commits."""
        return 0 if self._writer is None else self._writer.transactions

    async def get(self, kind: type[R], record_id: UUID) -> R | None:
        """Give one record by id."""
        rows = await self._fetch(self._gets[kind], (record_id.bytes,))
        return table_of(kind).decoder.decode(rows[0][0]) if rows else None

    async def get_many(self, kind: type[R], ids: Iterable[UUID]) -> Mapping[UUID, R]:
        """Give those of the records that exist."""
        table, found = table_of(kind), dict[UUID, R]()
        keys = [record_id.bytes for record_id in dict.fromkeys(ids)]
        for start in range(0, len(keys), _IDS):
            chunk = keys[start : start + _IDS]
            # Few sizes make few statements, which stay prepared.
            size = 1 << (len(chunk) - 1).bit_length()
            marks = ", ".join("?" * size)
            sql = f"SELECT doc FROM {table.kind} WHERE id IN ({marks})"  # noqa: S608 - names come from tables.py
            for (doc,) in await self._fetch(sql, (*chunk, *chunk[:1] * (size - len(chunk)))):
                record = table.decoder.decode(doc)
                found[record.id] = record
            if len(chunk) == _IDS:
                await asyncio.sleep(0)
        return found

    async def page(self, kind: type[R], query: Query) -> Page[R]:
        """Give one page by key. The id breaks ties, so every order is total."""
        plan = await self._settled(plan_page(table_of(kind), query))
        after = None if query.after is None else decode_cursor(plan, query.after)
        # Behind a cursor the result is made of several statements, so rows are skipped here instead.
        skip = 0 if after is None else query.offset
        offset = 0 if after is not None else query.offset
        wanted = query.limit + skip + 1
        rows: list[tuple[R, Row]] = []
        while True:
            size = min(_SLICE, wanted - len(rows))
            part = await self._slice(plan, after, size, offset)
            rows += [(plan.table.decoder.decode(row[0]), row[1:]) for row in part]
            if len(part) < size or len(rows) == wanted:
                break
            after, offset = rows[-1][1], 0
            await asyncio.sleep(0)
        kept = rows[skip : skip + query.limit]
        cursor = encode_cursor(plan, kept[-1][1]) if len(rows) == wanted else None
        return Page(tuple(record for record, _ in kept), cursor)

    async def count(self, kind: type[R], where: Filter) -> int:
        """Count matches; without a filter it costs the same whatever the number of records."""
        statement = count_statement(table_of(kind), where)
        ((count,),) = await self._fetch(statement.text, statement.parameters)
        return int(count)

    def fields(self, kind: type[R]) -> frozenset[str]:
        """Give the names that a query of this kind may filter and order by."""
        return frozenset(table_of(kind).fields)

    async def commit(self, batch: Batch) -> Mapping[UUID, Record]:
        """Make the batch durable and give the records put, with their new revisions, by id."""
        if not batch.writes:
            return {}
        return await self._write(lambda connection: apply_batch(connection, batch))

    async def version(self) -> int:
        """Give the highest revision ever assigned, of any process."""
        ((data_version,),) = await self._fetch("PRAGMA data_version")
        if data_version != self._seen[0]:
            ((revision,),) = await self._fetch("SELECT value FROM revision")
            self._seen = (data_version, revision)
        return self._seen[1]

    async def next_number(self, name: str) -> int:
        """Give the next of a named sequence of integers from 1; durable."""
        sql = (
            "INSERT INTO sequence (name, value) VALUES (?, 1)"
            " ON CONFLICT (name) DO UPDATE SET value = value + 1 RETURNING value"
        )
        return await self._write(lambda connection: int(connection.execute(sql, (name,)).fetchall()[0][0]))

    async def setting(self, name: str) -> str | None:
        """Give a small durable value."""
        rows = await self._fetch("SELECT value FROM setting WHERE name = ?", (name,))
        return str(rows[0][0]) if rows else None

    async def put_setting(self, name: str, value: str) -> None:
        """Set it."""
        sql = "INSERT OR REPLACE INTO setting (name, value) VALUES (?, ?)"
        await self._write(lambda connection: connection.execute(sql, (name, value)).fetchall())

    async def adopt_orphans(self) -> tuple[Sequence[Intent], Sequence[Job]]:
        """Take over what processes that no longer live left behind."""
        return await self._write(self._adopt)

    async def lives(self, owner: str) -> bool:
        """Tell whether the process of that name has the catalog open."""
        return owner == self.owner or self._owners.lives(owner)

    async def acquire_lease(self, name: str) -> bool:
        """Become or stay the only process that performs the named duty."""
        rows = await self._fetch("SELECT owner FROM lease WHERE name = ?", (name,))
        if rows and rows[0][0] == self.owner:
            return True
        return await self._write(lambda connection: self._take_lease(connection, name))

    async def release_lease(self, name: str) -> None:
        """Give the duty up. Idempotent."""
        sql = "DELETE FROM lease WHERE name = ? AND owner = ?"
        await self._write(lambda connection: connection.execute(sql, (name, self.owner)).fetchall())

    def _open_store(self) -> sqlite3.Connection:
        with self._owners.opening():
            connection = connect_writer(self._path)
            self._owners.register()
        return connection

    async def _write(self, work: Callable[[sqlite3.Connection], T]) -> T:
        if self._writer is None:
            raise Unavailable(what="catalog", reason="not open")
        return await self._writer.run(work)

    async def _settled(self, plan: PagePlan) -> PagePlan:
        """Decide in which way a plan looks for its records."""
        for lead in plan.leads:
            ((count,),) = await self._fetch(lead.count.text, lead.count.parameters)
            if count < FEW:
                return plan.led(lead)
        return plan

    async def _slice(self, plan: PagePlan, after: Row | None, size: int, offset: int) -> list[Row]:
        rows: list[Row] = []
        for statement in plan.statements(after):
            rows += await self._fetch(statement.text, (*statement.parameters, size - len(rows), offset))
            if len(rows) == size:
                break
        return rows

    async def _fetch(self, sql: str, parameters: tuple[SqlValue, ...] = ()) -> list[Row]:
        if self._reader is None:
            raise Unavailable(what="catalog", reason="not open")
        return await self._reader.fetch(sql, parameters)

    def _take_lease(self, connection: sqlite3.Connection, name: str) -> bool:
        rows = connection.execute("SELECT owner FROM lease WHERE name = ?", (name,)).fetchall()
        if rows and rows[0][0] != self.owner and self._owners.lives(rows[0][0]):
            return False
        connection.execute("INSERT OR REPLACE INTO lease (name, owner) VALUES (?, ?)", (name, self.owner))
        return True

    def _adopt(self, connection: sqlite3.Connection) -> tuple[list[Intent], list[Job]]:
        owners = connection.execute(
            f"SELECT owner FROM intent UNION SELECT owner FROM job WHERE {_UNFINISHED}"  # noqa: S608 - a constant
        ).fetchall()
        dead = [owner for (owner,) in owners if owner != self.owner and not self._owners.lives(owner)]
        intents = self._inherit(connection, Intent, dead, "true")
        jobs = self._inherit(connection, Job, dead, _UNFINISHED)
        carried = {job_id for (job_id,) in connection.execute("SELECT job_id FROM intent").fetchall()}
        return intents, [job for job in jobs if job.id.bytes not in carried]

    def _inherit(
        self, connection: sqlite3.Connection, kind: type[Owned], dead: Sequence[str], condition: str
    ) -> list[Owned]:
        table = table_of(kind)
        sql = f"SELECT doc FROM {table.kind} WHERE owner = ? AND {condition}"  # noqa: S608 - constants
        docs = [doc for owner in dead for (doc,) in connection.execute(sql, (owner,)).fetchall()]
        if not docs:
            return []
        mine = [msgspec.structs.replace(table.decoder.decode(doc), owner=self.owner) for doc in docs]
        written = apply_batch(connection, put(*mine))
        return [msgspec.structs.replace(record, revision=written[record.id].revision) for record in mine]
