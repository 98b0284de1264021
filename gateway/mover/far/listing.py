"""What a sender says of a tree: directory by directory, each before those in it, in order."""

from __future__ import annotations

import os
import stat
from collections.abc import Iterator

from gateway.mover.attributes import Spot, attributes_of
from gateway.mover.batch import open_folder
from gateway.mover.failures import SOURCE, at
from gateway.mover.far.words import LARGE, MOUNTED, Entry, Page, Part, order_of, packed, time_of

_PART_BYTES = 128 * 1024
_PAGE_BYTES = 256 * 1024
_ENTRY_BYTES = 64
_ENTRY_MAX = 4 * 1024 * 1024


class _Open:
    """A directory, and which of those in it are still to come."""

    def __init__(self, fd: int) -> None:
        self.fd = fd
        self.inner: list[bytes] = []


def parts(root: int, *, keyed: bool = False) -> Iterator[Part]:
    """Yield everything in an open directory. `keyed`: see `Walk`."""
    device, stack = os.fstat(root).st_dev, [_Open(os.dup(root))]
    with at(SOURCE):
        try:
            yield from _parts(stack[0], device, keyed=keyed, top=True)
            while stack:
                folder = stack[-1]
                if not folder.inner:
                    os.close(stack.pop().fd)
                    continue
                stack.append(_Open(open_folder(folder.fd, os.fsdecode(folder.inner.pop()))))
                yield from _parts(stack[-1], device, keyed=keyed, top=False)
        finally:
            for folder in stack:
                os.close(folder.fd)


def _parts(folder: _Open, device: int, *, keyed: bool, top: bool) -> Iterator[Part]:
    """Yield a directory, and note which are in it, the last one first."""
    entries = [_entry(b"", os.fstat(folder.fd), folder.fd)]
    weight = _weight(entries[0])
    with os.scandir(folder.fd) as found:
        names = [(os.fsencode(each.name), keyed and each.is_dir(follow_symlinks=False)) for each in found]
    names.sort(key=lambda pair: order_of(pair[0], folder=pair[1], top=top) if keyed else pair[0])
    for name, _ in names:
        if weight >= _PART_BYTES:
            yield Part(entries, goes_on=True)
            entries, weight = [], 0
        spot = Spot(folder.fd, os.fsdecode(name))
        status = os.stat(spot.name, dir_fd=spot.folder, follow_symlinks=False)
        if stat.S_ISDIR(status.st_mode):
            if status.st_dev != device:
                raise MOUNTED
            folder.inner.append(name)
        entries.append(_entry(name, status, spot))
        weight += _weight(entries[-1])
    folder.inner.reverse()
    yield Part(entries, goes_on=False)


def _entry(name: bytes, status: os.stat_result, place: Spot | int) -> Entry:
    found = attributes_of(place.path if isinstance(place, Spot) else place)
    attributes = {os.fsencode(key): value for key, value in found.items()}
    points_to = b""
    if stat.S_ISLNK(status.st_mode) and isinstance(place, Spot):
        points_to = os.fsencode(os.readlink(place.name, dir_fd=place.folder))
    entry = Entry(
        name=name,
        mode=status.st_mode,
        uid=status.st_uid,
        gid=status.st_gid,
        size=status.st_size if stat.S_ISREG(status.st_mode) else 0,
        modified=time_of(status.st_mtime_ns),
        changed=time_of(status.st_ctime_ns),
        device=status.st_rdev if stat.S_ISBLK(status.st_mode) or stat.S_ISCHR(status.st_mode) else 0,
        inode=status.st_ino,
        names=status.st_nlink,
        attributes=attributes,
        points_to=points_to,
    )
    if _weight(entry) > _ENTRY_MAX:
        raise LARGE
    return entry


def _weight(entry: Entry) -> int:
    attributes = sum(len(name) + len(value) for name, value in entry.attributes.items())
    return _ENTRY_BYTES + len(entry.name) + len(entry.points_to) + attributes


def pages(root: int, *, keyed: bool) -> Iterator[Page]:
    """Yield the same, several directories at a time."""
    held: list[Part] = []
    weight = 0
    for part in parts(root, keyed=keyed):
        held.append(part)
        weight += sum(map(_weight, part.entries))
        if weight >= _PAGE_BYTES:
            yield Page(packed(held), last=False)
            held, weight = [], 0
    yield Page(packed(held), last=True)
