"""Tokens that open one volume for a while. Nothing is kept: a token says what it is for, and is sealed by a key."""

from __future__ import annotations

import base64
import hmac
import os
import secrets
from collections.abc import Callable
from pathlib import Path
from uuid import UUID

import msgspec

from gateway.core.errors import Unavailable

_MARK = "vgt"
_KEY_BYTES = 32


class Grant(msgspec.Struct, frozen=True):
    """What a token is good for."""

    volume: UUID
    write: bool


class Tokens:
    """Makes tokens and tells good ones. `clock` gives seconds since 1970."""

    def __init__(self, key: bytes, clock: Callable[[], float]) -> None:
        self._key = key
        self._clock = clock

    def make(self, volume: UUID, *, write: bool, lifetime_s: int) -> str:
        """Give a token."""
        said = f"{_MARK}.{volume.hex}.{'w' if write else 'r'}.{int(self._clock()) + lifetime_s}"
        return f"{said}.{self._seal(said)}"

    def grant(self, token: str) -> Grant | None:
        """Give what a token is good for; None when it is none of ours, or too old."""
        said, _, seal = token.rpartition(".")
        if not token.isascii() or not hmac.compare_digest(seal, self._seal(said)):
            return None
        _, volume, mode, until = said.split(".")
        return Grant(UUID(hex=volume), mode == "w") if self._clock() < int(until) else None

    def _seal(self, said: str) -> str:
        sealed = hmac.digest(self._key, said.encode(), "sha256")
        return base64.urlsafe_b64encode(sealed).rstrip(b"=").decode()


def key_of(path: Path, *, what: str) -> bytes:
    """Give the key in a file, made there when there is none. Who has it can make tokens, so it is for its owner only.

    A new file is put in its place whole, so that it is never read half written.
    """
    if not path.exists():
        new = path.with_name(f"{path.name}.new")
        descriptor = os.open(new, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, 0o600)
        with open(descriptor, "wb") as file:  # noqa: PTH123 - made by descriptor for its mode
            file.write(secrets.token_bytes(_KEY_BYTES))
            file.flush()
            os.fsync(descriptor)
        new.replace(path)
    key = path.read_bytes()
    if len(key) != _KEY_BYTES or path.stat().st_mode & 0o077:
        raise Unavailable(what=what, reason=f"{path.name} must be a file of mode 0600 with {_KEY_BYTES} bytes")
    return key
