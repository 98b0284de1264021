"""Changes of volumes, step by step. All of it blocks."""
# ruff: noqa: D102 - the protocols carry the contract of the methods

from __future__ import annotations

import os
from collections.abc import Callable
from uuid import UUID

import msgspec

from gateway.backends.zfs.commands import Dataset, Shape, Snap, number
from gateway.backends.zfs.failures import Meaning, Refused
from gateway.backends.zfs.pool import Pool, Step, Volume, set_root
from gateway.backends.zfs.records import MANIFEST_NAME, VOLUME, VolumeRecord, encode, incoming_id, parse_id
from gateway.core.backend import Note, Observed, VolumeSpec
from gateway.core.errors import AlreadyExists, InUse, InvalidArgument, LimitExceeded, NotFound, OutOfSpace
from gateway.core.model import RootDirectory, VolumeKind

_FRESH = RootDirectory()
"""What the top directory of a new dataset is, as long as root makes it."""


class Volumes:
    """Makes, changes and finds volumes."""

    def __init__(self, pool: Pool) -> None:
        self._pool = pool
        self._commands = pool.commands

    # --- making ---

    def create(self, spec: VolumeSpec) -> Observed:
        # Looking first would cost as much as making: what is there already, the kernel says.
        root = None if spec.root == _FRESH and os.geteuid() == 0 else spec.root
        passed = self._pool.steps("create")
        passed("begun")
        record = VolumeRecord(id=spec.id, size=spec.size, note=spec.note)
        return self._make(spec, record, root, passed=passed, make=self._commands.create)

    def clone(self, source: UUID, snapshot: UUID | None, spec: VolumeSpec) -> Observed:
        if snapshot is None:
            raise InvalidArgument(field="snapshot", reason="a clone is made from a snapshot")
        passed = self._pool.steps("clone")
        passed("begun")
        record = VolumeRecord(id=spec.id, size=spec.size, note=spec.note, origin=source, origin_snapshot=snapshot)

        def make(name: str, whole: Shape) -> None:
            shape = msgspec.structs.replace(whole, volblocksize=None)
            try:
                self._commands.clone(self._pool.snapshot_place(source, snapshot), name, shape)
            except Refused as refused:
                if refused.meaning is not Meaning.MISSING:
                    raise
                self._commands.clone(self._pool.snapshot(source, snapshot).snap.name, name, shape)

        return self._make(spec, record, spec.root, passed=passed, make=make)

    def _make(
        self,
        spec: VolumeSpec,
        record: VolumeRecord,
        root: RootDirectory | None,
        *,
        passed: Step,
        make: Callable[[str, Shape], None],
    ) -> Observed:
        """Make a dataset that is whole at once, or, where its top directory is to be changed, only after that."""
        rooted = root is not None and spec.kind is VolumeKind.FILESYSTEM and self._pool.may_mount
        draft = msgspec.structs.replace(record, whole=not rooted)
        name, shape = self._pool.place(spec.id), self.shape(spec, draft)
        try:
            make(name, shape)
        except Refused as refused:
            if refused.meaning is Meaning.BELOW_USE:
                raise LimitExceeded(limit="size", value=spec.size) from refused
            if refused.meaning is Meaning.MISSING:
                self._pool.check_place()
            if refused.meaning is not Meaning.EXISTS:
                raise
            present = self.present(spec.id)
            if present is not None:
                return self.observed(present)
            make(name, shape)
        passed("made")
        if rooted and root is not None:
            self._permit(spec.id, record, root, passed)
        return Observed(
            id=spec.id,
            kind=spec.kind,
            size=spec.size,
            note=spec.note,
            origin=record.origin,
            origin_snapshot=record.origin_snapshot,
            place=name,
        )

    def _permit(self, volume: UUID, record: VolumeRecord, root: RootDirectory, passed: Step) -> None:
        made = self._pool.unfinished(volume)
        if made is None:
            raise NotFound(kind="volume", ref=str(volume))
        set_root(self._pool.mounted(made.dataset), root)
        passed("permitted")
        self._pool.describe(made, record, lambda step: passed("whole") if step == "noted" else None)

    def shape(self, spec: VolumeSpec, record: VolumeRecord) -> Shape:
        """Give the properties of a volume that is to be made."""
        user = self._pool.user(VOLUME, encode(record))
        if spec.kind is VolumeKind.BLOCK:
            block = self._pool.options.volblocksize
            return Shape(volsize=spec.size, volblocksize=block, reserved=spec.thick, user=user)
        return Shape(refquota=spec.size if self._pool.quota else None, reserved=spec.thick, user=user)

    def present(self, volume: UUID) -> Volume | None:
        """Give a volume of ours; None when its place is free, AlreadyExists when something else is there.

        What a crash left in its place goes first.
        """
        dataset = self._pool.dataset(self._pool.place(volume))
        if dataset is None:
            return None
        found = self._pool.find(volume)
        if found is None and not self.discard_unfinished(dataset):
            raise AlreadyExists(kind="volume", name=str(volume), field="id")
        return found

    def discard_unfinished(self, dataset: Dataset) -> bool:
        """Remove a volume that was only being made; tell whether its place is free.

        The kernel makes a dataset and gives it its properties one transaction
        later, so a power cut may leave one without any. It is taken for ours
        by its name, and only when it is a clone or new and nothing was ever
        written into it or taken of it.
        """
        volume = parse_id(dataset.short)
        found = None if volume is None else self._pool.unfinished(volume)
        if volume is None or (found is not None and found.record.whole):
            return False
        if found is None and not self._untouched(dataset):
            return False
        if self._pool.snapshots_of(dataset.name):
            return False
        self._pool.unmounted(dataset)
        self._destroy(dataset)
        return True

    def _untouched(self, dataset: Dataset) -> bool:
        if dataset.head is not None or dataset.mounted:
            return False
        return number(self._commands.get(dataset.name, "written").get("written") or "") < _EMPTY

    # --- removing ---

    def delete(self, volume: UUID) -> None:
        for arriving in self._commands.datasets(self._pool.arriving(volume), VOLUME):
            self.discard_arriving(arriving)
        found = self._pool.unfinished(volume)
        if found is None:
            return
        pinned = self._pinned(found)
        passed = self._pool.steps("delete")
        passed("begun")
        self._pool.unmounted(found.dataset)
        passed("unmounted")
        if pinned is not None:
            self._commands.promote(pinned)
            passed("promoted")
        self._destroy(found.dataset)
        passed("removed")

    def _pinned(self, found: Volume) -> str | None:
        """Give the split clone that is to take over the snapshots which only clones hold; InUse for any other."""
        volume, dataset = str(found.record.id), found.dataset.name
        snaps = self._pool.snapshots_of(dataset)
        arriving = [snap.short for snap in snaps if self._is_arriving(snap)]
        kept = [snap for snap in snaps if not self._is_arriving(snap)]
        clones = self._commands.clones([snap.name for snap in kept]) if kept else {}
        if not all(self._pool.split_off(names) for names in clones.values()):
            raise InUse(kind="volume", ref=volume, by="clones", action="delete")
        if not all(snap.deferred and snap.name in clones for snap in kept):
            raise InUse(kind="volume", ref=volume, by="snapshots", action="delete")
        if arriving:
            self._commands.destroy_snapshots(dataset, arriving)
        return clones[kept[-1].name][0] if kept else None

    def _is_arriving(self, snap: Snap) -> bool:
        return incoming_id(snap.short) is not None

    def discard_arriving(self, dataset: Dataset) -> None:
        """Remove a volume that was being received."""
        if dataset.token is not None:
            self._commands.abort_receive(dataset.name)
            if self._pool.dataset(dataset.name) is None:
                return
        shorts = [snap.short for snap in self._pool.snapshots_of(dataset.name)]
        if shorts:
            self._commands.destroy_snapshots(dataset.name, shorts)
        self._destroy(dataset)

    def _destroy(self, dataset: Dataset) -> None:
        try:
            self._commands.destroy(dataset.name)
        except Refused as refused:
            if refused.meaning is not Meaning.BUSY or not dataset.block:
                raise
            # udev looks into every new device for a moment.
            self._commands.settle_devices()
            self._commands.destroy(dataset.name)

    # --- changing ---

    def annotate(self, volume: UUID, note: Note) -> None:
        found = self._pool.volume(volume)
        passed = self._pool.steps("annotate")
        passed("begun")
        self._pool.describe(found, msgspec.structs.replace(found.record, note=note), passed)

    def split(self, volume: UUID) -> None:
        """Stop being a clone: from now on its base may be deleted, and its source; see the package's text."""
        found = self._pool.volume(volume)
        if found.record.origin is None:
            return
        passed = self._pool.steps("split")
        passed("begun")
        alone = msgspec.structs.replace(found.record, origin=None, origin_snapshot=None, split=True)
        self._pool.describe(found, alone, passed)

    def resize(self, volume: UUID, size: int) -> None:
        found = self._pool.volume(volume)
        if size == found.size:
            return
        if found.dataset.block and size < found.size:
            raise InvalidArgument(field="size", value=size, reason="a block volume does not shrink")
        passed = self._pool.steps("resize")
        passed("begun")
        try:
            self._limit(found, size, passed)
        except Refused as refused:
            if refused.meaning is Meaning.BELOW_USE:
                raise LimitExceeded(limit="size", value=size, minimum=found.dataset.referenced) from refused
            raise

    def _limit(self, found: Volume, size: int, passed: Step) -> None:
        name, reserved = found.dataset.name, found.dataset.refreservation
        if found.dataset.block:
            # A reservation of the whole size follows by itself.
            self._commands.set(name, {"volsize": str(size)})
            passed("limited")
            return
        if not self._pool.quota:
            self._pool.describe(found, msgspec.structs.replace(found.record, size=size), lambda _step: None)
            passed("limited")
            return
        if reserved and size < reserved:
            self._commands.set(name, {"refreservation": str(size)})
            passed("reserved")
        self._commands.set(name, {"refquota": str(size)})
        passed("limited")
        if reserved and size > reserved:
            try:
                self._commands.set(name, {"refreservation": str(size)})
            except Refused as refused:
                self._commands.set(name, {"refquota": str(found.size)})
                raise OutOfSpace(pool=self._pool.name, wanted=size - reserved) from refused
            passed("reserved")

    def set_root(self, volume: UUID, root: RootDirectory) -> None:
        found = self._pool.volume(volume)
        if found.dataset.block:
            raise InvalidArgument(field="root", reason="a block volume has no top directory")
        passed = self._pool.steps("set_root")
        passed("begun")
        set_root(self._pool.mounted(found.dataset), root)
        passed("permitted")

    def convert(self, spec: VolumeSpec) -> Observed:
        found = self.present(spec.id)
        passed = self._pool.steps("convert")
        if found is not None and found.kind is spec.kind:
            return self.observed(found)
        passed("begun")
        if found is not None:
            self._prove_empty(found)
            passed("emptied")
            self._commands.destroy(found.dataset.name)
        passed("removed")
        record = VolumeRecord(id=spec.id, size=spec.size, note=spec.note)
        return self._make(spec, record, None, passed=passed, make=self._commands.create)

    def _prove_empty(self, found: Volume) -> None:
        """Leave the volume unmounted, or raise InUse: it is looked at through a mount that nobody can write to."""
        used = InUse(kind="volume", ref=str(found.record.id), by="content", action="convert")
        if found.dataset.block or self._pool.snapshots_of(found.dataset.name):
            raise used
        self._pool.unmounted(found.dataset)
        self._commands.mount(found.dataset.name, read_only=True)
        try:
            empty = not os.listdir(found.dataset.mountpoint)  # noqa: PTH208 - the path may hold any bytes
        finally:
            self._commands.unmount(found.dataset.name)
        if not empty:
            raise used

    # --- looking ---

    def inspect(self, volume: UUID) -> Observed | None:
        found = self._pool.find(volume)
        return None if found is None else self.observed(found)

    def scan(self) -> list[Observed]:
        """Give every volume, and everything in their place that is not ours, from one list."""
        pool = self._pool
        reserved = {pool.parent, f"{pool.parent}/{MANIFEST_NAME}"}
        listed = self._commands.datasets(pool.parent, VOLUME, below=True)
        if not listed:
            pool.check_place()
        datasets = [
            dataset for dataset in listed if dataset.name not in reserved and incoming_id(dataset.short) is None
        ]
        records = pool.volume_records(datasets)
        return [seen for dataset in datasets if (seen := self._seen(dataset, records.get(dataset.name))) is not None]

    def _seen(self, dataset: Dataset, record: VolumeRecord | None) -> Observed | None:
        if record is None:
            kind = VolumeKind.BLOCK if dataset.block else VolumeKind.FILESYSTEM
            return Observed(id=None, kind=kind, used=dataset.referenced, place=dataset.name)
        return self.observed(Volume(record, dataset)) if record.whole else None

    def observed(self, found: Volume) -> Observed:
        """Describe a volume. `used` is what is reachable in it; what only it holds may be less."""
        return Observed(
            id=found.record.id,
            kind=found.kind,
            size=found.size,
            used=found.dataset.referenced,
            note=found.record.note,
            origin=found.record.origin,
            origin_snapshot=found.record.origin_snapshot,
            place=found.dataset.name,
        )


_EMPTY = 256 * 1024
"""Bytes below which nothing but its own structure was ever written to a dataset that was never mounted."""
