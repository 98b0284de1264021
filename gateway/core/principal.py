"""Who is calling. Every door authenticates; what callers may do is in `roles` and `ownership`."""

from __future__ import annotations

from typing import Protocol
from uuid import UUID

import msgspec

EVERY = "*"
"""Among a caller's groups: it administers, and no volume is closed to it."""


class Principal(msgspec.Struct, frozen=True, kw_only=True):
    """A caller. `roles` are names of roles; a guest is one that did not say who it is.

    `tenant_id`: of the tenant that is all there is for it. `door_role`: what
    it may is said by a role of that name which only the door of its account
    knows; it has no roles then, so that every other door lets it do nothing.
    """

    name: str
    roles: tuple[str, ...]
    groups: tuple[str, ...] = ()
    guest: bool = False
    tenant_id: UUID | None = None
    door_role: str = ""

    @property
    def administrator(self) -> bool:
        """Tell whether every volume is open to it."""
        return EVERY in self.groups

    @property
    def named(self) -> bool:
        """Tell whether it can own anything."""
        return bool(self.name) and not self.guest


class Authenticator(Protocol):
    """Turns what a request carries into a principal."""

    async def authenticate(self, authorization: str | None, *, peer: str = "", certificate: str = "") -> Principal:
        """Check an HTTP Authorization header's value; Unauthenticated when it does not convince.

        `peer` is the caller's address, `certificate` the name in the
        certificate that it proved to have: it counts where there is no header.
        Busy when the caller, or all callers together, have too many checks
        waiting, or the caller asks too often.
        """
