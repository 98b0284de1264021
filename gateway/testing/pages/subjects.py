"""The drivers that have a page, and how a small real instance of each is had."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path

import msgspec

from gateway.testing.btrfs_pool import btrfs_pool

Table = Mapping[str, object]
Opener = Callable[[Path], AbstractContextManager[Table]]
"""Makes a substrate in a folder and gives the options of a pool on it; the substrate goes with the block."""


class Instance(msgspec.Struct, frozen=True, kw_only=True):
    """One substrate to open a driver on.

    root: only root can make it. device: the kernel's node without which it
    cannot be opened here; its kept record is used then.
    """

    opener: Opener
    root: bool = True
    device: str = ""

    def here(self, *, root: bool) -> bool:
        """Tell whether this process can open it on this machine."""
        return (root or not self.root) and (not self.device or Path(self.device).exists())


class Subject(msgspec.Struct, frozen=True, kw_only=True):
    """A driver's entry. `example`: the options of a first pool. `instances`: by what tells them apart, as "on XFS"."""

    example: Table
    instances: Mapping[str, Instance]


@contextmanager
def _nothing(_folder: Path) -> Iterator[Table]:
    yield {}


@contextmanager
def _btrfs(folder: Path) -> Iterator[Table]:
    with btrfs_pool(folder) as mount:
        yield {"path": str(mount)}


SUBJECTS: Mapping[str, Subject] = {
    "btrfs": Subject(example={"path": "/srv/fast"}, instances={"": Instance(opener=_btrfs)}),
    "memory": Subject(example={}, instances={"": Instance(opener=_nothing, root=False)}),
}
"""Driver -> its entry, in the order of the pages."""
