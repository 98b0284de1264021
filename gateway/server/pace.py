"""How often each caller may ask."""

from __future__ import annotations

import math
import time
from collections import OrderedDict
from collections.abc import Callable
from typing import Final

from gateway.core.errors import Busy

REQUESTS: Final = "requests"
"""What a caller that asks too often is told to be busy."""

_CALLERS_MAX: Final = 16_384


class Pace:
    """A bucket per caller: `burst` requests at once, `rate` more each second. Belongs to one event loop.

    `rate` 0: as often as they like.
    """

    def __init__(self, rate: float = 0.0, burst: int = 1, *, clock: Callable[[], float] = time.monotonic) -> None:
        self._rate = rate
        self._burst = float(burst)
        self._clock = clock
        self._kept: OrderedDict[str, tuple[float, float]] = OrderedDict()

    def admit(self, caller: str) -> None:
        """Take one request; Busy, which says how many seconds to wait, when there is none left."""
        if not self._rate:
            return
        now = self._clock()
        left, since = self._kept.get(caller, (self._burst, now))
        left = min(self._burst, left + (now - since) * self._rate)
        if left < 1:
            raise Busy(what=REQUESTS, retry_after=math.ceil((1 - left) / self._rate))
        self._kept[caller] = left - 1, now
        self._kept.move_to_end(caller)
        if len(self._kept) > _CALLERS_MAX:
            self._kept.popitem(last=False)
