"""Who is asking: accounts and HTTP Basic.

A password is checked by scrypt, in two threads of our own. What was checked
is remembered under a keyed digest of the whole header, right or wrong, so that
a client pays once and a client with a stale password does not pay (or cost)
again and again. How many checks may wait is bounded, in total and per peer.
"""

from __future__ import annotations

import asyncio
import base64
import binascii
import enum
import hashlib
import secrets
import tomllib
from collections.abc import Mapping
from functools import partial
from pathlib import Path
from typing import Any, Final

import msgspec

from gateway.config import ConfigError
from gateway.core import roles
from gateway.core.errors import Unauthenticated
from gateway.core.principal import EVERY, Principal
from gateway.server.checks import Checks
from gateway.server.passwords import PasswordHash, impossible_hash, usable

_REMEMBERED: Final = 1024


class Role(enum.StrEnum):
    """`admin` may everything, `readonly` may look at everything, `user` has volumes of its own."""

    ADMIN = "admin"
    READONLY = "readonly"
    USER = "user"


_ROLES: Mapping[Role, tuple[str, tuple[str, ...]]] = {
    Role.ADMIN: (roles.ADMIN, (EVERY,)),
    Role.READONLY: (roles.VIEW, (EVERY,)),
    Role.USER: (roles.USER, ()),
}
"""The core's role and the groups of an account's role."""


