"""Threads for what takes too long on the loop while a caller is not known yet; how much may wait is bounded."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Final, TypeVar

from gateway.core.errors import Busy

_THREADS: Final = 2
_WAITING_TOTAL: Final = 64
_WAITING_PER_PEER: Final = 8

T = TypeVar("T")


class Checks:
    """Runs checks of credentials. Belongs to one event loop; close it to end its threads."""

    def __init__(self, name: str) -> None:
        self._executor = ThreadPoolExecutor(_THREADS, thread_name_prefix=name)
        self._waiting: Counter[str] = Counter()

    def run(self, peer: str, check: Callable[[], T]) -> asyncio.Future[T]:
        """Give what `check` will give. Busy when the peer, or all peers together, have too many waiting."""
        if self._waiting.total() >= _WAITING_TOTAL or self._waiting[peer] >= _WAITING_PER_PEER:
            raise Busy(what="authentication", retry_after=1)
        running = asyncio.get_running_loop().run_in_executor(self._executor, check)
        self._waiting[peer] += 1
        running.add_done_callback(lambda _: self._ended(peer))
        return running

    def close(self) -> None:
        """End the threads. Idempotent."""
        self._executor.shutdown(wait=False, cancel_futures=True)

    def _ended(self, peer: str) -> None:
        self._waiting -= Counter({peer: 1})
