"""Changes of snapshots, step by step. All of it blocks."""
# ruff: noqa: D102 - the protocols carry the contract of the methods

from __future__ import annotations

import contextlib
from uuid import UUID

import msgspec

from gateway.backends.btrfs.layout import SnapshotSidecar, arriving_id
from gateway.backends.btrfs.pool import Pool, Snapshot
from gateway.backends.files.names import parse_id
from gateway.core.backend import Note, ObservedSnapshot
from gateway.core.errors import AlreadyExists


class Snapshots:
    """Takes, removes and finds snapshots. The kernel makes one in its final place in one step, committed."""

    def __init__(self, pool: Pool) -> None:
        self._pool = pool
        self._kernel = pool.kernel
        self._layout = pool.layout

    def snapshot(self, volume: UUID, snapshot: UUID, note: Note) -> ObservedSnapshot:
        present = self._pool.find_snapshot(volume, snapshot)
        if present is not None:
            return self.observed(present)
        place = self._layout.snapshot(volume, snapshot)
        if place.exists():
            raise AlreadyExists(kind="snapshot", name=str(snapshot), field="id")
        source = self._pool.volume(volume)
        passed = self._pool.steps("snapshot")
        passed("begun")
        self._pool.family(volume)
        sidecar = SnapshotSidecar(
            id=snapshot, volume=volume, note=note, source=source.subvolume.uuid, after=source.subvolume.changed
        )
        self._layout.put_sidecar(sidecar, lambda: passed("written"))
        passed("noted")
        try:
            self._kernel.create_snapshot(source.path, place, read_only=True)
        except OSError:
            self._layout.note(snapshot).unlink(missing_ok=True)
            raise
        passed("taken")
        return self.observed(self._pool.snapshot(volume, snapshot))

    def delete(self, volume: UUID, snapshot: UUID) -> None:
        found = self._pool.find_snapshot(volume, snapshot)
        if found is None:
            return
        passed = self._pool.steps("delete_snapshot")
        passed("begun")
        self._kernel.delete_subvolume(found.path)
        passed("removed")
        self._layout.note(snapshot).unlink(missing_ok=True)
        if not self._layout.volume(volume).exists():
            with contextlib.suppress(OSError):
                self._layout.family(volume).rmdir()
        passed("forgotten")
        self._pool.keep(found.path.parent)
        passed("durable")

    def annotate(self, volume: UUID, snapshot: UUID, note: Note) -> None:
        found = self._pool.snapshot(volume, snapshot)
        passed = self._pool.steps("annotate_snapshot")
        passed("begun")
        sidecar = msgspec.structs.replace(found.sidecar, note=note)
        self._layout.put_sidecar(sidecar, lambda: passed("written"))
        passed("noted")
        self._pool.keep(self._layout.notes)
        passed("durable")

    def inspect(self, volume: UUID, snapshot: UUID) -> ObservedSnapshot | None:
        found = self._pool.find_snapshot(volume, snapshot)
        return None if found is None else self.observed(found)

    def names(self) -> list[tuple[str, str]]:
        """Give the names (volume, snapshot) of all that is in the snapshots' place, but for what is arriving."""
        found = []
        for family in sorted(self._layout.snapshots.iterdir()):
            if not family.is_dir() or family.is_symlink():
                found.append((family.name, ""))
                continue
            names = sorted(path.name for path in family.iterdir())
            found += [(family.name, name) for name in names if arriving_id(name) is None]
        return found

    def look(self, names: list[tuple[str, str]]) -> list[ObservedSnapshot]:
        """Give what is under these names now; what has gone since is left out."""
        seen = []
        for family, name in names:
            volume, snapshot = parse_id(family), parse_id(name)
            found = None if volume is None or snapshot is None else self._pool.find_snapshot(volume, snapshot)
            path = self._layout.snapshots / family / name
            if found is not None:
                seen.append(self.observed(found))
            elif path.is_symlink() or path.exists():
                seen.append(ObservedSnapshot(id=None, volume_id=volume, place=str(path)))
        return seen

    def observed(self, found: Snapshot) -> ObservedSnapshot:
        """Describe a snapshot. `size` is what is reachable in it; deleting it may free less."""
        usage = self._pool.usage(found.subvolume)
        return ObservedSnapshot(
            id=found.sidecar.id,
            volume_id=found.sidecar.volume,
            size=0 if usage is None else usage.referenced,
            note=found.sidecar.note,
            place=str(found.path),
        )
