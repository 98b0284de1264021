"""What a handler of the SDK is given, and the one way in which it fails."""

from __future__ import annotations

from typing import NoReturn

import grpc
import msgspec

from gateway.core.context import Core
from gateway.core.principal import Principal
from gateway.frontends.openstorage.schema import Method
from gateway.frontends.openstorage.site import Site

_TEXT_MAX = 500
"""Characters. The text travels as a trailer, each byte as up to three, and clients refuse trailers beyond 8 KiB."""


class SdkError(Exception):
    """The end of a call with a status other than OK; `text` is what the client reads."""

    def __init__(self, code: grpc.StatusCode, text: str) -> None:
        super().__init__(f"{code.name}: {text[:_TEXT_MAX]}")
        self.code = code
        self.text = text[:_TEXT_MAX]


class Call(msgspec.Struct, frozen=True, kw_only=True):
    """One call: who makes it, and the core that acts for them."""

    core: Core
    site: Site
    principal: Principal
    method: Method


def refuse(text: str) -> NoReturn:
    """End the call with INVALID_ARGUMENT."""
    raise SdkError(grpc.StatusCode.INVALID_ARGUMENT, text)


def required(value: str, what: str) -> str:
    """Give a value that must not be empty; INVALID_ARGUMENT when it is."""
    if not value:
        refuse(f"Must supply {what}")
    return value
