"""The one way in which a call of the SDK fails."""

from __future__ import annotations

from typing import NoReturn

import grpc


class SdkError(Exception):
    """The end of a call with a status other than OK; `text` is what the client reads."""

    def __init__(self, code: grpc.StatusCode, text: str) -> None:
        super().__init__(f"{code.name}: {text}")
        self.code = code
        self.text = text


def refuse(text: str) -> NoReturn:
    """End the call with INVALID_ARGUMENT."""
    raise SdkError(grpc.StatusCode.INVALID_ARGUMENT, text)
