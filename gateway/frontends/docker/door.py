"""The door: requests of Docker over HTTP, on a UNIX socket or TCP.

The protocol knows no callers: whoever reaches the door may use it, as whoever
reaches Docker's own socket may. A page in a browser on the same machine must
not; browsers say that a page asks, and nothing else does.
"""

from __future__ import annotations

from contextlib import suppress

import msgspec
from aiohttp import web

from gateway.core import errors
from gateway.core.context import Core
from gateway.core.door import Trace
from gateway.core.mount_spaces import is_shown_elsewhere
from gateway.core.worker import Worker
from gateway.frontends.docker.errors import text_of
from gateway.frontends.docker.plugin import CALLS, Call, Plugin
from gateway.frontends.docker.site import Site
from gateway.frontends.docker.wanted import name_of
from gateway.frontends.docker.wire import CONTENT_TYPE, Done, Request
from gateway.frontends.receive import NotReceived, origin_form, receive

_HEADERS = {"Content-Type": CONTENT_TYPE, "X-Content-Type-Options": "nosniff", "Cache-Control": "no-store"}
_BROWSER = ("Origin", "Sec-Fetch-Site")
_BUSY = 503
_ENCODER = msgspec.json.Encoder()
_DECODER = msgspec.json.Decoder(Request)


class Refused(Exception):  # noqa: N818 - named by what it says, as in the core
    """The end of a request that is none of the protocol's, with a status of HTTP."""

    def __init__(self, status: int, reason: str) -> None:
        super().__init__(reason)
        self.status = status
        self.reason = reason


class DockerDoor:
    """Serves the protocol on whatever it is put behind. Close it when nobody asks any more."""

    def __init__(self, core: Core, site: Site, *, max_body_bytes: int, receive_timeout_s: float) -> None:
        self._core = core
        self._plugin = Plugin(core, site, in_container=self._in_container)
        self._max_body_bytes = max_body_bytes
        self._receive_timeout_s = receive_timeout_s
        self._looker = Worker("docker", 1)

    async def close(self) -> None:
        """End the thread that looks at mount name spaces. Idempotent."""
        await self._looker.close()

    async def _in_container(self, path: str) -> bool:
        return await self._looker.run(is_shown_elsewhere, path)

    async def handle(self, request: web.BaseRequest, trace: Trace) -> web.StreamResponse:
        """Answer one request. Never raises for anything a client can do.

        What fails is told by `Err` with status 200, as Docker expects it.
        """
        try:
            return _response(200, await self._answer(request, trace))
        except errors.GatewayError as error:
            trace.outcome = type(error).__name__
            return _response(200, Done(err=text_of(error)))
        except Refused as error:
            return self.refuse(error.status, error.reason)
        except NotReceived as error:
            response = self.refuse(error.status, error.reason)
            # The rest of the body is not waited for.
            response.force_close()
            return response

    def refuse(self, status: int, reason: str) -> web.Response:
        """Give the answer to what could not be read as a request."""
        response = _response(status, Done(err=reason))
        if status == _BUSY:
            response.headers["Retry-After"] = "1"
        return response

    async def _answer(self, request: web.BaseRequest, trace: Trace) -> msgspec.Struct:
        if any(header in request.headers for header in _BROWSER):
            raise Refused(403, "pages in browsers may not use this door")
        path = origin_form(request.raw_path).partition("?")[0]
        call = CALLS.get(path)
        if call is None:
            raise Refused(404, "there is no such call")
        trace.route = path
        if request.method != "POST":
            raise Refused(405, "calls are sent by POST")
        body = await receive(request, max_bytes=self._max_body_bytes, timeout_s=self._receive_timeout_s)
        return await self._carry_out(call, _decoded(body), trace)

    async def _carry_out(self, call: Call, asked: Request, trace: Trace) -> msgspec.Struct:
        if call.operation:
            trace.operation = call.operation
            # The whole text may hold secrets.
            with suppress(errors.InvalidArgument):
                trace.target = name_of(asked.name)
        await self._core.known.renew()
        answer = await call.carry_out(self._plugin, asked)
        trace.outcome = "success" if call.operation else ""
        return answer


def _decoded(body: bytes) -> Request:
    """Give what a body says, whatever it calls itself; calls that say nothing may come without."""
    try:
        return _DECODER.decode(body.strip() or b"{}")
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        reason = str(error) if isinstance(error, msgspec.DecodeError) else "it is no JSON"
        raise Refused(400, f"the body cannot be read: {reason}") from None


def _response(status: int, answer: msgspec.Struct) -> web.Response:
    response = web.Response(status=status, body=_ENCODER.encode(answer), headers=_HEADERS)
    if status == 405:  # noqa: PLR2004 - the status says it
        response.headers["Allow"] = "POST"
    return response
