"""Takes in requests for every door that speaks HTTP: their targets, and their bodies within bounds."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping

from aiohttp import web
from aiohttp.http_exceptions import HttpProcessingError
from multidict import istr

from gateway.core.principal import Authenticator, Principal

_AUTHORIZATION = istr("Authorization")


class NotReceived(Exception):  # noqa: N818 - named by what is wrong, as in the core
    """A body that did not arrive; `status` is HTTP's, `reason` what the client reads."""

    def __init__(self, status: int, reason: str) -> None:
        super().__init__(reason)
        self.status = status
        self.reason = reason


async def identify(authenticator: Authenticator, request: web.BaseRequest) -> Principal:
    """Give who asks: by the request's header, else by the certificate of its connection."""
    authorization, peer = request.headers.get(_AUTHORIZATION), request.remote or ""
    if authorization is None and (certificate := common_name(request)):
        return await authenticator.authenticate(None, peer=peer, certificate=certificate)
    return await authenticator.authenticate(authorization, peer=peer)


def common_name(request: web.BaseRequest) -> str:
    """Give the common name of the certificate that a connection was opened with; empty without one, or with several.

    There is none unless an authority that the listener trusts has signed it.
    """
    transport = request.transport
    shown = None if transport is None else transport.get_extra_info("peercert")
    if not shown:
        return ""
    names = [value for parts in shown.get("subject", ()) for kind, value in parts if kind == "commonName"]
    return names[0] if len(names) == 1 and names[0].isprintable() else ""


def origin_form(target: str) -> str:
    """Give path and query of a request target; one in absolute form names scheme and host before them."""
    if target.startswith("/") or "://" not in target:
        return target
    _, slash, rest = target.partition("://")[2].partition("/")
    return slash + rest


def is_foreign(headers: Mapping[str, str]) -> bool:
    """Tell whether a page of another origin asks."""
    origin = headers.get("Origin")
    return origin is not None and origin.partition("://")[2] != headers.get("Host")


async def receive(request: web.BaseRequest, *, max_bytes: int, timeout_s: float) -> bytes:
    """Give the body. One that is too large is refused as soon as that is known, a slow one after a while."""
    too_large = NotReceived(413, f"The body is larger than {max_bytes} bytes")
    if (request.content_length or 0) > max_bytes:
        raise too_large
    if request.headers.get("Expect", "").lower() == "100-continue":
        await request.writer.write(b"HTTP/1.1 100 Continue\r\n\r\n")
        request.writer.output_size = 0  # the answer itself has not begun
    body = bytearray()
    try:
        async with asyncio.timeout(timeout_s):
            async for part in request.content.iter_any():
                body += part
                if len(body) > max_bytes:
                    raise too_large
    except TimeoutError:
        raise NotReceived(408, "The body did not arrive in time") from None
    except (web.RequestPayloadError, HttpProcessingError, ConnectionError):
        raise NotReceived(400, "The body ended early, or its encoding cannot be read") from None
    return bytes(body)
