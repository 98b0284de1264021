"""The words of the protocol, version 1: MessagePack, one message in a frame.

The mover says `Hello`, the sender `Welcome`. Each further message of the mover
is a question, which the sender answers with one message or several; the last
is never `Runs`. `Failed` may be the last answer to everything.

What is refused by the mover: names that are empty, `.`, `..`, have a slash or
a zero byte, come twice or out of order; attributes that are not carried; sizes,
owners and times that no file has; bytes that were not asked for; files that
are no more what the list said. What is refused by the sender: such names, ranges
that are too long, and anything but reading.
"""

from __future__ import annotations

import hashlib
import os
import stat
import zlib
from collections.abc import Iterator, Sequence

import msgspec

from gateway.core.errors import ErrorRecord, Unavailable
from gateway.mover.attributes import carried
from gateway.mover.catalogs import key_of
from gateway.mover.content import PAGE, UNIT
from gateway.mover.failures import FAILURES, SOURCE, busy

VERSION = 1
KEY, DIGEST = 32, 16
"""How many bytes the key has that checksums are made with, and how many of each are told."""

SPAN = 8 * UNIT
"""The most bytes that one question asks for."""

UNITS_MAX = 64
"""The most units that one question asks about."""

SUM_MAX = 4 * 1024 * UNIT
"""The most bytes of which one question asks for the checksum: longer ones would look like silence."""

FRAME_MAX = 8 * UNIT
QUESTION_MAX = 256 * 1024
AHEAD_MAX = 256 * UNIT

CHANGED = Unavailable(what=SOURCE, reason="somebody changes it")
SHORTER = Unavailable(what=SOURCE, reason="a file of it became shorter")
MOUNTED = Unavailable(what=SOURCE, reason="another file system is mounted in it")
LARGE = Unavailable(what=SOURCE, reason="what is kept about a file of it is too much")
_BELIEVED = tuple(
    error.to_record()
    for error in (CHANGED, SHORTER, MOUNTED, LARGE, busy(SOURCE), *(failure(SOURCE) for failure in FAILURES.values()))
)
"""What a sender may say that went wrong."""

_NEVER = frozenset({b"", b".", b".."})
_OWNER_MAX, _DEVICE_MAX, _SECOND_MAX, _SIZE_MAX = (1 << 32) - 2, (1 << 32) - 1, 1 << 62, (1 << 63) - 1
_SECOND = 10**9
_NAME_MAX, _PATH_MAX, _ATTRIBUTE_MAX = 255, 4095, 64 * 1024
_TYPES = frozenset({stat.S_IFREG, stat.S_IFDIR, stat.S_IFLNK, stat.S_IFIFO, stat.S_IFSOCK, stat.S_IFBLK, stat.S_IFCHR})


class Hello(msgspec.Struct, frozen=True, tag="hello"):
    """Who has the token may ask. Checksums are made with `key`, so that nobody can prepare files that have the same."""

    version: int
    token: str
    key: bytes


class Welcome(msgspec.Struct, frozen=True, tag="welcome"):
    """It may. `length` is that of blocks."""

    version: int
    kind: str
    length: int


class Spoken(msgspec.Struct, frozen=True, tag="version"):
    """It may not: only that version is spoken."""

    version: int


# --- questions ---


class Walk(msgspec.Struct, frozen=True, tag="walk"):
    """List everything, from the beginning; give the first page. `keyed`: in the order of the keys of objects."""

    keyed: bool = False


class More(msgspec.Struct, frozen=True, tag="more"):
    """Give the next page."""


class File(msgspec.Struct, frozen=True, array_like=True):
    """A file by the names that lead to it; none: the blocks that there are."""

    way: tuple[bytes, ...]

    def valid(self) -> bool:
        """Tell whether it can be one."""
        return all(plain_name(name) for name in self.way)


class Check(msgspec.Struct, frozen=True, tag="check"):
    """Tell which units of a range are not those with such checksums, one after the other."""

    file: File
    offset: int
    end: int
    digests: bytes


class Want(msgspec.Struct, frozen=True, tag="want"):
    """Give the pages of a range that are not those with such checksums; there are none: those that are not zeros."""

    file: File
    offset: int
    end: int
    digests: bytes


class Sum(msgspec.Struct, frozen=True, tag="sum"):
    """Give the checksum that objects have, of a range."""

    file: File
    offset: int
    end: int


class Bye(msgspec.Struct, frozen=True, tag="bye"):
    """Nothing more is asked."""


Question = Walk | More | Check | Want | Sum | Bye

# --- answers ---

Time = tuple[int, int]
"""Seconds, and nanoseconds: together they may be more than any message has room for."""


