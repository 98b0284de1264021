"""The keys with which issuers sign tokens: those of files, and those that an OpenID issuer tells."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any, Final, Protocol

import httpx
import msgspec
from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.hazmat.primitives.serialization import load_pem_public_key
from jwt import PyJWTError
from jwt.algorithms import ECAlgorithm, RSAAlgorithm

from gateway.config import ConfigError, IssuerSettings, secure_url
from gateway.core.errors import Unavailable
from gateway.core.observer import Observer
from gateway.core.secret import Secret

_HMAC: Mapping[str, int] = {"HS256": 32, "HS384": 48, "HS512": 64}
"""By algorithm, the least bytes of a secret: a shorter one can be guessed from any token (RFC 7518, 3.2)."""
_RSA = ("RS256", "RS384", "RS512")
_CURVES: Mapping[str, str] = {"secp256r1": "ES256", "secp384r1": "ES384", "secp521r1": "ES512"}
_ASYMMETRIC = frozenset({*_RSA, *_CURVES.values()})
_RSA_BITS: Final = 2048
_READERS: Mapping[str, Callable[[Any], object]] = {"RSA": RSAAlgorithm.from_jwk, "EC": ECAlgorithm.from_jwk}

_FRESH_S: Final = 600.0
_STALE_S: Final = 3600.0
_PAUSE_S: Final = 10.0
_TIMEOUT_S: Final = 5.0
_DOCUMENT_BYTES: Final = 1024 * 1024
_KEYS_MAX: Final = 100

PublicKey = rsa.RSAPublicKey | ec.EllipticCurvePublicKey


class Key(msgspec.Struct, frozen=True, kw_only=True):
    """A key and the algorithms that it verifies, which keeps one kind of key from being used as another."""

    key: PublicKey | Secret
    algorithms: tuple[str, ...]
    kid: str | None = None

    def fits(self, algorithm: str, kid: str | None) -> bool:
        """Tell whether a token that names this algorithm and key may be verified with it."""
        return algorithm in self.algorithms and (self.kid is None or kid is None or kid == self.kid)


class KeySource(Protocol):
    """Where the keys of one issuer come from."""

    async def find(self, algorithm: str, kid: str | None) -> Sequence[Key]:
        """Give the keys that may have signed such a token; Unavailable when the issuer does not tell."""

    def generation(self) -> int:
        """Give a number that changes when keys have gone."""

    async def close(self) -> None:
        """Stop asking. Idempotent."""


class OwnKeys:
    """The keys that the configuration names."""

    def __init__(self, keys: Iterable[Key]) -> None:
        self._keys = tuple(keys)

    async def find(self, algorithm: str, kid: str | None) -> Sequence[Key]:
        """See `KeySource`; keys of PEM files have no names."""
        return [key for key in self._keys if key.fits(algorithm, kid)]

    def generation(self) -> int:
        """See `KeySource`."""
        return 0

    async def close(self) -> None:
        """See `KeySource`."""


def own_keys(name: str, settings: IssuerSettings) -> OwnKeys:
    """Give the keys of a configured issuer; ConfigError when one cannot be used."""
    found: list[Key] = []
    path = ("auth", "issuer", name)
    if settings.jwks is not None:
        found += _of_file(settings.jwks, path)
    if settings.shared_secret is not None:
        size = len(settings.shared_secret.reveal().encode())
        algorithms = tuple(algorithm for algorithm, least in _HMAC.items() if size >= least)
        if not algorithms:
            reason = f"has {size} bytes; a secret needs {min(_HMAC.values())} or more"
            raise ConfigError("configuration", reason, path=(*path, "shared_secret"))
        found.append(Key(key=settings.shared_secret, algorithms=algorithms))
    for option, file, kind in (
        ("rsa_public_key", settings.rsa_public_key, rsa.RSAPublicKey),
        ("ec_public_key", settings.ec_public_key, ec.EllipticCurvePublicKey),
    ):
        if file is not None:
            key = _public(_pem(file))
            if key is None or not isinstance(key.key, kind):
                raise ConfigError(str(file), f"is no public key in PEM that can be used as {option}", path=path)
            found.append(key)
    return OwnKeys(found)


def _of_file(file: Path, path: tuple[str, ...]) -> list[Key]:
    """Give the keys of a file that holds a key set, as an OpenID issuer would tell it."""
    try:
        listed = msgspec.json.decode(file.read_bytes(), type=dict[str, Any]).get("keys")
    except OSError as error:
        raise ConfigError(str(file), f"cannot be read: {error.strerror}") from None
    except (msgspec.DecodeError, RecursionError):
        listed = None
    found = [key for each in listed[:_KEYS_MAX] if (key := _told(each))] if isinstance(listed, list) else []
    if not found:
        raise ConfigError(str(file), "is no key set with a key that can be used", path=(*path, "jwks"))
    return found


def _pem(file: Path) -> object:
    try:
        return load_pem_public_key(file.read_bytes())
    except OSError as error:
        raise ConfigError(str(file), f"cannot be read: {error.strerror}") from None
    except (ValueError, UnsupportedAlgorithm):
        return None


def _public(key: object, *, kid: str | None = None, algorithm: str | None = None) -> Key | None:
    """Give a key with what it verifies, of that only `algorithm` if there is one; None: nothing."""
    algorithms: tuple[str, ...] = ()
    if isinstance(key, rsa.RSAPublicKey) and key.key_size >= _RSA_BITS:
        algorithms = _RSA
    elif isinstance(key, ec.EllipticCurvePublicKey) and key.curve.name in _CURVES:
        algorithms = (_CURVES[key.curve.name],)
    else:
        return None
    if algorithm is not None:
        algorithms = tuple(one for one in algorithms if one == algorithm)
    return Key(key=key, algorithms=algorithms, kid=kid) if algorithms else None


class OpenIdKeys:
    """The keys that an OpenID issuer tells by discovery.

    They are read when a token first needs them, again after ten minutes, and
    when a token names one that is not there; while the issuer does not answer
    those that are there stay in use for an hour. It is asked every ten seconds
    at most, and never for longer than five.
    """

    def __init__(
        self,
        name: str,
        issuer: str,
        *,
        client: httpx.AsyncClient,
        observer: Observer,
        clock: Callable[[], float] = time.monotonic,
        timeout_s: float = _TIMEOUT_S,
    ) -> None:
        self._name = name
        self._issuer = issuer
        self._client = client
        self._observer = observer
        self._clock = clock
        self._timeout_s = timeout_s
        self._keys: tuple[Key, ...] = ()
        self._generation = 0
        self._read_at, self._asked_at = float("-inf"), float("-inf")
        self._asking: asyncio.Task[None] | None = None

    async def find(self, algorithm: str, kid: str | None) -> Sequence[Key]:
        """See `KeySource`."""
        if algorithm not in _ASYMMETRIC:
            return []
        found = self._fitting(algorithm, kid)
        if not found or self._age() > _FRESH_S:
            self._start()
        if not found and self._asking is not None:
            # Several wait for one answer; none that goes away takes it from the others.
            await asyncio.shield(self._asking)
            found = self._fitting(algorithm, kid)
        if not found and self._age() > _STALE_S:
            raise Unavailable(what=f"issuer {self._name}", reason="its keys cannot be read")
        return found

    def generation(self) -> int:
        """See `KeySource`."""
        return self._generation

    async def close(self) -> None:
        """See `KeySource`."""
        if self._asking is not None:
            self._asking.cancel()
            await asyncio.wait({self._asking})

    def _age(self) -> float:
        return self._clock() - self._read_at

    def _fitting(self, algorithm: str, kid: str | None) -> Sequence[Key]:
        return [] if self._age() > _STALE_S else [key for key in self._keys if key.fits(algorithm, kid)]

    def _start(self) -> None:
        """Begin to read the keys anew, unless that is under way or was just tried."""
        if self._asking is None and self._clock() - self._asked_at >= _PAUSE_S:
            self._asked_at = self._clock()
            self._asking = asyncio.create_task(self._ask())
            self._asking.add_done_callback(self._asked)

    def _asked(self, _task: asyncio.Task[None]) -> None:
        self._asking = None

    async def _ask(self) -> None:
        """Read the keys; a failure leaves the old ones, and the log says why."""
        try:
            async with asyncio.timeout(self._timeout_s):
                self._keep(await self._read())
        except (httpx.HTTPError, httpx.InvalidURL, TimeoutError, ValueError, RecursionError) as error:
            reason = str(error) or type(error).__name__
            self._observer.event("issuer_keys_not_read", issuer=self._name, reason=reason)

    async def _read(self) -> tuple[Key, ...]:
        """Give the keys that the issuer tells; ValueError when it tells none that can be used."""
        about = await self._document(f"{self._issuer.rstrip('/')}/.well-known/openid-configuration")
        if about.get("issuer") != self._issuer:
            raise ValueError("it calls itself something else")
        address = about.get("jwks_uri")
        if not isinstance(address, str) or not secure_url(address):
            raise ValueError("its keys are at no address that is safe")
        listed = (await self._document(address)).get("keys")
        told = [key for each in listed[:_KEYS_MAX] if (key := _told(each))] if isinstance(listed, list) else []
        if not told:
            raise ValueError("it has no keys that can be used")
        return tuple(told)

    def _keep(self, keys: tuple[Key, ...]) -> None:
        gone = {key.kid for key in self._keys} - {key.kid for key in keys}
        if gone or any(key.kid is None for key in self._keys):
            self._generation += 1
        self._keys = keys
        self._read_at = self._clock()

    async def _document(self, url: str) -> dict[str, Any]:
        body = bytearray()
        async with self._client.stream("GET", url) as response:
            response.raise_for_status()
            async for part in response.aiter_bytes():
                body += part
                if len(body) > _DOCUMENT_BYTES:
                    raise ValueError("it tells more than it should")
        return msgspec.json.decode(body, type=dict[str, Any])


def _told(described: object) -> Key | None:
    """Give a key of a key set if it signs tokens in a way that is accepted here."""
    if not isinstance(described, dict) or described.get("use", "sig") != "sig":
        return None
    read = _READERS.get(str(described.get("kty")))
    kid, algorithm = described.get("kid"), described.get("alg")
    if read is None or not isinstance(kid, str | None) or not isinstance(algorithm, str | None):
        return None
    try:
        key = read(described)
    except (PyJWTError, ValueError, TypeError, KeyError):
        return None
    return _public(key, kid=kid, algorithm=algorithm)
