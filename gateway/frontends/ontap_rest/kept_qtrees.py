"""The qtrees of a volume: directories at its top that this dialect numbers. They are annotations of the volume."""

from __future__ import annotations

from collections.abc import Mapping

import msgspec

from gateway.core.model import RootDirectory, Volume

QTREES = "ontap.qtrees"
DEFAULT = 0
"""The number of what is in no other qtree. It has no name."""
NUMBER_MAX = 4994


class Qtree(msgspec.Struct, frozen=True, kw_only=True):
    """A qtree: what its directory is called, and the owner and mode that it was given."""

    name: str
    mode: int
    uid: int = 0
    gid: int = 0

    @property
    def root(self) -> RootDirectory:
        """Give owner and mode as the core has them."""
        return RootDirectory(mode=self.mode, uid=self.uid, gid=self.gid)


_decoder = msgspec.json.Decoder(dict[int, Qtree], strict=False)


def qtrees(volume: Volume) -> Mapping[int, Qtree]:
    """Give the qtrees of a volume by their numbers, the nameless one first."""
    root = volume.root
    unnamed = Qtree(name="", mode=root.mode, uid=root.uid, gid=root.gid)
    text = volume.annotations.get(QTREES)
    return {DEFAULT: unnamed, **({} if text is None else _decoder.decode(text))}


def annotated(volume: Volume, changed: Mapping[int, Qtree | None]) -> dict[str, str]:
    """Give a volume's annotations with some of its qtrees changed, or (None) left out."""
    named = {number: tree for number, tree in {**qtrees(volume), **changed}.items() if number and tree is not None}
    rest = {key: value for key, value in volume.annotations.items() if key != QTREES}
    text = msgspec.json.encode(dict(sorted(named.items()))).decode()
    return {**rest, QTREES: text} if named else rest


def free_number(volume: Volume) -> int | None:
    """Give the lowest number that no qtree of a volume has; None when there is none left."""
    taken = qtrees(volume)
    return next((number for number in range(1, NUMBER_MAX + 1) if number not in taken), None)
