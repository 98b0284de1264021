"""An HTTP(S) listener around a door's handler: address, TLS, bounds against what clients may do, graceful stop.

Every connection is in one phase at a time, and no phase lasts for ever: one
round per second looks at all of them, so that a request pays for no timer of
its own. What goes wrong below HTTP is answered in the door's own words.
"""

from __future__ import annotations

import asyncio
import enum
import ssl
from collections.abc import Awaitable, Callable, Iterable, Mapping
from contextlib import suppress
from http import HTTPStatus
from pathlib import Path
from typing import Any

from aiohttp import web
from aiohttp.http_exceptions import InvalidURLError, LineTooLong

from gateway.config import Address, LimitSettings
from gateway.core.sockets import SocketFile

Handler = Callable[[web.BaseRequest], Awaitable[web.StreamResponse]]
Refuse = Callable[[int, str], web.Response]
"""Gives the door's answer with a status and a text when there is no request that the handler could be given."""

MAX_LINE = 64 * 1024
FIELD_MAX = MAX_LINE
"""Bytes of one header, with its name, unless a door needs more."""

HEAD_MAX = 2 * 1024 * 1024
"""Bytes of a request's head. Of a body that comes along with its head some may count as such."""

KEEPALIVE_S = 75.0
SOCKET_MODE = 0o660
"""Who may use a UNIX socket: the gateway's own user and group."""

_BACKLOG = 1024
_ROUND_S = 1.0
_PRODUCT = "volume-gateway"
_WRONG: Mapping[type[BaseException], str] = {
    LineTooLong: "A line of the request's head is too long",
    InvalidURLError: "The URL of the request cannot be read",
}


class Phase(enum.Enum):
    """What a connection waits for."""

    HEAD = enum.auto()
    """The head of a request, of which (or of the connection) something came already."""
    ANSWER = enum.auto()
    """The handler, or the client taking its answer."""
    IDLE = enum.auto()
    """The next request."""
    END = enum.auto()
    """The client taking the last bytes."""


class Listener:
    """One socket and its connections. `address` is known once `start` returned (port 0 was resolved).

    A path is that of a UNIX socket, which is there as long as the listener is.
    `field_max`: the bytes that one header may have.
    """

    def __init__(
        self,
        handler: Handler,
        address: Address | Path,
        *,
        limits: LimitSettings,
        refuse: Refuse,
        tls: ssl.SSLContext | None = None,
        field_max: int = FIELD_MAX,
    ) -> None:
        self._connections = _Connections(handler, limits, refuse, field_max=field_max)
        self._limits = limits
        self._tls = tls
        self._file: SocketFile | None = None
        self._server: asyncio.Server | None = None
        self._rounds: asyncio.Task[None] | None = None
        self.address = address

    async def start(self) -> None:
        """Listen. OSError when the address cannot be had, or somebody listens there already."""
        if isinstance(self.address, Path):
            self._server = await self._start_file(self.address)
        else:
            self._server = await asyncio.get_running_loop().create_server(
                self._connections,
                self.address.host,
                self.address.port,
                ssl=self._tls,
                backlog=_BACKLOG,
                reuse_address=True,
                ssl_handshake_timeout=self._limits.receive_timeout_s if self._tls else None,
            )
            host, port = self._server.sockets[0].getsockname()[:2]
            self.address = Address(str(host), int(port))
        self._rounds = asyncio.create_task(self._go_round(), name="connections")

    async def stop(self) -> None:
        """Accept nothing more, let running requests end (bounded), close. Idempotent."""
        server, self._server = self._server, None
        rounds, self._rounds = self._rounds, None
        if server is None or rounds is None:
            return
        server.close()
        if self._file is not None:
            self._file.close()
        self._connections.pre_shutdown()
        with suppress(TimeoutError):
            async with asyncio.timeout(self._limits.shutdown_timeout_s):
                await self._connections.shutdown(self._limits.shutdown_timeout_s)
        rounds.cancel()
        with suppress(asyncio.CancelledError):
            await rounds

    async def _start_file(self, path: Path) -> asyncio.Server:
        """Listen at a path, without TLS: whoever is let in by the file's mode is on this machine."""
        self._file = SocketFile(path, mode=SOCKET_MODE)
        listening = self._file.open(backlog=_BACKLOG)
        return await asyncio.get_running_loop().create_unix_server(self._connections, sock=listening, backlog=_BACKLOG)

    async def _go_round(self) -> None:
        loop = asyncio.get_running_loop()
        pause = min(_ROUND_S, self._limits.receive_timeout_s / 2)
        while True:
            await asyncio.sleep(pause)
            self._connections.look_round(loop.time())


