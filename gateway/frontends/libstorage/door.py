"""The libStorage API over HTTP, in the order of the reference: who calls counts before what is asked for exists.

Nothing here asks a volume: the handlers do. A request is a session of its
own; what a client says of itself it says in every one.
"""

from __future__ import annotations

import posixpath
from collections.abc import Iterable, Mapping
from urllib.parse import quote

import msgspec
from aiohttp import web
from multidict import CIMultiDict

from gateway.core import errors
from gateway.core.context import Core
from gateway.core.door import Trace
from gateway.core.observer import Observer
from gateway.core.principal import Principal
from gateway.core.roles import EVERYBODY
from gateway.frontends.libstorage.ask import Ask
from gateway.frontends.libstorage.auth import Auth, Caller
from gateway.frontends.libstorage.encode import JSON, NOT_FOUND, TEXT, body
from gateway.frontends.libstorage.errors import LsError, ls_error, not_found
from gateway.frontends.libstorage.headers import (
    INSTANCE_ID,
    LOCAL_DEVICES,
    SERVER_NAME,
    TRANSACTION,
    BadHeader,
    parse_instance_ids,
    parse_local_devices,
    parse_transaction,
)
from gateway.frontends.libstorage.query import Query, parse_query
from gateway.frontends.libstorage.routes import ROUTES, Route, Scope
from gateway.frontends.libstorage.site import Service, Site
from gateway.frontends.libstorage.tasks import Tasks, What
from gateway.frontends.memory import Answers
from gateway.frontends.receive import NotReceived, origin_form, receive
from gateway.frontends.routing import Found, Router, segments

_ANSWERS_BYTES = 16 * 1024 * 1024
_IN_PATHS = "/%:@!$&'()*+,;=~-._"
_IN_QUERIES = _IN_PATHS + "?"
_NO_QUERY = Query()
_A_PAGE = LsError(403, "pages in browsers may not call a door that asks nobody for a token")
_NOSNIFF = {"X-Content-Type-Options": "nosniff"}
_OWN_HEADERS: Mapping[int, Mapping[str, str]] = {401: {"WWW-Authenticate": "Bearer"}, 503: {"Retry-After": "1"}}


class _Answer(msgspec.Struct, frozen=True):
    status: int
    body: bytes


