"""Things done beside each other, whose outcomes come in order: requests to a store mostly wait for it."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from typing import Generic, TypeVar

T = TypeVar("T")


class Lanes(Generic[T]):
    """Hands outcomes to `take`, in the order in which they were asked for."""

    def __init__(self, executor: ThreadPoolExecutor, take: Callable[[T], None], *, ahead: int) -> None:
        self._executor = executor
        self._take = take
        self._ahead = ahead
        self._waiting: deque[Future[T]] = deque()

    def ask(self, work: Callable[[], T]) -> None:
        """Have something done in a thread. Waits while much is ahead of it; raises what has gone wrong."""
        self._waiting.append(self._executor.submit(work))
        self._drain(self._ahead)

    def hand(self, outcome: T) -> None:
        """Hand over what needs no doing, in its turn."""
        known: Future[T] = Future()
        known.set_result(outcome)
        self._waiting.append(known)
        self._drain(self._ahead)

    def finish(self) -> None:
        """Wait for everything."""
        self._drain(0)

    def _drain(self, most: int) -> None:
        while len(self._waiting) > most or (self._waiting and self._waiting[0].done()):
            self._take(self._waiting.popleft().result())


@contextmanager
def lanes(count: int, take: Callable[[T], None]) -> Iterator[Lanes[T]]:
    """Give so many lanes; at the end of the block everything is done, or what has not begun is dropped."""
    executor = ThreadPoolExecutor(count)
    try:
        made: Lanes[T] = Lanes(executor, take, ahead=4 * count)
        yield made
        made.finish()
    finally:
        executor.shutdown(cancel_futures=True)
