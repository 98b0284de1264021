"""What things of ours are called on the cluster. A name is the claim to an id: it is unique per SVM.

    <prefix><id>                       a volume, or the pool's own record
    <prefix><id>_new                   a clone that is being made
    <prefix><id>_<generation>_<n>      a carrier: it holds more of the description of the volume or snapshot <id>

and, of snapshots, `<prefix><id>` and `<prefix>r_<token>`, the marker of a
restore. Ids are 32 hexadecimal digits.
"""

from __future__ import annotations

import re
from uuid import UUID

import msgspec

_FORM = re.compile(r"([0-9a-f]{32})(?:_(new)|_([0-9a-f]{8})_([0-9]{1,4}))?")


class Named(msgspec.Struct, frozen=True):
    """What a volume's name says. `generation`: of a carrier, which description it belongs to."""

    id: UUID
    staged: bool = False
    generation: str = ""
    index: int = 0

    @property
    def whole(self) -> bool:
        """Tell whether it is the name of a volume that is complete."""
        return not self.staged and not self.generation


class Names:
    """The names of one pool."""

    def __init__(self, prefix: str) -> None:
        self.prefix = prefix

    @property
    def all(self) -> str:
        """Give the pattern of every volume of the pool."""
        return f"{self.prefix}*"

    @property
    def unfinished(self) -> str:
        """Give the pattern of what is no whole volume."""
        return f"{self.prefix}*_*"

    def family(self, key: UUID) -> str:
        """Give the pattern of everything about an id."""
        return f"{self.prefix}{key.hex}*"

    def volume(self, key: UUID) -> str:
        """Give the name of a volume."""
        return f"{self.prefix}{key.hex}"

    def staged(self, key: UUID) -> str:
        """Give the name of a volume that is being made."""
        return f"{self.prefix}{key.hex}_new"

    def carrier(self, key: UUID, generation: str, index: int) -> str:
        """Give the name of a carrier."""
        return f"{self.prefix}{key.hex}_{generation}_{index}"

    def snapshot(self, key: UUID) -> str:
        """Give the name of a snapshot."""
        return f"{self.prefix}{key.hex}"

    def marker(self, token: UUID) -> str:
        """Give the name of the snapshot that a restore takes away."""
        return f"{self.prefix}r_{token.hex}"

    def read(self, name: str) -> Named | None:
        """Tell what a volume's name says; None when we did not give it."""
        found = _FORM.fullmatch(name.removeprefix(self.prefix)) if name.startswith(self.prefix) else None
        if found is None:
            return None
        key, staged, generation, index = found.groups()
        return Named(UUID(key), bool(staged), generation or "", int(index or 0))

    def read_snapshot(self, name: str) -> UUID | None:
        """Give the id of a snapshot; None when we did not give its name."""
        found = self.read(name)
        return found.id if found is not None and found.whole else None

    def is_marker(self, name: str) -> bool:
        """Tell whether a snapshot marks a restore."""
        return name.startswith(f"{self.prefix}r_")
