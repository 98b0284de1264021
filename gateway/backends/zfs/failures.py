"""What ZFS says when it refuses, in words of the program and in numbers of the library: the two tables.

Both lead to a `Meaning`, so that callers tell cases apart in one way whichever
engine refused. The texts are the parts of a sentence that stayed the same
between releases, looked for in this order; programs run with `LC_ALL=C`.
"""

from __future__ import annotations

import enum
import errno
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager

from gateway.core.errors import (
    Busy,
    GatewayError,
    Internal,
    InUse,
    InvalidArgument,
    LimitExceeded,
    NotFound,
    OutOfSpace,
    Unavailable,
    Unsupported,
)


class Meaning(enum.StrEnum):
    """Why ZFS did not do it."""

    MISSING = "missing"
    EXISTS = "exists"
    CHILDREN = "children"
    CLONES = "clones"
    HELD = "held"
    NEWER = "newer"
    BUSY = "busy"
    SETTLED = "settled"
    LOCKED = "locked"
    SPACE = "space"
    BELOW_USE = "below use"
    INVALID = "invalid"
    TOO_LONG = "too long"
    DENIED = "denied"
    STREAM = "stream"
    BASE = "base"
    PARTIAL = "partial"
    UNSUPPORTED = "unsupported"
    GONE = "gone"
    DEFECT = "defect"


class Refused(Exception):  # noqa: N818 - it never leaves the backend
    """ZFS refused. `text` is for the log."""

    def __init__(self, meaning: Meaning, text: str) -> None:
        super().__init__(meaning, text)
        self.meaning = meaning
        self.text = text


TEXTS: tuple[tuple[str, Meaning], ...] = (
    ("/dev/zfs and /proc/self/mounts are required", Meaning.GONE),
    ("ZFS modules cannot be auto-loaded", Meaning.GONE),
    ("modules are not loaded", Meaning.GONE),
    ("pool I/O is currently suspended", Meaning.GONE),
    ("one or more devices is currently unavailable", Meaning.GONE),
    ("pool is read-only", Meaning.GONE),
    ("Read-only file system", Meaning.GONE),
    ("no such pool", Meaning.GONE),
    ("filesystem already mounted", Meaning.SETTLED),
    ("not currently mounted", Meaning.SETTLED),
    ("Key already loaded", Meaning.SETTLED),
    ("encryption key not loaded", Meaning.LOCKED),
    ("Key load error", Meaning.LOCKED),
    ("permission denied", Meaning.DENIED),
    ("Permission denied", Meaning.DENIED),
    ("may only be mounted by root", Meaning.DENIED),
    ("insufficient privileges", Meaning.DENIED),
    ("out of space", Meaning.SPACE),
    ("No space left on device", Meaning.SPACE),
    ("quota exceeded", Meaning.SPACE),
    ("size is greater than available space", Meaning.SPACE),
    ("size is less than current used or reserved space", Meaning.BELOW_USE),
    ("it's being held", Meaning.HELD),
    ("tag already exists on this dataset", Meaning.EXISTS),
    ("no such tag on this dataset", Meaning.MISSING),
    ("contains partially-complete state", Meaning.PARTIAL),
    ("Partially received snapshot is saved", Meaning.STREAM),
    ("does not\nmatch incremental source", Meaning.BASE),
    ("has been modified", Meaning.BASE),
    ("destination has snapshots", Meaning.EXISTS),
    ("must specify -F to overwrite it", Meaning.EXISTS),
    ("checksum mismatch or incomplete stream", Meaning.STREAM),
    ("incomplete stream", Meaning.STREAM),
    ("failed to read from stream", Meaning.STREAM),
    ("invalid stream", Meaning.STREAM),
    ("stream has unsupported feature", Meaning.UNSUPPORTED),
    ("could not find any snapshots to destroy", Meaning.MISSING),
    ("dataset does not exist", Meaning.MISSING),
    ("parent does not exist", Meaning.MISSING),
    ("' does not exist", Meaning.MISSING),
    ("dataset already exists", Meaning.EXISTS),
    ("bookmark exists", Meaning.EXISTS),
    ("has dependent clones", Meaning.CLONES),
    ("clones of previous snapshots exist", Meaning.CLONES),
    ("more recent snapshots", Meaning.NEWER),
    ("has children", Meaning.CHILDREN),
    ("not a cloned filesystem", Meaning.SETTLED),
    ("dataset is busy", Meaning.BUSY),
    ("target is busy", Meaning.BUSY),
    ("name is too long", Meaning.TOO_LONG),
    ("nesting depth exceeded", Meaning.TOO_LONG),
    ("property value too long", Meaning.TOO_LONG),
    ("' is too long", Meaning.TOO_LONG),
    ("must be a multiple of volume block size", Meaning.INVALID),
    ("does not apply to datasets of this type", Meaning.INVALID),
    ("operation not applicable to datasets of this type", Meaning.INVALID),
    ("invalid property", Meaning.INVALID),
    ("is readonly", Meaning.INVALID),
    ("must be one of", Meaning.INVALID),
    ("invalid character", Meaning.INVALID),
    ("empty component", Meaning.INVALID),
    ("trailing slash in name", Meaning.INVALID),
    ("is found in name", Meaning.INVALID),
    ("is not expected here", Meaning.INVALID),
    ("delimiter in snapshot name", Meaning.INVALID),
    ("multiple snapshots of same fs not allowed", Meaning.INVALID),
    ("source and target pools differ", Meaning.INVALID),
    ("must be within same pool", Meaning.INVALID),
    ("exists\n", Meaning.EXISTS),
)
"""Part of what the program writes to its standard error -> what it means. Anything else is a defect of ours."""

