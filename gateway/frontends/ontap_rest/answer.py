"""What goes back to the client, before it is an HTTP response."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import msgspec


class Answer(msgspec.Struct, frozen=True, kw_only=True):
    """Status, body as bytes, and headers beyond those of every answer. `route` is kept for cached ones.

    `parts` instead of `body`: so much that copying it together would hold the
    loop; it is sent piece by piece.
    """

    status: int
    body: bytes = b""
    parts: Sequence[bytes] = ()
    headers: Mapping[str, str] = {}
    route: str = ""
