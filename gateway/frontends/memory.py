"""What doors keep of finished work, bounded by bytes; the oldest goes first."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Hashable
from typing import Generic, TypeVar

V = TypeVar("V")
_ENTRY_BYTES = 2048
"""About what an entry takes beside the weight that its maker tells."""


class Memory(Generic[V]):
    """Values by key. What weighs more than a quarter of the limit is not kept."""

    def __init__(self, limit: int) -> None:
        self._limit = limit
        self._size = 0
        self._kept: OrderedDict[Hashable, tuple[V, int]] = OrderedDict()

    def get(self, key: Hashable) -> V | None:
        """Give a value if it is kept."""
        found = self._kept.get(key)
        return None if found is None else found[0]

    def put(self, key: Hashable, value: V, weight: int) -> None:
        """Keep a value that takes `weight` bytes, its key included."""
        weight += _ENTRY_BYTES
        if weight > self._limit // 4 or key in self._kept:
            return
        self._kept[key] = value, weight
        self._size += weight
        while self._size > self._limit:
            self._size -= self._kept.popitem(last=False)[1][1]

    def clear(self) -> None:
        """Forget everything."""
        self._kept.clear()
        self._size = 0


class Answers(Generic[V]):
    """Answers to reads, valid while nothing in the catalog changes: `version` is the catalog's."""

    def __init__(self, limit: int) -> None:
        self._version = -1
        self._kept: Memory[V] = Memory(limit)

    def get(self, key: Hashable, version: int) -> V | None:
        """Give an answer if it is as fresh as the catalog."""
        if version != self._version:
            self._kept.clear()
            self._version = version
        return self._kept.get(key)

    def put(self, key: Hashable, version: int, answer: V, *, weight: int) -> None:
        """Keep an answer that was computed entirely after `version` was read. It takes `weight` bytes with its key."""
        if version == self._version:
            self._kept.put(key, answer, weight)