class Entry(msgspec.Struct, frozen=True, array_like=True, gc=False):
    """A name of a directory, or that itself, with an empty one. `names`: how many it has."""

    name: bytes
    mode: int
    uid: int
    gid: int
    size: int
    modified: Time
    changed: Time
    device: int
    inode: int
    names: int
    attributes: dict[bytes, bytes] = {}
    points_to: bytes = b""

    def status(self) -> os.stat_result:
        """Give what stat(2) said of it."""
        times = {
            "st_mtime_ns": nanoseconds(self.modified),
            "st_ctime_ns": nanoseconds(self.changed),
            "st_rdev": self.device,
        }
        seconds = (0, self.modified[0], self.changed[0])
        return os.stat_result((self.mode, self.inode, 0, self.names, self.uid, self.gid, self.size, *seconds), times)

    def valid(self) -> bool:
        """Tell whether there can be such a thing."""
        return (
            (not self.name or plain_name(self.name))
            and 0 <= self.mode < 1 << 16
            and stat.S_IFMT(self.mode) in _TYPES
            and all(0 <= owner <= _OWNER_MAX for owner in (self.uid, self.gid))
            and 0 <= self.device <= _DEVICE_MAX
            and 0 <= self.size <= _SIZE_MAX
            and self.names > 0
            and all(abs(s) <= _SECOND_MAX and 0 <= ns < _SECOND for s, ns in (self.modified, self.changed))
            and stat.S_ISLNK(self.mode) == bool(self.points_to)
            and len(self.points_to) <= _PATH_MAX
            and b"\0" not in self.points_to
            and all(_carried(name, value) for name, value in self.attributes.items())
        )


class Part(msgspec.Struct, frozen=True, array_like=True):
    """Names of one directory, in order, itself first. `goes_on`: the next part is of the same."""

    entries: list[Entry]
    goes_on: bool


class Page(msgspec.Struct, frozen=True, tag="page"):
    """Directories, each before those that are in it, compressed: see `packed`. `last`: there are no more."""

    packed: bytes
    last: bool


class Differing(msgspec.Struct, frozen=True, tag="differing"):
    """The units that differ, by their numbers in the range."""

    units: list[int]


class Summed(msgspec.Struct, frozen=True, tag="summed"):
    """The checksum."""

    digest: str


class Run(msgspec.Struct, frozen=True, array_like=True):
    """Bytes that differ; None: zeros."""

    offset: int
    length: int
    data: bytes | None


class Runs(msgspec.Struct, frozen=True, tag="runs"):
    """Some of them, in order."""

    runs: list[Run]


class Done(msgspec.Struct, frozen=True, tag="done"):
    """That was all. `size` and `changed` are the file's; `data_from`: where, after the range, it is not a hole."""

    size: int
    changed: Time
    data_from: int | None


class Failed(msgspec.Struct, frozen=True, tag="failed"):
    """The source cannot be read."""

    error: ErrorRecord


Answer = Page | Differing | Summed | Runs | Done | Failed


def packed(parts: Sequence[Part]) -> bytes:
    """Give parts as a page has them."""
    return zlib.compress(msgspec.msgpack.encode(parts), level=1)


def unpacked(page: Page) -> list[Part]:
    """Give the parts that a page has. ValueError: it is no page, or it is larger than any."""
    unpacking = zlib.decompressobj()
    try:
        data = unpacking.decompress(page.packed, FRAME_MAX)
    except zlib.error as error:
        raise ValueError("page") from error
    if not unpacking.eof:
        raise ValueError("page")
    return msgspec.msgpack.decode(data, type=list[Part])


def time_of(nanoseconds: int) -> Time:
    """Give a time as it is said."""
    return divmod(nanoseconds, _SECOND)


def order_of(name: bytes, *, folder: bool, top: bool) -> bytes:
    """Give the place of a name among those of its directory in the order of keys. `top`: that is the root."""
    return (key_of("" if top else "/", os.fsdecode(name)) + "/" * folder).encode()


def nanoseconds(time: Time) -> int:
    """Give a time that was said."""
    return time[0] * _SECOND + time[1]


def plain_name(name: bytes) -> bool:
    """Tell whether it names something in a directory, and nothing elsewhere."""
    return name not in _NEVER and len(name) <= _NAME_MAX and b"/" not in name and b"\0" not in name


def _carried(name: bytes, value: bytes) -> bool:
    return carried(os.fsdecode(name)) and b"\0" not in name and len(name) <= _NAME_MAX and len(value) <= _ATTRIBUTE_MAX


def believed(record: ErrorRecord) -> bool:
    """Tell whether an error is one that a sender has reason to give."""
    return record in _BELIEVED


def digests(data: bytes, grain: int, key: bytes) -> Iterator[bytes]:
    """Yield the checksums of parts that have so many bytes."""
    view, keyed = memoryview(data), hashlib.sha256(key)
    for start in range(0, len(data), grain):
        checksum = keyed.copy()
        checksum.update(view[start : start + grain])
        yield checksum.digest()[:DIGEST]


def count_of(start: int, end: int, grain: int) -> int:
    """Give how many parts a range has."""
    return -(-(end - start) // grain)


def fits(question: Check | Want | Sum) -> bool:
    """Tell whether a question can be answered."""
    start, end = question.offset, question.end
    if not (question.file.valid() and 0 <= start < end <= _SIZE_MAX and start % PAGE == 0):
        return False
    match question:
        case Check():
            return end - start <= UNITS_MAX * UNIT and len(question.digests) == DIGEST * count_of(start, end, UNIT)
        case Want():
            return end - start <= SPAN and len(question.digests) in (0, DIGEST * count_of(start, end, PAGE))
        case Sum():
            return end - start <= SUM_MAX
