"""Sorted streams side by side."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Generic, TypeVar

from gateway.core.errors import Unavailable

A = TypeVar("A")
B = TypeVar("B")
C = TypeVar("C")
T = TypeVar("T")


class _Stream(Generic[T]):
    def __init__(self, items: Iterator[T], order: Callable[[T], bytes], end: str) -> None:
        self._items = items
        self._order = order
        self._end = end
        self._head: T | None = None
        self.place: bytes | None = None
        self._advance()

    def at(self, place: bytes) -> T | None:
        """Give what is at a place, if anything."""
        return self._head if self.place == place else None

    def leave(self, place: bytes) -> None:
        """Go on if it is at a place."""
        if self.place == place:
            self._advance()

    def _advance(self) -> None:
        before, self._head = self.place, next(self._items, None)
        self.place = None if self._head is None else self._order(self._head)
        if before is not None and self.place is not None and self.place <= before:
            raise Unavailable(what=self._end, reason="what it lists is in no order")


def aligned(
    one: tuple[Iterator[A], Callable[[A], bytes]],
    two: tuple[Iterator[B], Callable[[B], bytes]],
    three: tuple[Iterator[C], Callable[[C], bytes]],
    *,
    end: str,
) -> Iterator[tuple[A | None, B | None, C | None]]:
    """Yield what three streams have at each place, each with what gives the place. Unavailable when one goes back.

    None goes on before the next row is asked for.
    """
    first, second, third = _Stream(*one, end), _Stream(*two, end), _Stream(*three, end)
    while places := [each.place for each in (first, second, third) if each.place is not None]:
        least = min(places)
        yield first.at(least), second.at(least), third.at(least)
        for each in (first, second, third):
            each.leave(least)
