"""Names in directories, and what is kept about them: owner, permissions, times, extended attributes with their ACLs."""

from __future__ import annotations

import errno
import os
import secrets
import stat
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress

from gateway.mover.failures import SOURCE, at

DRAFT = ".gateway-move-"
"""How the names begin under which something new is made. What is left of them goes with the next move."""

UNPROVEN = 0
"""The time of the last access of a file whose content is not proven to be there."""

_CARRIED = ("user.", "trusted.", "security.", "system.posix_acl_")
_OF_THE_HOST = frozenset({"security.selinux", "security.ima", "security.evm"})
"""What the host's own policy says of a file means nothing elsewhere."""

Attributes = Mapping[str, bytes]


class Spot:
    """A name in an open directory. Nothing here follows it where it is a symbolic link."""

    def __init__(self, folder: int, name: str) -> None:
        self.folder = folder
        self.name = name

    @property
    def path(self) -> str:
        """Give a path for calls that take no directory; the directory itself cannot change below it."""
        return f"/proc/self/fd/{self.folder}/{self.name}"

    def status(self) -> os.stat_result | None:
        """Tell what is there; None: nothing."""
        try:
            return os.stat(self.name, dir_fd=self.folder, follow_symlinks=False)
        except FileNotFoundError:
            return None

    def take(self, draft: str) -> None:
        """Let what has another name of the directory take this one, in one step."""
        os.rename(draft, self.name, src_dir_fd=self.folder, dst_dir_fd=self.folder)

    def open(self, flags: int) -> int:
        """Open it; reading it does not count as an access where that can be had."""
        flags |= os.O_NOFOLLOW | os.O_CLOEXEC | os.O_NONBLOCK
        try:
            return os.open(self.name, flags | os.O_NOATIME, dir_fd=self.folder)
        except PermissionError:
            return os.open(self.name, flags, dir_fd=self.folder)


@contextmanager
def draft_name(spot: Spot) -> Iterator[Spot]:
    """Give a name beside another one for something new; what is there at the end goes, unless it took its place."""
    draft = Spot(spot.folder, DRAFT + secrets.token_hex(8))
    try:
        yield draft
    finally:
        with suppress(FileNotFoundError):
            os.unlink(draft.name, dir_fd=draft.folder)


@contextmanager
def drafted(spot: Spot) -> Iterator[tuple[str, int]]:
    """The same with a new file, which is open."""
    with draft_name(spot) as draft:
        flags = os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC
        fd = os.open(draft.name, flags, 0o600, dir_fd=draft.folder)
        try:
            yield draft.name, fd
        finally:
            os.close(fd)


def attributes_of(place: int | str) -> Attributes:
    """Give the extended attributes of an open file, or of what a path names."""
    follow = isinstance(place, int)
    try:
        names = os.listxattr(place, follow_symlinks=follow)
    except OSError as error:
        if error.errno == errno.EOPNOTSUPP:
            return {}
        raise
    return {name: os.getxattr(place, name, follow_symlinks=follow) for name in names if carried(name)}


def carried(name: str) -> bool:
    """Tell whether an extended attribute is one that comes along."""
    return name.startswith(_CARRIED) and name not in _OF_THE_HOST


def source_attributes(place: int | str) -> Attributes:
    """The same at the source."""
    with at(SOURCE):
        return attributes_of(place)


def set_attributes(place: int | str, wanted: Attributes) -> None:
    """Make them what they should be."""
    follow = isinstance(place, int)
    found = attributes_of(place)
    for name in found.keys() - wanted.keys():
        os.removexattr(place, name, follow_symlinks=follow)
    for name, value in wanted.items():
        if found.get(name) != value:
            os.setxattr(place, name, value, follow_symlinks=follow)


def set_owner(fd: int, wanted: os.stat_result) -> None:
    """Give an open file or directory its owner, then its permissions: a change of owner takes set-id bits away."""
    found = os.fstat(fd)
    changes = (found.st_uid, found.st_gid) != (wanted.st_uid, wanted.st_gid)
    if changes:
        os.fchown(fd, wanted.st_uid, wanted.st_gid)
    if changes or stat.S_IMODE(found.st_mode) != stat.S_IMODE(wanted.st_mode):
        os.fchmod(fd, stat.S_IMODE(wanted.st_mode))
        if stat.S_IMODE(os.fstat(fd).st_mode) != stat.S_IMODE(wanted.st_mode):
            # Without the right to set it for files of others, a set-id bit is dropped without a word.
            raise PermissionError(errno.EPERM, os.strerror(errno.EPERM))


def dress(fd: int, wanted: os.stat_result, attributes: Attributes) -> None:
    """Give an open file or directory all of it but the times."""
    set_owner(fd, wanted)
    set_attributes(fd, attributes)


def alike(one: os.stat_result, other: os.stat_result) -> bool:
    """Tell whether type, owner and permissions are the same."""
    return (one.st_mode, one.st_uid, one.st_gid) == (other.st_mode, other.st_uid, other.st_gid)
