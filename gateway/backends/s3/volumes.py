"""Changes of volumes, step by step. All of it blocks; the caller keeps others from the volumes that take part."""
# ruff: noqa: D102 - the protocols carry the contract of the methods

from __future__ import annotations

from collections.abc import Iterator
from uuid import UUID

import msgspec

from gateway.backends.s3.collecting import Collector
from gateway.backends.s3.copying import Copier
from gateway.backends.s3.inventories import Entry
from gateway.backends.s3.joining import key_of, latest, side_by_side
from gateway.backends.s3.layout import KIND, Base, Journal, Unsettled, VolumeSidecar, named
from gateway.backends.s3.pool import Pool
from gateway.core.backend import Note, Observed, VolumeSpec
from gateway.core.errors import InvalidArgument, Unavailable
from gateway.core.model import utc_now


class Volumes:
    """Makes, changes and finds volumes. A volume is there as long as its sidecar is."""

    def __init__(self, pool: Pool, collector: Collector, copier: Copier) -> None:
        self._pool = pool
        self._layout = pool.layout
        self._collector = collector
        self._copier = copier

    # --- making ---

    def create(self, spec: VolumeSpec) -> Observed:
        self._settled(spec.id)
        present = self._pool.find_volume(spec.id)
        if present is not None:
            return observed(present)
        passed = self._pool.steps("create")
        passed("begun")
        sidecar = VolumeSidecar(id=spec.id, size=spec.size, note=spec.note, measured=utc_now())
        self._pool.put_volume(sidecar)
        passed("placed")
        return observed(sidecar)

    def clone(self, source: UUID, snapshot: UUID | None, spec: VolumeSpec) -> Observed:
        self._settled(spec.id)
        present = self._pool.find_volume(spec.id)
        if present is not None:
            return observed(present)
        if snapshot is None:
            raise InvalidArgument(field="snapshot", reason="a clone is made of a snapshot")
        taken = self._pool.snapshot(source, snapshot)
        passed = self._pool.steps("clone")
        passed("begun")
        base = Base(volume=source, snapshot=snapshot, owners=taken.owners)
        self._pool.mark(Unsettled(volume=spec.id, base=base))
        passed("marked")
        self._pool.control.put(self._layout.hold(snapshot, spec.id), b"")
        passed("held")
        sidecar = VolumeSidecar(
            id=spec.id, size=spec.size, note=spec.note, base=base, used=taken.size, measured=utc_now()
        )
        self._pool.put_volume(sidecar)
        passed("placed")
        self._pool.unmark(spec.id)
        passed("settled")
        return observed(sidecar)

    def _settled(self, volume: UUID) -> None:
        """Complete what was cut short when a volume of that id was made or removed before."""
        about = self._pool.find_unsettled(volume)
        if about is not None:
            self._collector.settle(about)

    # --- removing ---

    def delete(self, volume: UUID) -> None:
        found = self._pool.find_volume(volume)
        if found is None:
            self._settled(volume)
            return
        passed = self._pool.steps("delete")
        passed("begun")
        about = Unsettled(volume=volume, base=found.base)
        self._pool.mark(about)
        passed("marked")
        self._pool.control.delete(self._layout.volume(volume))
        passed("forgotten")
        self._collector.collect(volume)
        passed("collected")
        self._collector.release(about)
        passed("released")
        self._pool.unmark(volume)
        passed("settled")

    # --- changing ---

    def annotate(self, volume: UUID, note: Note) -> None:
        found = self._pool.volume(volume)
        passed = self._pool.steps("annotate")
        passed("begun")
        self._pool.put_volume(msgspec.structs.replace(found, note=note))
        passed("placed")

    def resize(self, volume: UUID, size: int) -> None:
        found = self._pool.volume(volume)
        if found.size == size:
            return
        passed = self._pool.steps("resize")
        passed("begun")
        self._pool.put_volume(msgspec.structs.replace(found, size=size))
        passed("placed")

    def split(self, volume: UUID) -> None:
        self.go_on(volume)
        found = self._pool.volume(volume)
        if found.base is None:
            self._settled(volume)
            return
        passed = self._pool.steps("split")
        passed("begun")
        for _ in self._pool.each(lambda entry: self._adopt(entry, volume), self._borrowed(found, found.base)):
            pass
        passed("copied")
        about = Unsettled(volume=volume, base=found.base)
        self._pool.mark(about)
        passed("marked")
        self._pool.put_volume(msgspec.structs.replace(found, base=None))
        passed("placed")
        self._collector.let_go(volume, found.base)
        passed("released")
        self._pool.unmark(volume)
        passed("settled")

    def _borrowed(self, found: VolumeSidecar, base: Base) -> Iterator[Entry]:
        """Yield what a clone has of its base only."""
        own = latest(self._pool.own(found.id))
        beneath = self._pool.inventories.entries(base.snapshot)
        for _, mine, below in side_by_side(own, beneath, left_key=key_of, right_key=key_of):
            if mine is None and below is not None:
                yield below

    def _adopt(self, entry: Entry, volume: UUID) -> None:
        """Copy an object of the base into a clone. What somebody wrote or removed there meanwhile counts for more."""
        made = self._copier.copy(entry, volume)
        key = f"{self._layout.below(volume)}{entry.key}"
        if any(each.version != made for each in self._pool.data.of(key)):
            self._pool.data.delete_versions([(key, made)])

    def bring_down(self, found: VolumeSidecar, key: str) -> None:
        """Have an object of the base in the clone itself, so that a store that marks only what is there can mark it."""
        if found.base is None or self._pool.traits.marks_absent:
            return
        if not self._pool.data.of(f"{self._layout.below(found.id)}{key}"):
            entry = self._pool.inventories.find(found.base.snapshot, key)
            if entry is not None:
                self._adopt(entry, found.id)

    # --- restoring ---

    def restore(self, volume: UUID, snapshot: UUID, token: UUID) -> None:
        self.go_on(volume)
        found = self._pool.volume(volume)
        if found.restored == token:
            return
        self._pool.snapshot(volume, snapshot)
        passed = self._pool.steps("restore")
        passed("begun")
        self._pool.begin_restore(Journal(volume=volume, snapshot=snapshot, token=token))
        passed("journalled")
        self.go_on(volume)

    def go_on(self, volume: UUID) -> None:
        """Complete a volume's restore that has begun, if there is one."""
        if volume not in self._pool.restoring:
            return
        journal = self._pool.load(self._layout.restore(volume), Journal)
        found = self._pool.find_volume(volume)
        if journal is None or found is None:
            self._pool.end_restore(volume)
            return
        taken = self._pool.snapshot(volume, journal.snapshot)
        passed = self._pool.steps("restore")
        for _ in self._pool.each(lambda change: self._replace(found, *change), self._different(found, taken.id)):
            pass
        passed("replaced")
        self._pool.put_volume(
            msgspec.structs.replace(
                self._pool.volume(volume), restored=journal.token, used=taken.size, measured=utc_now()
            )
        )
        passed("placed")
        self._collector.collect(volume)
        passed("collected")
        self._pool.end_restore(volume)
        passed("settled")

    def settle_restore(self, volume: UUID, token: UUID) -> bool:
        self.go_on(volume)
        return self._pool.volume(volume).restored == token

    def _different(self, found: VolumeSidecar, snapshot: UUID) -> Iterator[tuple[str, Entry | None]]:
        """Yield every key that a volume has otherwise than a snapshot, with what the snapshot has (None: nothing)."""
        now, then = self._pool.content(found), self._pool.inventories.entries(snapshot)
        for key, present, wanted in side_by_side(now, then, left_key=key_of, right_key=key_of):
            if present is None or wanted is None or not _same(present, wanted):
                yield key, wanted

    def _replace(self, found: VolumeSidecar, key: str, wanted: Entry | None) -> None:
        if wanted is not None:
            self._copier.copy(wanted, found.id)
            return
        self.bring_down(found, key)
        self._pool.data.delete(f"{self._layout.below(found.id)}{key}")

    # --- looking ---

    def inspect(self, volume: UUID) -> Observed | None:
        found = self._pool.find_volume(volume)
        return None if found is None else observed(found)

    def look(self, volumes: list[UUID]) -> list[Observed]:
        """Give the volumes of these ids, as far as they are there."""
        return [observed(found) for found in self._pool.each(self._pool.find_volume, volumes) if found is not None]

    def all(self) -> Iterator[UUID]:
        """Yield the id of every volume."""
        return (found for key in self._pool.control.keys(self._layout.volumes) if (found := named(key)) is not None)

    def strangers(self) -> list[Observed]:
        """Give what lies among the objects of volumes and belongs to none."""
        found = []
        for folder in self._pool.data.folders(self._layout.objects):
            owner = named(folder.removesuffix("/"))
            if owner is None or not (self._pool.find_volume(owner) or self._is_kept(owner)):
                found.append(Observed(id=None, kind=KIND, place=f"s3://{self._pool.data.name}/{folder}"))
        return found

    def _is_kept(self, volume: UUID) -> bool:
        """Tell whether a volume that is gone has objects that others need."""
        return next(self._pool.control.keys(self._layout.needs_of(volume)), None) is not None

    def check(self) -> None:
        """Raise Unavailable when the bucket is not there any more."""
        if self._pool.data.head(self._layout.pool) is None:
            raise Unavailable(what=self._pool.name, reason="another bucket, or none, is in its place now")


def observed(found: VolumeSidecar) -> Observed:
    """Describe a volume."""
    return Observed(
        id=found.id,
        kind=KIND,
        size=found.size,
        used=found.used,
        used_age_s=max(0, int((utc_now() - found.measured).total_seconds())),
        note=found.note,
        origin=found.base.volume if found.base else None,
        origin_snapshot=found.base.snapshot if found.base else None,
    )


def _same(one: Entry, other: Entry) -> bool:
    """Tell whether two versions have the same bytes for all that the store says."""
    if (one.owner, one.version) == (other.owner, other.version):
        return True
    return bool(one.etag) and (one.etag, one.size) == (other.etag, other.size)