class _Account(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    password: str
    role: Role
    groups: tuple[str, ...] = ()


class _File(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    account: dict[str, _Account]


class _Known(msgspec.Struct, frozen=True, kw_only=True):
    """An account as it is checked."""

    principal: Principal
    password: PasswordHash


class Accounts:
    """The accounts of a gateway and the memory of who was checked. Close it to end its threads.

    All methods belong to one event loop. Passwords and headers are kept
    nowhere and shown nowhere.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        self._key = secrets.token_bytes(32)
        self._checks = Checks("auth")
        self._right: dict[bytes, Principal] = {}
        self._wrong: dict[bytes, None] = {}
        self._running: dict[bytes, asyncio.Future[Principal | None]] = {}
        self._known: Mapping[str, _Known] = {}
        # Stands in for accounts that do not exist, so that they take as long to refuse.
        self._nobody = impossible_hash()

    @classmethod
    def load(cls, path: Path) -> Accounts:
        """Read the accounts file; ConfigError when it cannot be used."""
        accounts = cls(path)
        try:
            accounts.reload()
        except ConfigError:
            accounts.close()
            raise
        return accounts

    def reload(self) -> None:
        """Read the file again and forget every check. ConfigError leaves everything as it was."""
        known = read_accounts(self._path)
        self._nobody = impossible_hash(max(known.values(), key=lambda account: account.password.cost).password)
        self._known = known
        self._right = {}
        self._wrong = {}
        self._running = {}

    async def authenticate(self, authorization: str | None, *, peer: str = "") -> Principal:
        """See `gateway.core.principal.Authenticator`. Takes microseconds for a header that was checked before."""
        if authorization is None:
            raise Unauthenticated(reason="missing")
        # Looking up a keyed digest tells a guesser nothing about how near the guess was.
        digest = self._digest(authorization)
        known = self._right.get(digest)
        if known is not None:
            return known
        if digest in self._wrong:
            raise Unauthenticated(reason="credentials")
        check = self._running.get(digest)
        if check is None:
            name, password = _credentials(authorization)
            check = self._start(digest, name, password=password, peer=peer)
        # A client that goes away must not end the check that others wait for.
        principal = await asyncio.shield(check)
        if principal is None:
            raise Unauthenticated(reason="credentials")
        return principal

    def remembers(self, authorization: str) -> bool:
        """Tell whether this header was checked before and right."""
        return self._digest(authorization) in self._right

    def close(self) -> None:
        """End the threads. Idempotent."""
        self._checks.close()

    def _digest(self, header: str) -> bytes:
        return hashlib.blake2b(header.encode("utf-8", "surrogatepass"), key=self._key, digest_size=32).digest()

    def _start(self, digest: bytes, name: str, *, password: bytes, peer: str) -> asyncio.Future[Principal | None]:
        running = self._running
        known = self._known.get(name)
        check = self._checks.run(peer, partial(_check, known, self._nobody, password))
        running[digest] = check

        def done(ended: asyncio.Future[Principal | None]) -> None:
            running.pop(digest, None)
            # After a reload the answer is about accounts that are no more; it must not be remembered.
            if running is self._running and not ended.cancelled() and ended.exception() is None:
                self._remember(digest, ended.result())

        check.add_done_callback(done)
        return check

    def _remember(self, digest: bytes, principal: Principal | None) -> None:
        """Keep the answer. Right and wrong are kept apart, so that guessing drives no one out."""
        if principal is None:
            _trim(self._wrong)
            self._wrong[digest] = None
        else:
            _trim(self._right)
            self._right[digest] = principal


def read_accounts(path: Path) -> Mapping[str, _Known]:
    """Give the accounts of a file by name; ConfigError when it cannot be used."""
    source = str(path)
    try:
        decoded = msgspec.convert(tomllib.loads(path.read_text(encoding="utf-8")), _File)
    except OSError as error:
        raise ConfigError(source, f"cannot be read: {error.strerror}") from None
    except UnicodeDecodeError:
        raise ConfigError(source, "is not UTF-8") from None
    except tomllib.TOMLDecodeError as error:
        raise ConfigError(source, f"is not TOML: {error}") from None
    except msgspec.ValidationError as error:
        raise ConfigError(source, str(error)) from None
    if not decoded.account:
        raise ConfigError(source, "there is no [account.NAME] table: nobody could log in")
    return {name: _known(source, name, account) for name, account in decoded.account.items()}


def _known(source: str, name: str, account: _Account) -> _Known:
    if not name or ":" in name:
        raise ConfigError(source, "an account's name is not empty and has no colon", path=("account", name))
    try:
        password = PasswordHash.parse(account.password)
    except ValueError as error:
        raise ConfigError(source, str(error), path=("account", name, "password")) from None
    role, groups = _ROLES[account.role]
    if account.groups and account.role is not Role.USER:
        raise ConfigError(source, "only an account whose role is 'user' has groups", path=("account", name, "groups"))
    if EVERY in account.groups or "" in account.groups:
        raise ConfigError(source, "a group's name is not empty and not '*'", path=("account", name, "groups"))
    principal = Principal(name=name, roles=(role,), groups=(*groups, *account.groups))
    return _Known(principal=principal, password=password)


def _trim(remembered: dict[bytes, Any]) -> None:
    """Forget the oldest so that one more fits."""
    while len(remembered) >= _REMEMBERED:
        remembered.pop(next(iter(remembered)))


def _check(known: _Known | None, nobody: PasswordHash, password: bytes) -> Principal | None:
    right = (nobody if known is None else known.password).matches(password)
    return known.principal if known is not None and right else None


def _credentials(header: str) -> tuple[str, bytes]:
    """Give name and password of a Basic header; Unauthenticated when it is none."""
    scheme, _, encoded = header.partition(" ")
    if scheme.lower() != "basic":
        raise Unauthenticated(reason="scheme")
    try:
        decoded = base64.b64decode(encoded.strip(), validate=True)
    except (ValueError, binascii.Error):
        raise Unauthenticated(reason="malformed") from None
    try:
        text = decoded.decode()
    except UnicodeDecodeError:
        # Some clients, python-requests among them, send Latin-1.
        text = decoded.decode("latin-1")
    name, colon, password = text.partition(":")
    if not colon:
        raise Unauthenticated(reason="malformed")
    encoded_password = password.encode()
    if not usable(encoded_password):
        raise Unauthenticated(reason="credentials")
    return name, encoded_password
