"""The older REST API of openstorage: `/v1/osd-volumes`, `/v1/osd-snapshot` and `/v1/cluster`.

Everything is asked of the SDK, on behalf of whoever sends the request: a token
is passed on as it came, and who may do what is decided there. The reference
also trusts a client whose `User-Agent` names a scheduler (`...-sched`) and that
brings no token, and calls with a token of its own keeping for it. Anybody can
write such a header, so here it means nothing: without a token the caller is a
guest. The header chooses no driver either, since there is one for all pools.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from urllib.parse import parse_qs

from aiohttp import web
from multidict import CIMultiDict

from gateway.core.door import Trace
from gateway.core.model import utc_now
from gateway.core.worker import Worker
from gateway.frontends.openstorage.call import SdkError
from gateway.frontends.openstorage.older.access import require_administrator
from gateway.frontends.openstorage.older.answer import NOT_FOUND, TEXT, Answer, Refused
from gateway.frontends.openstorage.older.ask import Ask
from gateway.frontends.openstorage.older.client import Answering, Client, Quiescing
from gateway.frontends.openstorage.older.encode import rpc_error
from gateway.frontends.openstorage.older.routes import ROUTES, Route, place
from gateway.frontends.openstorage.rest import headers as told
from gateway.frontends.receive import NotReceived, is_foreign, origin_form, receive
from gateway.frontends.routing import Found, Router, Wrong

_WITH_BODY = frozenset({"POST", "PUT"})
_FOREIGN = "Pages of other origins may not call a door that asks nobody for a token"
_COMMON = CIMultiDict({"Content-Type": TEXT, "X-Content-Type-Options": "nosniff", "Cache-Control": "no-store"})


class OlderDoor:
    """Serves every route on whatever it is put behind, TCP or UNIX socket. Close it when nobody asks any more.

    `quiescing` is None where nothing can hold volumes still. `pages`: pages of
    other origins may call; they must not where everybody may come in, and a
    browser asks for no leave before it sends what this API takes for JSON.
    """

    def __init__(
        self,
        sdk: Answering,
        *,
        quiescing: Quiescing | None,
        max_body_bytes: int,
        receive_timeout_s: float,
        pages: bool = True,
    ) -> None:
        self._sdk = sdk
        self._quiescing = quiescing
        self._max_body_bytes = max_body_bytes
        self._receive_timeout_s = receive_timeout_s
        self._pages = pages
        self._router = Router(ROUTES)
        self._decoder = Worker("older-rest", 1)
        self._started = utc_now()

    async def close(self) -> None:
        """End the thread that decodes. Idempotent."""
        await self._decoder.close()

    async def handle(self, request: web.BaseRequest, trace: Trace) -> web.StreamResponse:
        """Answer one request. Never raises for anything a client can do."""
        try:
            return _response(await self._answer(request, trace))
        except Refused as error:
            trace.outcome = trace.outcome or f"{error.status}"
            return _response(error.answer)
        except SdkError as error:
            return _response(Refused(500, rpc_error(error)).answer)
        except NotReceived as error:
            response = self.refuse(error.status, error.reason)
            # The rest of the body is not waited for.
            response.force_close()
            return response

    def refuse(self, status: int, reason: str) -> web.Response:
        """Give the answer to what could not be read as a request."""
        headers = {"Retry-After": "1"} if status == 503 else {}  # noqa: PLR2004 - the status says it
        return _response(Refused(status, reason, headers=headers).answer)

    async def _answer(self, request: web.BaseRequest, trace: Trace) -> Answer:
        if not self._pages and is_foreign(request.headers):
            raise Refused(403, _FOREIGN)
        raw_path, _, raw_query = origin_form(request.raw_path).partition("?")
        found = self._router.find(request.method, place(raw_path))
        if found is None:
            raise Refused(404, NOT_FOUND)
        if isinstance(found, Wrong):
            trace.route = found.template
            return Answer(status=405, headers={"Allow": ", ".join(found.verbs)})
        trace.route = found.route.template
        sdk = Client(
            self._sdk,
            authorization=told.authorization(request.headers),
            peer=request.remote or "",
            trace=trace,
        )
        if found.route.admin:
            await require_administrator(sdk)
        return await found.route.handler(await self._ask(request, found, sdk, raw_query=raw_query))

    async def _ask(self, request: web.BaseRequest, found: Found[Route], sdk: Client, *, raw_query: str) -> Ask:
        body = b""
        if request.method in _WITH_BODY:
            body = await receive(request, max_bytes=self._max_body_bytes, timeout_s=self._receive_timeout_s)
        return Ask(
            sdk=sdk,
            quiescing=self._quiescing,
            keys=tuple(found.keys.values()),
            query=_query(raw_query),
            body=body,
            decoder=self._decoder,
            started=self._started,
        )


def _query(raw_query: str) -> Mapping[str, Sequence[str]]:
    return parse_qs(raw_query, keep_blank_values=True)


def _response(answer: Answer) -> web.Response:
    headers = CIMultiDict(_COMMON)
    headers.update(answer.headers)
    return web.Response(status=answer.status, body=answer.body, headers=headers)
