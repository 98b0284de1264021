"""What goes back to the client, before it is an HTTP response."""

from __future__ import annotations

from collections.abc import Mapping

import msgspec


class Answer(msgspec.Struct, frozen=True, kw_only=True):
    """Status, body as bytes, and headers beyond those of every answer. `route` is kept for cached ones."""

    status: int
    body: bytes
    headers: Mapping[str, str] = {}
    route: str = ""