class _Connections(web.Server):
    """Makes a `_Connection` per accepted socket, knows them all, and bounds their number and age."""

    def __init__(self, handler: Handler, limits: LimitSettings, refuse: Refuse, *, field_max: int) -> None:
        super().__init__(handler, request_factory=self._begin, handler_cancellation=False)
        self.refuse = refuse
        self.field_max = field_max
        self._limits = limits
        self._alive: set[_Connection] = set()
        self._patience = {
            Phase.HEAD: limits.receive_timeout_s,
            Phase.ANSWER: limits.request_timeout_s,
            # aiohttp itself closes an idle connection; what it could not flush is left to us.
            Phase.IDLE: KEEPALIVE_S + limits.receive_timeout_s,
            Phase.END: limits.receive_timeout_s,
        }

    def __call__(self) -> _Connection:
        return _Connection(self, asyncio.get_running_loop())

    def admit(self, connection: _Connection) -> bool:
        """Count a connection in; False: there are as many as may be."""
        if len(self._alive) >= self._limits.max_connections:
            return False
        self._alive.add(connection)
        return True

    def forget(self, connection: _Connection) -> None:
        """Count a connection out. Idempotent."""
        self._alive.discard(connection)

    def look_round(self, now: float) -> None:
        """End every connection that has been in its phase for too long."""
        for connection in tuple(self._alive):
            if now - connection.since > self._patience[connection.phase]:
                connection.give_up()

    def _begin(self, message: Any, payload: Any, protocol: Any, writer: Any, task: Any) -> web.BaseRequest:
        protocol.answer(payload)
        return web.BaseRequest(message, payload, protocol, writer, task, self._loop)


class _Connection(web.RequestHandler):
    """One connection: aiohttp's, with phases, and with errors in the door's words."""

    __slots__ = ("_asked", "_head", "_held", "_house", "_wire", "phase", "since")

    def __init__(self, house: _Connections, loop: asyncio.AbstractEventLoop) -> None:
        super().__init__(
            house,
            loop=loop,
            access_log=None,  # type: ignore[arg-type] # the door writes access lines
            keepalive_timeout=KEEPALIVE_S,
            max_line_size=MAX_LINE,
            max_field_size=house.field_max,
            lingering_time=1,
            # No client of any dialect compresses requests, and what is small on the wire stays small.
            auto_decompress=False,
        )
        self._house = house
        self._wire: asyncio.Transport | None = None
        self._asked: Any = None
        self._head, self._held = 0, False
        self.phase = Phase.HEAD
        self.since = loop.time()

    def enter(self, phase: Phase) -> None:
        """Begin a phase now."""
        self.phase, self.since, self._head = phase, self._loop.time(), 0

    def answer(self, asked: Any) -> None:
        """Begin to answer a request with this body."""
        self.enter(Phase.ANSWER)
        self._asked = asked

    def give_up(self) -> None:
        """End the connection, with a word where the client may still expect one."""
        if self.phase is Phase.HEAD:
            self._leave(self._house.refuse(408, "The request did not arrive in time"))
        elif self._wire is not None:
            self._wire.abort()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._wire = transport  # type: ignore[assignment] # TCP, TLS and UNIX sockets alike
        if self._house.admit(self):
            super().connection_made(transport)
        else:
            self._leave(self._house.refuse(503, "Too many connections; try again later"))

    def connection_lost(self, exc: BaseException | None) -> None:
        self._house.forget(self)
        self._wire = None
        super().connection_lost(exc)

    def data_received(self, data: bytes) -> None:
        if self.phase is Phase.IDLE and data:
            self.enter(Phase.HEAD)
        if self._asked is None or self._asked.is_eof():
            # Behind a whole request comes the next one's head, also before there is an answer.
            self._head += len(data)
        if self._head > HEAD_MAX:
            if self.phase is Phase.HEAD:
                self._leave(self._house.refuse(400, "The request's head is too long"))
                return
            self._hold()
        super().data_received(data)

    def _hold(self) -> None:
        """Let the client wait with what else it has to say until there is an answer."""
        if self._wire is not None:
            self._wire.pause_reading()
            self._held = True

    def _go_on(self) -> None:
        # What aiohttp holds up as well it lets go on itself.
        if self._held and self._wire is not None and not (self._reading_paused or self._buffer_paused):
            self._wire.resume_reading()
        self._held = False

    async def finish_response(
        self, request: web.BaseRequest, resp: web.StreamResponse, start_time: float | None
    ) -> tuple[web.StreamResponse, bool]:
        # Nobody needs to know which library in which version answers.
        resp.headers.setdefault("Server", _PRODUCT)
        finished = await super().finish_response(request, resp, start_time)
        self.enter(Phase.IDLE)
        self._go_on()
        return finished

    def handle_error(
        self,
        request: web.BaseRequest,
        status: int = 500,
        exc: BaseException | None = None,
        message: str | None = None,
    ) -> web.StreamResponse:
        """Answer what could not be read as a request; aiohttp's own texts quote its insides."""
        del message
        if status != HTTPStatus.BAD_REQUEST:
            return super().handle_error(request, status, exc)
        reason = _WRONG.get(type(exc), "The request is not valid HTTP/1.1") if exc else ""
        response = self._house.refuse(status, reason)
        response.headers["Connection"] = "close"
        response.force_close()
        return response

    def _leave(self, response: web.Response) -> None:
        wire = self._wire
        self.enter(Phase.END)
        if wire is not None:
            wire.write(_written(response))
            wire.close()
        self.force_close()


def _written(response: web.Response) -> bytes:
    """Give an answer as it goes over the wire, for connections that have no request to answer."""
    body = response.body if isinstance(response.body, bytes) else b""
    headers: Iterable[tuple[str, str]] = response.headers.items()
    lines = [f"HTTP/1.1 {response.status} {response.reason}", *(f"{name}: {value}" for name, value in headers)]
    lines += [f"Server: {_PRODUCT}"] if "Server" not in response.headers else []
    lines += [f"Content-Length: {len(body)}", "Connection: close", "", ""]
    return "\r\n".join(lines).encode("latin-1") + body
