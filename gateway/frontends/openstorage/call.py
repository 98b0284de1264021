"""What a handler of the SDK is given, and the one way in which it fails."""

from __future__ import annotations

from typing import NoReturn

import grpc
import msgspec

from gateway.core.context import Core
from gateway.core.principal import Principal
from gateway.frontends.openstorage.schema import Method
from gateway.frontends.openstorage.site import Site

_BEGINNING, _END = 300, 200
"""Characters of a longer text. It travels as a trailer, each byte as up to three; clients refuse more than 8 KiB."""


class SdkError(Exception):
    """The end of a call with a status other than OK; `text` is what the client reads."""

    def __init__(self, code: grpc.StatusCode, text: str) -> None:
        shown = text if len(text) <= _BEGINNING + _END else f"{text[:_BEGINNING]}...{text[-_END:]}"
        super().__init__(f"{code.name}: {shown}")
        self.code = code
        self.text = shown


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
