"""ONTAP releases, as a profile of the door: what is reported, and which fields are known."""

from __future__ import annotations

from typing import Self

import msgspec


class Release(msgspec.Struct, frozen=True, order=True):
    """A release such as 9.15.1: generation 9, major 15, minor 1."""

    generation: int
    major: int
    minor: int = 0

    @classmethod
    def parse(cls, text: str) -> Self:
        """Read `9.15.1`, or `9.6` as releases were called at first; ValueError for anything else."""
        return cls(*[int(part) for part in text.split(".", maxsplit=2)])

    def __str__(self) -> str:
        return f"{self.generation}.{self.major}.{self.minor}" if self.minor else f"{self.generation}.{self.major}"


DEFAULT_RELEASE = Release(9, 15, 1)
"""The release whose interface is spoken when nobody says otherwise; every client's version gate lets it pass."""