NUMBERS: Mapping[int, Meaning] = {
    errno.ENOENT: Meaning.MISSING,
    errno.EEXIST: Meaning.EXISTS,
    errno.EBUSY: Meaning.BUSY,
    errno.EINVAL: Meaning.INVALID,
    errno.EXDEV: Meaning.INVALID,
    errno.ENOSPC: Meaning.SPACE,
    errno.EDQUOT: Meaning.SPACE,
    errno.EPERM: Meaning.DENIED,
    errno.EACCES: Meaning.LOCKED,
    errno.EROFS: Meaning.GONE,
    errno.EAGAIN: Meaning.GONE,
    errno.EIO: Meaning.GONE,
    errno.ENXIO: Meaning.GONE,
    errno.ENODEV: Meaning.BASE,
    errno.ETXTBSY: Meaning.BASE,
    errno.ENOTSUP: Meaning.UNSUPPORTED,
    errno.ENAMETOOLONG: Meaning.TOO_LONG,
    errno.EBADE: Meaning.STREAM,
}
"""Error number of a call of the library -> what it means; anything else is a defect of ours."""

NUMBERS_OF: Mapping[tuple[str, int], Meaning] = {
    ("destroy", errno.EEXIST): Meaning.CHILDREN,
    ("destroy_snapshots", errno.EEXIST): Meaning.CLONES,
    ("destroy_snapshots", errno.EBUSY): Meaning.HELD,
    ("rollback", errno.EEXIST): Meaning.NEWER,
    ("promote", errno.EINVAL): Meaning.SETTLED,
}
"""The same for a number that means something else in one call."""


def refusal(stderr: str) -> Refused:
    """Give what the program's words mean."""
    text = stderr.strip()
    for core, meaning in TEXTS:
        if core in stderr:
            return Refused(meaning, text)
    return Refused(Meaning.DEFECT, text)


def numbered(call: str, number: int, text: str) -> Refused:
    """Give what an error number of a call means."""
    found = NUMBERS_OF.get((call, number)) or NUMBERS.get(number, Meaning.DEFECT)
    return Refused(found, f"{call}: {errno.errorcode.get(number, number)}: {text}")


def _unavailable(reason: str) -> Callable[[str], GatewayError]:
    return lambda pool: Unavailable(what=pool, reason=reason)


ERRORS: Mapping[Meaning, Callable[[str], GatewayError]] = {
    Meaning.MISSING: lambda _pool: NotFound(kind="volume", ref=""),
    Meaning.EXISTS: lambda pool: Busy(what=pool),
    Meaning.CHILDREN: lambda _pool: InUse(kind="volume", ref="", by="snapshots"),
    Meaning.CLONES: lambda _pool: InUse(kind="snapshot", ref="", by="clones"),
    Meaning.HELD: lambda _pool: InUse(kind="snapshot", ref="", by="replication"),
    Meaning.NEWER: lambda _pool: InUse(kind="snapshot", ref="", by="snapshots"),
    Meaning.BUSY: lambda pool: Busy(what=pool),
    Meaning.SETTLED: lambda pool: Busy(what=pool),
    Meaning.LOCKED: _unavailable("its encryption key is not loaded"),
    Meaning.SPACE: lambda pool: OutOfSpace(pool=pool),
    Meaning.BELOW_USE: lambda _pool: LimitExceeded(limit="size"),
    Meaning.INVALID: lambda _pool: InvalidArgument(field="volume", reason="not as ZFS wants it"),
    Meaning.TOO_LONG: lambda _pool: LimitExceeded(limit="name"),
    Meaning.DENIED: _unavailable("the gateway's user may not do this; see `zfs allow`"),
    Meaning.STREAM: lambda _pool: broken_stream(),
    Meaning.BASE: lambda _pool: NotFound(kind="snapshot", ref="the base of the stream"),
    Meaning.PARTIAL: lambda pool: Busy(what=pool),
    Meaning.UNSUPPORTED: lambda pool: Unsupported(capability="replicate", backend=pool, reason="unknown stream"),
    Meaning.GONE: _unavailable("the pool is not there, suspended or read-only"),
    Meaning.DEFECT: lambda pool: Internal(incident=f"{pool}: zfs refused for an unknown reason"),
}
"""What a meaning is to the core where no caller knew better, given the pool's name.

EXISTS and SETTLED come up when somebody else made or undid the same thing
meanwhile: asking again finds it so.
"""


def broken_stream() -> GatewayError:
    """Give the error of a stream that is damaged, cut short or no stream at all."""
    return InvalidArgument(field="stream", reason="broken or cut short")


@contextmanager
def translated(pool: str, log: Callable[[str], None]) -> Iterator[None]:
    """Turn every refusal and OSError of the body into an error of the core; `log` gets the substrate's words."""
    try:
        yield
    except Refused as refused:
        log(refused.text)
        raise ERRORS[refused.meaning](pool) from refused
    except OSError as error:
        number = error.errno or 0
        log(str(error))
        if number == errno.ENOENT:
            raise Unavailable(what=pool, reason="a mount point or device is missing") from error
        meaning = Meaning.DENIED if number == errno.EACCES else NUMBERS.get(number, Meaning.DEFECT)
        raise ERRORS[meaning](pool) from error
