"""The server as a process of its own: `python -m gateway.exports.git.serve FOLDER`.

It outlives the gateway that started it. That one tells it what to publish by
files in the folder, and what to end by a socket there.
"""

from __future__ import annotations

import asyncio
import logging
import signal
import ssl
import sys
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from uuid import UUID

import msgspec
import structlog
from aiohttp import web

from gateway.core.sockets import listen
from gateway.exports.git.application import Application
from gateway.exports.git.records import CONTROL, KEY, RUN, SETTINGS, Settings
from gateway.exports.git.tokens import Tokens, key_of

_STOP_S = 5.0


def main(folder: Path) -> None:
    """Serve until SIGTERM."""
    # What it says goes to a file that nobody shortens.
    structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(logging.WARNING))
    settings = msgspec.json.decode((folder / SETTINGS).read_bytes(), type=Settings)
    asyncio.run(_serve(folder, settings))


async def _serve(folder: Path, settings: Settings) -> None:
    tokens = Tokens(key_of(folder / KEY, what="git"), time.time)
    application = Application(folder, tokens=tokens, base=settings.base, processes=settings.processes)
    stopped = asyncio.Event()
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, stopped.set)
    async with listening(application, settings), _controlled(folder, application):
        await stopped.wait()


@asynccontextmanager
async def listening(application: Application, settings: Settings) -> AsyncIterator[int]:
    """Serve for a block, on the port that is given."""
    # What clients compressed is handed to git as it is.
    runner = web.AppRunner(application.handler(), access_log=None, auto_decompress=False, shutdown_timeout=_STOP_S)
    await runner.setup()
    try:
        site = web.TCPSite(runner, settings.bind, settings.port, ssl_context=_tls(settings))
        await site.start()
        yield int(runner.addresses[0][1])
    finally:
        await runner.cleanup()


def _tls(settings: Settings) -> ssl.SSLContext | None:
    if not settings.certificate:
        return None
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    context.load_cert_chain(settings.certificate, settings.key or None)
    return context


@asynccontextmanager
async def _controlled(folder: Path, application: Application) -> AsyncIterator[None]:
    """Heed orders for a block: a line each, answered when it is done. Whoever may connect is the gateway."""

    async def converse(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            while line := await reader.readline():
                order, _, volume = line.decode().strip().partition(" ")
                if order == "end":
                    await application.end(UUID(volume))
                writer.write(b"done\n")
                await writer.drain()
        except (ConnectionError, ValueError):
            return
        finally:
            writer.close()

    control = await asyncio.start_unix_server(converse, sock=listen(folder / RUN / CONTROL))
    try:
        yield
    finally:
        control.close()


if __name__ == "__main__":
    main(Path(sys.argv[1]))