class LibstorageDoor:
    """Serves every route on whatever it is put behind, TCP or UNIX socket. Close it when nobody asks any more.

    Where everybody may come in no page in a browser may: it would be sent
    without asking for leave, as this API takes anything for JSON, and a page
    can make the door's address one of its own name. No client is in a browser.
    """

    def __init__(
        self,
        core: Core,
        site: Site,
        auth: Auth,
        *,
        max_body_bytes: int,
        receive_timeout_s: float,
        observer: Observer,
        routes: Iterable[Route] = ROUTES,
    ) -> None:
        self._core = core
        self._site = site
        self._auth = auth
        self._max_body_bytes = max_body_bytes
        self._receive_timeout_s = receive_timeout_s
        self._router = Router(routes)
        self._every = frozenset(site.services)
        self._pages = auth.asks(site.services)
        self._answers: Answers[bytes] = Answers(_ANSWERS_BYTES)
        self._tasks = Tasks(
            core,
            execution_timeout_s=site.options.execution_timeout_s,
            retention_s=site.options.task_retention_s,
            observer=observer,
        )

    async def open(self) -> None:
        """Forget tasks that ended long ago."""
        await self._tasks.sweep()

    async def close(self) -> None:
        """Wait for the calls that outlasted their requests. Idempotent."""
        await self._tasks.close()

    async def handle(self, request: web.BaseRequest, trace: Trace) -> web.StreamResponse:
        """Answer one request. Never raises for anything a client can do."""
        raw_path, mark, raw_query = origin_form(request.raw_path).partition("?")
        if (clean := _cleaned(raw_path)) != raw_path:
            location = quote(clean, safe=_IN_PATHS, errors="surrogateescape")
            asked = quote(raw_query, safe=_IN_QUERIES, errors="surrogateescape")
            return web.Response(status=301, headers={"Location": f"{location}{mark}{asked}"})
        query = parse_query(raw_query) if raw_query else _NO_QUERY
        found = self._router.find(
            request.method, segments(raw_path), fits=lambda route: not route.query or query.has(route.query)
        )
        if not isinstance(found, Found):
            return web.Response(status=404, body=NOT_FOUND, headers={"Content-Type": TEXT, **_NOSNIFF})
        trace.route = found.route.name
        try:
            named = self._named(request, trace)
        except BadHeader as error:
            headers = {"Content-Type": TEXT, **_NOSNIFF, SERVER_NAME: self._site.name}
            return web.Response(status=500, body=f"{error}\n".encode(), headers=headers)
        response = await self._routed(request, found, query, trace)
        response.headers.update(named)
        return response

    def refuse(self, status: int, reason: str) -> web.Response:
        """Give the answer to what could not be read as a request."""
        response = _refused(LsError(status, reason))
        response.headers[SERVER_NAME] = self._site.name
        return response

    def _named(self, request: web.BaseRequest, trace: Trace) -> Mapping[str, str]:
        """Give the headers that say who answers, and which of the client's operations; BadHeader."""
        named = {SERVER_NAME: self._site.name}
        told = request.headers.get(TRANSACTION)
        if told is None:
            return named
        transaction = parse_transaction(told)
        trace.client_id = transaction.id
        return {**named, TRANSACTION: transaction.text()}

    async def _routed(self, request: web.BaseRequest, found: Found[Route], query: Query, trace: Trace) -> web.Response:
        closing = False
        try:
            answer = await self._answer(request, found, query, trace)
        except NotReceived as error:
            # The rest of the body is not waited for.
            refused, closing = LsError(error.status, error.reason), True
        except (errors.GatewayError, LsError, BadHeader) as error:
            refused = ls_error(error)
        else:
            trace.outcome = trace.outcome or ("success" if trace.operation else "")
            if answer.status == 204:  # noqa: PLR2004 - the one that has no body
                return web.Response(status=answer.status)
            return web.Response(status=answer.status, body=answer.body, headers={"Content-Type": JSON})
        trace.outcome = refused.message
        response = _refused(refused)
        if closing:
            response.force_close()
        return response

    async def _answer(self, request: web.BaseRequest, found: Found[Route], query: Query, trace: Trace) -> _Answer:
        route, headers = found.route, request.headers
        if not self._pages and "Origin" in headers:
            raise _A_PAGE
        trace.who = _certified(request)
        caller = self._auth.enter(headers.get("Authorization"))
        trace.who = caller.subject or trace.who
        instances = parse_instance_ids(headers.getall(INSTANCE_ID, ()))
        devices = parse_local_devices(headers.getall(LOCAL_DEVICES, ()))
        service = self._service(found)
        principal = self._admitted(caller, route, service)
        trace.who = principal.name or trace.who
        if route.operation:
            trace.operation, trace.target = route.operation, "/".join(found.keys.values())[:128]
        version = await self._core.known.renew()
        ask = Ask(
            core=self._core.acting_for(principal),
            site=self._site,
            service=service,
            query=query,
            keys=found.keys,
            body=await self._body(request),
            instances=instances,
            devices=devices,
            peer=request.remote or "",
            trace=trace,
            base=f"{request.scheme}://{_printable(headers.get('Host', ''))}",
            open_services=self._open_to(caller) if route.scope is Scope.NONE else self._every,
            version=version,
            answers=self._answers,
        )
        return await self._carried_out(route, ask)

    async def _carried_out(self, route: Route, ask: Ask) -> _Answer:
        if not route.task:
            return _Answer(route.status, _written(await route.handler(ask)))
        wait = not ask.query.flag("async")
        if wait and route.ready is not None and (text := route.ready(ask)) is not None:
            return _Answer(route.status, text)
        if not wait:
            for check in route.checks:
                check(ask)

        async def work(core: Core) -> bytes:
            return _written(await route.handler(msgspec.structs.replace(ask, core=core)))

        about = What(user=ask.trace.who, service="" if ask.service is None else ask.service.name, single=route.single)
        result = await self._tasks.perform(work, ask.core, about, wait=wait)
        if isinstance(result, bytes):
            return _Answer(route.status, result)
        ask.trace.job, ask.trace.outcome = str(result.id), "accepted"
        return _Answer(408 if wait else 202, body(result))

    def _service(self, found: Found[Route]) -> Service | None:
        """Give the service that a path names, if it names one; 404."""
        name = found.keys.get("service")
        if name is None:
            return None
        service = self._site.service(name)
        if service is None:
            raise not_found(name)
        return service

    def _admitted(self, caller: Caller, route: Route, service: Service | None) -> Principal:
        """Give who is asking, let in by every service that the route is about; 401."""
        concerned: Iterable[str] = ()
        if route.scope is Scope.EVERY:
            concerned = self._site.services
        elif service is not None:
            concerned = (service.name,)
        subject = self._auth.use(caller, concerned)
        return EVERYBODY if subject is None else msgspec.structs.replace(EVERYBODY, name=subject)

    def _open_to(self, caller: Caller) -> frozenset[str]:
        """Give the services that would let a caller in."""
        return frozenset(name for name in self._site.services if self._lets_in(caller, name))

    def _lets_in(self, caller: Caller, name: str) -> bool:
        try:
            self._auth.use(caller, (name,))
        except LsError:
            return False
        return True

    async def _body(self, request: web.BaseRequest) -> bytes:
        if request.method != "POST":
            return b""
        return await receive(request, max_bytes=self._max_body_bytes, timeout_s=self._receive_timeout_s)


def _written(result: object) -> bytes:
    return result if isinstance(result, bytes) else body(result)


def _refused(error: LsError) -> web.Response:
    headers = CIMultiDict({"Content-Type": JSON, **_OWN_HEADERS.get(error.status, {})})
    return web.Response(status=error.status, body=body(error.body()), headers=headers)


def _cleaned(raw_path: str) -> str:
    """Give a path as Go's router wants it: without empty segments, and without those that are only dots."""
    if "//" not in raw_path and "/." not in raw_path:
        return raw_path
    tidy = posixpath.normpath(f"/{raw_path.lstrip('/')}")
    return f"{tidy}/" if raw_path.endswith("/") and tidy != "/" else tidy


def _printable(text: str) -> str:
    """Give a header as UTF-8 can carry it."""
    return text.encode("utf-8", "replace").decode("utf-8")


def _certified(request: web.BaseRequest) -> str:
    """Give the name in the client's certificate, if it had to show one."""
    certificate = request.get_extra_info("peercert") or {}
    names = (value for group in certificate.get("subject", ()) for key, value in group if key == "commonName")
    return next(names, "")
