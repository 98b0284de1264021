"""Changes of snapshots, step by step. All of it blocks; the caller keeps others from the family meanwhile."""
# ruff: noqa: D102 - the protocols carry the contract of the methods

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from uuid import UUID

import msgspec

from gateway.backends.files.names import flush
from gateway.backends.qcow2.layers import Layers
from gateway.backends.qcow2.layout import SnapshotSidecar, device_name
from gateway.backends.qcow2.pool import SNAPSHOT_MAX, Pool, Snapshot
from gateway.backends.qcow2.volumes import Volumes
from gateway.core.backend import Note, ObservedSnapshot
from gateway.core.errors import LimitExceeded, Unavailable


class Snapshots:
    """Takes, removes and finds snapshots."""

    def __init__(self, pool: Pool, layers: Layers, volumes: Volumes) -> None:
        self._pool = pool
        self._layers = layers
        self._volumes = volumes
        self._layout = pool.layout

    def snapshot(self, volume: UUID, snapshot: UUID, note: Note) -> ObservedSnapshot:
        self._pool.place_taken(volume)
        present = self._pool.find_snapshot(volume, snapshot)
        if present is not None:
            self._volumes.align(volume)
            return self.observed(present)
        found = self._pool.volume(volume)
        count = sum(1 for _ in self._layout.snapshots(volume))
        if count >= SNAPSHOT_MAX:
            raise LimitExceeded(limit="snapshots", value=count + 1, minimum=None, maximum=SNAPSHOT_MAX)
        passed = self._pool.steps("snapshot")
        sidecar = SnapshotSidecar(id=snapshot, volume=volume, layer=found.head.name, lineage=snapshot, note=note)
        self._volumes.freeze(found, sidecar, passed)
        self._pool.place_taken(volume)
        passed("placed")
        # What waited for the head below it to become immutable waits no longer.
        self._layers.collect(found.family)
        return self.observed(self._pool.snapshot(volume, snapshot))

    def delete(self, volume: UUID, snapshot: UUID) -> None:
        found = self._pool.find_snapshot(volume, snapshot)
        if found is None:
            return
        passed = self._pool.steps("delete_snapshot")
        passed("begun")
        self._pool.devices.close(device_name(volume, snapshot), self._pool.images.chain(found.layer.path))
        passed("closed")
        self._disown(volume, snapshot)
        passed("disowned")
        self._layout.snapshot_note(volume, snapshot).unlink(missing_ok=True)
        passed("forgotten")
        flush(self._layout.folder(volume))
        passed("durable")
        self._volumes.tidy(volume, found.family)
        passed("collected")

    def _disown(self, volume: UUID, snapshot: UUID) -> None:
        """Leave a snapshot's own sidecar the only one that speaks of it."""
        self._pool.place_taken(volume)
        owner = self._layout.volume_sidecar(volume)
        if owner is not None and owner.taken is not None and owner.taken.id == snapshot:
            self._pool.put_volume(msgspec.structs.replace(owner, taken=None), _silent)

    def annotate(self, volume: UUID, snapshot: UUID, note: Note) -> None:
        found = self._pool.snapshot(volume, snapshot)
        passed = self._pool.steps("annotate_snapshot")
        passed("begun")
        self._disown(volume, snapshot)
        passed("disowned")
        self._pool.put_snapshot(msgspec.structs.replace(found.sidecar, note=note), passed)
        passed("durable")

    # --- opening ---

    def open(self, volume: UUID, snapshot: UUID) -> Path:
        """Give the raw device of a snapshot, opened if it is not."""
        name = device_name(volume, snapshot)
        found = self._pool.snapshot(volume, snapshot)
        passed = self._pool.steps("access")
        passed("begun")
        self._volumes.align(volume)
        path = self._pool.devices.open(name, self._pool.frozen(found))
        passed("opened")
        return path

    # --- looking ---

    def inspect(self, volume: UUID, snapshot: UUID) -> ObservedSnapshot | None:
        found = self._pool.find_snapshot(volume, snapshot)
        return None if found is None else self.observed(found)

    def look(self, families: Iterable[UUID]) -> list[ObservedSnapshot]:
        """Give every snapshot of these families."""
        seen = []
        for family in families:
            try:
                kin = self._layers.kin(family)
                found = [
                    self._pool.find_snapshot(member, snapshot)
                    for member in self._layout.members(family)
                    for snapshot in self._layout.snapshots(member)
                ]
            except (msgspec.DecodeError, Unavailable):
                # The scan of the volumes reports such a family.
                continue
            seen += [self.observed(each, kin.used(each.layer.name)) for each in found if each is not None]
        return seen

    def observed(self, found: Snapshot, used: int | None = None) -> ObservedSnapshot:
        """Describe a snapshot. `size` is what is allocated for its layers; deleting it may free less, or nothing."""
        if used is None:
            used = sum(layer.allocated for layer in self._pool.images.chain(found.layer.path))
        return ObservedSnapshot(
            id=found.sidecar.id,
            volume_id=found.sidecar.volume,
            size=used,
            note=found.sidecar.note,
            place=str(found.layer.path),
        )


def _silent(_step: str) -> None:
    """Pass no point."""
