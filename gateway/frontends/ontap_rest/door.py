"""The ONTAP REST door: a request comes in as bytes, passes the pure halves and the core, and goes out as bytes."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from contextlib import suppress
from http import HTTPStatus
from typing import Any

import msgspec
from aiohttp import web
from multidict import CIMultiDict, istr

from gateway.core import errors
from gateway.core.accounts import LocalAccounts
from gateway.core.context import Core
from gateway.core.door import Trace
from gateway.core.observer import Observer
from gateway.core.principal import Authenticator, Principal
from gateway.core.trail import Trail
from gateway.frontends.memory import Answers, Memory
from gateway.frontends.ontap_rest import docs
from gateway.frontends.ontap_rest.answer import Answer
from gateway.frontends.ontap_rest.ask import Ask
from gateway.frontends.ontap_rest.encode import content_type, dumps, wants_links
from gateway.frontends.ontap_rest.endpoint import Route
from gateway.frontends.ontap_rest.endpoints import routes
from gateway.frontends.ontap_rest.errors import WireError, encode_error, no_endpoint, no_verb
from gateway.frontends.ontap_rest.paths import ROOT, Found, Router, segments
from gateway.frontends.ontap_rest.projection import Projections
from gateway.frontends.ontap_rest.query import parse_query, scoped
from gateway.frontends.ontap_rest.release import DEFAULT_RELEASE, Release
from gateway.frontends.ontap_rest.rights import check
from gateway.frontends.ontap_rest.schema import Verb, load_schema
from gateway.frontends.ontap_rest.serve import Server
from gateway.frontends.ontap_rest.sources import PRODUCT, CatalogSource, DataAddress, Site
from gateway.frontends.ontap_rest.tunnel import HEADERS, check_query, tunnelled
from gateway.frontends.receive import NotReceived, identify, is_foreign, origin_form, receive

_COMMON: Mapping[bool, CIMultiDict[str]] = {
    links: CIMultiDict(
        {
            "Server": PRODUCT,
            "X-Content-Type-Options": "nosniff",
            "Cache-Control": "no-cache,no-store,must-revalidate",
            "Content-Type": content_type(links=links),
        }
    )
    for links in (False, True)
}
"""The headers of every answer, with links and without."""
_ACCEPT = istr("Accept")
_READS = frozenset({"GET", "HEAD"})
_VERBS: Mapping[str, Verb] = {"HEAD": Verb.GET, **{verb.value: verb for verb in Verb}}
_TRANSPORT: Mapping[int, str] = {408: "65541", 500: "262145", 503: "262160"}
_ANSWERS_BYTES = 8 * 1024 * 1024
_TEXTS_BYTES = 8 * 1024 * 1024


class OntapDoor:
    """Serves `/api` and, about itself, `/docs/api`. Call `open` once before `handle`."""

    def __init__(
        self,
        core: Core,
        authenticator: Authenticator,
        *,
        name: str,
        addresses: Sequence[DataAddress],
        max_body_bytes: int,
        receive_timeout_s: float,
        observer: Observer,
        release: Release = DEFAULT_RELEASE,
        accounts: LocalAccounts | None = None,
        trail: Trail | None = None,
    ) -> None:
        self._core = core
        self._accounts = accounts
        self._trail = trail
        self._authenticator = authenticator
        self._name = name
        self._addresses = tuple(addresses)
        self._max_body_bytes = max_body_bytes
        self._receive_timeout_s = receive_timeout_s
        self._observer = observer
        self._release = release
        self._schema = load_schema(release)
        self._server = Server(Projections(), Memory(_TEXTS_BYTES))
        self._router: Router[Route] = Router({})
        self._docs = docs.Docs({}, release)
        self._answers: Answers[Answer] = Answers(_ANSWERS_BYTES)

    async def open(self) -> None:
        """Learn the cluster's identity and build the route table."""
        site = await Site.of(
            self._core,
            name=self._name,
            addresses=self._addresses,
            release=self._release,
            accounts=self._accounts,
            trail=self._trail,
        )
        table = routes(self._schema, site, self._observer)
        self._router = Router(table)
        self._docs = docs.Docs(table, self._release)

    async def handle(self, request: web.BaseRequest, trace: Trace) -> web.StreamResponse:
        """Answer one request. Never raises for anything a client can do."""
        links = wants_links(request.headers.get(_ACCEPT))
        try:
            answer = await self._answer(request, trace, links=links)
        except (WireError, errors.GatewayError) as error:
            trace.outcome = type(error).__name__
            answer = self._refusal(error, trace)
        except web.HTTPException as error:
            answer = self._refusal(_transport(error.status, error.reason), trace)
        if answer.parts and request.method != "HEAD":
            return await _send_parts(request, answer, links=links)
        body = b"" if request.method == "HEAD" else answer.body
        return web.Response(status=answer.status, body=body, headers=_headers(answer, links=links))

    def refuse(self, status: int, reason: str) -> web.Response:
        """Give the answer to what could not be read as a request."""
        answer = self._refusal(_transport(status, reason), Trace())
        headers = _headers(answer, links=True)
        if status == HTTPStatus.SERVICE_UNAVAILABLE:
            headers["Retry-After"] = "1"
        return web.Response(status=answer.status, body=answer.body, headers=headers)

    def _refusal(self, error: WireError | errors.GatewayError, trace: Trace) -> Answer:
        status, body = encode_error(error, operation=trace.operation)
        headers: dict[str, str] = {}
        if isinstance(error, errors.Unauthenticated):
            headers["WWW-Authenticate"] = 'Basic realm="gateway"'
        if error.retry_after if isinstance(error, errors.Busy) else None:
            headers["Retry-After"] = str(error.fields["retry_after"])  # type: ignore[union-attr]
        return Answer(status=status, body=dumps(body), headers=headers)

    async def _answer(self, request: web.BaseRequest, trace: Trace, *, links: bool) -> Answer:
        principal = await identify(self._authenticator, request)
        trace.who = principal.name
        version = await self._core.known.renew()
        key = None
        if request.method in _READS:
            # What one caller may see another one may not, so nobody is given what was made for somebody else.
            key = (principal, request.raw_path, links, *[request.headers.get(name) for name in HEADERS])
            known = self._answers.get(key, version)
            if known is not None:
                trace.route = known.route
                return known
        raw_path, _, raw_query = origin_form(request.raw_path).partition("?")
        path = segments(raw_path)
        if path[:2] == docs.ROOT:
            trace.route = docs.ROUTE
            return await self._docs.answer(request.method, path[2:])
        found = self._find(path)
        trace.route = found.target.template
        if request.method == "OPTIONS":
            await check(self._core, principal, found, found.target.verbs[0])
            return Answer(status=200, body=dumps({}), headers={"Allow": _allowed(found.target)})
        verb = _VERBS.get(request.method)
        if verb is None or verb not in found.target.verbs:
            raise no_verb()
        if verb is not Verb.GET:
            # Also what is refused is written down.
            trace.operation = f"{found.target.endpoint.resource.name}.{verb.value.lower()}"
            trace.target, trace.tenant_id = f"/{'/'.join(path)}", principal.tenant_id
            if is_foreign(request.headers):
                # A browser sends along what it knows of the account, whoever wrote the page.
                raise errors.PermissionDenied(action="call from a page of another origin")
        await check(self._core, principal, found, verb)
        ask = await self._ask(request, found, verb, path=path, raw_query=raw_query, links=links, principal=principal)
        if verb is Verb.GET:
            answer = await self._server.get(found.target, ask)
            source = found.target.endpoint.source
            if key is not None and not answer.parts and isinstance(source, CatalogSource) and not source.ages:
                kept = msgspec.structs.replace(answer, route=found.target.template)
                self._answers.put(key, version, kept, weight=_weight(key, answer))
            return answer
        return await self._server.write(found.target, ask, await self._body(request), trace)

    def _find(self, path: Sequence[str]) -> Found[Route]:
        found = self._router.find(path[1:]) if path[:1] == (ROOT,) else None
        if found is None:
            raise no_endpoint()
        return found

    async def _ask(
        self,
        request: web.BaseRequest,
        found: Found[Route],
        verb: Verb,
        *,
        path: Sequence[str],
        raw_query: str,
        links: bool,
        principal: Principal,
    ) -> Ask:
        resource = found.target.endpoint.resource
        parameters = parse_query(resource, verb, raw_query)
        tenant = await tunnelled(self._core, principal, request.headers)
        if tenant is not None and verb is not Verb.POST:
            if principal.tenant_id is None:
                check_query(parameters.where, tenant)
            parameters = scoped(resource, parameters, tenant.name, reading=verb is Verb.GET)
        return Ask(
            # What an administrator makes belongs to everybody, as ONTAP knows no owners.
            core=self._core if _everywhere(principal) else self._core.acting_for(principal),
            principal=principal,
            verb=verb,
            path=f"/{'/'.join(path)}",
            raw_query=raw_query,
            keys=found.keys,
            parameters=parameters,
            tenant=tenant,
            hal=links,
        )

    async def _body(self, request: web.BaseRequest) -> bytes:
        """Read the body; see `receive`."""
        try:
            return await receive(request, max_bytes=self._max_body_bytes, timeout_s=self._receive_timeout_s)
        except NotReceived as error:
            raise _transport(error.status, error.reason) from None


