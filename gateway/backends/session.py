"""What backends share that run blocking parts in threads of their own, from the opening of a pool to its closing."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AbstractContextManager
from typing import ParamSpec, TypeVar
from uuid import UUID

from gateway.core.locks import KeyLocks
from gateway.core.worker import Worker

P = ParamSpec("P")
T = TypeVar("T")

Guard = Callable[[], AbstractContextManager[None]]
"""Surrounds each blocking part, in its thread: errors become those of the core."""


class Session:
    """An open pool. `keys`: the locks of what is changed one at a time."""

    def __init__(self, worker: Worker, guard: Guard) -> None:
        self.worker = worker
        self.keys = KeyLocks()
        self._guard = guard

    async def run(self, fn: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
        """Run a blocking part in a thread, guarded."""

        def guarded() -> T:
            with self._guard():
                return fn(*args, **kwargs)

        return await self.worker.run(guarded)

    async def change(self, key: UUID, fn: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
        """Run a change of one object and what belongs to it: one at a time for each id."""
        async with self.keys.holding(key):
            return await self.run(fn, *args, **kwargs)
