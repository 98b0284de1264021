"""Applies writes inside the writer's transaction: revisions, optimistic locks, unique names, intent keys."""

from __future__ import annotations

import sqlite3
from collections import Counter
from collections.abc import Mapping
from typing import Any
from uuid import UUID

import msgspec

from gateway.catalog.compile import exists_statement
from gateway.catalog.tables import INTENT_KEYS, TABLES, Child, SqlValue, Table, table_of
from gateway.core.catalog import Batch, Guard, Put
from gateway.core.errors import AlreadyExists, Conflict, StaleRevision
from gateway.core.model import Record

_JSON = msgspec.json.Encoder()


class _Statements(msgspec.Struct, frozen=True):
    insert: str
    update: str
    delete: str
    revision: str


def apply_batch(connection: sqlite3.Connection, batch: Batch) -> dict[UUID, Record]:
    """Write everything in order and give the records put, by id; raises at the first that cannot be."""
    for guard in batch.guards:
        _check(connection, guard)
    written: dict[UUID, Record] = {}
    added: Counter[str] = Counter()
    sql = "UPDATE revision SET value = value + ? RETURNING value"
    ((last,),) = connection.execute(sql, (len(batch.writes),)).fetchall()
    for revision, write in enumerate(batch.writes, last - len(batch.writes) + 1):
        if isinstance(write, Put):
            written[write.record.id] = _put(connection, write.record, revision)
            added[table_of(type(write.record)).kind] += write.record.revision == 0
        else:
            _drop(connection, write.record)
            written.pop(write.record.id, None)
            added[table_of(type(write.record)).kind] -= 1
    # Not by triggers: with them SQLite keeps a journal per statement, which costs more than the statement.
    changes = [(count, kind) for kind, count in added.items() if count]
    connection.executemany("UPDATE record_count SET value = value + ? WHERE kind = ?", changes)
    return written


def _check(connection: sqlite3.Connection, guard: Guard) -> None:
    sql = exists_statement(table_of(guard.kind), guard.where)
    ((found,),) = connection.execute(sql.text, sql.parameters).fetchall()
    if bool(found) is not guard.exists:
        raise guard.error


def _put(connection: sqlite3.Connection, record: Record, revision: int) -> Record:
    table = table_of(type(record))
    statements = _STATEMENTS[table.kind]
    stored = msgspec.structs.replace(record, revision=revision)
    row = (*table.row(record), _JSON.encode(stored).decode())
    identity = record.id.bytes
    try:
        if record.revision == 0:
            connection.execute(statements.insert, (identity, revision, *row))
        elif not connection.execute(statements.update, (revision, *row, identity, record.revision)).rowcount:
            raise _stale(connection, table, record)
    except sqlite3.IntegrityError as error:
        raise _taken(table, record, error) from error
    for child in table.children:
        values = table.child_rows(child, record)
        if record.revision:
            _clear(connection, child, identity)
        _fill(connection, child, identity, values)
    return stored


def _drop(connection: sqlite3.Connection, record: Record) -> None:
    table = table_of(type(record))
    if not connection.execute(_STATEMENTS[table.kind].delete, (record.id.bytes, record.revision)).rowcount:
        raise _stale(connection, table, record)
    for child in table.children:
        _clear(connection, child, record.id.bytes)


def _clear(connection: sqlite3.Connection, child: Child, identity: bytes) -> None:
    connection.execute(f"DELETE FROM {child.table} WHERE {child.key} = ?", (identity,))  # noqa: S608


def _fill(connection: sqlite3.Connection, child: Child, identity: bytes, values: list[SqlValue]) -> None:
    sql = f"INSERT INTO {child.table} ({child.key}, {child.column}) VALUES (?, ?)"  # noqa: S608
    for value in values:
        try:
            connection.execute(sql, (identity, value))
        except sqlite3.IntegrityError as error:
            if child.taken is not None:
                raise AlreadyExists(kind=child.taken.partition(".")[0], name=str(value), field=child.taken) from error
            if child is not INTENT_KEYS or not isinstance(value, bytes):
                raise
            raise _held(connection, value) from error


def _held(connection: sqlite3.Connection, key: bytes) -> Conflict:
    sql = "SELECT operation FROM intent WHERE id = (SELECT intent_id FROM intent_key WHERE key = ?)"
    ((holder,),) = connection.execute(sql, (key,)).fetchall()
    return Conflict(kind="volume", ref=str(UUID(bytes=key)), holder=holder)


def _stale(connection: sqlite3.Connection, table: Table[Any], record: Record) -> StaleRevision:
    """Say what the revision is; None when the record is gone."""
    found = connection.execute(_STATEMENTS[table.kind].revision, (record.id.bytes,)).fetchall()
    actual = found[0][0] if found else None
    return StaleRevision(kind=table.noun, ref=str(record.id), expected=record.revision, actual=actual)


def _taken(table: Table[Any], record: Record, error: sqlite3.IntegrityError) -> Exception:
    """Name the field behind a unique constraint; any other violation is a defect and stays what it is."""
    field = _constraint(table.taken, error)
    if field is None:
        return error
    value = getattr(record, field)
    return AlreadyExists(kind=table.noun, name=value if isinstance(value, int) else str(value), field=field)


def _constraint(taken: Mapping[str, str], error: sqlite3.IntegrityError) -> str | None:
    return taken.get(str(error).partition("UNIQUE constraint failed: ")[2])


def _compile(table: Table[Any]) -> _Statements:
    columns = ["revision", *(column.name for column in table.columns), "doc"]
    marks = ", ".join("?" * (len(columns) + 1))
    changes = ", ".join(f"{column} = ?" for column in columns)
    return _Statements(
        insert=f"INSERT INTO {table.kind} (id, {', '.join(columns)}) VALUES ({marks})",  # noqa: S608 - from tables.py
        update=f"UPDATE {table.kind} SET {changes} WHERE id = ? AND revision = ?",  # noqa: S608 - from tables.py
        delete=f"DELETE FROM {table.kind} WHERE id = ? AND revision = ?",  # noqa: S608 - from tables.py
        revision=f"SELECT revision FROM {table.kind} WHERE id = ?",  # noqa: S608 - from tables.py
    )


_STATEMENTS: Mapping[str, _Statements] = {table.kind: _compile(table) for table in TABLES.values()}
