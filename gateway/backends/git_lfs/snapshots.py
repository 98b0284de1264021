"""Changes of snapshots, step by step. All of it blocks."""
# ruff: noqa: D102 - the protocols carry the contract of the methods

from __future__ import annotations

from collections.abc import Sequence
from uuid import UUID

import msgspec

from gateway.backends.git_lfs.layout import SNAPSHOTS, SnapshotSidecar, Tree, parse_snapshot, snapshot_ref
from gateway.backends.git_lfs.pool import KeptSnapshot, Pool, Step
from gateway.backends.git_lfs.repository import NOTHING
from gateway.backends.git_lfs.usage import Usage
from gateway.core.backend import GroupMember, Note, ObservedSnapshot
from gateway.core.errors import GatewayError


class Snapshots:
    """Takes, removes and finds snapshots: copies of a volume's refs, of one instant."""

    def __init__(self, pool: Pool, usage: Usage) -> None:
        self._pool = pool
        self._usage = usage

    def snapshot(self, volume: UUID, snapshot: UUID, note: Note) -> ObservedSnapshot:
        present = self._pool.find_snapshot(volume, snapshot)
        if present is not None:
            return self.observed(present)
        sidecar = SnapshotSidecar(id=snapshot, volume=volume, note=note)
        refs = self._take([sidecar], self._pool.steps("snapshot"))
        return self._described(sidecar, frozenset(refs[snapshot].values()))

    def snapshot_group(self, members: Sequence[GroupMember]) -> None:
        wanted = [SnapshotSidecar(id=one.snapshot, volume=one.volume, note=one.note) for one in members]
        missing = [one for one in wanted if self._pool.find_snapshot(one.volume, one.id) is None]
        if missing:
            self._take(missing, self._pool.steps("snapshot_group"))

    def _take(self, wanted: Sequence[SnapshotSidecar], passed: Step) -> dict[UUID, dict[str, str]]:
        """Take snapshots at one instant, or none; give the refs of each."""
        sources = {one.id: Tree(one.volume, self._pool.volume(one.volume).sidecar.tree) for one in wanted}
        passed("begun")
        images = {one.id: Tree(one.volume, one.id) for one in wanted}
        self._pool.clear(*images.values())
        try:
            seen = self._pool.seen_together(set(sources.values()))
            for key, image in images.items():
                self._pool.copy(seen[sources[key]], image)
            passed("copied")
            for key, image in images.items():
                self._pool.point(image, self._pool.branch(sources[key]))
            passed("made")
            self._pool.put_all(wanted, old=NOTHING, passed=passed)
        except GatewayError:
            self._pool.clear_later(*images.values())
            raise
        return {key: seen[source] for key, source in sources.items()}

    def delete(self, volume: UUID, snapshot: UUID) -> None:
        present = self._pool.find_snapshot(volume, snapshot)
        if present is None:
            return
        passed = self._pool.steps("delete_snapshot")
        passed("begun")
        self._pool.drop([(snapshot_ref(volume, snapshot), present.written)])
        passed("forgotten")
        self._pool.clear_later(Tree(volume, snapshot))
        passed("removed")
        self._pool.keep()
        passed("durable")

    def annotate(self, volume: UUID, snapshot: UUID, note: Note) -> None:
        present = self._pool.snapshot(volume, snapshot)
        passed = self._pool.steps("annotate_snapshot")
        passed("begun")
        self._pool.put(msgspec.structs.replace(present.sidecar, note=note), present.written, passed=passed)

    def inspect(self, volume: UUID, snapshot: UUID) -> ObservedSnapshot | None:
        present = self._pool.find_snapshot(volume, snapshot)
        return None if present is None else self.observed(present)

    def look(self) -> list[ObservedSnapshot]:
        """Give all that is in the snapshots' place now."""
        found = list(self._pool.sidecars(SNAPSHOTS))
        tips = self._usage.tips()
        seen = []
        for _, sidecar in found:
            if isinstance(sidecar, SnapshotSidecar):
                seen.append(self._described(sidecar, tips.get(Tree(sidecar.volume, sidecar.id), frozenset())))
            else:
                place = str(sidecar)
                ids = parse_snapshot(place)
                seen.append(ObservedSnapshot(id=None, volume_id=None if ids is None else ids[0], place=place))
        return seen

    def observed(self, kept: KeptSnapshot) -> ObservedSnapshot:
        """Describe a snapshot."""
        tree = Tree(kept.sidecar.volume, kept.sidecar.id)
        return self._described(kept.sidecar, frozenset(self._pool.repository.refs(tree.prefix).values()))

    def _described(self, sidecar: SnapshotSidecar, tips: frozenset[str]) -> ObservedSnapshot:
        """Describe a snapshot. `size` is what is reachable in it; deleting it may free less."""
        return ObservedSnapshot(
            id=sidecar.id,
            volume_id=sidecar.volume,
            size=self._usage.used(tips),
            note=sidecar.note,
            place=snapshot_ref(sidecar.volume, sidecar.id),
        )