def _everywhere(principal: Principal) -> bool:
    return principal.administrator and principal.tenant_id is None


def _allowed(route: Route) -> str:
    reads = ["GET", "HEAD"] if Verb.GET in route.verbs else []
    return ", ".join([*reads, "OPTIONS", *(verb.value for verb in route.verbs if verb is not Verb.GET)])


def _headers(answer: Answer, *, links: bool) -> CIMultiDict[str]:
    headers = CIMultiDict(_COMMON[links])
    if answer.headers:
        headers.update(answer.headers)
    return headers


async def _send_parts(request: web.BaseRequest, answer: Answer, *, links: bool) -> web.StreamResponse:
    response = web.StreamResponse(status=answer.status, headers=_headers(answer, links=links))
    response.content_length = sum(map(len, answer.parts))
    # A client that does not want the rest is no error of ours.
    with suppress(ConnectionError):
        await response.prepare(request)
        for part in answer.parts:
            await response.write(part)
            await asyncio.sleep(0)
    return response


def _transport(status: int, reason: str) -> WireError:
    """Give the refusal of a request that HTTP itself could not carry."""
    return WireError(status, _TRANSPORT.get(status, "262199"), message=reason)


def _weight(key: tuple[Any, ...], answer: Answer) -> int:
    # Clients may send long queries and tunnel headers.
    return len(answer.body) + sum(2 * len(part) for part in key if isinstance(part, str))
