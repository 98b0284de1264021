"""Fault hooks: what happens when the code passes a named point between two steps.

Every backend and the change path take a `FaultHook` and call it with the name
of each point. The hooks here end the process there, fail there, or write down
what was passed, so that a test can find all points before it visits each.
"""

from __future__ import annotations

import os
import signal


class _Countdown:
    def __init__(self, point: str, count: int) -> None:
        if count < 1:
            raise ValueError(f"count must be at least 1, not {count}")
        self._point = point
        self._left = count

    def due(self, point: str) -> bool:
        """Tell whether this pass of `point` is the one."""
        self._left -= point == self._point
        return point == self._point and self._left == 0


class KillAt:
    """Ends this process with SIGKILL at the `count`-th pass of `point`, as a power cut would."""

    def __init__(self, point: str, count: int = 1) -> None:
        self._countdown = _Countdown(point, count)

    def __call__(self, point: str) -> None:
        """Pass a point."""
        if self._countdown.due(point):
            os.kill(os.getpid(), signal.SIGKILL)


class RaiseAt:
    """Raises `error` at the `count`-th pass of `point`, and only then."""

    def __init__(self, point: str, error: BaseException, count: int = 1) -> None:
        self._countdown = _Countdown(point, count)
        self._error = error

    def __call__(self, point: str) -> None:
        """Pass a point."""
        if self._countdown.due(point):
            raise self._error


class Recorder:
    """Lists the points passed, in order, in `points`."""

    def __init__(self) -> None:
        self.points: list[str] = []

    def __call__(self, point: str) -> None:
        """Pass a point."""
        self.points.append(point)
