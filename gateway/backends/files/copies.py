"""Snapshots, clones, restores and conversions, step by step. All of it blocks."""
# ruff: noqa: D102 - the protocols carry the contract of the methods

from __future__ import annotations

import contextlib
import errno
import os
from uuid import UUID

import msgspec

from gateway.backends.files.images import Images
from gateway.backends.files.layout import CONTENT, SnapshotSidecar, put_sidecar
from gateway.backends.files.names import exchange, parse_id
from gateway.backends.files.pool import Pool, Snapshot, Volume
from gateway.backends.files.volumes import Volumes, described
from gateway.core.backend import Note, Observed, ObservedSnapshot, VolumeSpec
from gateway.core.errors import AlreadyExists, InUse


class Copies:
    """Copies raw files by sharing their blocks. A copy is there from the one rename that puts it into its place."""

    def __init__(self, pool: Pool, volumes: Volumes, images: Images) -> None:
        self._pool = pool
        self._layout = pool.layout
        self._volumes = volumes
        self._images = images

    # --- snapshots ---

    def snapshot(self, volume: UUID, snapshot: UUID, note: Note) -> ObservedSnapshot:
        place = self._layout.snapshot(volume, snapshot)
        present = self._pool.find_snapshot(volume, snapshot)
        if present is not None:
            # Whoever put it there may have died before it was durable.
            self._pool.keep(place.parent)
            return _observed(present)
        if os.path.lexists(place):
            raise AlreadyExists(kind="snapshot", name=str(snapshot), field="id")
        source = self._pool.volume(volume)
        passed = self._pool.steps("snapshot")
        passed("begun")
        with self._pool.staged(snapshot) as staged:
            passed("made")
            self._images.freeze(source.content, staged / CONTENT)
            passed("filled")
            put_sidecar(staged, SnapshotSidecar(id=snapshot, volume=volume, note=note), lambda: passed("written"))
            passed("noted")
            self._pool.family(volume)
            self._pool.place(staged, place)
        passed("placed")
        self._pool.keep(place.parent)
        passed("durable")
        return _observed(self._pool.snapshot(volume, snapshot))

    def delete(self, volume: UUID, snapshot: UUID) -> None:
        found = self._pool.find_snapshot(volume, snapshot)
        family = self._layout.family(volume)
        if found is None:
            self._pool.discard(self._layout.staged(snapshot))
            if family.is_dir():
                self._pool.keep(family)
            return
        passed = self._pool.steps("delete_snapshot")
        passed("begun")
        self._pool.discard(found.container)
        passed("hidden")
        self._pool.keep(family)
        if not os.path.lexists(self._layout.volume(volume)):
            with contextlib.suppress(OSError):
                family.rmdir()
        passed("durable")

    def annotate(self, volume: UUID, snapshot: UUID, note: Note) -> None:
        found = self._pool.snapshot(volume, snapshot)
        passed = self._pool.steps("annotate_snapshot")
        passed("begun")
        sidecar = msgspec.structs.replace(found.sidecar, note=note)
        put_sidecar(found.container, sidecar, lambda: passed("written"))
        passed("noted")
        self._pool.keep(found.container)
        passed("durable")

    def inspect(self, volume: UUID, snapshot: UUID) -> ObservedSnapshot | None:
        found = self._pool.find_snapshot(volume, snapshot)
        return None if found is None else _observed(found)

    def names(self) -> list[tuple[str, str]]:
        """Give the names (volume, snapshot) of all that is in the snapshots' place."""
        found = []
        for family in sorted(self._layout.snapshots.iterdir()):
            if not family.is_dir() or family.is_symlink():
                found.append((family.name, ""))
                continue
            found += [(family.name, path.name) for path in sorted(family.iterdir())]
        return found

    def look(self, names: list[tuple[str, str]]) -> list[ObservedSnapshot]:
        """Give what is under these names now; what has gone since is left out."""
        seen = []
        for family, name in names:
            volume, snapshot = parse_id(family), parse_id(name)
            found = None if volume is None or snapshot is None else self._pool.find_snapshot(volume, snapshot)
            path = self._layout.snapshots / family / name
            if found is not None:
                seen.append(_observed(found))
            elif os.path.lexists(path):
                seen.append(ObservedSnapshot(id=None, volume_id=volume, place=str(path)))
        return seen

    # --- clones ---

    def clone(self, source: UUID, snapshot: UUID | None, spec: VolumeSpec) -> Observed:
        present = self._volumes.present(spec.id)
        if present is not None:
            return self._volumes.observed(present)
        origin = self._pool.volume(source) if snapshot is None else self._pool.snapshot(source, snapshot)
        passed = self._pool.steps("clone")
        passed("begun")
        with self._pool.staged(spec.id) as staged:
            passed("made")
            self._images.copy(origin.content, staged / CONTENT, size=spec.size, thick=spec.thick)
            passed("filled")
            sidecar = msgspec.structs.replace(described(spec), origin=source, origin_snapshot=snapshot)
            self._volumes.place(staged, sidecar, passed)
        return self._volumes.observed(self._pool.volume(spec.id))

    def split(self, volume: UUID) -> None:
        """Forget the origin: the file system counts who uses a block, so the copy never depended on it."""
        found = self._pool.volume(volume)
        if found.sidecar.origin is not None:
            passed = self._pool.steps("split")
            passed("begun")
            alone = msgspec.structs.replace(found.sidecar, origin=None, origin_snapshot=None)
            self._volumes.rewrite(found, alone, passed)

    # --- restoring ---

    def restore(self, volume: UUID, snapshot: UUID, token: UUID) -> None:
        """Exchange the volume's container for one with the old content. Whoever has the file open keeps the new one."""
        found = self._pool.volume(volume)
        if found.sidecar.restored == token:
            self._pool.keep(self._layout.volumes)
            self._pool.discard(self._layout.staged(token))
            return
        source = self._pool.snapshot(volume, snapshot)
        passed = self._pool.steps("restore")
        passed("begun")
        with self._pool.staged(token) as staged:
            passed("made")
            self._images.copy(source.content, staged / CONTENT, size=found.length, thick=found.sidecar.thick)
            passed("filled")
            self._volumes.describe(staged, msgspec.structs.replace(found.sidecar, restored=token), passed)
            self._pool.keep(staged)
            exchange(staged, found.container)
        passed("exchanged")
        self._pool.keep(self._layout.volumes)
        passed("durable")
        self._pool.discard(staged)
        passed("hidden")

    def settle_restore(self, volume: UUID, token: UUID) -> bool:
        # After the exchange the old content is in staging, before it the new one: either is of no use now.
        happened = self._pool.volume(volume).sidecar.restored == token
        self._pool.keep(self._layout.volumes)
        staged = self._layout.staged(token)
        if staged.exists():
            passed = self._pool.steps("settle_restore")
            passed("begun")
            self._pool.discard(staged)
            passed("hidden")
        return happened

    # --- converting ---

    def convert(self, spec: VolumeSpec) -> Observed:
        present = self._volumes.present(spec.id)
        if present is not None and present.kind is spec.kind:
            return self._volumes.observed(present)
        passed = self._pool.steps("convert")
        passed("begun")
        with self._pool.staged(spec.id) as staged:
            passed("made")
            self._images.make(staged / CONTENT, spec)
            passed("filled")
            self._volumes.describe(staged, described(spec), passed)
            if present is not None:
                _remove_empty(present)
            passed("emptied")
            if present is not None:
                self._pool.discard(present.container)
            passed("hidden")
            self._pool.place(staged, self._layout.volume(spec.id))
        passed("placed")
        self._pool.keep(self._layout.volumes)
        passed("durable")
        self._volumes.usage.forget(spec.id)
        return self._volumes.observed(self._pool.volume(spec.id))


def _remove_empty(present: Volume) -> None:
    """Remove a volume's directory in the one step that also shows that it holds nothing."""
    try:
        present.content.rmdir()
    except OSError as error:
        if error.errno not in {errno.ENOTEMPTY, errno.EEXIST}:
            raise
        raise InUse(kind="volume", ref=str(present.sidecar.id), by="content", action="convert") from error


def _observed(found: Snapshot) -> ObservedSnapshot:
    """Describe a snapshot. `size` is what is reachable in it; deleting it may free less."""
    return ObservedSnapshot(
        id=found.sidecar.id,
        volume_id=found.sidecar.volume,
        size=found.held,
        note=found.sidecar.note,
        place=str(found.content),
    )
