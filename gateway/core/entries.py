"""What lies in a filesystem volume, as far as the gateway looks into one: directories and the files in them.

Paths are relative to the volume's top directory, which is "". Their parts are
joined by slashes, none of them is empty, "." or "..", and no part that is a
symbolic link is ever followed.
"""

from __future__ import annotations

import enum
from datetime import datetime
from uuid import UUID

import msgspec

from gateway.core import errors
from gateway.core.model import RootDirectory

PATH_MAX = 4096
"""Bytes of the longest path."""
NAME_MAX = 255
"""Bytes of the longest name."""


class FileKind(enum.StrEnum):
    """What an entry is."""

    FILE = "file"
    DIRECTORY = "directory"
    SYMLINK = "symlink"
    BLOCK_DEVICE = "blockdev"
    CHARACTER_DEVICE = "chardev"
    SOCKET = "socket"
    PIPE = "fifo"


class Entry(msgspec.Struct, frozen=True, kw_only=True):
    """A file or directory. `inode` names it within its volume, however it is called meanwhile.

    `size` is the length and `used` what is allocated, both in bytes. `target`
    is what a symbolic link says. Times are None where they are not kept.
    """

    name: str
    kind: FileKind
    inode: int
    size: int = 0
    used: int = 0
    links: int = 1
    rights: RootDirectory = RootDirectory()
    target: str = ""
    modified: datetime | None = None
    changed: datetime | None = None
    accessed: datetime | None = None


class FileSource(msgspec.Struct, frozen=True, kw_only=True):
    """A file that is to be copied: of the volume itself, or of one of its snapshots."""

    path: str
    snapshot: UUID | None = None


def checked_path(field: str, path: str, *, top: bool = False) -> str:
    """Give a path in its one spelling; InvalidArgument when it is none. `top`: the top directory is one, too."""
    parts = [part for part in path.split("/") if part not in {"", "."}]
    if not parts and not top:
        raise errors.InvalidArgument(field=field, value=path[:64], reason="names no file")
    if ".." in parts or "\0" in path or any(len(part.encode()) > NAME_MAX for part in parts):
        raise errors.InvalidArgument(field=field, value=path[:64], reason="holds a part that cannot be a name")
    found = "/".join(parts)
    if len(found.encode()) > PATH_MAX:
        raise errors.InvalidArgument(field=field, value=path[:64], reason=f"is longer than {PATH_MAX} bytes")
    return found


def parted(path: str) -> tuple[str, str]:
    """Give the directory that a path's last part is in, and that part."""
    folder, _, name = path.rpartition("/")
    return folder, name
