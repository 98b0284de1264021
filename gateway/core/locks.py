"""Ordered async locks by id, for callers within one process.

Between processes an intent's key rows in the catalog exclude others; these
locks only spare local callers the round trip, and make them wait instead of
fail.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterable
from contextlib import asynccontextmanager
from uuid import UUID


class KeyLocks:
    """Locks that exist only while somebody holds or awaits them."""

    def __init__(self) -> None:
        self._locks: dict[UUID, tuple[asyncio.Lock, int]] = {}

    async def acquire(self, keys: Iterable[UUID]) -> tuple[UUID, ...]:
        """Take all keys in id order, so that two callers cannot wait for each other; give what `release` wants."""
        ordered = tuple(sorted(set(keys)))
        taken: list[UUID] = []
        try:
            for key in ordered:
                lock, users = self._locks.get(key) or (asyncio.Lock(), 0)
                self._locks[key] = (lock, users + 1)
                try:
                    await lock.acquire()
                except BaseException:
                    self._leave(key)
                    raise
                taken.append(key)
        except BaseException:
            self.release(taken)
            raise
        return ordered

    def release(self, keys: Iterable[UUID]) -> None:
        """Give back keys that `acquire` took."""
        for key in keys:
            self._locks[key][0].release()
            self._leave(key)

    def held(self, key: UUID) -> bool:
        """Tell whether somebody holds or awaits the key."""
        return key in self._locks

    @asynccontextmanager
    async def holding(self, *keys: UUID) -> AsyncIterator[None]:
        """Hold the keys for a block."""
        taken = await self.acquire(keys)
        try:
            yield
        finally:
            self.release(taken)

    def _leave(self, key: UUID) -> None:
        lock, users = self._locks[key]
        if users == 1:
            del self._locks[key]
        else:
            self._locks[key] = (lock, users - 1)
