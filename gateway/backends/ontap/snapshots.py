"""Changes of snapshots, step by step. All of it blocks."""
# ruff: noqa: D102 - the protocols carry the contract of the methods

from __future__ import annotations

from collections.abc import Iterator
from uuid import UUID

from gateway.backends.ontap.carriers import Carriers
from gateway.backends.ontap.descriptions import (
    Damaged,
    More,
    elsewhere,
    from_comment,
    from_tags,
    pack,
    to_comment,
    unpack,
)
from gateway.backends.ontap.pool import Pool
from gateway.backends.ontap.records import Copy, FlexVol
from gateway.core.backend import Note, ObservedSnapshot
from gateway.core.errors import AlreadyExists, NotFound


class Snapshots:
    """Takes, removes and finds snapshots."""

    def __init__(self, pool: Pool, carriers: Carriers) -> None:
        self._pool = pool
        self._carriers = carriers
        self._cluster = pool.cluster
        self._names = pool.names

    def snapshot(self, volume: UUID, snapshot: UUID, note: Note) -> ObservedSnapshot:
        found = self._pool.volume(volume).flexvol
        present = self._pool.copy(found, snapshot)
        if present is not None:
            if _told(present) is None:
                raise AlreadyExists(kind="snapshot", name=str(snapshot), field="id")
            return self._observed(volume, snapshot, present)
        passed = self._pool.steps("snapshot")
        passed("begun")
        comment, _ = self._comment(volume, snapshot, note)
        passed("carried")
        self._cluster.make_copy(found, {"name": self._names.snapshot(snapshot), "comment": comment})
        passed("taken")
        taken = self._pool.copy(found, snapshot)
        if taken is None:
            raise NotFound(kind="snapshot", ref=str(snapshot))
        return self._observed(volume, snapshot, taken)

    def delete(self, volume: UUID, snapshot: UUID) -> None:
        found = self._pool.family(volume).volume
        present = None if found is None else self._pool.copy(found, snapshot)
        carriers = self._carriers.of(snapshot)
        if present is None and not carriers:
            return
        passed = self._pool.steps("delete_snapshot")
        passed("begun")
        if found is not None and present is not None:
            self._cluster.remove_copy(found, present)
        passed("removed")
        self._carriers.drop(carriers)
        passed("dropped")

    def annotate(self, volume: UUID, snapshot: UUID, note: Note) -> None:
        found = self._pool.volume(volume).flexvol
        present = self._pool.copy(found, snapshot)
        if present is None:
            raise NotFound(kind="snapshot", ref=str(snapshot))
        passed = self._pool.steps("annotate_snapshot")
        passed("begun")
        comment, more = self._comment(volume, snapshot, note)
        passed("carried")
        self._cluster.set_copy(found, present, {"comment": comment})
        passed("noted")
        if isinstance(_told(present), More):
            self._carriers.drop(self._carriers.of(snapshot), more)
        passed("dropped")

    def inspect(self, volume: UUID, snapshot: UUID) -> ObservedSnapshot | None:
        found = self._pool.family(volume).volume
        present = None if found is None else self._pool.copy(found, snapshot)
        if present is None or _told(present) is None:
            return None
        return self._observed(volume, snapshot, present)

    def scan(self) -> Iterator[ObservedSnapshot]:
        """Yield the snapshots of every volume of the pool; markers of restores are left out.

        Of volumes that were adopted those that others took are left out, too.
        """
        where = {} if self._pool.options.adopt else {"volume__name": self._names.all}
        for found in self._cluster.copies_everywhere(**where):
            named = self._names.read(found.volume.name)
            if named is None and self._names.read_snapshot(found.name) is not None:
                yield self._seen(UUID(found.volume.uuid), found)
            elif named is not None and named.whole and not self._names.is_marker(found.name):
                yield self._seen(named.id, found)

    def _seen(self, volume: UUID, found: Copy) -> ObservedSnapshot:
        snapshot = self._names.read_snapshot(found.name)
        place = f"{found.volume.name}@{found.name}"
        if snapshot is None:
            return ObservedSnapshot(id=None, volume_id=volume, place=place)
        try:
            return self._observed(volume, snapshot, found)
        except Damaged:
            return ObservedSnapshot(id=None, volume_id=volume, place=place)

    def _observed(self, volume: UUID, snapshot: UUID, found: Copy) -> ObservedSnapshot:
        return ObservedSnapshot(
            id=snapshot,
            volume_id=volume,
            size=found.size,
            note=self._note(volume, snapshot, found),
            place=f"{found.volume.name}@{found.name}",
        )

    def _note(self, volume: UUID, snapshot: UUID, found: Copy) -> Note:
        told = from_comment(found.comment)
        text = self._carried(snapshot, told) if isinstance(told, More) else told
        return unpack(text, Note, snapshot, volume)

    def _carried(self, snapshot: UUID, more: More) -> str:
        held = {carrier.name: carrier for carrier in self._carriers.of(snapshot)}
        names = [self._names.carrier(snapshot, more.generation, index) for index in range(more.count)]
        return "".join(_text(held.get(name)) for name in names)

    def _comment(self, volume: UUID, snapshot: UUID, note: Note) -> tuple[str, More | None]:
        """Give the comment that describes a snapshot; what it has no room for is carried."""
        text = pack(note, snapshot, volume)
        comment = to_comment(text)
        if comment is not None:
            return comment, None
        more = self._carriers.carry(snapshot, text)
        return elsewhere(more), more


def _text(carrier: FlexVol | None) -> str:
    told = None if carrier is None else from_tags(carrier.tags)
    return "" if told is None else told[0]


def _told(found: Copy) -> str | More | None:
    try:
        return from_comment(found.comment)
    except Damaged:
        return None
