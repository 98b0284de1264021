"""The SDK over HTTP and JSON: every call of the schema by the verb and the path that its rule gives.

A request becomes the call's message, the answer becomes JSON; who may do what
and what happens is the SDK's.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncGenerator, AsyncIterator, Collection, Iterable, Mapping
from contextlib import aclosing, asynccontextmanager, suppress
from http import HTTPStatus
from typing import Protocol

from aiohttp import web
from google.protobuf.message import Message
from grpc import StatusCode

from gateway.core.door import Trace
from gateway.core.worker import Worker
from gateway.frontends.openstorage.call import SdkError
from gateway.frontends.openstorage.rest import headers as told
from gateway.frontends.openstorage.rest.decode import decode
from gateway.frontends.openstorage.rest.encode import (
    HTTP_STATUS,
    REFUSALS,
    error_body,
    error_line,
    pieces,
    result_line,
)
from gateway.frontends.openstorage.rest.openapi import load_words, openapi, swagger
from gateway.frontends.openstorage.rest.paths import segments
from gateway.frontends.openstorage.rest.routes import Found, Router, Wrong
from gateway.frontends.openstorage.schema import Method, Schema
from gateway.frontends.receive import NotReceived, is_foreign, origin_form, receive

_JSON = {"Content-Type": "application/json"}
_TEXT = {"Content-Type": "text/plain; charset=utf-8"}
_COMMON = {"X-Content-Type-Options": "nosniff", "Cache-Control": "no-store", "Vary": "Origin"}
_SMALL_BYTES = 4096
"""What is decoded on the loop; larger bodies are in a thread, because the worst of them take a second."""
_TURN_S = 0.002
"""How long an answer may be written before others have their turn."""


class Answering(Protocol):
    """What the door calls: the SDK. Whatever fails leaves it as an SdkError."""

    @property
    def schema(self) -> Schema:
        """Give every service, served or not."""

    async def answer(
        self, path: str, request: Message, *, authorization: str | None, peer: str, trace: Trace
    ) -> Message:
        """Carry out one call. `path` as gRPC sends it."""

    def stream(
        self, path: str, request: Message, *, authorization: str | None, peer: str, trace: Trace
    ) -> AsyncGenerator[Message, None]:
        """Carry out one call with any number of responses."""


class RestDoor:
    """Serves `/v1` and what describes it. Close it when no request is being answered any more.

    `served`: the calls (as gRPC names them) that the documents list; every
    call of the schema is passed on. `pages`: pages of other origins may call;
    they must not where everybody may come in, because a browser on a machine
    that can reach the door would open it to every page it shows.
    """

    def __init__(
        self,
        sdk: Answering,
        *,
        served: Collection[str],
        max_body_bytes: int,
        receive_timeout_s: float,
        pages: bool = True,
    ) -> None:
        self._sdk = sdk
        self._router = Router(sdk.schema)
        words = load_words()
        self._documents = {
            "/swagger.json": swagger(sdk.schema, served, words),
            "/openapi.json": openapi(sdk.schema, served, words),
        }
        self._max_body_bytes = max_body_bytes
        self._receive_timeout_s = receive_timeout_s
        self._pages = pages
        self._decoder = Worker("sdk-rest", 1)

    async def close(self) -> None:
        """End the thread that decodes. Idempotent."""
        await self._decoder.close()

    async def handle(self, request: web.BaseRequest, trace: Trace) -> web.StreamResponse:
        """Answer one request. Never raises for anything a client can do."""
        if not self._pages and is_foreign(request.headers):
            return self.refuse(403, "Pages of other origins may not call a door that asks nobody for a token")
        if told.is_preflight(request.method, request.headers):
            return _response(204, b"", told.preflight(request.headers))
        cross = told.cross_origin(request.headers)
        try:
            return await self._answer(request, trace, cross)
        except SdkError as error:
            trace.outcome = trace.outcome or error.code.name
            return _failure(request, HTTP_STATUS[error.code], error, cross)
        except NotReceived as error:
            failed = SdkError(REFUSALS.get(error.status, StatusCode.INTERNAL), error.reason)
            return _failure(request, error.status, failed, cross)

    def refuse(self, status: int, reason: str) -> web.Response:
        """Give the answer to what could not be read as a request."""
        body = error_body(SdkError(REFUSALS.get(status, StatusCode.INTERNAL), reason))
        again = {"Retry-After": "1"} if status == HTTPStatus.SERVICE_UNAVAILABLE else {}
        return _response(status, body, {**_JSON, **again})

    async def _answer(self, request: web.BaseRequest, trace: Trace, cross: Mapping[str, str]) -> web.StreamResponse:
        raw_path, _, raw_query = origin_form(request.raw_path).partition("?")
        document = self._documents.get(raw_path)
        if document is not None:
            trace.route = raw_path
            return _document(request, document, cross)
        found = self._router.find(request.method, segments(raw_path))
        if isinstance(found, Wrong):
            return _unrouted(request, found, cross)
        trace.route = found.method.path.rpartition(".")[2]
        within_s = told.timeout_s(request.headers)
        until = None if within_s is None else asyncio.get_running_loop().time() + within_s
        async with _deadline(until):
            message = await self._decoded(request, found, raw_query)
        if found.method.streams:
            return await self._streamed(request, found.method, message, trace=trace, until=until, cross=cross)
        async with _deadline(until):
            response = await self._sdk.answer(
                found.method.path,
                message,
                authorization=told.authorization(request.headers),
                peer=request.remote or "",
                trace=trace,
            )
        body = await _whole(pieces(response))
        return _response(200, b"" if request.method == "HEAD" else body, {**_JSON, **cross})

    async def _decoded(self, request: web.BaseRequest, found: Found, raw_query: str) -> Message:
        method, values, body = found.method, found.values, b""
        if method.http.whole_body:
            body = await receive(request, max_bytes=self._max_body_bytes, timeout_s=self._receive_timeout_s)
        if len(body) <= _SMALL_BYTES:
            return decode(method, values, raw_query=raw_query, body=body)
        return await self._decoder.run(decode, method, values, raw_query=raw_query, body=body)

    async def _streamed(
        self,
        request: web.BaseRequest,
        method: Method,
        message: Message,
        *,
        trace: Trace,
        until: float | None,
        cross: Mapping[str, str],
    ) -> web.StreamResponse:
        """Send a line per message as it comes, and one for the error. What fails before the first has its status."""
        lines = web.StreamResponse(headers={**_COMMON, **_JSON, **cross})
        stream = self._sdk.stream(
            method.path,
            message,
            authorization=told.authorization(request.headers),
            peer=request.remote or "",
            trace=trace,
        )
        # A client that does not want the rest is no error of ours.
        with suppress(ConnectionError):
            try:
                async with _deadline(until), aclosing(stream):
                    async for each in stream:
                        await _send(request, lines, result_line(each))
            except SdkError as error:
                trace.outcome = trace.outcome or error.code.name
                if not lines.prepared:
                    lines.set_status(HTTP_STATUS[error.code])
                await _send(request, lines, [error_line(error)])
            if not lines.prepared:
                await lines.prepare(request)
            await lines.write_eof()
        return lines


@asynccontextmanager
async def _deadline(until: float | None) -> AsyncIterator[None]:
    try:
        async with asyncio.timeout_at(until):
            yield
    except TimeoutError:
        raise SdkError(StatusCode.DEADLINE_EXCEEDED, "context deadline exceeded") from None


async def _send(request: web.BaseRequest, lines: web.StreamResponse, parts: Iterable[bytes]) -> None:
    if not lines.prepared:
        await lines.prepare(request)
    # In one go: a line that was begun when the client's deadline comes is whole all the same.
    await lines.write(await _whole(parts))


async def _whole(parts: Iterable[bytes]) -> bytes:
    """Join the parts, and let others have their turn in between when making them takes long."""
    found = []
    start = time.perf_counter()
    for part in parts:
        found.append(part)
        if time.perf_counter() - start > _TURN_S:
            await asyncio.sleep(0)
            start = time.perf_counter()
    return b"".join(found)


def _response(status: int, body: bytes, headers: Mapping[str, str]) -> web.Response:
    return web.Response(status=status, body=body, headers={**_COMMON, **headers})


def _document(request: web.BaseRequest, document: bytes, cross: Mapping[str, str]) -> web.Response:
    if request.method == "GET":
        return _response(200, document, {**_JSON, **cross})
    if request.method == "HEAD":
        return _response(200, b"", {**_JSON, **cross})
    return _unrouted(request, Wrong(allow=("GET", "HEAD")), cross)


def _unrouted(request: web.BaseRequest, wrong: Wrong, cross: Mapping[str, str]) -> web.Response:
    """Answer what leads to no call, in plain text like the reference."""
    if not wrong.allow:
        status = HTTPStatus.NOT_FOUND
    elif request.method == "OPTIONS":
        status = HTTPStatus.NO_CONTENT
    else:
        status = HTTPStatus.METHOD_NOT_ALLOWED
    bare = request.method in {"HEAD", "OPTIONS"} and status != HTTPStatus.METHOD_NOT_ALLOWED
    headers = {**_TEXT, **cross, **({"Allow": ", ".join((*wrong.allow, "OPTIONS"))} if wrong.allow else {})}
    return _response(status, b"" if bare else f"{status.phrase}\n".encode(), headers)


def _failure(request: web.BaseRequest, status: int, error: SdkError, cross: Mapping[str, str]) -> web.Response:
    proof = {"WWW-Authenticate": "Bearer"} if status == HTTPStatus.UNAUTHORIZED else {}
    body = b"" if request.method == "HEAD" else error_body(error)
    return _response(status, body, {**_JSON, **proof, **cross})
