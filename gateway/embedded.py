"""A gateway inside of another program: the same doors, on that program's event loop or in a thread.

    async with open_gateway(Path("config.toml")) as doors:
        print(doors.addresses["ontap"])

It is what `gateway serve` runs, without what belongs to a whole process: it
handles no signals, sets up no log and leaves the garbage collector alone. Its
lines come from the loggers `gateway.*` of the standard library, or go where
the program has told structlog to send them.
"""

from __future__ import annotations

import asyncio
import concurrent.futures
import logging
import os
from collections.abc import AsyncIterator, Callable, Iterator, Mapping
from contextlib import asynccontextmanager, contextmanager, suppress
from pathlib import Path
from typing import Any

from gateway.config import Settings, load, load_table
from gateway.observe import hand_over_logging
from gateway.server.app import Doors, running
from gateway.server.drivers import DOORS, EXPORTERS, driver_options
from gateway.server.loop import loop_factory

__all__ = ["Configuration", "Doors", "gateway_in_thread", "open_gateway"]

Configuration = Path | Mapping[str, Any] | Settings
"""A file, a table such as a file holds (relative paths begin at the working directory), or settings as loaded."""


@asynccontextmanager
async def open_gateway(configuration: Configuration) -> AsyncIterator[Doors]:
    """Give a gateway with its doors open, on the running loop; at the end it stops gracefully.

    ConfigError when the configuration cannot be used; OSError when an address
    cannot be had. Several may run in one process, also on the same pools.
    """
    hand_over_logging()
    access = logging.getLogger("gateway.access")

    def write(line: bytes) -> None:
        if access.isEnabledFor(logging.INFO):
            access.info("%s", line.decode().rstrip())

    async with running(_settings(configuration), write=write) as doors:
        yield doors


@contextmanager
def gateway_in_thread(configuration: Configuration) -> Iterator[Doors]:
    """Give a gateway as `open_gateway` does, on a loop in a thread of its own, for programs without one.

    What goes wrong while it starts or stops is raised here.
    """
    settings = _settings(configuration)
    begun: concurrent.futures.Future[tuple[asyncio.AbstractEventLoop, asyncio.Event, Doors]]
    begun = concurrent.futures.Future()

    async def live() -> None:
        async with open_gateway(settings) as doors:
            stopping = asyncio.Event()
            begun.set_result((asyncio.get_running_loop(), stopping, doors))
            await stopping.wait()

    def run() -> None:
        with asyncio.Runner(loop_factory=loop_factory()) as runner:
            runner.run(live())

    with concurrent.futures.ThreadPoolExecutor(1, thread_name_prefix="gateway") as thread:
        ended = thread.submit(run)
        either: tuple[concurrent.futures.Future[Any], ...] = (begun, ended)
        concurrent.futures.wait(either, return_when=concurrent.futures.FIRST_COMPLETED)
        if not begun.done():
            ended.result()
        loop, stopping, doors = begun.result()
        try:
            yield Doors(
                doors.addresses,
                reload=lambda: _tell(loop, doors.reload),
                reconcile=lambda: _tell(loop, doors.reconcile),
            )
        finally:
            _tell(loop, stopping.set)
            ended.result()


def _tell(loop: asyncio.AbstractEventLoop, act: Callable[[], object]) -> None:
    with suppress(RuntimeError):  # it has ended already
        loop.call_soon_threadsafe(act)


def _settings(configuration: Configuration) -> Settings:
    if isinstance(configuration, Settings):
        return configuration
    known: Any = {"drivers": driver_options(), "exporters": EXPORTERS, "doors": DOORS}
    if isinstance(configuration, Path):
        return load([configuration], os.environ, **known)
    return load_table(configuration, os.environ, base=Path.cwd(), **known)
