"""What a handler gives: an answer, or a refusal in plain text."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Iterable, Mapping
from typing import Any

import msgspec
from google.protobuf.message import Message

from gateway.frontends.openstorage.older.encode import body, list_body

TEXT = "text/plain; charset=utf-8"
"""The type of every body, JSON too: the reference says nothing, and this is what its library guesses."""

NOT_FOUND = "404 page not found"
_SLICE_S = 0.002


class Answer(msgspec.Struct, frozen=True, kw_only=True):
    """An answer. `headers` are those that are its own."""

    status: int = 200
    body: bytes = b""
    headers: Mapping[str, str] = {}


class Refused(Exception):  # noqa: N818 - named by what is wrong, as in the core
    """The end of a request with a plain text."""

    def __init__(self, status: int, text: str, *, headers: Mapping[str, str] | None = None) -> None:
        super().__init__(text)
        self.status = status
        self.text = text
        self.headers = headers or {}

    @property
    def answer(self) -> Answer:
        """Give it as it goes out, which is with a newline."""
        return Answer(status=self.status, body=f"{self.text}\n".encode(), headers=self.headers)


def json_answer(value: Any) -> Answer:
    """Give 200 with a message, or with JSON that has messages in it."""
    return Answer(body=body(value))


async def list_answer(messages: Iterable[Message]) -> Answer:
    """Give 200 with a list, and let others have their turn while it is written."""
    written = bytearray()
    start = time.perf_counter()
    for part in list_body(messages):
        written += part
        if time.perf_counter() - start > _SLICE_S:
            await asyncio.sleep(0)
            start = time.perf_counter()
    return Answer(body=bytes(written))
