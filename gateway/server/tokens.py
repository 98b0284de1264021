"""Who is asking: signed tokens (JWT) of configured issuers.

What is wrong with a token decides the error, as openstorage has it:
Unauthenticated when it cannot be told whose token it is, PermissionDenied when
its issuer's signature, its times or its claims do not hold. A token is
verified once and then known until it expires. Tokens are kept nowhere and
shown nowhere.
"""

from __future__ import annotations

import asyncio
import hashlib
import secrets
import ssl
import time
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Final, TypeGuard

import httpx
import jwt
import msgspec

from gateway.config import ConfigError, IssuerSettings
from gateway.core.errors import PermissionDenied, Unauthenticated
from gateway.core.observer import Observer
from gateway.core.principal import Principal
from gateway.core.secret import Secret
from gateway.server.checks import Checks
from gateway.server.introspection import Introspection
from gateway.server.keys import Key, KeySource, OpenIdKeys, OwnKeys, own_keys

_REMEMBERED: Final = 1024
_TOKEN_BYTES: Final = 32 * 1024
_GROUPS_MAX: Final = 500
_PARTS: Final = 3
_REQUIRED: Final = ("iss", "sub", "exp", "iat", "name", "email")
_LOOKED_AT: Final[Mapping[str, Any]] = {
    "verify_signature": False,
    "verify_exp": False,
    "verify_nbf": False,
    "verify_iat": False,
    "verify_aud": False,
    "verify_iss": False,
}


class _Issuer(msgspec.Struct, frozen=True, kw_only=True):
    """`asked`: what is asked about each of its tokens, instead of looking at its keys."""

    settings: IssuerSettings
    keys: KeySource
    asked: Introspection | None = None


class _Known(msgspec.Struct, frozen=True, kw_only=True):
    """A token that was verified. `generation`: of its issuer's keys then."""

    principal: Principal
    expires: int
    issuer: str
    generation: int


class Tokens:
    """The issuers whose tokens are accepted. Belongs to one event loop; close it at the end."""

    def __init__(
        self,
        settings: Mapping[str, IssuerSettings],
        observer: Observer,
        *,
        clock: Callable[[], float] = time.monotonic,
        wall: Callable[[], float] = time.time,
    ) -> None:
        self._settings = settings
        self._observer = observer
        self._clock = clock
        self._wall = wall
        self._key = secrets.token_bytes(32)
        self._checks = Checks("tokens")
        self._clients: list[httpx.AsyncClient] = []
        self._issuers: Mapping[str, _Issuer] = {}
        self._known: dict[bytes, _Known] = {}

    @classmethod
    def load(
        cls,
        settings: Mapping[str, IssuerSettings],
        observer: Observer,
        *,
        clock: Callable[[], float] = time.monotonic,
        wall: Callable[[], float] = time.time,
    ) -> Tokens:
        """Read the issuers' key files; ConfigError when one cannot be used. OpenID issuers are not asked yet."""
        tokens = cls(settings, observer, clock=clock, wall=wall)
        try:
            tokens.reload()
        except ConfigError:
            tokens._checks.close()
            raise
        return tokens

    @property
    def accepted(self) -> bool:
        """Tell whether there is any issuer."""
        return bool(self._issuers)

    def reload(self) -> None:
        """Read the key files again and forget every check. ConfigError leaves everything as it was."""
        issuers: dict[str, _Issuer] = {}
        for name, settings in self._settings.items():
            present = self._issuers.get(settings.issuer)
            if settings.openid or settings.introspection:
                issuers[settings.issuer] = present or self._far(name, settings)
            else:
                issuers[settings.issuer] = _Issuer(settings=settings, keys=own_keys(name, settings))
        self._issuers = issuers
        self._known = {}

    def _far(self, name: str, settings: IssuerSettings) -> _Issuer:
        try:
            trusted = ssl.create_default_context(cafile=settings.ca)
        except OSError as error:
            raise ConfigError(str(settings.ca), f"is no certificate that can be used: {error.strerror}") from None
        # What the environment says of proxies and netrc files is not for what an operator configured here.
        client = httpx.AsyncClient(verify=trusted, trust_env=False)
        self._clients.append(client)
        if settings.introspection:
            asked = Introspection(name, settings, client=client, observer=self._observer, clock=self._clock)
            return _Issuer(settings=settings, keys=OwnKeys(()), asked=asked)
        keys = OpenIdKeys(name, settings.issuer, client=client, observer=self._observer, clock=self._clock)
        return _Issuer(settings=settings, keys=keys)

    async def principal(self, token: str, *, peer: str = "") -> Principal:
        """Give whose token it is; see the module's text for the errors.

        Unavailable when an OpenID issuer does not tell its keys, or who is asked about tokens does not answer;
        Busy when too many tokens wait to be verified.
        """
        asked = self._asked_about(token)
        if asked is not None:
            claims = await asked.asked.claims(token, wall=self._wall(), peer=peer)  # type: ignore[union-attr] # as chosen
            return _principal(claims, asked.settings)
        digest = hashlib.blake2b(token.encode("utf-8", "surrogatepass"), key=self._key, digest_size=32).digest()
        known = self._known.get(digest)
        if known is not None:
            issuer = self._issuers[known.issuer]
            if known.generation == issuer.keys.generation() and self._wall() < known.expires:
                return known.principal
            del self._known[digest]
        name, header = _looked_at(token)
        found = self._issuers.get(name)
        if found is None:
            raise Unauthenticated(reason="issuer")
        generation = found.keys.generation()
        keys = await found.keys.find(str(header.get("alg")), header.get("kid"))
        claims = await self._verified(token, keys, found.settings, peer=peer)
        principal = _principal(claims, found.settings)
        if self._issuers.get(name) is found:
            self._remember(
                digest,
                _Known(principal=principal, expires=int(claims["exp"]), issuer=name, generation=generation),
            )
        return principal

    def _asked_about(self, token: str) -> _Issuer | None:
        """Give the issuer that is asked about such a token; those that are no JWT can only be one's."""
        found = next((issuer for issuer in self._issuers.values() if issuer.asked is not None), None)
        if found is None or not token or len(token) > _TOKEN_BYTES or not token.isascii():
            return None
        try:
            return found if _looked_at(token)[0] == found.settings.issuer else None
        except Unauthenticated:
            return found

    async def close(self) -> None:
        """End the threads and the connections to issuers. Idempotent."""
        self._checks.close()
        for issuer in self._issuers.values():
            await issuer.keys.close()
            if issuer.asked is not None:
                await issuer.asked.close()
        for client in self._clients:
            await client.aclose()

    async def _verified(
        self, token: str, keys: Sequence[Key], settings: IssuerSettings, *, peer: str
    ) -> Mapping[str, Any]:
        for key in keys:
            check = _check(token, key, settings)
            # An HMAC takes microseconds, the others may take a millisecond.
            claims = check() if isinstance(key.key, Secret) else await asyncio.shield(self._checks.run(peer, check))
            if claims is not None:
                return claims
        raise _refused("signature")

    def _remember(self, digest: bytes, known: _Known) -> None:
        while len(self._known) >= _REMEMBERED:
            self._known.pop(next(iter(self._known)))
        self._known[digest] = known


