"""Threads that may be lost: for touching what can hang for ever.

A call into a dead file server cannot be ended from outside. So each call gets
a thread of its own that nobody has to wait for, a deadline, and a place among
few; a circuit keeps callers from following one another into the silence.
"""

from __future__ import annotations

import asyncio
import contextlib
import threading
import time
from collections.abc import Callable
from typing import Any, ParamSpec, TypeVar

from gateway.core.errors import Timeout, Unavailable

P = ParamSpec("P")
T = TypeVar("T")

_PATIENCE_MAX = 6


class _Call:
    """One blocking function on its way. `given_up`: its caller has gone on without it."""

    def __init__(self, outcome: asyncio.Future[Any]) -> None:
        self.outcome = outcome
        self.given_up = False


class ExpendableWorker:
    """Runs blocking functions like `gateway.core.worker.Worker`, but waits for none longer than `deadline_s`.

    threads: how many calls may be under way at once; others wait for a place, within their deadline.
    what: names the thing that is touched, in errors.
    trips: after so many calls in a row that did not come back the circuit is
        open, and every call raises Unavailable at once. It closes when a call
        comes back, however late; and every `rest_s` seconds (twice as long after
        each failure) one call is let through to try.
    spare: so many calls more than `trips` may hang before nothing is tried any more.
    """

    def __init__(
        self,
        name: str,
        threads: int,
        *,
        what: str,
        deadline_s: float = 30.0,
        trips: int = 3,
        rest_s: float = 30.0,
        spare: int = 8,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._name = name
        self._places = asyncio.Semaphore(threads)
        self._what = what
        self._deadline_s = deadline_s
        self._trips = trips
        self._rest_s = rest_s
        self._lost_max = trips + spare
        self._clock = clock
        self._calls: set[_Call] = set()
        self._silent = 0
        self._again_at = 0.0
        self._here = threading.local()

    @property
    def lost(self) -> int:
        """Give how many calls hang that nobody waits for any more."""
        return sum(call.given_up for call in self._calls)

    async def run(self, fn: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
        """Give what `fn` returns or raises.

        Timeout when it has not ended at its deadline; it then goes on without
        us until it calls `check`. Unavailable while the circuit is open.
        """
        end = self._clock() + self._deadline_s
        trying = self._admit()
        await self._take_place(end)
        try:
            if not trying:
                self._admit()
            call = self._start(lambda: fn(*args, **kwargs))
            try:
                await asyncio.wait((call.outcome,), timeout=end - self._clock())
            except asyncio.CancelledError:
                await asyncio.wait((call.outcome,), timeout=end - self._clock())
                self._settle(call)
                raise
            if not self._settle(call):
                raise self._timeout()
        finally:
            self._places.release()
        outcome: asyncio.Future[T] = call.outcome
        return outcome.result()

    def check(self) -> None:
        """Raise Timeout in a call that was given up; to be called by functions that run here, between two steps."""
        call = getattr(self._here, "call", None)
        if call is not None and call.given_up:
            raise self._timeout()

    async def close(self) -> None:
        """Wait for what was started, each until its deadline; leave behind what hangs.

        The worker can be used again, and knows what still hangs: a new one for
        the same server would begin to lose threads anew.
        """
        waiting = [call.outcome for call in self._calls if not call.given_up]
        if waiting:
            await asyncio.wait(waiting, timeout=self._deadline_s)

    def _admit(self) -> bool:
        """Tell whether this call is one that tries an open circuit; Unavailable when it may not go."""
        if self._silent < self._trips:
            return False
        now = self._clock()
        if now < self._again_at or self.lost >= self._lost_max:
            reason = "it did not answer several times and is left alone until it does"
            raise Unavailable(what=self._what, reason=reason)
        # The one call that tries; others keep waiting for its outcome.
        self._again_at = now + self._rest() + self._deadline_s
        return True

    async def _take_place(self, end: float) -> None:
        try:
            async with asyncio.timeout(end - self._clock()):
                await self._places.acquire()
        except TimeoutError:
            raise self._timeout() from None

    def _start(self, fn: Callable[[], object]) -> _Call:
        loop = asyncio.get_running_loop()
        call = _Call(loop.create_future())
        self._calls.add(call)

        def ended(result: object, error: BaseException | None) -> None:
            self._calls.discard(call)
            self._silent = 0
            if call.given_up:
                return
            if error is None:
                call.outcome.set_result(result)
            else:
                call.outcome.set_exception(error)

        def work() -> None:
            self._here.call = call
            result, error = None, None
            try:
                result = fn()
            except BaseException as raised:  # noqa: BLE001 - handed to whoever awaits it
                error = raised
            # A loop that is gone has nobody who would want to know.
            with contextlib.suppress(RuntimeError):
                loop.call_soon_threadsafe(ended, result, error)

        threading.Thread(target=work, name=self._name, daemon=True).start()
        return call

    def _settle(self, call: _Call) -> bool:
        """Tell whether a call has come back; give it up if not."""
        if call.outcome.done():
            call.outcome.exception()
            return True
        call.given_up = True
        self._silent += 1
        self._again_at = self._clock() + self._rest()
        return False

    def _rest(self) -> float:
        return self._rest_s * 2.0 ** min(max(self._silent - self._trips, 0), _PATIENCE_MAX)

    def _timeout(self) -> Timeout:
        return Timeout(what=self._what, after=int(self._deadline_s))
