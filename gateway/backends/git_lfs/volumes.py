"""Changes of volumes, step by step. All of it blocks."""
# ruff: noqa: D102 - the protocols carry the contract of the methods

from __future__ import annotations

from uuid import UUID, uuid4

import msgspec

from gateway.backends.git_lfs.layout import VOLUMES, Tree, VolumeSidecar, volume_ref
from gateway.backends.git_lfs.pool import Kept, Pool, Step
from gateway.backends.git_lfs.repository import NOTHING
from gateway.backends.git_lfs.usage import Usage
from gateway.core.backend import Note, Observed, VolumeSpec
from gateway.core.errors import GatewayError
from gateway.core.handles import GitRemote
from gateway.core.model import VolumeKind


class Volumes:
    """Makes, changes and finds volumes."""

    def __init__(self, pool: Pool, usage: Usage) -> None:
        self._pool = pool
        self._usage = usage

    # --- making ---

    def create(self, spec: VolumeSpec) -> Observed:
        present = self._pool.find_volume(spec.id)
        if present is not None:
            return self.observed(present)
        passed = self._pool.steps("create")
        passed("begun")
        sidecar = VolumeSidecar(id=spec.id, tree=uuid4(), size=spec.size, note=spec.note)
        return self._make(sidecar, {}, self._pool.first_branch, passed)

    def clone(self, source: UUID, snapshot: UUID | None, spec: VolumeSpec) -> Observed:
        present = self._pool.find_volume(spec.id)
        if present is not None:
            return self.observed(present)
        origin = Tree(source, self._tree_name(source, snapshot))
        passed = self._pool.steps("clone")
        passed("begun")
        sidecar = VolumeSidecar(
            id=spec.id, tree=uuid4(), size=spec.size, note=spec.note, origin=source, origin_snapshot=snapshot
        )
        return self._make(sidecar, self._pool.seen(origin), self._pool.branch(origin), passed, copied=True)

    def _make(
        self, sidecar: VolumeSidecar, refs: dict[str, str], branch: str, passed: Step, *, copied: bool = False
    ) -> Observed:
        tree = Tree(sidecar.id, sidecar.tree)
        try:
            if copied:
                self._pool.copy(refs, tree)
                passed("copied")
            self._pool.point(tree, branch)
            passed("made")
            self._pool.put(sidecar, NOTHING, passed=passed)
        except GatewayError:
            self._pool.clear_later(tree)
            raise
        return self._described(sidecar, frozenset(refs.values()))

    def _tree_name(self, volume: UUID, snapshot: UUID | None) -> UUID:
        kept = self._pool.volume(volume)
        return kept.sidecar.tree if snapshot is None else self._pool.snapshot(volume, snapshot).sidecar.id

    # --- changing ---

    def delete(self, volume: UUID) -> None:
        present = self._pool.find_volume(volume)
        if present is None:
            return
        passed = self._pool.steps("delete")
        passed("begun")
        self._pool.drop([(volume_ref(volume), present.written)])
        passed("forgotten")
        self._pool.clear_later(*self._pool.leftovers(volume))
        passed("removed")
        self._pool.keep()
        passed("durable")

    def annotate(self, volume: UUID, note: Note) -> None:
        self._replace("annotate", self._pool.volume(volume), note=note)

    def resize(self, volume: UUID, size: int) -> None:
        present = self._pool.volume(volume)
        if present.sidecar.size != size:
            self._replace("resize", present, size=size)

    def split(self, volume: UUID) -> None:
        """Nothing is borrowed: objects belong to all volumes that need them."""
        present = self._pool.volume(volume)
        if (present.sidecar.origin, present.sidecar.origin_snapshot) != (None, None):
            self._replace("split", present, origin=None, origin_snapshot=None)

    def _replace(self, operation: str, present: Kept, **changes: object) -> None:
        passed = self._pool.steps(operation)
        passed("begun")
        self._pool.put(msgspec.structs.replace(present.sidecar, **changes), present.written, passed=passed)

    def restore(self, volume: UUID, snapshot: UUID, token: UUID) -> None:
        present = self._pool.volume(volume)
        if present.sidecar.restored == token:
            return
        kept = self._pool.snapshot(volume, snapshot)
        passed = self._pool.steps("restore")
        passed("begun")
        old, image, new = present.sidecar.tree, Tree(volume, kept.sidecar.id), Tree(volume, uuid4())
        try:
            self._pool.copy(self._pool.seen(image), new)
            passed("copied")
            self._pool.point(new, self._pool.branch(image))
            passed("made")
            restored = msgspec.structs.replace(present.sidecar, tree=new.name, restored=token)
            self._pool.put(restored, present.written, passed=passed)
        except GatewayError:
            self._pool.clear_later(new)
            raise
        self._pool.clear_later(Tree(volume, old))
        passed("removed")

    def settle_restore(self, volume: UUID, token: UUID) -> bool:
        leftovers = self._pool.leftovers(volume)
        if leftovers:
            passed = self._pool.steps("settle_restore")
            passed("begun")
            self._pool.clear(*leftovers)
            self._pool.keep()
            passed("removed")
        present = self._pool.find_volume(volume)
        return present is not None and present.sidecar.restored == token

    # --- finding ---

    def access(self, volume: UUID, snapshot: UUID | None) -> GitRemote:
        tree = Tree(volume, self._tree_name(volume, snapshot))
        url = self._pool.repository.path.as_uri()
        return GitRemote(url=url, namespace=tree.namespace, read_only=snapshot is not None)

    def inspect(self, volume: UUID) -> Observed | None:
        present = self._pool.find_volume(volume)
        return None if present is None else self.observed(present)

    def look(self) -> list[Observed]:
        """Give all that is in the volumes' place now."""
        found = list(self._pool.sidecars(VOLUMES))
        tips = self._usage.tips()
        seen = []
        for _, sidecar in found:
            if isinstance(sidecar, VolumeSidecar):
                seen.append(self._described(sidecar, tips.get(Tree(sidecar.id, sidecar.tree), frozenset())))
            else:
                place = str(sidecar)
                seen.append(Observed(id=None, kind=VolumeKind.TREE, place=place))
        return seen

    def observed(self, kept: Kept) -> Observed:
        """Describe a volume."""
        tree = Tree(kept.sidecar.id, kept.sidecar.tree)
        return self._described(kept.sidecar, frozenset(self._pool.repository.refs(tree.prefix).values()))

    def _described(self, sidecar: VolumeSidecar, tips: frozenset[str]) -> Observed:
        return Observed(
            id=sidecar.id,
            kind=VolumeKind.TREE,
            size=sidecar.size,
            used=self._usage.used(tips),
            note=sidecar.note,
            origin=sidecar.origin,
            origin_snapshot=sidecar.origin_snapshot,
            place=volume_ref(sidecar.id),
        )
