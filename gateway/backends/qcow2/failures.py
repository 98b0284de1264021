"""What error numbers, programs and the storage daemon say in the core's words: the tables."""

from __future__ import annotations

import errno
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager

import msgspec
import structlog

from gateway.core.errors import Busy, GatewayError, Internal, OutOfSpace, Unavailable

log = structlog.get_logger(__name__)


def _unavailable(reason: str) -> Callable[[str], GatewayError]:
    return lambda pool: Unavailable(what=pool, reason=reason)


def _out_of_space(pool: str) -> GatewayError:
    return OutOfSpace(pool=pool)


def _busy(pool: str) -> GatewayError:
    return Busy(what=pool)


FAILURES: Mapping[int, Callable[[str], GatewayError]] = {
    errno.ENOSPC: _out_of_space,
    errno.EDQUOT: _out_of_space,
    errno.EFBIG: _out_of_space,
    errno.EBUSY: _busy,
    errno.EAGAIN: _busy,
    errno.ENOMEM: _busy,
    errno.EMFILE: _busy,
    errno.ENFILE: _busy,
    errno.ENOENT: _unavailable("a part of the pool is missing"),
    errno.ENOTDIR: _unavailable("a part of the pool is not a directory"),
    errno.EACCES: _unavailable("not permitted"),
    errno.EPERM: _unavailable("not permitted"),
    errno.EROFS: _unavailable("mounted read-only, or made so after an error"),
    errno.EIO: _unavailable("input/output error"),
    errno.EUCLEAN: _unavailable("the file system is damaged"),
    errno.ENODEV: _unavailable("the device is gone"),
    errno.ENXIO: _unavailable("the device is gone"),
    errno.ECONNREFUSED: _unavailable("the storage daemon ended"),
    errno.ECONNRESET: _unavailable("the storage daemon ended"),
    errno.EPIPE: _unavailable("the storage daemon ended"),
    errno.ESTALE: _unavailable("the file system was unmounted"),
}
"""Error number -> the error, given the pool's name. Anything else is a defect: Internal."""

COMPLAINTS: Mapping[str, Callable[[str], GatewayError]] = {
    "No space left on device": _out_of_space,
    "Disk quota exceeded": _out_of_space,
    "File too large": _out_of_space,
    "Read-only file system": _unavailable("mounted read-only, or made so after an error"),
    "Input/output error": _unavailable("input/output error"),
    "Is another process using the image": _busy,
    "Failed to get": _busy,
}
"""What qemu's programs complain of in the C locale -> the error. They have one exit status for everything."""


class Refused(Exception):  # noqa: N818 - it is what the daemon answered
    """The storage daemon refused a command; the text is for classifying and for the log."""


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
        yield
    except OSError as error:
        number = error.errno or 0
        found = FAILURES.get(number)
        if found is None:
            raise Internal(incident=f"{pool}: {errno.errorcode.get(number, number)}") from error
        raise found(pool) from error
    except Refused as error:
        raise complaint(pool, "the storage daemon", str(error)) from error
    except msgspec.DecodeError as error:
        raise Unavailable(what=pool, reason="a sidecar is damaged") from error
