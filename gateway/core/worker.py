"""A bounded executor with one owner, for blocking work."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Any, ParamSpec, TypeVar

P = ParamSpec("P")
T = TypeVar("T")


class Worker:
    """Runs blocking functions on at most `threads` threads of its own, never on the loop's executor."""

    def __init__(self, name: str, threads: int) -> None:
        self._executor = ThreadPoolExecutor(threads, thread_name_prefix=name)
        self._unfinished: set[Future[Any]] = set()

    async def run(self, fn: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
        """Give what `fn` returns or raises. A thread cannot be stopped, so cancelling waits for a started `fn`."""
        future = self._executor.submit(fn, *args, **kwargs)
        self._unfinished.add(future)
        future.add_done_callback(self._unfinished.discard)
        waiter = asyncio.wrap_future(future)
        try:
            return await asyncio.shield(waiter)
        except asyncio.CancelledError:
            if not future.cancel():
                await asyncio.wait((waiter,))
                waiter.exception()
            raise

    async def begin(self, fn: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
        """Run what opens the thing that the threads are for; they end when that fails."""
        try:
            return await self.run(fn, *args, **kwargs)
        except BaseException:
            await self.close()
            raise

    async def close(self) -> None:
        """Wait for what was started, cancel what was not, end the threads. Idempotent."""
        self._executor.shutdown(wait=False, cancel_futures=True)
        started = [asyncio.wrap_future(future) for future in tuple(self._unfinished)]
        await asyncio.gather(*started, return_exceptions=True)
        self._executor.shutdown()
