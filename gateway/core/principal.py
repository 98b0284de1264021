"""Who is calling, and what they may do. Every door authenticates; the rule of what is allowed is here."""

from __future__ import annotations

import enum
from typing import Protocol

import msgspec

from gateway.core import errors


class Role(enum.StrEnum):
    """`admin` may everything, `readonly` may look."""

    ADMIN = "admin"
    READONLY = "readonly"


class Principal(msgspec.Struct, frozen=True, kw_only=True):
    """An authenticated caller."""

    name: str
    role: Role


class Authenticator(Protocol):
    """Turns what a request carries into a principal."""

    async def authenticate(self, authorization: str | None, *, peer: str = "") -> Principal:
        """Check an HTTP Authorization header's value; Unauthenticated when it does not convince.

        `peer` is the caller's address. Busy when it, or all callers together, have too many checks waiting.
        """


def authorize(principal: Principal, *, write: bool, action: str) -> None:
    """Raise PermissionDenied when the principal's role does not allow it."""
    if write and principal.role is not Role.ADMIN:
        raise errors.PermissionDenied(action=action)
