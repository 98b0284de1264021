"""Who is asking: accounts, by HTTP Basic or by the certificate that a client has.

A password is checked by scrypt, in two threads of our own. What was checked
is remembered under a keyed digest of the whole header, right or wrong, so that
a client pays once and a client with a stale password does not pay (or cost)
again and again. How many checks may wait is bounded, in total and per peer,
and how often a password may be wrong is, too.

The operator's file comes first; the accounts that the catalog keeps are for
names that it does not have. They are looked at again with every request, so
that a change of one holds for the next.
"""

from __future__ import annotations

import asyncio
import base64
import binascii
import hashlib
import secrets
from collections.abc import Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any, Final

import msgspec

from gateway.config import ConfigError
from gateway.core import accounts
from gateway.core.context import Core
from gateway.core.errors import InvalidArgument, Unauthenticated
from gateway.core.observer import Observer, SilentObserver
from gateway.core.principal import EVERY, Principal
from gateway.core.secret import Secret
from gateway.server.accounts_file import FileAccount, Role, principal_of, read_accounts
from gateway.server.checks import Checks
from gateway.server.failures import Failures
from gateway.server.passwords import PASSWORD_MAX, PasswordHash, hash_password, impossible_hash, usable

_REMEMBERED: Final = 1024
_PEERS_MAX: Final = 64
_NAME_MAX: Final = 255
_CREDENTIALS: Final = "credentials"
_ROOT_ROLES: Mapping[str, Role] = {"admin": Role.ADMIN, "readonly": Role.READONLY}
"""Roles of whole accounts that the catalog keeps which are the file's, with the same rights at every door."""

Stamp = tuple[int, ...]
"""What changes with an account. The file's have an empty one, as long as the file is not read again."""

_OF_FILE: Stamp = ()
_NOBODY: Stamp = (0,)


class _Known(msgspec.Struct, frozen=True, kw_only=True):
    """An account as it is checked. `principal` None: nobody comes in by it, though it may be there."""

    principal: Principal | None
    password: PasswordHash | None
    stamp: Stamp


class _Seen(msgspec.Struct, frozen=True, kw_only=True):
    """A header that was checked. `peers`: from where it let somebody in."""

    name: str
    stamp: Stamp
    principal: Principal | None
    peers: dict[str, None]


