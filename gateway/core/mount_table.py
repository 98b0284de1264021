"""The kernel's table of mounts, read. See proc_pid_mountinfo(5)."""

from __future__ import annotations

import re
from collections.abc import Iterable
from pathlib import Path

import msgspec

_TABLE = Path("/proc/self/mountinfo")
_OCTAL = re.compile(r"\\([0-7]{3})")
_SEPARATOR = "-"


class Entry(msgspec.Struct, frozen=True, kw_only=True):
    """One mount. `root` is the directory of its file system that is shown at `point`; `source` names the device."""

    id: int
    parent: int
    root: str
    point: str
    attributes: frozenset[str]
    shared: bool
    filesystem: str
    source: str


def entries(table: Path = _TABLE) -> tuple[Entry, ...]:
    """Give every mount of this process's name space in the order in which they were made."""
    with table.open(encoding="utf-8", errors="surrogateescape") as lines:
        return tuple(parse(line) for line in lines)


def parse(line: str) -> Entry:
    """Read one line of the table."""
    fields = line.split()
    split = fields.index(_SEPARATOR, 6)
    filesystem, source = fields[split + 1], fields[split + 2]
    return Entry(
        id=int(fields[0]),
        parent=int(fields[1]),
        root=plain(fields[3]),
        point=plain(fields[4]),
        attributes=frozenset(fields[5].split(",")),
        shared=any(tag.startswith("shared:") for tag in fields[6:split]),
        filesystem=filesystem,
        source=plain(source),
    )


def plain(text: str) -> str:
    """Give a text of the table as it was before blanks and backslashes in it were written in octal."""
    return _OCTAL.sub(lambda match: chr(int(match[1], 8)), text)


def at(point: str, table: Iterable[Entry]) -> Entry | None:
    """Give the mount that is seen at a place: the topmost of those on it; None where there is none."""
    found = [entry for entry in table if entry.point == point]
    below = {entry.parent for entry in found}
    return next((entry for entry in found if entry.id not in below), None)


def in_user_space(path: Path) -> bool:
    """Tell whether what is at a path is served by a program (FUSE), not by the kernel itself."""
    found = holding(path.resolve(), entries())
    return found is not None and found.filesystem.partition(".")[0] in {"fuse", "fuseblk"}


def holding(path: Path, table: Iterable[Entry]) -> Entry | None:
    """Give the mount on which a path without links lies."""
    known = tuple(table)
    for place in (path, *path.parents):
        found = at(str(place), known)
        if found is not None:
            return found
    return None
