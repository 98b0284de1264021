"""Who is calling. Every door authenticates; what callers may do is in `roles` and `ownership`."""

from __future__ import annotations

from typing import Protocol

import msgspec

EVERY = "*"
"""Among a caller's groups: it administers, and no volume is closed to it."""


class Principal(msgspec.Struct, frozen=True, kw_only=True):
    """A caller. `roles` are names of roles; a guest is one that did not say who it is."""

    name: str
    roles: tuple[str, ...]
    groups: tuple[str, ...] = ()
    guest: bool = False

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

    async def authenticate(self, authorization: str | None, *, peer: str = "") -> Principal:
        """Check an HTTP Authorization header's value; Unauthenticated when it does not convince.

        `peer` is the caller's address. Busy when it, or all callers together, have too many checks waiting.
        """
