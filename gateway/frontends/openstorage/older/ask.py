"""A request of the older API as its handlers get it."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import TypeVar

import msgspec
from google.protobuf.message import Message

from gateway.core.worker import Worker
from gateway.frontends.openstorage.older.answer import Refused
from gateway.frontends.openstorage.older.client import Client, Quiescing
from gateway.frontends.openstorage.older.decode import BadJson, decode, decode_texts

M = TypeVar("M", bound=Message)
_SMALL_BYTES = 4096
"""What is decoded on the loop; larger bodies are in a thread."""

_NUMBER = re.compile(r"[0-9]{1,20}")
_UINT64_MAX = 2**64 - 1
_TRUE = frozenset({"1", "t", "T", "TRUE", "true", "True"})
_FALSE = frozenset({"0", "f", "F", "FALSE", "false", "False"})


class Ask(msgspec.Struct, frozen=True, kw_only=True):
    """A request. `keys` are what the path has in place of braces; `started`: since when the door answers."""

    sdk: Client
    quiescing: Quiescing | None
    keys: Sequence[str]
    query: Mapping[str, Sequence[str]]
    body: bytes
    decoder: Worker
    started: datetime

    @property
    def id(self) -> str:
        """Give the path's key."""
        return self.keys[0]

    def first(self, name: str) -> str | None:
        """Give the first value of a query parameter, None when it is not there. Names count in their case."""
        values = self.query.get(name)
        return values[0] if values else None

    async def read(self, kind: type[M]) -> M:
        """Give the body as a message; 400 for one that cannot be read."""
        try:
            if len(self.body) <= _SMALL_BYTES:
                return decode(self.body, kind)
            return await self.decoder.run(decode, self.body, kind)
        except BadJson as error:
            raise Refused(400, str(error)) from None

    def labels(self, name: str, what: str) -> dict[str, str]:
        """Give a query parameter that is a JSON object of texts; none when it is not there, 400 when it is not one."""
        text = self.first(name)
        if text is None:
            return {}
        try:
            return decode_texts(text)
        except BadJson as error:
            # The words are twice in the reference.
            raise Refused(400, f"Failed to parse parse {what}: {error}") from None


def read_uint64(text: str) -> int | None:
    """Read a number as Go does; None for what is none."""
    found = int(text) if _NUMBER.fullmatch(text) else _UINT64_MAX + 1
    return found if found <= _UINT64_MAX else None


def read_bool(text: str) -> bool | None:
    """Read a truth value as Go does; None for what is none."""
    return True if text in _TRUE else False if text in _FALSE else None
