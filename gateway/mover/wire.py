"""What the gateway and the process tell each other: a job on standard input, lines of JSON on standard output."""

from __future__ import annotations

import msgspec

from gateway.core.errors import ErrorRecord
from gateway.core.mover import MoveProgress


class Moving(msgspec.Struct, frozen=True, kw_only=True, tag="moving"):
    """So far."""

    progress: MoveProgress


class Moved(msgspec.Struct, frozen=True, kw_only=True, tag="moved"):
    """All of it. The last line."""

    progress: MoveProgress


class Failed(msgspec.Struct, frozen=True, kw_only=True, tag="failed"):
    """Not all of it. The last line."""

    error: ErrorRecord


Line = Moving | Moved | Failed
