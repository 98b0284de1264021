"""What the kernel's error numbers mean at the two ends of a move."""

from __future__ import annotations

import errno
import sys
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager

from gateway.core.errors import Busy, GatewayError, Internal, OutOfSpace, Unavailable, Unsupported

SOURCE, DESTINATION = "source", "destination"

Failure = Callable[[str], GatewayError]
"""Gives the error, given the end."""


def unavailable(reason: str) -> Failure:
    """Give the failure that says that an end cannot be used."""
    return lambda end: Unavailable(what=end, reason=reason)


def busy(end: str) -> GatewayError:
    """Give the error that asks for another try."""
    return Busy(what=end)


def out_of_space(end: str) -> GatewayError:
    """Give the error that says that there is no room."""
    return OutOfSpace(pool=end)


def _attributes(end: str) -> GatewayError:
    return Unsupported(capability="attributes", backend=end, reason="it keeps no such attributes of files")


FAILURES: Mapping[int, Failure] = {
    errno.ENOSPC: out_of_space,
    errno.EDQUOT: out_of_space,
    errno.EMLINK: out_of_space,
    errno.EFBIG: out_of_space,
    errno.EBUSY: busy,
    errno.ETXTBSY: busy,
    errno.EAGAIN: busy,
    errno.EINTR: busy,
    errno.ENOMEM: busy,
    errno.EMFILE: unavailable("its directories are too deep"),
    errno.ENFILE: busy,
    errno.ENOENT: unavailable("a part of it is gone"),
    errno.ENOTDIR: unavailable("a part of it is not a directory"),
    errno.EISDIR: unavailable("a part of it is a directory"),
    errno.EEXIST: unavailable("somebody else changes it"),
    errno.ENOTEMPTY: unavailable("somebody else changes it"),
    errno.ELOOP: unavailable("a part of it is a symbolic link"),
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
    errno.ETIMEDOUT: unavailable("the file server does not answer"),
    errno.EOPNOTSUPP: _attributes,
    errno.E2BIG: _attributes,
}
"""Error number -> the error. Anything else is a defect: Internal."""


@contextmanager
def at(end: str) -> Iterator[None]:
    """Turn every OSError of the body into an error of the core; what it was goes to standard error, for the log."""
    try:
        yield
    except OSError as error:
        number = error.errno or 0
        sys.stderr.write(f"{end}: {error!r}\n")
        found = FAILURES.get(number)
        if found is None:
            raise Internal(incident=f"{end}: {errno.errorcode.get(number, number)}") from error
        raise found(end) from error
