"""What was done and what happened, as far as it is kept for those who ask."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import Protocol
from uuid import UUID

import msgspec


class Entry(msgspec.Struct, frozen=True, kw_only=True):
    """A line of the trail. `number` grows. `door` empty: it is an event, named by `operation`.

    Otherwise it is a change that somebody asked for, with what answered for
    it: `outcome` as the audit log has it, `peer` from where.
    """

    number: int
    time: datetime
    operation: str
    door: str = ""
    who: str = ""
    peer: str = ""
    target: str = ""
    outcome: str = ""
    job: str = ""
    request: str = ""
    tenant_id: UUID | None = None
    parameters: dict[str, str] = {}


class Trail(Protocol):
    """Keeps the last lines of this gateway."""

    def entries(self) -> Sequence[Entry]:
        """Give them, the oldest first."""


class NoTrail:
    """Keeps nothing."""

    def entries(self) -> Sequence[Entry]:
        """Give nothing."""
        return ()
