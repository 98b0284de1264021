"""A gateway that watches its own event loop: `python -m bench.host CONFIG DOOR`.

First it prints the address of the door.

For every line on its standard input it then writes one: the longest that the loop
was held since the last, in milliseconds.
"""

from __future__ import annotations

import asyncio
import json
import os
import sys
import threading
import time
from pathlib import Path

from gateway.config import load
from gateway.observe import configure_logging
from gateway.server.app import running, spare_the_collector
from gateway.server.drivers import DOORS, EXPORTERS, driver_options
from gateway.server.loop import loop_factory

_EVERY_S = 0.001


class _Ticker:
    """Notes how late a timer of a millisecond comes, without the time in which the machine ran somebody else."""

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self._loop = loop
        self._queue = os.open(f"/proc/self/task/{threading.get_native_id()}/schedstat", os.O_RDONLY)
        self._last, self._waited = time.perf_counter(), self._waiting_s()
        self._held_s = 0.0
        self._late_s = 0.0
        loop.call_later(_EVERY_S, self._tick)

    def read(self) -> dict[str, float]:
        """Give the longest since the last call: held by us, and late for whatever reason."""
        found = {"held_ms": self._held_s * 1000, "late_ms": self._late_s * 1000}
        self._held_s = self._late_s = 0.0
        return found

    def _tick(self) -> None:
        now, waited = time.perf_counter(), self._waiting_s()
        late_s = now - self._last - _EVERY_S
        self._late_s = max(self._late_s, late_s)
        self._held_s = max(self._held_s, late_s - (waited - self._waited))
        self._last, self._waited = now, waited
        self._loop.call_later(_EVERY_S, self._tick)

    def _waiting_s(self) -> float:
        """Give how long this thread was ready to run and did not, because every processor was taken."""
        return int(os.pread(self._queue, 100, 0).split()[1]) / 1e9


async def _serve(config: str, door: str) -> None:
    settings = load([Path(config)], {}, drivers=driver_options(), exporters=EXPORTERS, doors=DOORS)
    loop, ended = asyncio.get_running_loop(), asyncio.Event()
    configure_logging(settings.log, sys.stderr.buffer)
    async with running(settings, write=sys.stderr.buffer.write) as doors:
        spare_the_collector()
        ticker = _Ticker(loop)

        def answer() -> None:
            if not sys.stdin.readline():
                ended.set()
                return
            print(json.dumps(ticker.read()), flush=True)

        loop.add_reader(sys.stdin.fileno(), answer)
        print(doors.addresses[door], flush=True)
        await ended.wait()
        loop.remove_reader(sys.stdin.fileno())


if __name__ == "__main__":
    with asyncio.Runner(loop_factory=loop_factory()) as main:
        main.run(_serve(sys.argv[1], sys.argv[2]))
