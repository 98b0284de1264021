"""Which processes live: each open catalog holds a lock that the kernel drops when its process ends.

A dead owner is one whose lock can be taken. That is exact and immediate, also
after SIGKILL, and needs no clock.
"""

from __future__ import annotations

import contextlib
import fcntl
import os
import secrets
import socket
from collections.abc import Iterator
from pathlib import Path

_SUFFIX = ".lock"


class Owners:
    """The lock files of one catalog, and this process's own among them."""

    def __init__(self, directory: Path) -> None:
        self._directory = directory
        self._held: int | None = None
        self.name = ""

    @contextlib.contextmanager
    def opening(self) -> Iterator[None]:
        """Keep other processes from opening the same catalog meanwhile."""
        self._directory.mkdir(parents=True, exist_ok=True)
        gate = os.open(self._directory / "opening", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        try:
            fcntl.flock(gate, fcntl.LOCK_EX)
            yield
        finally:
            os.close(gate)

    def register(self) -> None:
        """Become an owner under a new name and remove the files of dead ones; call it within `opening`."""
        for stale in self._directory.glob(f"*{_SUFFIX}"):
            if not self.lives(stale.name.removesuffix(_SUFFIX)):
                stale.unlink(missing_ok=True)
        self.name = f"{socket.gethostname().replace('/', '_')}:{os.getpid()}:{secrets.token_hex(4)}"
        self._held = os.open(self._path(self.name), os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
        fcntl.flock(self._held, fcntl.LOCK_EX)

    def lives(self, owner: str) -> bool:
        """Tell whether that owner's process runs and has its catalog open."""
        if "/" in owner or "\0" in owner:
            return False
        try:
            lock = os.open(self._path(owner), os.O_RDWR | os.O_CLOEXEC)
        except OSError:
            return False
        try:
            # Shared, so that two who ask at once do not take each other for the owner.
            fcntl.flock(lock, fcntl.LOCK_SH | fcntl.LOCK_NB)
        except BlockingIOError:
            return True
        finally:
            os.close(lock)
        return False

    def resign(self) -> None:
        """Stop being an owner. Idempotent."""
        if self._held is not None:
            self._path(self.name).unlink(missing_ok=True)
            os.close(self._held)
            self._held = None

    def _path(self, owner: str) -> Path:
        return self._directory / f"{owner}{_SUFFIX}"
