"""Passwords as the accounts file keeps them: `scrypt$n$r$p$salt$hash`, salt and hash in base64."""

from __future__ import annotations

import base64
import binascii
import hashlib
import hmac
import secrets

import msgspec

PASSWORD_MAX = 1024
"""Longest password in bytes of UTF-8."""

_SALT_BYTES = 16
_HASH_BYTES = 32
_MEMORY_MAX = 64 * 1024 * 1024
_WORK_MAX = 1 << 24
_PARTS = 6
_N, _R, _P = 1 << 14, 8, 1


class PasswordHash(msgspec.Struct, frozen=True, kw_only=True):
    """A salted scrypt hash. `n`, `r`, `p` are scrypt's own cost numbers."""

    n: int
    r: int
    p: int
    salt: bytes
    digest: bytes

    @classmethod
    def parse(cls, text: str) -> PasswordHash:
        """Read the stored form; ValueError when it is another, or costs more than a gateway should pay."""
        parts = text.split("$")
        if len(parts) != _PARTS or parts[0] != "scrypt":
            raise ValueError("is not of the form scrypt$n$r$p$salt$hash")
        try:
            n, r, p = (int(part) for part in parts[1:4])
            salt, digest = (base64.b64decode(part, validate=True) for part in parts[4:])
        except (ValueError, binascii.Error):
            raise ValueError("has a part that is no number or no base64") from None
        if n < 2 or n & (n - 1) or r < 1 or p < 1:  # noqa: PLR2004 - scrypt's own lower bound
            raise ValueError("has cost numbers that scrypt does not know")
        if 128 * n * r > _MEMORY_MAX or n * r * p > _WORK_MAX:
            raise ValueError("costs too much: 64 MiB of memory are allowed")
        if not salt or len(digest) != _HASH_BYTES:
            raise ValueError("has a salt or a hash of the wrong length")
        return cls(n=n, r=r, p=p, salt=salt, digest=digest)

    @property
    def cost(self) -> int:
        """Work of one check, in scrypt's units."""
        return self.n * self.r * self.p

    def matches(self, password: bytes) -> bool:
        """Check a password. Takes tens of milliseconds, without holding the interpreter's lock."""
        return hmac.compare_digest(_derive(password, self.salt, self.n, r=self.r, p=self.p), self.digest)

    def __str__(self) -> str:
        salt, digest = (base64.b64encode(part).decode() for part in (self.salt, self.digest))
        return f"scrypt${self.n}${self.r}${self.p}${salt}${digest}"


def hash_password(password: str, *, n: int = _N, r: int = _R, p: int = _P) -> PasswordHash:
    """Give a fresh salted hash; ValueError for a password that is empty, too long or not UTF-8."""
    encoded = password.encode()
    if not usable(encoded):
        raise ValueError(f"a password has 1 to {PASSWORD_MAX} bytes, none of them NUL")
    salt = secrets.token_bytes(_SALT_BYTES)
    return PasswordHash(n=n, r=r, p=p, salt=salt, digest=_derive(encoded, salt, n, r=r, p=p))


def impossible_hash(like: PasswordHash | None = None) -> PasswordHash:
    """Give a hash that no password has, as dear to check as the other one."""
    model = like or PasswordHash(n=_N, r=_R, p=_P, salt=b"", digest=b"")
    salt, digest = secrets.token_bytes(_SALT_BYTES), secrets.token_bytes(_HASH_BYTES)
    return msgspec.structs.replace(model, salt=salt, digest=digest)


def usable(password: bytes) -> bool:
    """Tell whether these bytes may be a password. NUL may not: scrypt does not see it at the end."""
    return 0 < len(password) <= PASSWORD_MAX and b"\0" not in password


def _derive(password: bytes, salt: bytes, n: int, *, r: int, p: int) -> bytes:
    return hashlib.scrypt(password, salt=salt, n=n, r=r, p=p, maxmem=2 * _MEMORY_MAX, dklen=_HASH_BYTES)
