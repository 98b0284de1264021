"""Blocks: a raw file or device gets the content of another, in place."""

from __future__ import annotations

import errno
import os
import stat
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

from gateway.core.errors import LimitExceeded
from gateway.mover.content import Content, Present, Source, Target, length_of
from gateway.mover.failures import DESTINATION, SOURCE, at
from gateway.mover.locks import alone
from gateway.mover.meter import Meter


def move_blocks(source_path: str, path: str, meter: Meter) -> None:
    """Make a raw file or device equal to another one; what it has beyond the other's end becomes zeros."""
    with opened_blocks(source_path, os.O_RDONLY, SOURCE) as fd:
        fill_blocks(Source(fd), path, meter)


def fill_blocks(content: Content, path: str, meter: Meter) -> None:
    """Make a raw file or device equal to a content that may be anywhere."""
    with ExitStack() as stack:
        fd = stack.enter_context(opened_blocks(path, os.O_RDWR, DESTINATION))
        stack.enter_context(at(DESTINATION))
        stack.enter_context(alone(fd))
        length = length_of(fd)
        if content.length > length:
            raise LimitExceeded(limit="size", value=content.length, maximum=length)
        target = Target(fd, meter, keep_room=reserved(fd))
        for difference in content.differences(Present(fd), length):
            target.put(difference)
            meter.passed("blocks.written")
        target.prove()
        os.fsync(fd)
        meter.passed("blocks.proven")


def reserved(fd: int) -> bool:
    """Tell whether a file has all of its room, as thick volumes do."""
    status = os.fstat(fd)
    return stat.S_ISREG(status.st_mode) and status.st_blocks * 512 >= status.st_size


@contextmanager
def opened_blocks(path: str, flags: int, end: str) -> Iterator[int]:
    """Open an end; Busy for a device that something else, such as a mount, has for itself."""
    with at(end):
        # Nothing that is no device waits to be opened by name: a FIFO would wait for its other end.
        mode = Path(path).stat().st_mode
        if not (stat.S_ISREG(mode) or stat.S_ISBLK(mode)):
            raise OSError(errno.ENODEV, os.strerror(errno.ENODEV))
        mine = os.O_EXCL if stat.S_ISBLK(mode) and flags != os.O_RDONLY else 0
        fd = os.open(path, flags | mine | os.O_CLOEXEC)
    try:
        yield fd
    finally:
        os.close(fd)
