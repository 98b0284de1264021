"""Changes of volumes, step by step. All of it blocks."""
# ruff: noqa: D102 - the protocols carry the contract of the methods

from __future__ import annotations

import contextlib
from pathlib import Path
from uuid import UUID

import msgspec

from gateway.backends.btrfs.kernel import Subvolume, Usage
from gateway.backends.btrfs.layout import Restored, VolumeSidecar
from gateway.backends.btrfs.pool import Pool, Step, Volume, set_root
from gateway.backends.files.names import parse_id
from gateway.core.backend import Note, Observed, VolumeSpec
from gateway.core.errors import AlreadyExists, LimitExceeded
from gateway.core.model import RootDirectory, VolumeKind


class Volumes:
    """Makes, changes and finds volumes. A volume is there from the one rename that puts it into its place."""

    def __init__(self, pool: Pool) -> None:
        self._pool = pool
        self._kernel = pool.kernel
        self._layout = pool.layout

    # --- making ---

    def create(self, spec: VolumeSpec) -> Observed:
        present = self.present(spec.id)
        if present is not None:
            return self.observed(present)
        passed = self._pool.steps("create")
        passed("begun")
        with self._pool.staged(self._layout.staged(spec.id)) as staged:
            self._kernel.create_subvolume(staged)
            passed("made")
            tree, sidecar = self.shape(staged, spec, spec.root or RootDirectory(), passed)
            return self._place(staged, tree, sidecar, passed)

    def clone(self, source: UUID, snapshot: UUID | None, spec: VolumeSpec) -> Observed:
        present = self.present(spec.id)
        if present is not None:
            return self.observed(present)
        volume = self._pool.volume(source)
        origin = volume.path if snapshot is None else self._pool.snapshot(source, snapshot).path
        passed = self._pool.steps("clone")
        passed("begun")
        with self._pool.staged(self._layout.staged(spec.id)) as staged:
            self._kernel.create_snapshot(origin, staged, read_only=False)
            passed("made")
            if spec.root is not None:
                self._pool.lift_limit(self._pool.staged_subvolume(staged))
            tree, sidecar = self.shape(staged, spec, spec.root, passed)
            descended = msgspec.structs.replace(sidecar, origin=source, origin_snapshot=snapshot)
            return self._place(staged, tree, descended, passed)

    def shape(
        self, staged: Path, spec: VolumeSpec, root: RootDirectory | None, passed: Step
    ) -> tuple[Subvolume, VolumeSidecar]:
        """Give a new tree its owner, mode and limit; tell what its sidecar is to say."""
        tree = self._pool.staged_subvolume(staged)
        if root is not None:
            set_root(staged, root)
        passed("permitted")
        self._pool.limit(tree, spec.size)
        passed("limited")
        return tree, VolumeSidecar(id=spec.id, tree=tree.uuid, size=spec.size, note=spec.note)

    def _place(self, staged: Path, tree: Subvolume, sidecar: VolumeSidecar, passed: Step) -> Observed:
        place = self._layout.volume(sidecar.id)
        self._layout.put_sidecar(sidecar, lambda: passed("written"))
        passed("noted")
        self._kernel.move(staged, place)
        passed("placed")
        self._pool.keep(self._layout.volumes)
        passed("durable")
        return self.observed(Volume(sidecar, tree, place))

    def present(self, volume: UUID) -> Volume | None:
        """Give a volume of ours; None when its place is free, AlreadyExists when something else is there."""
        found = self._pool.find_volume(volume)
        if found is None and self._layout.volume(volume).exists():
            raise AlreadyExists(kind="volume", name=str(volume), field="id")
        return found

    # --- removing ---

    def delete(self, volume: UUID) -> None:
        gone = self._layout.gone(volume)
        if self._pool.find_volume(volume) is None and not gone.exists():
            return
        passed = self._pool.steps("delete")
        passed("begun")
        if self._pool.find_volume(volume) is not None:
            self._pool.discard(gone)
            self._kernel.move(self._layout.volume(volume), gone)
        passed("hidden")
        self._pool.discard(gone)
        passed("removed")
        self._layout.note(volume).unlink(missing_ok=True)
        with contextlib.suppress(OSError):
            self._layout.family(volume).rmdir()
        passed("forgotten")
        self._pool.keep(self._layout.volumes)
        passed("durable")

    # --- changing ---

    def annotate(self, volume: UUID, note: Note) -> None:
        found = self._pool.volume(volume)
        self._describe(found, msgspec.structs.replace(found.sidecar, note=note), self._pool.steps("annotate"))

    def split(self, volume: UUID) -> None:
        """Forget the origin: the kernel never depended on it."""
        found = self._pool.volume(volume)
        if found.sidecar.origin is not None:
            alone = msgspec.structs.replace(found.sidecar, origin=None, origin_snapshot=None)
            self._describe(found, alone, self._pool.steps("split"))

    def resize(self, volume: UUID, size: int) -> None:
        found = self._pool.volume(volume)
        if size < self.size(found):
            self._refuse_below_use(found, size)
        passed = self._pool.steps("resize")
        passed("begun")
        self._pool.limit(found.subvolume, size)
        passed("limited")
        self._rewrite(found, msgspec.structs.replace(found.sidecar, size=size), passed)
        # A limit belongs to no directory that could be flushed.
        self._pool.keep_all()
        passed("durable")

    def set_root(self, volume: UUID, root: RootDirectory) -> None:
        found = self._pool.volume(volume)
        passed = self._pool.steps("set_root")
        passed("begun")
        set_root(found.path, root)
        passed("permitted")
        self._pool.keep(found.path)
        passed("durable")

    def _refuse_below_use(self, found: Volume, size: int) -> None:
        # A limit below the use would not free anything: it would only stop every later write.
        if not self._pool.options.quota:
            return
        self._kernel.sync(self._layout.root)
        usage = self._pool.usage(found.subvolume)
        if usage is not None and size < usage.referenced:
            raise LimitExceeded(limit="size", value=size, minimum=usage.referenced, maximum=None)

    def _describe(self, found: Volume, sidecar: VolumeSidecar, passed: Step) -> None:
        passed("begun")
        self._rewrite(found, sidecar, passed)
        self._pool.keep(self._layout.notes)
        passed("durable")

    def _rewrite(self, found: Volume, sidecar: VolumeSidecar, passed: Step) -> None:
        present = msgspec.structs.replace(sidecar, tree=found.subvolume.uuid)
        self._layout.put_sidecar(present, lambda: passed("written"))
        passed("noted")

    # --- restoring ---

    def restore(self, volume: UUID, snapshot: UUID, token: UUID) -> None:
        found = self._pool.volume(volume)
        if _took_effect(found, token):
            self._pool.discard_later(self._layout.staged(token))
            return
        source = self._pool.snapshot(volume, snapshot)
        passed = self._pool.steps("restore")
        passed("begun")
        with self._pool.staged(self._layout.staged(token)) as staged:
            self._kernel.create_snapshot(source.path, staged, read_only=False)
            passed("made")
            tree = self._pool.staged_subvolume(staged)
            self.inherit_limit(found, tree)
            passed("limited")
            self.announce(found, Restored(token=token, tree=tree.uuid), passed)
            self._kernel.exchange(staged, found.path)
        passed("exchanged")
        self._pool.keep(self._layout.volumes)
        passed("durable")
        self._pool.discard_later(staged)
        passed("removed")

    def inherit_limit(self, found: Volume, tree: Subvolume) -> None:
        """Give the tree that is to replace a volume's the same limit."""
        self._pool.limit(tree, self.size(found))

    def announce(self, found: Volume, restored: Restored, passed: Step) -> None:
        """Write down which tree is about to replace a volume's."""
        sidecar = msgspec.structs.replace(found.sidecar, tree=found.subvolume.uuid, restored=restored)
        self._layout.put_sidecar(sidecar, lambda: passed("written"))
        passed("noted")

    def settle_restore(self, volume: UUID, token: UUID) -> bool:
        # After the exchange the old tree is in staging, before it the new one: either is of no use now.
        happened = _took_effect(self._pool.volume(volume), token)
        staged = self._layout.staged(token)
        if staged.exists():
            passed = self._pool.steps("settle_restore")
            passed("begun")
            self._pool.discard_later(staged)
            passed("removed")
        return happened

    # --- looking ---

    def inspect(self, volume: UUID) -> Observed | None:
        found = self._pool.find_volume(volume)
        if found is None:
            return None
        # Usage is counted at commits, and what is still in memory not at all.
        self._kernel.sync(self._layout.root)
        return self.observed(found)

    def names(self) -> list[str]:
        """Give the names of all that is in the volumes' place."""
        return sorted(path.name for path in self._layout.volumes.iterdir())

    def look(self, names: list[str]) -> list[Observed]:
        """Give what is under these names now; what has gone since is left out."""
        seen = []
        for name in names:
            volume = parse_id(name)
            found = None if volume is None else self._pool.find_volume(volume)
            path = self._layout.volumes / name
            if found is not None:
                seen.append(self.observed(found))
            elif path.is_symlink() or path.exists():
                seen.append(Observed(id=None, kind=VolumeKind.FILESYSTEM, place=str(path)))
        return seen

    def observed(self, found: Volume) -> Observed:
        """Describe a volume. `used` is what is reachable in it; what only it holds (exclusive) may be less."""
        usage = self._pool.usage(found.subvolume)
        return Observed(
            id=found.sidecar.id,
            kind=VolumeKind.FILESYSTEM,
            size=self._size(found, usage),
            used=0 if usage is None else usage.referenced,
            note=found.sidecar.note,
            origin=found.sidecar.origin,
            origin_snapshot=found.sidecar.origin_snapshot,
            place=str(found.path),
        )

    def size(self, found: Volume) -> int:
        """Give a volume's size: the limit in force, or what was recorded where none is."""
        return self._size(found, self._pool.usage(found.subvolume))

    def _size(self, found: Volume, usage: Usage | None) -> int:
        enforced = usage.limit if usage is not None and self._pool.options.quota else None
        return enforced or found.sidecar.size


def _took_effect(found: Volume, token: UUID) -> bool:
    restored = found.sidecar.restored
    return restored is not None and restored.token == token and restored.tree == found.subvolume.uuid
