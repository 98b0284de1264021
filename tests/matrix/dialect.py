"""What the matrix asks of a door, in no dialect's words. A door joins with an adapter and one line in `joined.py`.

An adapter speaks to a running gateway as the dialect's clients do. What the
dialect has no word for it does not define, and says why in `lacks`.
"""

from __future__ import annotations

import enum
import re
from abc import ABC, abstractmethod
from collections.abc import Mapping
from contextlib import AbstractContextManager
from pathlib import Path
from typing import ClassVar, NamedTuple

from gateway.testing.live import LiveGateway

GIB = 1 << 30
FILES, BLOCKS = "filesystem", "block"
TENANT = "svm1"
MOUNTS = "@MOUNTS@"
"""Stands in configurations for the folder below which volumes may be mounted."""

ABILITIES = (
    "look",
    "snapshot",
    "snapshots",
    "remove_snapshot",
    "restore",
    "copy",
    "copy_of_snapshot",
    "resize",
    "attach",
    "detach",
    "mount",
    "unmount",
)
"""What not every dialect has words for, as adapters call it."""


class Seen(NamedTuple):
    """A volume as a door shows it; None: the dialect does not tell that."""

    id: str | None
    name: str
    size: int | None
    kind: str | None


class Snap(NamedTuple):
    """A snapshot as a door shows it."""

    id: str
    name: str


class RefusedError(Exception):
    """The door refused in these words: status, code and text, as far as the dialect has them."""


class Case(enum.Enum):
    """What is refused -> what a test asked for."""

    UNKNOWN = "to find a volume that is not there"
    TAKEN = "to make a volume under a name that another one has"
    PINNED = "to remove a snapshot that a clone hangs on"
    ATTACHED = "to remove a volume that is attached"
    MOUNTED = "to remove a volume that is mounted on the gateway's host"
    UNABLE = "to take a snapshot where the pool takes none"
    SMALLER = "to make a volume of blocks smaller"


ASKED_BY: Mapping[Case, str] = {
    Case.UNKNOWN: "find",
    Case.TAKEN: "make",
    Case.PINNED: "remove_snapshot",
    Case.ATTACHED: "remove",
    Case.MOUNTED: "remove",
    Case.UNABLE: "snapshot",
    Case.SMALLER: "resize",
}
"""Which of a door's methods a case asks."""


class Surroundings(NamedTuple):
    """Where the doors are, and what some of their clients need. `mounts`: where volumes may be mounted."""

    gateway: LiveGateway
    mounts: Path
    openstorage_python: Path


class Dialect(ABC):
    """One door, and how its clients ask for things.

    Abilities have these shapes: `look(volume_id) -> Seen`, `snapshot(volume,
    name) -> Snap`, `snapshots(volume) -> set[Snap]`, `remove_snapshot(volume,
    snapshot)`, `restore(volume, snapshot)`, `copy(volume, name)`,
    `copy_of_snapshot(volume, snapshot, name)`, `resize(volume, size)`,
    `attach(volume)`, `detach(volume)`, and for what is to be mounted on the
    gateway's host `mount(volume) -> Path`, `unmount(volume)`. Everything raises
    RefusedError.
    """

    name: ClassVar[str]
    table: ClassVar[str] = ""
    """What a configuration has for the door, as TOML; doors that share a table have the same text."""
    kinds: ClassVar[tuple[str, ...]] = (FILES, BLOCKS)
    """What it can make."""
    attaches: ClassVar[tuple[str, ...]] = (FILES, BLOCKS)
    """What it can attach to a node, if it can attach."""
    lacks: ClassVar[Mapping[str, str]] = {}
    """Abilities that the dialect has no word for -> why."""
    words: ClassVar[Mapping[Case, str]]
    """A pattern of its refusals; those that ask for what it lacks are left out, those that it never makes are empty."""

    @classmethod
    @abstractmethod
    def open(cls, around: Surroundings) -> AbstractContextManager[Dialect]:
        """Give a client of the door."""

    @abstractmethod
    def make(self, name: str, kind: str, size: int = GIB, *, pool: str = "memory") -> None:
        """Make a volume."""

    @abstractmethod
    def find(self, name: str) -> Seen:
        """Give the volume of that name."""

    @abstractmethod
    def names(self) -> set[str]:
        """Give the names of all volumes."""

    @abstractmethod
    def remove(self, volume: Seen) -> None:
        """Remove a volume."""

    @classmethod
    def can(cls, ability: str) -> bool:
        """Tell whether the dialect has a word for it."""
        return ability not in cls.lacks

    def says(self, case: Case, refusal: RefusedError) -> bool:
        """Tell whether a refusal is in the words that the dialect has for the case."""
        return re.search(self.words[case], str(refusal), re.DOTALL) is not None


Doors = Mapping[str, Dialect]
"""Clients of all doors of one gateway, by name."""
