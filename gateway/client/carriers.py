"""The two halves that do I/O: `Client` waits, `AsyncClient` awaits."""

from __future__ import annotations

import asyncio
import ssl
import time
from collections.abc import AsyncIterator, Callable, Iterator
from pathlib import Path
from types import TracebackType
from typing import Self, TypeVar

import httpx
import msgspec

from gateway.client.flows import Flow, Listing, page
from gateway.client.wire import Call, ClientError, Pause, Reply

T = TypeVar("T")
R = TypeVar("R")

_TIMEOUT_S = 150.0
_CONNECT_TIMEOUT_S = 10.0

_UNSENT = (httpx.ConnectError, httpx.ConnectTimeout, httpx.PoolTimeout, httpx.UnsupportedProtocol, httpx.InvalidURL)
"""Errors before anything was sent."""


class Client:
    """Carries operations out; threads may share it, each has its operation's steps one after the other.

    A context manager. `verify`: True trusts the system's authorities, a path
    those in that file, False anyone. `timeout_s`: how long an answer may take,
    beside what its request waits for. `transport` replaces the network, `pause`
    what waits between two requests.
    """

    def __init__(
        self,
        url: str,
        *,
        user: str = "",
        password: str = "",
        verify: bool | Path = True,
        timeout_s: float | None = None,
        transport: httpx.BaseTransport | None = None,
        pause: Callable[[float], None] = time.sleep,
    ) -> None:
        self._pause = pause
        self._http = httpx.Client(
            base_url=_base(url),
            auth=_auth(user, password),
            verify=_trust(verify, _base(url)),
            timeout=_timeout(timeout_s),
            trust_env=False,
            transport=transport,
        )

    def run(self, flow: Flow[T]) -> T:
        """Carry an operation out; ClientError when it fails."""
        try:
            step = next(flow)
            while True:
                try:
                    reply = self._perform(step)
                except ClientError as error:
                    step = flow.throw(error)
                else:
                    step = flow.send(reply)
        except StopIteration as end:
            result: T = end.value
            return result
        finally:
            flow.close()

    def each(self, listing: Listing[R]) -> Iterator[R]:
        """Yield every answer, asking for a page when it is needed."""
        part = self.run(page(listing))
        yield from part.records
        while part.following:
            part = self.run(page(listing, part.following))
            yield from part.records

    def close(self) -> None:
        """Close the connections. Idempotent."""
        self._http.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.close()

    def _perform(self, step: Call | Pause) -> Reply:
        if isinstance(step, Pause):
            self._pause(step.seconds)
            return Reply(status=0)
        try:
            return _reply(self._http.send(_request(self._http.build_request, step, self._http.timeout)))
        except (httpx.HTTPError, httpx.InvalidURL) as error:
            raise _unreachable(self._http.base_url, error) from error


class AsyncClient:
    """As `Client`, for an event loop. An async context manager; operations may run side by side."""

    def __init__(
        self,
        url: str,
        *,
        user: str = "",
        password: str = "",
        verify: bool | Path = True,
        timeout_s: float | None = None,
        transport: httpx.AsyncBaseTransport | None = None,
    ) -> None:
        self._http = httpx.AsyncClient(
            base_url=_base(url),
            auth=_auth(user, password),
            verify=_trust(verify, _base(url)),
            timeout=_timeout(timeout_s),
            trust_env=False,
            transport=transport,
        )

    async def run(self, flow: Flow[T]) -> T:
        """Carry an operation out; ClientError when it fails."""
        try:
            step = next(flow)
            while True:
                try:
                    reply = await self._perform(step)
                except ClientError as error:
                    step = flow.throw(error)
                else:
                    step = flow.send(reply)
        except StopIteration as end:
            result: T = end.value
            return result
        finally:
            flow.close()

    async def each(self, listing: Listing[R]) -> AsyncIterator[R]:
        """Yield every answer, asking for a page when it is needed."""
        part = await self.run(page(listing))
        for record in part.records:
            yield record
        while part.following:
            part = await self.run(page(listing, part.following))
            for record in part.records:
                yield record

    async def close(self) -> None:
        """Close the connections. Idempotent."""
        await self._http.aclose()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        await self.close()

    async def _perform(self, step: Call | Pause) -> Reply:
        if isinstance(step, Pause):
            await asyncio.sleep(step.seconds)
            return Reply(status=0)
        try:
            return _reply(await self._http.send(_request(self._http.build_request, step, self._http.timeout)))
        except (httpx.HTTPError, httpx.InvalidURL) as error:
            raise _unreachable(self._http.base_url, error) from error


def _base(url: str) -> httpx.URL:
    try:
        base = httpx.URL(url)
    except httpx.InvalidURL as error:
        raise ClientError(0, "", f"{url!r} is no address: {error}") from None
    if base.scheme not in {"http", "https"} or not base.host:
        raise ClientError(0, "", f"{url!r} is no address such as https://127.0.0.1:8443")
    return base


def _auth(user: str, password: str) -> httpx.BasicAuth | None:
    return httpx.BasicAuth(user.encode(), password.encode()) if user else None


def _trust(verify: bool | Path, base: httpx.URL) -> ssl.SSLContext | bool:
    if verify is True and base.scheme == "http":
        # Nobody to trust: to read the authorities takes longer than many a request.
        return ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    if isinstance(verify, bool):
        # httpx's own default is a bundle of its own; a private authority is in the system's store.
        return ssl.create_default_context() if verify else False
    try:
        return ssl.create_default_context(cafile=verify)
    except (OSError, ssl.SSLError) as error:
        raise ClientError(0, "", f"{verify} cannot be used as certificate: {error.strerror or error}") from None


def _timeout(timeout_s: float | None) -> httpx.Timeout:
    usual = _TIMEOUT_S if timeout_s is None else timeout_s
    return httpx.Timeout(usual, connect=min(usual, _CONNECT_TIMEOUT_S))


def _request(build: Callable[..., httpx.Request], call: Call, usual: httpx.Timeout) -> httpx.Request:
    content = None if call.body is None else msgspec.json.encode(call.body)
    headers = {"Accept": "application/json"}
    if content is not None:
        headers["Content-Type"] = "application/json"
    timeout = usual
    if call.patience_s and usual.read is not None:
        timeout = httpx.Timeout(
            connect=usual.connect, read=usual.read + call.patience_s, write=usual.write, pool=usual.pool
        )
    return build(
        call.method, call.path, params=list(call.query) or None, content=content, headers=headers, timeout=timeout
    )


def _reply(response: httpx.Response) -> Reply:
    wanted = response.headers.get("Retry-After", "")
    return Reply(
        status=response.status_code,
        body=response.content,
        retry_after_s=float(wanted) if wanted.isascii() and wanted.isdigit() else None,
    )


def _unreachable(base: httpx.URL, error: Exception) -> ClientError:
    address = f"{base.scheme}://{base.netloc.decode()}"
    message = f"the gateway at {address} cannot be reached: {str(error) or type(error).__name__}"
    return ClientError(
        0, "", message, unsent=isinstance(error, _UNSENT), late=isinstance(error, httpx.TimeoutException)
    )
