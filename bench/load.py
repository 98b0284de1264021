"""A client that costs less than any server: ready-made bytes out, answers counted, nothing decoded."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Iterator, Sequence
from urllib.parse import urlsplit

import msgspec

_HEAD_END = b"\r\n\r\n"
_PATIENCE_S = 300
_LENGTH = b"content-length:"


class Load(msgspec.Struct, frozen=True):
    """What came of a drive. `longest_s` is the slowest answer."""

    count: int
    seconds: float
    longest_s: float
    last: bytes


class UnexpectedStatusError(RuntimeError):
    """The server answered with another status than asked for."""


class _Connection(asyncio.Protocol):
    """Sends the next request as soon as an answer is complete."""

    def __init__(self, requests: Iterator[bytes], ended: asyncio.Future[None], status: bytes) -> None:
        self._requests = requests
        self._ended = ended
        self._status = status
        self._buffer = b""
        self._wanted = 0
        self._sent = 0.0
        self.count = 0
        self.longest_s = 0.0
        self.last = b""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport: asyncio.Transport = transport  # type: ignore[assignment]
        self._next()

    def data_received(self, data: bytes) -> None:
        buffer = self._buffer + data if self._buffer else data
        if not self._wanted:
            head, found, _ = buffer.partition(_HEAD_END)
            if not found:
                self._buffer = buffer
                return
            if not head.startswith(self._status, 9):
                self._fail(UnexpectedStatusError(buffer.decode(errors="replace")))
                return
            place = head.lower().index(_LENGTH) + len(_LENGTH)
            self._wanted = len(head) + 4 + int(head[place:].split(b"\r\n", 1)[0])
        if len(buffer) < self._wanted:
            self._buffer = buffer
            return
        self.last, self._buffer, self._wanted = buffer, b"", 0
        self.count += 1
        self.longest_s = max(self.longest_s, time.perf_counter() - self._sent)
        self._next()

    def connection_lost(self, error: Exception | None) -> None:
        self._fail(error or ConnectionError("the server closed the connection"))

    def _next(self) -> None:
        request = next(self._requests, None)
        if request is None:
            if not self._ended.done():
                self._ended.set_result(None)
            self._transport.close()
            return
        self._sent = time.perf_counter()
        self._transport.write(request)

    def _fail(self, error: Exception) -> None:
        if not self._ended.done():
            self._ended.set_exception(error)
        self._transport.close()


async def drive(url: str, requests: Sequence[bytes], *, connections: int, status: int = 200) -> Load:
    """Send all requests over so many keep-alive connections. UnexpectedStatusError at the first other status."""
    parts, loop = urlsplit(url), asyncio.get_running_loop()
    pending, code = iter(requests), str(status).encode()
    opened: list[_Connection] = []
    ends: list[asyncio.Future[None]] = []
    start = time.perf_counter()
    for _ in range(min(connections, len(requests))):
        ended: asyncio.Future[None] = loop.create_future()
        connection = _Connection(pending, ended, code)
        await loop.create_connection(lambda made=connection: made, parts.hostname or "", parts.port or 0)  # type: ignore[misc]
        opened.append(connection)
        ends.append(ended)
    async with asyncio.timeout(_PATIENCE_S):
        await asyncio.gather(*ends)
    seconds = time.perf_counter() - start
    last = opened[0].last.partition(_HEAD_END)[2]
    longest_s = max(one.longest_s for one in opened)
    return Load(sum(one.count for one in opened), seconds, longest_s, last)
