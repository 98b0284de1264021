"""Who may come in: tokens (JWT), for the whole door and for single services.

A token is asked for where subjects are allowed or denied. It must name its
subject and its times; why one is refused is not told. A service's rules say
of the door's what they do not say themselves. Once the door has verified a
token a service only looks at its subject, so a key of a service's own counts
only where the door asks for no token.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any, Final

import jwt
import msgspec
from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.hazmat.primitives.serialization import load_pem_public_key

from gateway.frontends.libstorage.errors import bad_token
from gateway.frontends.libstorage.settings import Algorithm, LibstorageAuth, LibstorageOptions

_BEARER: Final = "Bearer "
_TOKEN_BYTES: Final = 32 * 1024
_REQUIRED: Final = ("sub", "iat", "exp", "nbf")
_SECRET_BYTES: Mapping[str, int] = {"HS256": 32, "HS384": 48, "HS512": 64}
"""By algorithm, the least bytes of a secret: a shorter one can be guessed from any token (RFC 7518, 3.2)."""
_CURVES: Mapping[str, str] = {"ES256": "secp256r1", "ES384": "secp384r1", "ES512": "secp521r1"}
_RSA_BITS: Final = 2048
_ENCODED_BRACE: Final = "eyJ"

Key = str | rsa.RSAPublicKey | ec.EllipticCurvePublicKey


class Rules(msgspec.Struct, frozen=True, kw_only=True):
    """Whose tokens hold somewhere; subjects in small letters."""

    key: Key
    algorithm: str
    allow: frozenset[str]
    deny: frozenset[str]

    def admit(self, subject: str) -> None:
        """Refuse a subject that is denied, and any that is not allowed."""
        if subject.lower() in self.deny or subject.lower() not in self.allow:
            raise bad_token()

    def verified(self, authorization: str | None) -> str:
        """Give the subject of the token in a header; refuse one that does not hold, or none."""
        if authorization is None or not authorization.startswith(_BEARER) or len(authorization) > _TOKEN_BYTES:
            raise bad_token()
        options: Any = {
            "require": list(_REQUIRED),
            "verify_aud": False,
            "verify_iat": False,
            "enforce_minimum_key_length": True,
        }
        try:
            claims = jwt.decode(
                authorization.removeprefix(_BEARER), self.key, algorithms=[self.algorithm], options=options
            )
        except (jwt.PyJWTError, ValueError, OverflowError, RecursionError):
            raise bad_token() from None
        subject = claims["sub"]
        if (
            not isinstance(subject, str)
            or isinstance(claims["iat"], bool)
            or not isinstance(claims["iat"], int | float)
        ):
            raise bad_token()
        return subject


class Caller(msgspec.Struct, frozen=True, kw_only=True):
    """Who sent a request: the header as it came, and the subject that the door verified, None where it asked nobody."""

    authorization: str | None
    subject: str | None = None


class Auth:
    """The rules of the door and of its services. ValueError, whose text begins with the key, for unusable ones."""

    def __init__(self, options: LibstorageOptions) -> None:
        self._door = _rules("auth", options.auth)
        own = {name.lower(): chosen.auth for name, chosen in options.service.items() if chosen.auth is not None}
        found = {name: _rules(f"service.{name}.auth", _inherited(auth, options.auth)) for name, auth in own.items()}
        self._services = {name: rules for name, rules in found.items() if rules is not None}

    def asks(self, services: Iterable[str]) -> bool:
        """Tell whether nobody gets at any of the services without a token."""
        return self._door is not None or self._services.keys() >= set(services)

    def enter(self, authorization: str | None) -> Caller:
        """Let a caller in at the door, or refuse it."""
        if self._door is None:
            return Caller(authorization=authorization)
        subject = self._door.verified(authorization)
        self._door.admit(subject)
        return Caller(authorization=authorization, subject=subject)

    def use(self, caller: Caller, services: Iterable[str]) -> str | None:
        """Let a caller use every one of the services, or refuse it; give its subject, None where nobody asked."""
        subject = caller.subject
        for rules in filter(None, map(self._services.get, services)):
            found = rules.verified(caller.authorization) if caller.subject is None else caller.subject
            rules.admit(found)
            subject = found
        return subject


def _inherited(own: LibstorageAuth, door: LibstorageAuth) -> LibstorageAuth:
    return LibstorageAuth(
        key=own.key or door.key, alg=own.alg or door.alg, allow=own.allow or door.allow, deny=own.deny or door.deny
    )


def _rules(where: str, auth: LibstorageAuth) -> Rules | None:
    """Give the rules; None when nobody is asked."""
    if not auth.allow and not auth.deny:
        return None
    algorithm = auth.alg or Algorithm.HS256
    return Rules(
        key=_key(where, auth, algorithm),
        algorithm=algorithm.value,
        allow=frozenset(_subject(f"{where}.allow", entry) for entry in auth.allow),
        deny=frozenset(_subject(f"{where}.deny", entry) for entry in auth.deny),
    )


def _key(where: str, auth: LibstorageAuth, algorithm: Algorithm) -> Key:
    if auth.key is None:
        raise ValueError(f"{where}: subjects are listed, but no key says how their tokens are verified")
    text = auth.key.reveal()
    least = _SECRET_BYTES.get(algorithm.value)
    if least is not None:
        if len(text.encode()) < least:
            raise ValueError(f"{where}.key: has {len(text.encode())} bytes; {algorithm} needs {least} or more")
        _require_secret(where, text, algorithm)
        return text
    try:
        key = load_pem_public_key(text.encode())
    except (ValueError, UnsupportedAlgorithm):
        key = None
    curve = _CURVES.get(algorithm.value)
    if curve is None and isinstance(key, rsa.RSAPublicKey) and key.key_size >= _RSA_BITS:
        return key
    if isinstance(key, ec.EllipticCurvePublicKey) and key.curve.name == curve:
        return key
    raise ValueError(f"{where}.key: is no public key in PEM that can be used for {algorithm}")


def _require_secret(where: str, text: str, algorithm: Algorithm) -> None:
    """Refuse a key or certificate where a secret is meant: no token would hold, and what is public is no secret."""
    try:
        jwt.get_algorithm_by_name(algorithm.value).prepare_key(text)
    except jwt.InvalidKeyError:
        raise ValueError(f"{where}.key: is a key or certificate, which cannot be a secret for {algorithm}") from None


def _subject(where: str, entry: str) -> str:
    """Give the subject that an entry of a list means: that of a token, if it is one or ends with one."""
    token = entry if entry.startswith(_ENCODED_BRACE) else entry.partition(":")[2]
    if not token.startswith(_ENCODED_BRACE):
        return entry.lower()
    try:
        claims = jwt.decode(token, options={"verify_signature": False})
    except (jwt.PyJWTError, ValueError, RecursionError):
        raise ValueError(f"{where}: has a token that cannot be read") from None
    subject = claims.get("sub")
    if not isinstance(subject, str) or not subject:
        raise ValueError(f"{where}: has a token without a subject")
    return subject.lower()
