"""What error numbers, programs and the storage daemon say in the core's words: the tables."""

from __future__ import annotations

import errno
from collections.abc import Iterator, Mapping
from contextlib import contextmanager

import msgspec
import structlog

from gateway.backends.files import failures as files
from gateway.backends.files.failures import Failure, busy, out_of_space, unavailable
from gateway.core.errors import GatewayError, Unavailable
from gateway.core.qmp import Refused

log = structlog.get_logger(__name__)


FAILURES: Mapping[int, Failure] = {
    **files.FAILURES,
    errno.ECONNREFUSED: unavailable("the storage daemon ended"),
    errno.ECONNRESET: unavailable("the storage daemon ended"),
    errno.EPIPE: unavailable("the storage daemon ended"),
}
"""What error numbers mean here: the storage daemon is the only peer that a connection can be lost to."""

COMPLAINTS: Mapping[str, Failure] = {
    "No space left on device": out_of_space,
    "Disk quota exceeded": out_of_space,
    "File too large": out_of_space,
    "Read-only file system": unavailable("mounted read-only, or made so after an error"),
    "Input/output error": unavailable("input/output error"),
    "Is another process using the image": busy,
    "Failed to get": busy,
}
"""What qemu's programs complain of in the C locale -> the error. They have one exit status for everything."""


def complaint(pool: str, what: str, text: str) -> GatewayError:
    """Give the error that a program's or the daemon's complaint means; the text itself goes to the log."""
    log.warning("qemu refused", pool=pool, what=what, text=text.strip())
    for part, failure in COMPLAINTS.items():
        if part in text:
            return failure(pool)
    return Unavailable(what=pool, reason=f"{what} failed")


@contextmanager
def translated(pool: str) -> Iterator[None]:
    """Turn every OSError, refusal and damaged sidecar of the body into an error of the core."""
    try:
        with files.translated(pool, FAILURES):
            yield
    except Refused as error:
        raise complaint(pool, "the storage daemon", str(error)) from error
    except msgspec.DecodeError as error:
        raise Unavailable(what=pool, reason="a sidecar is damaged") from error
