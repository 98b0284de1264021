"""What a listener takes of requests that come before the answer to the one ahead of them."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager

import pytest
from aiohttp import web

from gateway.config import Address, LimitSettings
from gateway.server.http import HEAD_MAX, Listener

ONE = b"GET / HTTP/1.1\r\nHost: x\r\n"
FIELD = 1024 * 1024


def refuse(status: int, reason: str) -> web.Response:
    return web.Response(status=status, text=reason)


@asynccontextmanager
async def connected(
    handle: Callable[[web.BaseRequest], Awaitable[web.StreamResponse]],
) -> AsyncIterator[tuple[asyncio.StreamReader, asyncio.StreamWriter]]:
    listener = Listener(handle, Address("127.0.0.1", 0), limits=LimitSettings(), refuse=refuse)
    await listener.start()
    assert isinstance(listener.address, Address)
    reader, writer = await asyncio.open_connection(listener.address.host, listener.address.port)
    try:
        yield reader, writer
    finally:
        writer.close()
        await listener.stop()


async def test_a_head_that_comes_early_is_not_taken_without_end() -> None:
    reached, go = asyncio.Event(), asyncio.Event()

    async def handle(_request: web.BaseRequest) -> web.StreamResponse:
        reached.set()
        await go.wait()
        return web.Response(text="ok")

    listener = Listener(handle, Address("127.0.0.1", 0), limits=LimitSettings(), refuse=refuse, field_max=FIELD)
    await listener.start()
    assert isinstance(listener.address, Address)
    client = socket.create_connection((listener.address.host, listener.address.port))
    client.setblocking(False)
    loop = asyncio.get_running_loop()
    try:
        await loop.sock_sendall(client, ONE + b"\r\n")
        await reached.wait()
        long = b"".join(b"X-%d: %s\r\n" % (number, b"x" * 1_000_000) for number in range(64))
        assert len(long) > 16 * HEAD_MAX
        with pytest.raises(TimeoutError):
            await asyncio.wait_for(loop.sock_sendall(client, ONE + long), 2)
        go.set()
        assert (await loop.sock_recv(client, 4096)).startswith(b"HTTP/1.1 200 ")
    finally:
        go.set()
        client.close()
        await listener.stop()


async def test_what_comes_early_and_is_short_has_its_answer() -> None:
    async def handle(request: web.BaseRequest) -> web.StreamResponse:
        return web.Response(text=f"{len(await request.read())};")

    async with connected(handle) as (reader, writer):
        body = b"x" * 1_000_000
        writer.write(
            b"".join(b"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: %d\r\n\r\n" % len(body) + body for _ in range(6))
        )
        for _ in range(6):
            await reader.readuntil(b"1000000;")


async def test_a_body_that_nobody_reads_is_no_head() -> None:
    async def handle(request: web.BaseRequest) -> web.StreamResponse:
        return web.Response(text=f"{request.method};")

    async with connected(handle) as (reader, writer):
        length = 4 * HEAD_MAX
        writer.write(b"PUT / HTTP/1.1\r\nHost: x\r\nContent-Length: %d\r\n\r\n" % length)
        await reader.readuntil(b"PUT;")
        writer.write(b"x" * length + ONE + b"\r\n")
        assert (await reader.readuntil(b"\r\n")).startswith(b"HTTP/1.1 200 ")
        await reader.readuntil(b"GET;")
