"""Git's own protocol over HTTP: each request is one run of `git http-backend` in the name space of a volume."""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
from asyncio.subprocess import PIPE, Process
from collections.abc import AsyncIterator, Awaitable, Mapping
from contextlib import asynccontextmanager
from typing import TypeVar

import structlog
from aiohttp import web

log = structlog.get_logger(__name__)

T = TypeVar("T")

_CHUNK = 64 * 1024
_GRACE_S = 5.0
_SAFE: Mapping[str, str] = {
    "GIT_CONFIG_NOSYSTEM": "1",
    "GIT_CONFIG_GLOBAL": os.devnull,
    # Who may use the repository is the gateway's business, whoever owns the files.
    "GIT_CONFIG_COUNT": "1",
    "GIT_CONFIG_KEY_0": "safe.directory",
    "GIT_CONFIG_VALUE_0": "*",
    "GIT_HTTP_EXPORT_ALL": "1",
    "LC_ALL": "C",
}


async def serve(
    request: web.Request,
    *,
    repository: str,
    namespace: str,
    service: str,
    query: str,
    user: str,
    silent_s: float,
) -> web.StreamResponse:
    """Answer a request by what `git http-backend` says to it. `query` is what was looked at, not what was sent.

    `silent_s`: for how long the client may neither send nor take anything that
    is waited for.

    The newer protocol (`Git-Protocol`) is not offered: by it clients may ask
    for any object that they can name, by the older one only for what the refs
    of their name space reach.
    """
    environment = {
        **{name: os.environ[name] for name in ("PATH", "HOME") if name in os.environ},
        **_SAFE,
        "GIT_PROJECT_ROOT": repository,
        "GIT_NAMESPACE": namespace,
        "PATH_INFO": service,
        "REQUEST_METHOD": request.method,
        "QUERY_STRING": query,
        "CONTENT_TYPE": request.headers.get("Content-Type", ""),
        "HTTP_CONTENT_ENCODING": request.headers.get("Content-Encoding", ""),
        "REMOTE_USER": user,
        "REMOTE_ADDR": request.remote or "",
    }
    async with _running(environment) as process:
        feeding = asyncio.create_task(_feed(request, process, silent_s))
        try:
            return await _answer(request, process, silent_s)
        finally:
            feeding.cancel()
            await asyncio.gather(feeding, return_exceptions=True)


@asynccontextmanager
async def _running(environment: Mapping[str, str]) -> AsyncIterator[Process]:
    """Run the program for a block; it and all that it started end with the block."""
    process = await asyncio.create_subprocess_exec(
        "git", "http-backend", stdin=PIPE, stdout=PIPE, stderr=None, env=environment, start_new_session=True
    )
    try:
        yield process
    finally:
        # Politely first: git then takes its locks away.
        for number in (signal.SIGTERM, signal.SIGKILL):
            if process.returncode is None:
                _signal(process, number)
                with contextlib.suppress(TimeoutError):
                    await asyncio.wait_for(asyncio.shield(process.wait()), _GRACE_S)


async def _feed(request: web.Request, process: Process, silent_s: float) -> None:
    """Hand the request's body on, as it comes. One that breaks off ends the program, which else waits for the rest."""
    assert process.stdin is not None  # noqa: S101 - for the type checker: it is a pipe
    try:
        while part := await _in_time(request.content.read(_CHUNK), silent_s):
            with contextlib.suppress(BrokenPipeError, ConnectionResetError):
                process.stdin.write(part)
                await process.stdin.drain()
    except BaseException:
        _signal(process, signal.SIGTERM)
        raise
    process.stdin.close()


async def _in_time(step: Awaitable[T], silent_s: float) -> T:
    """Wait for a client, but not for one that is silent for long: others wait for its place."""
    async with asyncio.timeout(silent_s):
        return await step


def _signal(process: Process, number: signal.Signals) -> None:
    """Send a signal to the program and all that it started; nothing to one that has ended."""
    if process.returncode is None:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, number)


async def _answer(request: web.Request, process: Process, silent_s: float) -> web.StreamResponse:
    assert process.stdout is not None  # noqa: S101 - for the type checker: it is a pipe
    try:
        head = await process.stdout.readuntil(b"\r\n\r\n")
    except (asyncio.IncompleteReadError, asyncio.LimitOverrunError):
        log.warning("git http-backend gave no answer", path=request.path)
        return web.Response(status=500, text="git gave no answer\n")
    response = web.StreamResponse()
    for line in head.decode("latin-1").split("\r\n"):
        name, _, value = line.partition(":")
        if name.lower() == "status":
            response.set_status(int(value.split()[0]))
        elif name:
            response.headers[name] = value.strip()
    await response.prepare(request)
    while part := await process.stdout.read(_CHUNK):
        await _in_time(response.write(part), silent_s)
    await response.write_eof()
    await process.wait()
    return response
