"""What lives from the opening of a pool to its closing: its threads, its locks by id, and its chores."""

from __future__ import annotations

import asyncio
import contextlib
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import ParamSpec, Protocol, TypeVar
from uuid import UUID

import structlog

from gateway.backends.files.failures import translated
from gateway.backends.files.parts import Parts
from gateway.backends.files.trash import Trash
from gateway.backends.files.usage import SLICE_S
from gateway.core.errors import Busy, GatewayError
from gateway.core.locks import KeyLocks

log = structlog.get_logger(__name__)

P = ParamSpec("P")
T = TypeVar("T")


class Work(Protocol):
    """Runs blocking functions: a `Worker`, or an `ExpendableWorker` where calls may hang."""

    async def run(self, fn: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
        """Give what `fn` returns or raises."""

    async def close(self) -> None:
        """End the threads. Idempotent."""


class Turns:
    """What threads are changing. It outlives a session, because a thread that hangs does so too."""

    def __init__(self, pool: str) -> None:
        self._pool = pool
        self._taken: set[UUID] = set()
        self._guard = threading.Lock()

    @contextmanager
    def alone(self, key: UUID) -> Iterator[None]:
        """Be the only one to change something for a block; Busy when another thread still is at it."""
        with self._guard:
            if key in self._taken:
                raise Busy(what=self._pool)
            self._taken.add(key)
        try:
            yield
        finally:
            with self._guard:
                self._taken.discard(key)


class Session:
    """An open pool. To be made within the loop that uses it."""

    def __init__(self, parts: Parts, work: Work, turns: Turns) -> None:
        self.parts = parts
        self.pool = parts.pool
        self.volumes = parts.volumes
        self.copies = parts.copies
        self._work = work
        self._turns = turns
        self._keys = KeyLocks()
        self._trash = Trash(self.pool.name, self.pool.layout)
        self._due = asyncio.Event()
        self._due.set()
        self._idle = asyncio.Event()
        self._chores = asyncio.create_task(self._do_chores())

    async def run(self, fn: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
        """Run a blocking part in a thread, with the pool still in its place and errors as the core knows them."""

        def guarded() -> T:
            with translated(self.pool.name), self.pool.touched():
                return fn(*args, **kwargs)

        try:
            return await self._work.run(guarded)
        finally:
            if self.pool.littered or self.volumes.usage.unfinished:
                self._idle.clear()
                self._due.set()

    async def change(self, key: UUID, fn: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
        """Run a change of one object and what belongs to it: one at a time for each id.

        Busy while an earlier change, that its caller gave up, has not ended.
        """

        def alone() -> T:
            with self._turns.alone(key):
                return fn(*args, **kwargs)

        async with self._keys.holding(key):
            return await self.run(alone)

    async def idle(self) -> None:
        """Wait until there is nothing left to sweep and to count, or until that failed."""
        await self._idle.wait()

    async def close(self) -> None:
        """End the chores, let go of the pool, then end the threads."""
        self._chores.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await self._chores
        try:
            await self._work.run(self.pool.hold.close)
        except GatewayError:
            # A server that does not answer holds whoever gives its lock back; nobody waits for this thread.
            threading.Thread(target=self.pool.hold.close, name=f"{self.pool.name}-leaving", daemon=True).start()
        await self._work.close()

    # --- chores ---

    async def _do_chores(self) -> None:
        """Sweep the trash and count usage after every call that may have given cause to, slice by slice."""
        while True:
            await self._due.wait()
            self._due.clear()
            try:
                while await self._work.run(self._chore):
                    pass
            except GatewayError as error:
                log.info("chores put off", pool=self.pool.name, error=repr(error))
            if not self._due.is_set():
                self._idle.set()

    def _chore(self) -> bool:
        with translated(self.pool.name), self.pool.touched():
            # Only set from here on: a change may throw something away after the sweep has looked.
            self.pool.littered = False
            try:
                more = self._trash.sweep(SLICE_S)
            except OSError:
                self.pool.littered = True
                raise
            if more:
                self.pool.littered = True
            return self.volumes.usage.go_on() or self.pool.littered
