"""What the kernel's error numbers mean in the core's words: the one table."""

from __future__ import annotations

import errno
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager

from gateway.core.errors import Busy, GatewayError, Internal, OutOfSpace, Unavailable


def _unavailable(reason: str) -> Callable[[str], GatewayError]:
    return lambda pool: Unavailable(what=pool, reason=reason)


def _out_of_space(pool: str) -> GatewayError:
    return OutOfSpace(pool=pool)


def _busy(pool: str) -> GatewayError:
    return Busy(what=pool)


FAILURES: Mapping[int, Callable[[str], GatewayError]] = {
    errno.ENOSPC: _out_of_space,
    errno.EDQUOT: _out_of_space,
    # The kernel refuses so to delete what is being sent; missing rights were found at open.
    errno.EPERM: _busy,
    errno.EBUSY: _busy,
    errno.ETXTBSY: _busy,
    errno.EAGAIN: _busy,
    errno.ENOMEM: _busy,
    errno.EMFILE: _busy,
    errno.ENFILE: _busy,
    errno.ENOENT: _unavailable("a part of the pool is missing"),
    errno.ENOTDIR: _unavailable("a part of the pool is not a directory"),
    errno.EACCES: _unavailable("not permitted"),
    errno.EROFS: _unavailable("mounted read-only, or made so after an error"),
    errno.EIO: _unavailable("input/output error"),
    errno.EUCLEAN: _unavailable("the file system is damaged"),
    errno.ENODEV: _unavailable("the device is gone"),
    errno.ENXIO: _unavailable("the device is gone"),
    errno.ESTALE: _unavailable("the file system was unmounted"),
    errno.ENOTTY: _unavailable("not a btrfs file system"),
}
"""Error number -> the error, given the pool's name. Anything else is a defect: Internal."""


@contextmanager
def translated(pool: str) -> Iterator[None]:
    """Turn every OSError of the body into an error of the core."""
    try:
        yield
    except OSError as error:
        number = error.errno or 0
        found = FAILURES.get(number)
        if found is None:
            raise Internal(incident=f"{pool}: {errno.errorcode.get(number, number)}") from error
        raise found(pool) from error
