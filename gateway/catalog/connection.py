"""Connections to the catalog's file, its migrations, and the one place where SQLite's errors become ours."""

from __future__ import annotations

import contextlib
import sqlite3
from collections.abc import Iterator
from importlib import resources
from pathlib import Path

from gateway.core.errors import Unavailable

_BUSY_S = 15.0
_STATEMENTS = 256
_WRITER_PRAGMAS = (
    "synchronous = FULL",
    "cache_size = -4000",
    "journal_size_limit = 67108864",
    "temp_store = MEMORY",  # what a savepoint needs to undo would be a file, made and removed each time
)
_READER_PRAGMAS = ("query_only = ON", "cache_size = -4000")
_SCANNER_PRAGMAS = ("query_only = ON", "cache_size = -2000")


def unavailable(error: sqlite3.Error | OSError) -> Unavailable:
    """Give the error that callers see; SQLite's text may hold SQL and stays in the chain."""
    reason = getattr(error, "sqlite_errorname", None) or type(error).__name__
    return Unavailable(what="catalog", reason=reason)


@contextlib.contextmanager
def translated() -> Iterator[None]:
    """Raise Unavailable for every failure of SQLite."""
    try:
        yield
    except (sqlite3.Error, OSError) as error:
        raise unavailable(error) from error


def connect_writer(path: Path) -> sqlite3.Connection:
    """Open for writing, in WAL mode and migrated; commits survive a power cut."""
    connection = _connect(path)
    try:
        connection.execute("PRAGMA journal_mode = WAL").fetchall()
        _set(connection, _WRITER_PRAGMAS)
        _migrate(connection)
    except BaseException:
        connection.close()
        raise
    return connection


def connect_reader(path: Path) -> sqlite3.Connection:
    """Open for short reads on the event loop: keeps statements, never waits for a lock."""
    connection = _connect(path, busy_s=0)
    _set(connection, _READER_PRAGMAS)
    return connection


def connect_scanner(path: Path) -> sqlite3.Connection:
    """Open for the reads that take their time; keeps no statements, which may be large and rare."""
    connection = _connect(path, statements=0)
    _set(connection, _SCANNER_PRAGMAS)
    return connection


def _connect(path: Path, *, busy_s: float = _BUSY_S, statements: int = _STATEMENTS) -> sqlite3.Connection:
    return sqlite3.connect(
        path,
        timeout=busy_s,
        isolation_level=None,
        check_same_thread=False,
        cached_statements=statements,
    )


def _set(connection: sqlite3.Connection, pragmas: tuple[str, ...]) -> None:
    for pragma in pragmas:
        connection.execute(f"PRAGMA {pragma}").fetchall()


def _migrate(connection: sqlite3.Connection) -> None:
    migrations = _migrations()
    connection.create_function("casefold", 1, str.casefold, deterministic=True)
    connection.execute("BEGIN IMMEDIATE")
    try:
        current = _schema_version(connection, len(migrations))
        for number, script in enumerate(migrations[current:], current + 1):
            for statement in _statements(script):
                connection.execute(statement)
            connection.execute(f"PRAGMA user_version = {number}")
        connection.execute("COMMIT")
    except BaseException:
        if connection.in_transaction:
            connection.execute("ROLLBACK")
        raise


def _schema_version(connection: sqlite3.Connection, known: int) -> int:
    ((current,),) = connection.execute("PRAGMA user_version").fetchall()
    if current > known:
        raise Unavailable(what="catalog", reason="written by a newer release")
    return int(current)


def _migrations() -> list[str]:
    folder = resources.files("gateway.catalog") / "schema"
    files = sorted((file for file in folder.iterdir() if file.name.endswith(".sql")), key=lambda file: file.name)
    return [file.read_text("utf-8") for file in files]


def _statements(script: str) -> Iterator[str]:
    """Cut a script: sqlite3.executescript would commit before it begins."""
    pending = ""
    for line in script.splitlines(keepends=True):
        pending += line
        if sqlite3.complete_statement(pending):
            yield pending
            pending = ""
