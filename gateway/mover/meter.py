"""What goes along with a move: it counts, tells of it now and then, and keeps it as slow as it has to be."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable

from gateway.core.backend import FaultHook, no_fault
from gateway.core.mover import MoveProgress

_TELL_S = 0.5
_BURST_S = 0.25
_STRIDE_MIN, _STRIDE_MAX = 4096, 1024 * 1024


class Meter:
    """The counters of one move. Threads may share it.

    rate: the most bytes per second; 0: as many as there can be.
    tell: is called with the counters, at most twice a second.
    wait: waits so many seconds.
    fault: is told of every step, see `gateway.mover.faults`.
    """

    def __init__(
        self,
        rate: int,
        tell: Callable[[MoveProgress], None],
        *,
        clock: Callable[[], float] = time.monotonic,
        wait: Callable[[float], None] = time.sleep,
        fault: FaultHook = no_fault,
    ) -> None:
        self._rate = rate
        self._tell = tell
        self._clock = clock
        self._wait = wait
        self._fault = fault
        self._lock = threading.Lock()
        self._bytes = 0
        self._files = 0
        self._free = clock()
        self._told = self._free - _TELL_S

    def passed(self, step: str) -> None:
        """Tell of a step."""
        self._fault(f"mover.{step}")

    @property
    def stride(self) -> int:
        """Give how many bytes are to be written at once, so that a low rate is no alternation of bursts and silence."""
        return max(_STRIDE_MIN, int(self._rate * _BURST_S)) if self._rate else _STRIDE_MAX

    def allow(self, count: int) -> None:
        """Wait until so many bytes more may be moved. What was not used for a while does not add up."""
        if not self._rate:
            return
        with self._lock:
            now = self._clock()
            if self._free > now:
                self._wait(self._free - now)
            self._free = max(self._free, now - _BURST_S) + count / self._rate

    def moved(self, count: int) -> None:
        """Count bytes that were written to the destination."""
        self._count(count, 0)

    def file(self) -> None:
        """Count a file that was made or changed."""
        self._count(0, 1)

    def _count(self, count: int, files: int) -> None:
        with self._lock:
            self._bytes += count
            self._files += files
            now = self._clock()
            if now - self._told >= _TELL_S:
                self._told = now
                self._tell(self.progress)

    @property
    def progress(self) -> MoveProgress:
        """Give the counters."""
        return MoveProgress(bytes_transferred=self._bytes, bytes_total=None, files=self._files)
