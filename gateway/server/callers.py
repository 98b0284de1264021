"""How each door learns who is asking."""

from __future__ import annotations

from collections.abc import Coroutine
from typing import Any

from gateway.core import roles
from gateway.core.errors import PermissionDenied, Unauthenticated
from gateway.core.principal import Principal
from gateway.server.auth import Accounts
from gateway.server.tokens import Tokens

GUEST = Principal(name="", roles=(roles.GUEST,), guest=True)
"""Who is asking without having said who it is."""

_BEARER = "bearer"


class AccountsAndTokens:
    """Authenticates callers of the ONTAP door: accounts by HTTP Basic, tokens by Bearer. Nobody is a guest."""

    def __init__(self, accounts: Accounts, tokens: Tokens) -> None:
        self._accounts = accounts
        self._tokens = tokens

    def authenticate(self, authorization: str | None, *, peer: str = "") -> Coroutine[Any, Any, Principal]:
        """See `gateway.core.principal.Authenticator`."""
        if authorization is not None and authorization[: len(_BEARER)].lower() == _BEARER and self._tokens.accepted:
            return self._by_token(authorization, peer)
        return self._accounts.authenticate(authorization, peer=peer)

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

    async def authenticate(self, authorization: str | None, *, peer: str = "") -> Principal:
        """See `gateway.core.principal.Authenticator`; PermissionDenied for a token that does not hold."""
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
