"""The one thread that writes, with group commit.

Whatever has been queued while the disk flushed goes into the next transaction
together. A piece of work fails alone, and each caller hears of its result only
when all of them are on the disk.
"""

from __future__ import annotations

import asyncio
import contextlib
import sqlite3
import threading
from collections.abc import Callable, Sequence
from queue import Empty, SimpleQueue
from typing import Any, TypeVar

import msgspec

from gateway.catalog.connection import unavailable
from gateway.core.backend import FaultHook
from gateway.core.errors import Unavailable

T = TypeVar("T")
_GROUP_MAX = 512


class _Work(msgspec.Struct, frozen=True):
    run: Callable[[sqlite3.Connection], Any]
    future: asyncio.Future[Any]


class _Failure(msgspec.Struct, frozen=True):
    error: BaseException


class Writer:
    """Runs work in the writing thread. `transactions` counts those committed."""

    def __init__(self, connect: Callable[[], sqlite3.Connection], fault: FaultHook) -> None:
        self._connect = connect
        self._fault = fault
        self._queue: SimpleQueue[_Work | None] = SimpleQueue()
        self._thread = threading.Thread(target=self._serve, name="catalog-writer", daemon=True)
        self._closing = False
        self.transactions = 0

    async def start(self) -> None:
        """Connect; what `connect` raises is raised here."""
        self._loop = asyncio.get_running_loop()
        self._ready: asyncio.Future[None] = self._loop.create_future()
        self._ended: asyncio.Future[None] = self._loop.create_future()
        self._thread.start()
        await self._ready

    async def run(self, work: Callable[[sqlite3.Connection], T]) -> T:
        """Run the work in a savepoint and give its result once it is durable."""
        if self._closing:
            raise Unavailable(what="catalog", reason="closed")
        future: asyncio.Future[T] = self._loop.create_future()
        self._queue.put(_Work(work, future))
        return await future

    async def close(self) -> None:
        """Finish what is queued, then end the thread. Idempotent."""
        if not self._closing:
            self._closing = True
            self._queue.put(None)
        if self._thread.ident is not None:
            await asyncio.shield(self._ended)

    def _serve(self) -> None:
        try:
            connection = self._connect()
        except BaseException as error:  # noqa: BLE001 - handed to the caller of start
            self._tell([(self._ready, _Failure(error)), (self._ended, None)])
            return
        self._tell([(self._ready, None)])
        more = True
        while more:
            group, more = self._take()
            if group:
                results = self._commit(connection, group)
                self._tell([(work.future, result) for work, result in zip(group, results, strict=True)])
        with contextlib.suppress(sqlite3.Error):
            connection.close()
        self._tell([(self._ended, None)])

    def _take(self) -> tuple[list[_Work], bool]:
        """Wait for work and give all there is, and False after the last."""
        group: list[_Work] = []
        work = self._queue.get()
        while work is not None:
            group.append(work)
            if len(group) == _GROUP_MAX:
                return group, True
            try:
                work = self._queue.get_nowait()
            except Empty:
                return group, True
        return group, False

    def _commit(self, connection: sqlite3.Connection, group: Sequence[_Work]) -> list[Any]:
        try:
            connection.execute("BEGIN IMMEDIATE")
            self._fault("catalog.commit.begun")
            results = _perform(connection, group)
            self._fault("catalog.commit.written")
            connection.execute("COMMIT")
            self.transactions += 1
            self._fault("catalog.commit.durable")
        except BaseException as error:  # noqa: BLE001 - the thread must survive; every caller gets the error
            with contextlib.suppress(sqlite3.Error):
                if connection.in_transaction:
                    connection.execute("ROLLBACK")
            return [_failure(error)] * len(group)
        return results

    def _tell(self, results: Sequence[tuple[asyncio.Future[Any], Any]]) -> None:
        # A loop that is gone has nobody left to tell.
        with contextlib.suppress(RuntimeError):
            self._loop.call_soon_threadsafe(_resolve, results)


def _perform(connection: sqlite3.Connection, group: Sequence[_Work]) -> list[Any]:
    """Do all of it within the transaction that has begun, what fails excepted."""
    try:
        return [work.run(connection) for work in group]
    except Exception:
        # A full disk may have ended the whole transaction: then the group fails together.
        if len(group) == 1 or not connection.in_transaction:
            raise
    # Failures are rare and savepoints are not free: only now every piece gets its own.
    connection.execute("ROLLBACK")
    connection.execute("BEGIN IMMEDIATE")
    return [_attempt(connection, work) for work in group]


def _attempt(connection: sqlite3.Connection, work: _Work) -> Any:
    connection.execute("SAVEPOINT work")
    try:
        result = work.run(connection)
    except Exception as error:
        if not connection.in_transaction:
            raise
        connection.execute("ROLLBACK TO work")
        result = _failure(error)
    connection.execute("RELEASE work")
    return result


def _failure(error: BaseException) -> _Failure:
    if isinstance(error, sqlite3.Error | OSError):
        translated = unavailable(error)
        translated.__cause__ = error
        return _Failure(translated)
    return _Failure(error)


def _resolve(results: Sequence[tuple[asyncio.Future[Any], Any]]) -> None:
    for future, result in results:
        if future.done():
            continue
        if isinstance(result, _Failure):
            future.set_exception(result.error)
        else:
            future.set_result(result)