def _looked_at(token: str) -> tuple[str, Mapping[str, Any]]:
    """Give issuer and header of a token that is not verified yet."""
    if len(token) > _TOKEN_BYTES or not token.isascii() or token.count(".") != _PARTS - 1:
        raise Unauthenticated(reason="token")
    try:
        whole = jwt.decode_complete(token, options=_LOOKED_AT)  # type: ignore[arg-type]
    except (jwt.InvalidTokenError, ValueError, RecursionError):
        raise Unauthenticated(reason="token") from None
    issuer = whole["payload"].get("iss")
    if not isinstance(issuer, str) or not issuer:
        raise Unauthenticated(reason="issuer")
    return issuer, whole["header"]


def _check(token: str, key: Key, settings: IssuerSettings) -> Callable[[], Mapping[str, Any] | None]:
    """Give what verifies a token: its claims, None for another key's signature, PermissionDenied for anything else."""
    secret = key.key.reveal() if isinstance(key.key, Secret) else key.key
    audience = settings.audience

    def check() -> Mapping[str, Any] | None:
        try:
            return jwt.decode(
                token,
                secret,
                algorithms=list(key.algorithms),
                issuer=settings.issuer,
                audience=audience,
                options={
                    "require": list(_REQUIRED),
                    "verify_aud": audience is not None,
                    "verify_jti": False,
                    "enforce_minimum_key_length": True,
                },
            )
        except jwt.InvalidSignatureError:
            return None
        except jwt.PyJWTError as error:
            raise _refused(type(error).__name__) from None

    return check


def _principal(claims: Mapping[str, Any], settings: IssuerSettings) -> Principal:
    name = claims.get(settings.username_claim.value)
    if not name or not _storable(name):
        raise _refused(settings.username_claim.value)
    return Principal(name=name, roles=_listed(claims, settings, "roles"), groups=_listed(claims, settings, "groups"))


def _listed(claims: Mapping[str, Any], settings: IssuerSettings, claim: str) -> tuple[str, ...]:
    """Give the names that a claim lists; the one with the issuer's name space counts before the plain one."""
    value = claims.get(f"{settings.claim_namespace}{claim}") if settings.claim_namespace else None
    value = claims.get(claim) if value is None else value
    if value is None:
        return ()
    if not isinstance(value, list) or len(value) > _GROUPS_MAX:
        raise _refused(claim)
    for each in value:
        if not _storable(each):
            raise _refused(claim)
    return tuple(dict.fromkeys(value))


def _storable(text: object) -> TypeGuard[str]:
    """Tell whether something is a text that a catalog may hold: JSON can say more than UTF-8 carries."""
    return isinstance(text, str) and "\0" not in text and not any("\ud800" <= char <= "\udfff" for char in text)


def _refused(why: str) -> PermissionDenied:
    return PermissionDenied(action=f"use this token ({why})")
