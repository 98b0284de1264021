"""Watches the processes of an export server and has it started anew when one of them ends."""

from __future__ import annotations

import asyncio
import contextlib
import os
from collections.abc import Awaitable, Callable

import structlog

from gateway.core.errors import GatewayError

log = structlog.get_logger(__name__)

RETRY_FIRST_S = 0.2
RETRY_LAST_S = 15.0


class Watch:
    """Runs until `stop`. `revive` is tried with growing pauses while it fails.

    `pids` gives the processes whose end means that the server is down, `alive`
    whether all of them run.
    """

    def __init__(
        self,
        what: str,
        *,
        pids: Callable[[], tuple[int, ...]],
        alive: Callable[[], bool],
        revive: Callable[[], Awaitable[None]],
    ) -> None:
        self._what = what
        self._pids = pids
        self._alive = alive
        self._revive = revive
        self._task = asyncio.create_task(self._supervise(), name=f"{what} server watch")

    async def stop(self) -> None:
        """End the watch. Idempotent."""
        self._task.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await self._task

    async def _supervise(self) -> None:
        pause_s = RETRY_FIRST_S
        while True:
            await self._first_end()
            log.warning("export server ended", what=self._what)
            while True:
                try:
                    await self._revive()
                except GatewayError as error:
                    about = {"error": type(error).__name__, "retry_s": pause_s, **error.fields}
                    log.warning("export server not revived", **about)
                    await asyncio.sleep(pause_s)
                    pause_s = min(pause_s * 2, RETRY_LAST_S)
                else:
                    pause_s = RETRY_FIRST_S
                    break

    async def _first_end(self) -> None:
        """Wait until one of the processes has ended. A pidfd tells it of adopted ones, too."""
        loop = asyncio.get_running_loop()
        ended = asyncio.Event()
        descriptors: list[int] = []
        try:
            pids = self._pids()
            if not self._alive():
                return
            for pid in pids:
                try:
                    descriptor = os.pidfd_open(pid)
                except ProcessLookupError:
                    return
                descriptors.append(descriptor)
                loop.add_reader(descriptor, ended.set)
            if self._alive():
                await ended.wait()
        finally:
            for descriptor in descriptors:
                loop.remove_reader(descriptor)
                os.close(descriptor)
