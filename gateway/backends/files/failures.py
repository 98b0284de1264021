"""What the kernel's error numbers mean in the core's words: the one table of all that lies in files."""

from __future__ import annotations

import errno
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager

from gateway.core.errors import Busy, GatewayError, Internal, LimitExceeded, OutOfSpace, Unavailable

Failure = Callable[[str], GatewayError]
"""Gives the error, given the pool's name."""


def unavailable(reason: str) -> Failure:
    """Give the failure that says that the pool cannot be used."""
    return lambda pool: Unavailable(what=pool, reason=reason)


def busy(pool: str) -> GatewayError:
    """Give the error that asks for another try."""
    return Busy(what=pool)


def out_of_space(pool: str) -> GatewayError:
    """Give the error that says that there is no room."""
    return OutOfSpace(pool=pool)


def _too_large(_pool: str) -> GatewayError:
    return LimitExceeded(limit="size")


FAILURES: Mapping[int, Failure] = {
    errno.ENOSPC: out_of_space,
    errno.EDQUOT: out_of_space,
    errno.EMLINK: out_of_space,
    errno.EFBIG: _too_large,
    errno.EBUSY: busy,
    errno.ETXTBSY: busy,
    errno.EAGAIN: busy,
    errno.EINTR: busy,
    errno.ENOMEM: busy,
    errno.EMFILE: busy,
    errno.ENFILE: busy,
    errno.ENOENT: unavailable("a part of the pool is missing"),
    errno.ENOTDIR: unavailable("a part of the pool is not a directory"),
    errno.EACCES: unavailable("not permitted"),
    errno.EPERM: unavailable("not permitted"),
    errno.EROFS: unavailable("mounted read-only, or made so after an error"),
    errno.EIO: unavailable("input/output error"),
    errno.EREMOTEIO: unavailable("input/output error"),
    errno.EUCLEAN: unavailable("the file system is damaged"),
    errno.ENODEV: unavailable("the device is gone"),
    errno.ENXIO: unavailable("the device is gone"),
    errno.ESHUTDOWN: unavailable("the file system was shut down"),
    errno.ESTALE: unavailable("the file system was unmounted"),
    errno.ENOTCONN: unavailable("the file server is gone"),
    errno.ECONNABORTED: unavailable("the file server is gone"),
    errno.ECONNRESET: unavailable("the file server is gone"),
    errno.ECONNREFUSED: unavailable("the file server is gone"),
    errno.EHOSTDOWN: unavailable("the file server cannot be reached"),
    errno.EHOSTUNREACH: unavailable("the file server cannot be reached"),
    errno.ENETUNREACH: unavailable("the file server cannot be reached"),
    errno.ETIMEDOUT: unavailable("the file server does not answer"),
    errno.ENOLCK: unavailable("the file server gives no locks"),
}
"""Error number -> the error. Anything else is a defect: Internal."""

GONE = frozenset(
    {
        errno.EIO,
        errno.EUCLEAN,
        errno.ENODEV,
        errno.ENXIO,
        errno.ESHUTDOWN,
        errno.ESTALE,
        errno.ENOTCONN,
        errno.ECONNABORTED,
    }
)
"""After these a file system may have to be unmounted and mounted anew before it can be used again."""


@contextmanager
def translated(pool: str, failures: Mapping[int, Failure] = FAILURES) -> Iterator[None]:
    """Turn every OSError of the body into an error of the core."""
    try:
        yield
    except OSError as error:
        number = error.errno or 0
        found = failures.get(number)
        if found is None:
            raise Internal(incident=f"{pool}: {errno.errorcode.get(number, number)}") from error
        raise found(pool) from error


@contextmanager
def refused(pool: str, what: str, reasons: Mapping[int, str]) -> Iterator[None]:
    """Turn every OSError of the body into Unavailable, with a sentence that tells the operator what is wrong."""
    try:
        yield
    except OSError as error:
        reason = reasons.get(error.errno or 0) or error.strerror or str(error)
        raise Unavailable(what=pool, reason=f"{what}: {reason}") from error