class Accounts:
    """The accounts of a gateway and the memory of who was checked. Close it to end its threads.

    All methods belong to one event loop. Passwords and headers are kept
    nowhere and shown nowhere. It is what `gateway.core.accounts.LocalAccounts`
    asks for, too.
    """

    def __init__(self, path: Path, *, failures: Failures | None = None, observer: Observer | None = None) -> None:
        self._path = path
        self._failures = failures or Failures()
        self._observer = observer or SilentObserver()
        self._key = secrets.token_bytes(32)
        self._checks = Checks("auth")
        self._right: dict[bytes, _Seen] = {}
        self._wrong: dict[bytes, _Seen] = {}
        self._running: dict[tuple[bytes, Stamp], asyncio.Future[bool]] = {}
        self._known: Mapping[str, FileAccount] = {}
        self._core: Core | None = None
        self._version = -1
        self._found: dict[str, accounts.Kept | None] = {}
        # Stands in for accounts that do not exist, so that they take as long to refuse.
        self._nobody = impossible_hash()

    @classmethod
    def load(cls, path: Path, *, failures: Failures | None = None, observer: Observer | None = None) -> Accounts:
        """Read the accounts file; ConfigError when it cannot be used."""
        accounts = cls(path, failures=failures, observer=observer)
        try:
            accounts.reload()
        except ConfigError:
            accounts.close()
            raise
        return accounts

    def consult(self, core: Core) -> None:
        """Let in also whom the catalog keeps accounts of."""
        self._core = core
        self._nobody = self._dearest()

    def reload(self) -> None:
        """Read the file again and forget every check. ConfigError leaves everything as it was."""
        self._known = read_accounts(self._path)
        self._nobody = self._dearest()
        self._right = {}
        self._wrong = {}
        self._running = {}

    async def authenticate(self, authorization: str | None, *, peer: str = "", certificate: str = "") -> Principal:
        """See `gateway.core.principal.Authenticator`. Takes microseconds for a header that was checked before."""
        if authorization is None:
            return await self._certified(certificate)
        # Looking up a keyed digest tells a guesser nothing about how near the guess was.
        digest = self._digest(authorization)
        seen = self._right.get(digest)
        if seen is not None and await self._still(seen):
            return self._admitted(seen, peer)
        wrong = self._wrong.get(digest)
        if wrong is not None and await self._still(wrong):
            raise Unauthenticated(reason=_CREDENTIALS)
        return await self._check(digest, authorization, peer=peer)

    def remembers(self, authorization: str) -> bool:
        """Tell whether this header was checked before and right."""
        return self._digest(authorization) in self._right

    def close(self) -> None:
        """End the threads. Idempotent."""
        self._checks.close()

    # --- see LocalAccounts ---

    def names(self) -> Sequence[tuple[str, str]]:
        """See `LocalAccounts`."""
        return [(name, known.role.value) for name, known in self._known.items()]

    def barred(self, name: str) -> bool:
        """See `LocalAccounts`."""
        return self._failures.barred(name)

    def forgive(self, name: str) -> None:
        """See `LocalAccounts`."""
        self._failures.forgive(name)

    async def hashed(self, password: Secret) -> str:
        """See `LocalAccounts`."""
        try:
            return str(await self._checks.run("", partial(hash_password, password.reveal())))
        except ValueError:
            reason = f"has 1 to {PASSWORD_MAX} bytes, none of them NUL"
            raise InvalidArgument(field="password", reason=reason) from None

    async def matches(self, password: Secret, kept: str) -> bool:
        """See `LocalAccounts`."""
        encoded = password.reveal().encode()
        return usable(encoded) and await self._checks.run("", partial(PasswordHash.parse(kept).matches, encoded))

    # --- whom there is ---

    async def _find(self, name: str) -> _Known:
        # Looked up also for names that the file has: a difference in time would tell which these are.
        kept = await self._kept(name)
        known = self._known.get(name)
        if known is not None:
            return _Known(principal=known.principal, password=known.password, stamp=_OF_FILE)
        if kept is None:
            return _Known(principal=None, password=None, stamp=_NOBODY)
        account = kept.account
        let_in = not account.locked and accounts.Method.PASSWORD in account.methods and kept.password_hash
        password = PasswordHash.parse(kept.password_hash) if kept.password_hash else None
        return _Known(principal=_principal(account) if let_in else None, password=password, stamp=kept.stamp)

    async def _kept(self, name: str) -> accounts.Kept | None:
        """Give the catalog's account as it is now; what is not there is remembered like what is."""
        if self._core is None:
            return None
        version = await self._core.known.renew()
        if version != self._version:
            self._found = {}
            self._version = version
        if name not in self._found:
            found = await accounts.named(self._core, name) if 0 < len(name) <= _NAME_MAX else None
            if version != self._version:
                return found
            _trim(self._found, _REMEMBERED)
            self._found[name] = found
        return self._found[name]

    async def _still(self, seen: _Seen) -> bool:
        """Tell whether what was found out then is about the account as it is now."""
        if seen.stamp == _OF_FILE and seen.principal is not None:
            return True
        kept = await self._kept(seen.name)
        return seen.stamp in (_OF_FILE, _NOBODY if kept is None else kept.stamp)

    def _dearest(self) -> PasswordHash:
        """Give a hash that no password has and that costs as much to check as the dearest one that there may be."""
        found = [known.password for known in self._known.values() if known.password is not None]
        if self._core is not None or not found:
            found.append(impossible_hash())
        return impossible_hash(max(found, key=lambda password: password.cost))

    # --- how they are let in ---

    async def _certified(self, name: str) -> Principal:
        if not name:
            raise Unauthenticated(reason="missing")
        known = self._known.get(name)
        if known is not None:
            if known.certificate:
                return known.principal
            raise Unauthenticated(reason="certificate")
        kept = await self._kept(name)
        if kept is None or kept.account.locked or accounts.Method.CERTIFICATE not in kept.account.methods:
            raise Unauthenticated(reason="certificate")
        return _principal(kept.account)

    def _admitted(self, seen: _Seen, peer: str) -> Principal:
        if seen.principal is None:
            raise AssertionError
        if peer not in seen.peers:
            if self._failures.barred(seen.name):
                raise Unauthenticated(reason=_CREDENTIALS)
            _trim(seen.peers, _PEERS_MAX)
            seen.peers[peer] = None
        elif self._failures.barred_at(seen.name, peer):
            raise Unauthenticated(reason=_CREDENTIALS)
        return seen.principal

    async def _check(self, digest: bytes, header: str, *, peer: str) -> Principal:
        name, password = _credentials(header)
        known = await self._find(name)
        check = self._running.get((digest, known.stamp))
        if check is None:
            check = self._start(digest, name, known=known, password=password, peer=peer)
        # A client that goes away must not end the check that others wait for.
        if not await asyncio.shield(check) or known.principal is None:
            raise Unauthenticated(reason=_CREDENTIALS)
        return known.principal

    def _start(self, digest: bytes, name: str, *, known: _Known, password: bytes, peer: str) -> asyncio.Future[bool]:
        if self._failures.barred(name) or self._failures.barred_at(name, peer):
            raise Unauthenticated(reason=_CREDENTIALS)
        running = self._running
        check = self._checks.run(peer, partial((known.password or self._nobody).matches, password))
        if self._failures.attempt(name, peer) and known.stamp != _NOBODY:
            # Whoever mistakes the field types a password there, so no other name is written down.
            self._observer.event("account_kept_out", account=name, peer=peer)
        place = digest, known.stamp
        running[place] = check

        def done(ended: asyncio.Future[bool]) -> None:
            running.pop(place, None)
            # After a reload the answer is about accounts that are no more; it must not be remembered.
            if running is self._running and not ended.cancelled() and ended.exception() is None:
                right = ended.result() and known.principal is not None
                self._remember(digest, name, known if right else msgspec.structs.replace(known, principal=None), peer)

        check.add_done_callback(done)
        return check

    def _remember(self, digest: bytes, name: str, known: _Known, peer: str) -> None:
        """Keep the answer. Right and wrong are kept apart, so that guessing drives no one out."""
        seen = _Seen(
            name=name if len(name) <= _NAME_MAX else "", stamp=known.stamp, principal=known.principal, peers={}
        )
        kept = self._wrong if known.principal is None else self._right
        if known.principal is not None:
            seen.peers[peer] = None
            self._failures.forgive(name, peer)
        kept.pop(digest, None)
        _trim(kept, _REMEMBERED)
        kept[digest] = seen

    def _digest(self, header: str) -> bytes:
        return hashlib.blake2b(header.encode("utf-8", "surrogatepass"), key=self._key, digest_size=32).digest()


def _principal(account: accounts.Account) -> Principal:
    """Give who an account of the catalog is: one with a role of the door's own may nothing at other doors."""
    role = _ROOT_ROLES.get(account.role) if account.tenant_id is None else None
    if role is not None:
        return principal_of(account.name, role)
    return Principal(name=account.name, roles=(), groups=(EVERY,), tenant_id=account.tenant_id, door_role=account.role)


def _trim(remembered: dict[Any, Any], most: int) -> None:
    """Forget the oldest so that one more fits."""
    while len(remembered) >= most:
        remembered.pop(next(iter(remembered)))


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
        raise Unauthenticated(reason=_CREDENTIALS)
    return name, encoded_password
