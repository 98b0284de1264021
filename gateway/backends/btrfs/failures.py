"""What the kernel's error numbers mean on btrfs, where some mean more than elsewhere."""

from __future__ import annotations

import errno
from collections.abc import Mapping
from contextlib import AbstractContextManager

from gateway.backends.files import failures
from gateway.backends.files.failures import Failure, busy, unavailable

FAILURES: Mapping[int, Failure] = {
    **failures.FAILURES,
    # The kernel refuses so to delete what is being sent; missing rights were found at open.
    errno.EPERM: busy,
    errno.ENOTTY: unavailable("not a btrfs file system"),
}
"""Error number -> the error, given the pool's name. Anything else is a defect: Internal."""


def translated(pool: str) -> AbstractContextManager[None]:
    """Turn every OSError of a block into an error of the core."""
    return failures.translated(pool, FAILURES)
