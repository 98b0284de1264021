"""Reads: on the event loop while they are short, in a thread of their own when they are not."""

from __future__ import annotations

import asyncio
import sqlite3
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

from gateway.catalog.connection import connect_reader, connect_scanner, translated, unavailable
from gateway.catalog.tables import SqlValue

Row = tuple[Any, ...]

_BUDGET_S = 0.005
_INSTRUCTIONS = 5_000
_SHORT = 4_000
_LATER = frozenset({sqlite3.SQLITE_INTERRUPT, sqlite3.SQLITE_BUSY})


class Reader:
    """Runs statements that change nothing. Belongs to the event loop on which it was made."""

    def __init__(self, path: Path) -> None:
        self._near = connect_reader(path)
        self._far = connect_scanner(path)
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="catalog-scan")
        self._deadline = 0.0
        self._closed = False
        self._near.set_progress_handler(self._overdue, _INSTRUCTIONS)
        self._far.set_progress_handler(lambda: self._closed, _INSTRUCTIONS)

    async def fetch(self, sql: str, parameters: tuple[SqlValue, ...] = ()) -> list[Row]:
        """Give all rows. A read that outlasts its budget, or meets a lock, is repeated where it disturbs nobody."""
        if len(sql) <= _SHORT:
            self._deadline = time.monotonic() + _BUDGET_S
            try:
                return self._near.execute(sql, parameters).fetchall()
            except sqlite3.Error as error:
                if not isinstance(error, sqlite3.OperationalError) or error.sqlite_errorcode & 0xFF not in _LATER:
                    raise unavailable(error) from error
        with translated():
            loop = asyncio.get_running_loop()
            return await loop.run_in_executor(self._thread, _fetch_all, self._far, sql, parameters)

    async def close(self) -> None:
        """Abandon reads under way."""
        self._closed = True
        await asyncio.get_running_loop().run_in_executor(self._thread, self._far.close)
        self._thread.shutdown()
        self._near.close()

    def _overdue(self) -> bool:
        return time.monotonic() > self._deadline


def _fetch_all(connection: sqlite3.Connection, sql: str, parameters: tuple[SqlValue, ...]) -> list[Row]:
    return connection.execute(sql, parameters).fetchall()
