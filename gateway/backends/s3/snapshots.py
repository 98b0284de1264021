"""Changes of snapshots, step by step. All of it blocks; the caller keeps others from the volumes that take part."""
# ruff: noqa: D102 - the protocols carry the contract of the methods

from __future__ import annotations

from collections.abc import Iterator
from uuid import UUID

import msgspec

from gateway.backends.s3.collecting import Collector
from gateway.backends.s3.layout import SnapshotSidecar, Unsettled, named
from gateway.backends.s3.pool import Pool
from gateway.backends.s3.volumes import Volumes
from gateway.core.backend import Note, ObservedSnapshot
from gateway.core.model import utc_now


class Snapshots:
    """Takes, removes and finds snapshots. A snapshot is there as long as its sidecar is."""

    def __init__(self, pool: Pool, collector: Collector, volumes: Volumes) -> None:
        self._pool = pool
        self._layout = pool.layout
        self._collector = collector
        self._volumes = volumes

    def snapshot(self, volume: UUID, snapshot: UUID, note: Note) -> ObservedSnapshot:
        self._settled(snapshot)
        present = self._pool.find_snapshot(volume, snapshot)
        if present is not None:
            return observed(present)
        self._volumes.go_on(volume)
        found = self._pool.volume(volume)
        passed = self._pool.steps("snapshot")
        passed("begun")
        about = Unsettled(volume=volume, snapshot=snapshot, owners=found.owners)
        self._pool.mark(about)
        passed("marked")
        for owner in found.owners:
            self._pool.control.put(self._layout.need(owner, snapshot), b"")
        passed("claimed")
        index = self._pool.inventories.write(snapshot, self._pool.content(found))
        passed("written")
        taken = SnapshotSidecar(
            id=snapshot, volume=volume, owners=found.owners, count=index.count, size=index.size, note=note
        )
        self._pool.put_snapshot(taken)
        passed("placed")
        self._pool.unmark(snapshot)
        self._pool.put_volume(msgspec.structs.replace(found, used=index.size, measured=utc_now()))
        passed("settled")
        return observed(taken)

    def _settled(self, snapshot: UUID) -> None:
        """Complete what was cut short when a snapshot of that id was taken or removed before."""
        about = self._pool.find_unsettled(snapshot)
        if about is not None:
            self._collector.settle(about)

    def delete(self, volume: UUID, snapshot: UUID) -> None:
        found = self._pool.find_snapshot(volume, snapshot)
        if found is None:
            self._settled(snapshot)
            return
        self._volumes.go_on(volume)
        passed = self._pool.steps("delete_snapshot")
        passed("begun")
        self._pool.mark(Unsettled(volume=volume, snapshot=snapshot, owners=found.owners))
        passed("marked")
        self._pool.control.delete(self._layout.snapshot(volume, snapshot))
        passed("forgotten")
        if not self._pool.is_needed(volume, snapshot):
            self._collector.forget(snapshot, found.owners)
            passed("dropped")
            for owner in found.owners:
                self._collector.collect(owner)
            passed("collected")
        self._pool.unmark(snapshot)
        passed("settled")

    def annotate(self, volume: UUID, snapshot: UUID, note: Note) -> None:
        found = self._pool.snapshot(volume, snapshot)
        passed = self._pool.steps("annotate_snapshot")
        passed("begun")
        self._pool.put_snapshot(msgspec.structs.replace(found, note=note))
        passed("placed")

    def inspect(self, volume: UUID, snapshot: UUID) -> ObservedSnapshot | None:
        found = self._pool.find_snapshot(volume, snapshot)
        return None if found is None else observed(found)

    def look(self, keys: list[str]) -> list[ObservedSnapshot]:
        """Give the snapshots whose sidecars have these keys, as far as they are there."""
        found = self._pool.each(lambda key: self._pool.load(key, SnapshotSidecar), keys)
        return [observed(taken) for taken in found if taken is not None]

    def all(self) -> Iterator[str]:
        """Yield the key of every snapshot's sidecar."""
        return (key for key in self._pool.control.keys(self._layout.snapshots) if named(key) is not None)


def observed(found: SnapshotSidecar) -> ObservedSnapshot:
    """Describe a snapshot."""
    return ObservedSnapshot(id=found.id, volume_id=found.volume, size=found.size, note=found.note)
