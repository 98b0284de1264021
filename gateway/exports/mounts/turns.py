"""Turns: what is done to one volume is done one after the other, and nobody waits long for a call that hangs."""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Callable, Iterator
from uuid import UUID

from gateway.core.errors import Busy
from gateway.exports.mounts.points import WHAT

_WAIT_S = 2.0


class Turns:
    """The turns of all volumes. `check` raises in a call that nobody waits for any more."""

    def __init__(self, check: Callable[[], None]) -> None:
        self.check = check
        self._lock = threading.Lock()
        self._turns: dict[UUID, tuple[threading.Lock, int]] = {}

    @contextlib.contextmanager
    def of(self, volume_id: UUID) -> Iterator[None]:
        """Work on a volume alone. Busy while another call goes on for long."""
        with self._lock:
            turn, waiting = self._turns.get(volume_id, (threading.Lock(), 0))
            self._turns[volume_id] = (turn, waiting + 1)
        try:
            if not turn.acquire(timeout=_WAIT_S):
                raise Busy(what=WHAT)
            try:
                self.check()
                yield
            finally:
                turn.release()
        finally:
            with self._lock:
                turn, waiting = self._turns.pop(volume_id)
                if waiting > 1:
                    self._turns[volume_id] = (turn, waiting - 1)
