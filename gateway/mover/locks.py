"""One move per destination: one that was given up may hang in the kernel, and write when it wakes up."""

from __future__ import annotations

import errno
import fcntl
from collections.abc import Iterator
from contextlib import contextmanager

from gateway.core.errors import Busy
from gateway.mover.failures import DESTINATION

_TAKEN = frozenset({errno.EWOULDBLOCK, errno.EACCES})


@contextmanager
def alone(fd: int) -> Iterator[None]:
    """Be the only mover at the destination for a block; Busy when another is at it."""
    try:
        fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError as error:
        if error.errno in _TAKEN:
            raise Busy(what=DESTINATION) from error
        # A file system without locks; the kernel keeps the promise where it can.
    yield
