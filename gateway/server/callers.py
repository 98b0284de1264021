"""How each door learns who is asking."""

from __future__ import annotations

from collections.abc import Coroutine
from typing import Any

from gateway.core import roles
from gateway.core.errors import PermissionDenied, Unauthenticated
from gateway.core.principal import Principal
from gateway.server.auth import Accounts
from gateway.server.pace import Pace
from gateway.server.tokens import Tokens

GUEST = Principal(name="", roles=(roles.GUEST,), guest=True)
"""Who is asking without having said who it is."""

_BEARER = "bearer"


class AccountsAndTokens:
    """Authenticates callers of the ONTAP door: accounts by HTTP Basic or certificate, tokens by Bearer.

    Nobody is a guest, and nobody asks more often than `pace` lets them.
    """

    def __init__(self, accounts: Accounts, tokens: Tokens, *, pace: Pace | None = None) -> None:
        self._accounts = accounts
        self._tokens = tokens
        self._pace = pace

    def authenticate(
        self, authorization: str | None, *, peer: str = "", certificate: str = ""
    ) -> Coroutine[Any, Any, Principal]:
        """See `gateway.core.principal.Authenticator`."""
        if authorization is not None and authorization[: len(_BEARER)].lower() == _BEARER and self._tokens.accepted:
            found = self._by_token(authorization, peer)
        else:
            found = self._accounts.authenticate(authorization, peer=peer, certificate=certificate)
        return found if self._pace is None else self._paced(found, self._pace)

    async def _paced(self, found: Coroutine[Any, Any, Principal], pace: Pace) -> Principal:
        principal = await found
        pace.admit(principal.name)
        return principal

    async def _by_token(self, authorization: str, peer: str) -> Principal:
        try:
            return await self._tokens.principal(_token(authorization), peer=peer)
        except PermissionDenied:
            # HTTP tells a client to come again with another token by 401 only.
            raise Unauthenticated(reason="token") from None


class TokensAndGuests:
    """Authenticates callers of the openstorage door by tokens.

    Without a header they are guests; without any configured issuer everybody
    administers, and nothing is looked at.
    """

    def __init__(self, tokens: Tokens) -> None:
        self._tokens = tokens

    async def authenticate(self, authorization: str | None, *, peer: str = "", certificate: str = "") -> Principal:
        """See `gateway.core.principal.Authenticator`; PermissionDenied for a token that does not hold."""
        del certificate
        if not self._tokens.accepted:
            return roles.EVERYBODY
        if not authorization:
            return GUEST
        return await self._tokens.principal(_token(authorization), peer=peer)


def _token(authorization: str) -> str:
    scheme, _, token = authorization.partition(" ")
    if scheme.lower() != _BEARER:
        raise Unauthenticated(reason="scheme")
    return token.strip()
