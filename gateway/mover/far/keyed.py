"""A tree at the sender's, in the order of the keys that its files get in an object store."""

from __future__ import annotations

import os
import stat
from collections.abc import Iterator
from contextlib import AbstractContextManager, nullcontext

from gateway.mover import catalogs
from gateway.mover.catalogs import escaped, key_of
from gateway.mover.content import Stored
from gateway.mover.far.asking import Asking, senseless
from gateway.mover.far.branches import folders
from gateway.mover.far.contents import FarContent
from gateway.mover.far.words import Entry, File, nanoseconds
from gateway.mover.upload import Found


def far_walk(asking: Asking) -> Iterator[Found]:
    """Yield everything that there is, the root first: see `gateway.mover.upload.walk`."""
    links: dict[int, str] = {}
    listed = folders(asking, keyed=True)
    root, *entries = _next(listed)
    yield _Far(asking, (), root, _entry("", root, links))
    stack: list[tuple[str, tuple[bytes, ...], Iterator[Entry]]] = [("", (), iter(entries))]
    while stack:
        above, way, left = stack[-1]
        entry = next(left, None)
        if entry is None:
            stack.pop()
            continue
        inner, key = (*way, entry.name), key_of(above, os.fsdecode(entry.name))
        if stat.S_ISDIR(entry.mode):
            key += "/"
            stack.append((key, inner, iter(_next(listed)[1:])))
        yield _Far(asking, inner, entry, _entry(key, entry, links))


def _next(listed: Iterator[list[Entry]]) -> list[Entry]:
    found = next(listed, None)
    if found is None:
        raise senseless()
    return found


class _Far:
    """See `gateway.mover.upload.Found`."""

    def __init__(self, asking: Asking, way: tuple[bytes, ...], there: Entry, entry: catalogs.Entry) -> None:
        self._asking = asking
        self._way = way
        self._there = there
        self.entry = entry

    def opened(self) -> AbstractContextManager[Stored]:
        """See `Found`."""
        size, changed = self._there.size, self._there.changed
        return nullcontext(FarContent(self._asking, File(self._way), length=size, changed=changed))


def _entry(key: str, there: Entry, links: dict[int, str]) -> catalogs.Entry:
    folder = stat.S_ISDIR(there.mode)
    link = "" if folder or there.names == 1 else links.setdefault(there.inode, key)
    return catalogs.Entry(
        key=key,
        mode=there.mode,
        uid=there.uid,
        gid=there.gid,
        modified=nanoseconds(there.modified),
        changed=0 if folder else nanoseconds(there.changed),
        size=there.size,
        device=there.device,
        attributes={os.fsdecode(name): value for name, value in there.attributes.items()},
        target=escaped(os.fsdecode(there.points_to)),
        link="" if link == key else link,
        names=1 if folder else there.names,
    )
