"""libStorage, by the client that tests of its door have."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import ClassVar

import libstorage_client
from dialect import BLOCKS, FILES, GIB, Case, Dialect, RefusedError, Seen, Snap, Surroundings

_TABLE = """
[frontend.libstorage]
listen = "127.0.0.1:0"
"""
_SERVICE = """
[frontend.libstorage.service.{name}]
pools = ["{pool}", "{other}"]
kind = "{kind}"
"""
_POOLS = ("memory", "poor")
_ANY = f"{_POOLS[0]}-{FILES}"
"""A service of its pools shows all that is in them, so any is as good as any other but for making volumes."""

_NODES = "nodes mount what they have attached by themselves"


class Libstorage(Dialect):
    """A service makes volumes of one kind, in the first of its pools."""

    name = "libstorage"
    table = _TABLE + "".join(
        _SERVICE.format(name=f"{pool}-{kind}", pool=pool, other=other, kind=kind)
        for pool, other in (_POOLS, _POOLS[::-1])
        for kind in (FILES, BLOCKS)
    )
    lacks: ClassVar[Mapping[str, str]] = {
        "resize": "a volume has the size with which it was made",
        "mount": _NODES,
        "unmount": _NODES,
        "restore": "a snapshot can become a volume, not the one that it was taken of",
    }
    words: ClassVar[Mapping[Case, str]] = {
        Case.UNKNOWN: "^404 resource not found",
        Case.TAKEN: "^500 volume name already exists",
        Case.PINNED: "^409 snapshot is in use by clones",
        Case.ATTACHED: "^500 volume already attached to a host",
        Case.MOUNTED: "^409 volume is in use by mounts",
        Case.UNABLE: "^500 not implemented",
    }

    def __init__(self, client: libstorage_client.Client) -> None:
        self._client = client

    @classmethod
    @contextmanager
    def open(cls, around: Surroundings) -> Iterator[Libstorage]:
        with libstorage_client.client_of(around.gateway.addresses["libstorage"], "vfs=matrix") as client:
            yield cls(client)

    def make(self, name: str, kind: str, size: int = GIB, *, pool: str = "memory") -> None:
        with _words():
            self._client.create(f"{pool}-{kind}", name, size=size // GIB)

    def find(self, name: str) -> Seen:
        with _words():
            return _seen(self._client.by_name(_ANY, name))

    def look(self, volume_id: str) -> Seen:
        with _words():
            return _seen(self._client.volume(_ANY, volume_id))

    def names(self) -> set[str]:
        return set(self._client.named(_ANY))

    def remove(self, volume: Seen) -> None:
        with _words():
            self._client.remove(_ANY, str(volume.id))

    def snapshot(self, volume: Seen, name: str) -> Snap:
        with _words():
            return _snap(self._client.snapshot(_ANY, str(volume.id), name))

    def snapshots(self, volume: Seen) -> set[Snap]:
        found = self._client.snapshots(_ANY).values()
        return {_snap(each) for each in found if each.volume_id == volume.id}

    def remove_snapshot(self, _volume: Seen, snapshot: Snap) -> None:
        with _words():
            self._client.remove_snapshot(_ANY, snapshot.id)

    def copy(self, volume: Seen, name: str) -> None:
        with _words():
            self._client.copy(_ANY, str(volume.id), name)

    def copy_of_snapshot(self, _volume: Seen, snapshot: Snap, name: str) -> None:
        with _words():
            self._client.from_snapshot(_ANY, snapshot.id, name)

    def attach(self, volume: Seen) -> None:
        with _words():
            self._client.attach(_ANY, str(volume.id))

    def detach(self, volume: Seen) -> None:
        with _words():
            self._client.detach(_ANY, str(volume.id))


@contextmanager
def _words() -> Iterator[None]:
    try:
        yield
    except libstorage_client.RefusedError as error:
        raise RefusedError(str(error)) from None


def _seen(volume: libstorage_client.Volume) -> Seen:
    return Seen(volume.id, volume.name, volume.size * GIB, None)


def _snap(snapshot: libstorage_client.Snapshot) -> Snap:
    return Snap(snapshot.id, snapshot.name)
