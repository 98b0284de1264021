"""Changes of volumes, step by step. All of it blocks."""
# ruff: noqa: D102 - the protocols carry the contract of the methods

from __future__ import annotations

import os
import time
from collections.abc import Mapping
from pathlib import Path
from uuid import UUID

import msgspec

from gateway.backends.files.contents import Contents, Trees
from gateway.backends.files.layout import CONTENT, VolumeSidecar, is_emptied, put_sidecar
from gateway.backends.files.names import parse_id, read_file, replace_file
from gateway.backends.files.pool import Pool, Step, Volume
from gateway.backends.files.space import capacity
from gateway.backends.files.usage import SLICE_S, Counted, Usage
from gateway.core.backend import Capacity, Note, Observed, VolumeSpec
from gateway.core.errors import AlreadyExists, Unsupported
from gateway.core.model import RootDirectory, VolumeKind


class Volumes:
    """Makes, changes and finds volumes. A volume is there from the one rename that puts it into its place."""

    def __init__(self, pool: Pool, trees: Trees, contents: Mapping[VolumeKind, Contents]) -> None:
        self._pool = pool
        self._layout = pool.layout
        self._trees = trees
        self._contents = contents
        self.usage = Usage()

    # --- making ---

    def create(self, spec: VolumeSpec) -> Observed:
        present = self.present(spec.id)
        if present is not None:
            return self.observed(present)
        passed = self._pool.steps("create")
        passed("begun")
        with self._pool.staged(spec.id) as staged:
            passed("made")
            self._contents[spec.kind].make(staged / CONTENT, spec)
            passed("filled")
            self.place(staged, described(spec), passed)
        return self.observed(self._pool.volume(spec.id))

    def present(self, volume: UUID) -> Volume | None:
        """Give a volume of ours, durable; None when its place is free, AlreadyExists when something else is there."""
        place = self._layout.volume(volume)
        found = self._pool.find_volume(volume)
        if found is not None:
            # Whoever put it there may have died before it was.
            self._pool.keep(self._layout.volumes)
        elif is_emptied(place, volume):
            self._pool.discard(place)
        elif os.path.lexists(place):
            raise AlreadyExists(kind="volume", name=str(volume), field="id")
        return found

    def place(self, staged: Path, sidecar: VolumeSidecar, passed: Step) -> None:
        """Describe what was made, and bring it into its place."""
        self.describe(staged, sidecar, passed)
        self._pool.place(staged, self._layout.volume(sidecar.id))
        passed("placed")
        self._pool.keep(self._layout.volumes)
        passed("durable")

    def describe(self, container: Path, sidecar: VolumeSidecar, passed: Step) -> None:
        """Write down what is kept with a volume."""
        put_sidecar(container, sidecar, lambda: passed("written"))
        passed("noted")

    # --- removing ---

    def delete(self, volume: UUID) -> None:
        found = self._pool.find_volume(volume)
        if found is None:
            if is_emptied(self._layout.volume(volume), volume):
                self._pool.discard(self._layout.volume(volume))
            self._pool.discard(self._layout.staged(volume))
            self._pool.keep(self._layout.volumes)
            return
        passed = self._pool.steps("delete")
        passed("begun")
        self._pool.discard(found.container)
        passed("hidden")
        self._pool.keep(self._layout.volumes)
        passed("durable")
        self.usage.forget(volume)

    # --- changing ---

    def annotate(self, volume: UUID, note: Note) -> None:
        found = self._pool.volume(volume)
        passed = self._pool.steps("annotate")
        passed("begun")
        self.rewrite(found, msgspec.structs.replace(found.sidecar, note=note), passed)

    def resize(self, volume: UUID, size: int) -> None:
        found = self._pool.volume(volume)
        passed = self._pool.steps("resize")
        passed("begun")
        self._contents[found.kind].resize(found, size)
        passed("sized")
        self.rewrite(found, msgspec.structs.replace(found.sidecar, size=size), passed)

    def set_root(self, volume: UUID, root: RootDirectory) -> None:
        found = self._pool.volume(volume)
        if found.kind is not VolumeKind.FILESYSTEM:
            raise Unsupported(capability="permissions", backend=self._pool.name, reason="it has no top directory")
        passed = self._pool.steps("set_root")
        passed("begun")
        self._trees.set_root(found.content, root)
        passed("permitted")
        self._pool.keep(found.content)
        passed("durable")

    def rewrite(self, found: Volume, sidecar: VolumeSidecar, passed: Step) -> None:
        """Replace what is kept with a volume, durably."""
        self.describe(found.container, sidecar, passed)
        self._pool.keep(found.container)
        passed("durable")

    def put_manifest(self, document: bytes) -> None:
        passed = self._pool.steps("put_manifest")
        passed("begun")
        replace_file(self._layout.manifest, document, lambda: passed("written"))
        passed("placed")
        self._pool.keep(self._layout.private)
        passed("durable")

    # --- looking ---

    def inspect(self, volume: UUID) -> Observed | None:
        found = self._pool.find_volume(volume)
        return None if found is None else self.observed(found)

    def names(self) -> list[str]:
        """Give the names of all that is in the volumes' place."""
        return sorted(path.name for path in self._layout.volumes.iterdir())

    def look(self, names: list[str]) -> list[Observed]:
        """Give what is under these names now; what has gone since is left out."""
        seen = []
        end = time.monotonic() + SLICE_S
        for name in names:
            volume = parse_id(name)
            found = None if volume is None else self._pool.find_volume(volume)
            path = self._layout.volumes / name
            if found is not None:
                seen.append(self.observed(found, budget_s=max(end - time.monotonic(), 0.0)))
            elif os.path.lexists(path):
                seen.append(Observed(id=None, kind=VolumeKind.FILESYSTEM, place=str(path)))
        return seen

    def observed(self, found: Volume, budget_s: float = SLICE_S) -> Observed:
        """Describe a volume. `used` is all that is reachable in it; what it shares with others is counted in each."""
        counted = self._counted(found, budget_s)
        return Observed(
            id=found.sidecar.id,
            kind=found.kind,
            size=self._contents[found.kind].size(found),
            used=counted.bytes,
            used_age_s=int(counted.age_s),
            note=found.sidecar.note,
            origin=found.sidecar.origin,
            origin_snapshot=found.sidecar.origin_snapshot,
            place=str(found.content),
        )

    def _counted(self, found: Volume, budget_s: float) -> Counted:
        if found.kind is VolumeKind.FILESYSTEM:
            return self.usage.count(found.sidecar.id, found.content, budget_s)
        return Counted(found.held, 0.0)

    def manifest(self) -> bytes | None:
        return read_file(self._layout.manifest)

    def capacity(self) -> Capacity:
        return capacity(self._layout.root)


def described(spec: VolumeSpec) -> VolumeSidecar:
    """Tell what is to be kept with a new volume."""
    return VolumeSidecar(id=spec.id, size=spec.size, thick=spec.thick, note=spec.note)
