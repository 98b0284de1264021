"""What the gateway answers in its own name, beside every dialect: metrics, and the native door."""

from __future__ import annotations

from collections.abc import Awaitable, Callable

from aiohttp import web

from gateway.core import errors
from gateway.core.context import Core
from gateway.core.door import Trace
from gateway.core.principal import Authenticator
from gateway.core.roles import authorize
from gateway.frontends.native.door import NativeDoor, refusal
from gateway.frontends.receive import identify
from gateway.observe import Metrics

METRICS = "/metrics"
RESOURCES = "/gateway/"

_DIALECTS = "/api/"
_METRICS_CALL = ("cluster", "stats")
_READS = frozenset({"GET", "HEAD"})

Handler = Callable[[web.BaseRequest], Awaitable[web.StreamResponse]]


class OwnResources:
    """Answers requests for the gateway's own paths, by the callers' roles and rights."""

    def __init__(self, core: Core, metrics: Metrics, authenticator: Authenticator, native: NativeDoor) -> None:
        self._core = core
        self._metrics = metrics
        self._authenticator = authenticator
        self._native = native

    async def handle(self, request: web.BaseRequest, trace: Trace) -> web.StreamResponse:
        """Answer; errors of the tree become a status and an `error` object."""
        if request.path != METRICS:
            return await self._native.handle(request, trace)
        trace.route = METRICS
        try:
            principal = await identify(self._authenticator, request)
            trace.who = principal.name
            if request.method not in _READS:
                return web.Response(status=405, headers={"Allow": ", ".join(sorted(_READS))})
            await self._core.known.renew()
            await authorize(self._core, principal, *_METRICS_CALL)
        except errors.GatewayError as error:
            return refusal(error)
        return web.Response(body=self._metrics.render(), headers={"Content-Type": Metrics.CONTENT_TYPE})


def beside(own: Handler, dialect: Handler) -> Handler:
    """Give what answers for two: the gateway's own paths, and all others."""

    async def handle(request: web.BaseRequest) -> web.StreamResponse:
        # Decoding a path costs more than seeing that it is not one of ours.
        if not request.raw_path.startswith(_DIALECTS) and is_own(request.path):
            return await own(request)
        return await dialect(request)

    return handle


def is_own(path: str) -> bool:
    """Tell whether a path is one of the gateway's own."""
    return path == METRICS or path.startswith(RESOURCES)
