"""What the gateway answers in its own name, beside every dialect: metrics, and the ways to a volume's bytes.

Handles are told here because no dialect has a word for all of them.
"""

from __future__ import annotations

from collections.abc import Mapping
from uuid import UUID

import msgspec
from aiohttp import web

from gateway.core import errors
from gateway.core.context import Core
from gateway.core.door import Trace
from gateway.core.model import AccessHandle
from gateway.core.principal import Authenticator, Principal
from gateway.core.roles import authorize
from gateway.core.volumes import access
from gateway.observe import Metrics

METRICS = "/metrics"
ACCESS = "/gateway/volumes/{uuid}/access"

_PREFIX, _SUFFIX = ACCESS.split("{uuid}")
_METRICS_CALL, _ACCESS_CALL = ("cluster", "stats"), ("volume", "inspect")
_READS = frozenset({"GET", "HEAD"})
_STATUS: Mapping[type[errors.GatewayError], int] = {
    errors.InvalidArgument: 400,
    errors.Unauthenticated: 401,
    errors.PermissionDenied: 403,
    errors.NotFound: 404,
    errors.AlreadyExists: 409,
    errors.Conflict: 409,
    errors.StaleRevision: 412,
    errors.InvalidState: 409,
    errors.InUse: 409,
    errors.Unsupported: 501,
    errors.LimitExceeded: 400,
    errors.OutOfSpace: 507,
    errors.Busy: 503,
    errors.Timeout: 504,
    errors.Unavailable: 503,
    errors.Internal: 500,
}


class OwnResources:
    """Answers requests for the gateway's own paths, by the callers' roles and rights."""

    def __init__(self, core: Core, metrics: Metrics, authenticator: Authenticator) -> None:
        self._core = core
        self._metrics = metrics
        self._authenticator = authenticator

    @staticmethod
    def has(path: str) -> bool:
        """Tell whether the path is one of ours."""
        return path == METRICS or path.startswith("/gateway/")

    async def handle(self, request: web.BaseRequest, trace: Trace) -> web.Response:
        """Answer; errors of the tree become a status and an `error` object."""
        try:
            principal = await self._authenticator.authenticate(
                request.headers.get("Authorization"), peer=request.remote or ""
            )
            trace.who = principal.name
            return await self._answer(request, trace, principal)
        except errors.GatewayError as error:
            return _failed(error)

    async def _answer(self, request: web.BaseRequest, trace: Trace, principal: Principal) -> web.Response:
        volume = _volume_in(request.path)
        if request.path != METRICS and volume is None:
            raise errors.NotFound(kind="resource", ref=request.path)
        trace.route = METRICS if volume is None else ACCESS
        if request.method not in _READS:
            return web.Response(status=405, headers={"Allow": ", ".join(sorted(_READS))})
        await self._core.known.renew()
        await authorize(self._core, principal, *(_METRICS_CALL if volume is None else _ACCESS_CALL))
        if volume is None:
            return web.Response(body=self._metrics.render(), headers={"Content-Type": Metrics.CONTENT_TYPE})
        return _json({"handles": await self._handles(principal, volume)})

    async def _handles(self, principal: Principal, volume: UUID) -> tuple[AccessHandle, ...]:
        """Give the ways to a volume; one that the caller may not read is as if it were not there."""
        try:
            return await access(self._core.acting_for(principal), volume)
        except errors.PermissionDenied:
            raise errors.NotFound(kind="volume", ref=str(volume)) from None


def _volume_in(path: str) -> UUID | None:
    if not (path.startswith(_PREFIX) and path.endswith(_SUFFIX)):
        return None
    try:
        return UUID(path.removeprefix(_PREFIX).removesuffix(_SUFFIX))
    except ValueError:
        return None


def _failed(error: errors.GatewayError) -> web.Response:
    headers = {}
    if isinstance(error, errors.Unauthenticated):
        headers["WWW-Authenticate"] = 'Basic realm="gateway", charset="UTF-8"'
    if isinstance(error, errors.Busy):
        headers["Retry-After"] = str(error.fields["retry_after"] or 1)
    # The reason may hold words of the substrate, which are for the log only.
    told = [f"{key} {value}" for key, value in error.fields.items() if value is not None and key != "reason"]
    name = type(error).__name__
    return _json(
        {"error": {"code": name, "message": ": ".join([name, *filter(None, [", ".join(told)])])}},
        status=_STATUS[type(error)],
        headers=headers,
    )


def _json(body: object, *, status: int = 200, headers: Mapping[str, str] | None = None) -> web.Response:
    content = msgspec.json.encode(body)
    return web.Response(status=status, body=content, headers={"Content-Type": "application/json", **(headers or {})})
