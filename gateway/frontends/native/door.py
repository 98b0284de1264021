"""The native door over HTTP: who calls, what there is, what is allowed, what is asked for, in this order."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable, Mapping
from typing import Any

import msgspec
from aiohttp import web

from gateway.core import errors
from gateway.core.context import Core
from gateway.core.door import Trace
from gateway.core.principal import Authenticator, Principal
from gateway.core.roles import authorize
from gateway.frontends.native import model
from gateway.frontends.native.ask import Ask
from gateway.frontends.native.bodies import Nothing, read_body, read_parameters, read_query, read_wait
from gateway.frontends.native.errors import STATUS, GoingOn, headers, told
from gateway.frontends.native.routes import ROUTES, Route
from gateway.frontends.receive import NotReceived, identify, is_foreign, origin_form, receive
from gateway.frontends.routing import Found, Router, Wrong, segments

_JSON: Mapping[str, str] = {
    "Content-Type": "application/json",
    "Cache-Control": "no-store",
    "X-Content-Type-Options": "nosniff",
}
_ENCODER = msgspec.json.Encoder()
_MADE, _ACCEPTED, _DEFECT = 201, 202, 500
_WAITED = 0.8
"""The share of the time for an answer that is waited for a change."""


class NativeDoor:
    """Serves `/gateway/`. `answer_timeout_s`: when a request without an answer is given up; changes go on before."""

    def __init__(
        self,
        core: Core,
        authenticator: Authenticator,
        *,
        max_body_bytes: int,
        receive_timeout_s: float,
        answer_timeout_s: float,
        routes: Iterable[Route[Any, Any]] = ROUTES,
    ) -> None:
        self._core = core
        self._authenticator = authenticator
        self._max_body_bytes = max_body_bytes
        self._receive_timeout_s = receive_timeout_s
        self._wait_max_s = answer_timeout_s * _WAITED
        self._router: Router[Route[Any, Any]] = Router(routes)

    async def handle(self, request: web.BaseRequest, trace: Trace) -> web.StreamResponse:
        """Answer one request. Never raises for anything a client can do."""
        try:
            response = await self._answer(request, trace)
        except errors.GatewayError as error:
            trace.outcome = type(error).__name__
            response = refusal(error)
        except NotReceived as error:
            trace.outcome = error.reason
            response = self.refuse(error.status, error.reason)
            # The rest of the body is not waited for.
            response.force_close()
        return response

    def refuse(self, status: int, reason: str) -> web.Response:
        """Give the answer to what could not be read as a request."""
        kind = errors.Internal if status == _DEFECT else errors.InvalidArgument
        return answer({"error": model.Error(code=kind.__name__, message=reason, fields={})}, status=status)

    async def _answer(self, request: web.BaseRequest, trace: Trace) -> web.Response:
        principal = await identify(self._authenticator, request)
        trace.who = principal.name
        raw_path, _, raw_query = origin_form(request.raw_path).partition("?")
        verb = "GET" if request.method == "HEAD" else request.method
        found = self._router.find(verb, segments(raw_path))
        if found is None:
            raise errors.NotFound(kind="resource", ref=raw_path[:200])
        if isinstance(found, Wrong):
            trace.route = found.template
            verbs = [*found.verbs, *(["HEAD"] if "GET" in found.verbs else [])]
            return web.Response(status=405, headers={"Allow": ", ".join(sorted(verbs))})
        trace.route = found.route.template
        if is_foreign(request.headers):
            # A browser sends along what it knows of the account, whoever wrote the page.
            raise errors.PermissionDenied(action="call from a page of another origin")
        return await self._routed(request, found, raw_query, principal=principal, trace=trace)

    async def _routed(
        self,
        request: web.BaseRequest,
        found: Found[Route[Any, Any]],
        raw_query: str,
        *,
        principal: Principal,
        trace: Trace,
    ) -> web.Response:
        route = found.route
        if route.operation:
            trace.operation, trace.target = route.operation, "/".join(found.keys.values())[:128]
        await self._core.known.renew()
        await authorize(self._core, principal, *route.call)
        parameters = read_parameters(raw_query)
        wait = min(read_wait(parameters), self._wait_max_s) if route.operation else 0
        ask = Ask(
            core=self._core.acting_for(principal),
            query=read_query(parameters, route.query),
            body=await self._body(request, route),
            keys=found.keys,
            until=asyncio.get_running_loop().time() + wait,
            trace=trace,
        )
        try:
            result = await route.handler(ask)
        except GoingOn as going_on:
            trace.outcome = "accepted"
            return answer({"job": {"id": going_on.job}}, status=_ACCEPTED)
        trace.outcome = "success" if route.operation else ""
        return answer({} if result is None else result, status=_MADE if route.made else 200)

    async def _body(self, request: web.BaseRequest, route: Route[Any, Any]) -> Any:
        if route.body is Nothing:
            return Nothing()
        content = await receive(request, max_bytes=self._max_body_bytes, timeout_s=self._receive_timeout_s)
        return read_body(content, route.body)


def refusal(error: errors.GatewayError) -> web.Response:
    """Give the answer that tells an error."""
    return answer({"error": told(error)}, status=STATUS[type(error)], more=headers(error))


def answer(body: object, *, status: int = 200, more: Mapping[str, str] | None = None) -> web.Response:
    """Give an answer with a body of JSON."""
    return web.Response(status=status, body=_ENCODER.encode(body), headers={**_JSON, **(more or {})})
