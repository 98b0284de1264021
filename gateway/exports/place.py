"""The state directory of an exporter, which one process owns while the exporter is open."""

from __future__ import annotations

import fcntl
import os
from pathlib import Path

from gateway.core.errors import Unavailable

IN_USE = "a running gateway has it"


def lock(path: Path, *, what: str) -> int:
    """Give a descriptor that keeps other processes from the lock's directory; the kernel frees it with this one."""
    try:
        path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        held = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    except OSError as error:
        raise Unavailable(what=what, reason=f"state directory: {error.strerror}") from error
    try:
        fcntl.flock(held, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        os.close(held)
        raise Unavailable(what=what, reason=IN_USE) from None
    return held


def private(directory: Path, *, what: str) -> Path:
    """Give the directory with mode 0700, made if needed; one of somebody else's is refused."""
    directory.mkdir(mode=0o700, parents=True, exist_ok=True)
    owner = directory.lstat()
    if directory.is_symlink() or owner.st_mode & 0o077:
        raise Unavailable(what=what, reason=f"{directory.name} must be a directory of mode 0700")
    return directory
