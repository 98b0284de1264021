"""Changes of snapshots, and restores, step by step. All of it blocks."""
# ruff: noqa: D102 - the protocols carry the contract of the methods

from __future__ import annotations

from collections.abc import Sequence
from uuid import UUID

import msgspec

from gateway.backends.zfs.commands import Snap
from gateway.backends.zfs.failures import Meaning, Refused
from gateway.backends.zfs.pool import Pool, Step, Volume
from gateway.backends.zfs.records import SNAPSHOT, Restoring, SnapshotRecord, encode, incoming_id
from gateway.core.backend import GroupMember, Note, ObservedSnapshot
from gateway.core.errors import AlreadyExists, InUse, InvalidState, LimitExceeded, NotFound

_GROUP_MAX = 256 * 1024
"""Bytes that the notes of a group may take together: every one of its snapshots keeps all of them."""


class Snapshots:
    """Takes, removes, finds and restores snapshots."""

    def __init__(self, pool: Pool) -> None:
        self._pool = pool
        self._commands = pool.commands

    # --- taking ---

    def snapshot(self, volume: UUID, snapshot: UUID, note: Note) -> ObservedSnapshot:
        passed = self._pool.steps("snapshot")
        passed("begun")
        record = SnapshotRecord(snapshot, volume, note)
        place = self._pool.snapshot_place(volume, snapshot)
        try:
            self._commands.snapshot([place], self._pool.user(SNAPSHOT, encode([record])))
        except Refused as refused:
            if refused.meaning is Meaning.MISSING:
                self._pool.check_place()
                raise NotFound(kind="volume", ref=str(volume)) from refused
            present = self._pool.find_snapshot(volume, snapshot) if refused.meaning is Meaning.EXISTS else None
            if present is not None:
                return self.observed(present.record, present.snap)
            if refused.meaning is Meaning.EXISTS:
                raise AlreadyExists(kind="snapshot", name=str(snapshot), field="id") from refused
            raise
        passed("taken")
        return ObservedSnapshot(id=snapshot, volume_id=volume, note=note, place=place)

    def group(self, members: Sequence[GroupMember]) -> None:
        """Take all that are missing in one transaction, which also gives each the notes of all."""
        if not members:
            return
        passed = self._pool.steps("snapshot_group")
        passed("begun")
        try:
            self._take(members)
        except Refused as refused:
            if refused.meaning is not Meaning.EXISTS:
                raise
            missing = [m for m in members if self._pool.find_snapshot(m.volume, m.snapshot) is None]
            if missing:
                self._take(missing)
        passed("taken")

    def _take(self, members: Sequence[GroupMember]) -> None:
        user = self._pool.user(SNAPSHOT, encode([SnapshotRecord(m.snapshot, m.volume, m.note) for m in members]))
        size = sum(map(len, user.values()))
        if size > _GROUP_MAX and len(members) > 1:
            raise LimitExceeded(limit="notes of a group", value=size, maximum=_GROUP_MAX)
        try:
            self._commands.snapshot([self._pool.snapshot_place(m.volume, m.snapshot) for m in members], user)
        except Refused as refused:
            if refused.meaning is not Meaning.MISSING:
                raise
            gone = next((m.volume for m in members if self._pool.find(m.volume) is None), "")
            raise NotFound(kind="volume", ref=str(gone)) from refused

    # --- removing ---

    def delete(self, volume: UUID, snapshot: UUID) -> None:
        found = self._pool.find_snapshot(volume, snapshot)
        if found is None:
            return
        clones = self._commands.clones([found.snap.name]).get(found.snap.name, ())
        if found.snap.holds:
            raise InUse(kind="snapshot", ref=str(snapshot), by="replication", action="delete")
        if clones and not self._pool.split_off(clones):
            raise InUse(kind="snapshot", ref=str(snapshot), by="clones", action="delete")
        passed = self._pool.steps("delete_snapshot")
        passed("begun")
        try:
            self._commands.destroy_snapshots(found.snap.dataset, [found.snap.short], deferred=bool(clones))
        except Refused as refused:
            if refused.meaning is not Meaning.MISSING:
                raise
        passed("removed")

    # --- changing ---

    def annotate(self, volume: UUID, snapshot: UUID, note: Note) -> None:
        found = self._pool.snapshot(volume, snapshot)
        passed = self._pool.steps("annotate_snapshot")
        passed("begun")
        document = encode([msgspec.structs.replace(found.record, note=note)])
        self._pool.write(found.snap.name, SNAPSHOT, document, present=found.snap.head, passed=passed)

    # --- restoring ---

    def restore(self, volume: UUID, snapshot: UUID, token: UUID) -> None:
        found = self._pool.volume(volume)
        if found.record.restored == token:
            return
        target = self._pool.snapshot(volume, snapshot)
        if target.snap.dataset != found.dataset.name:
            raise InvalidState(kind="snapshot", ref=str(snapshot), state="with a promoted clone", action="restore")
        if not found.dataset.block and 0 < found.dataset.refquota < target.snap.referenced:
            raise LimitExceeded(limit="size", value=found.size, minimum=target.snap.referenced)
        self._newer(found, target.snap)
        passed = self._pool.steps("restore")
        passed("begun")
        # Until the restore is settled nobody can write what a second rollback would take away.
        self._pool.unmounted(found.dataset)
        size = found.record.restoring.size if found.record.restoring else found.size
        announced = msgspec.structs.replace(found.record, restoring=Restoring(token, snapshot, size))
        self._pool.describe(found, announced, lambda step: passed("announced") if step == "noted" else None)
        self.finish(self._pool.volume(volume), passed)
        if found.dataset.mounted:
            self._commands.mount(found.dataset.name)

    def finish(self, found: Volume, passed: Step) -> bool:
        """Do what was announced; False when it cannot be done any more, and is forgotten."""
        restoring = found.record.restoring
        if restoring is None:
            return False
        try:
            target = self._pool.snapshot(found.record.id, restoring.snapshot)
            newer = self._newer(found, target.snap)
        except (InUse, NotFound):
            forgotten = msgspec.structs.replace(found.record, restoring=None)
            self._pool.describe(found, forgotten, lambda _step: None)
            return False
        if newer:
            self._commands.destroy_snapshots(found.dataset.name, [snap.short for snap in newer])
        passed("cleared")
        self._commands.rollback(target.snap.name)
        passed("rolled_back")
        if found.dataset.block:
            self._keep_size(found, restoring.size)
            passed("sized")
        done = msgspec.structs.replace(found.record, restored=restoring.token, restoring=None)
        self._pool.describe(found, done, lambda step: passed("noted") if step == "noted" else None)
        return True

    def _keep_size(self, found: Volume, size: int) -> None:
        """The size of a block volume is content to ZFS, and came back with it."""
        now = self._pool.dataset(found.dataset.name)
        if now is not None and now.volsize != size:
            self._commands.set(found.dataset.name, {"volsize": str(size)})

    def _newer(self, found: Volume, target: Snap) -> list[Snap]:
        """Give the snapshots that a rollback takes away; InUse when one of them must stay."""
        snaps = [snap for snap in self._pool.snapshots_of(found.dataset.name) if snap.createtxg > target.createtxg]
        marks = self._commands.bookmarks(found.dataset.name)
        if any(made > target.createtxg for made in marks.values()):
            raise InUse(kind="snapshot", ref=target.short, by="replication", action="restore")
        if not snaps:
            return []
        ours = self._pool.snapshot_records(snaps)
        clones = self._commands.clones([snap.name for snap in snaps])
        for snap in snaps:
            by = (
                "clones"
                if snap.name in clones
                else "replication"
                if snap.holds
                else "snapshots"
                if snap.name not in ours and incoming_id(snap.short) is None
                else None
            )
            if by is not None:
                raise InUse(kind="snapshot", ref=snap.short, by=by, action="restore")
        return snaps

    def settle(self, volume: UUID, token: UUID) -> bool:
        found = self._pool.volume(volume)
        restoring = found.record.restoring
        if restoring is None or restoring.token != token:
            return found.record.restored == token
        self._pool.unmounted(found.dataset)
        return self.finish(found, lambda _step: None)

    # --- looking ---

    def inspect(self, volume: UUID, snapshot: UUID) -> ObservedSnapshot | None:
        found = self._pool.find_snapshot(volume, snapshot)
        return None if found is None else self.observed(found.record, found.snap)

    def scan(self) -> list[ObservedSnapshot]:
        """Give every snapshot, whoever took it, from one list."""
        snaps = [
            snap
            for snap in self._commands.snaps(self._pool.parent, SNAPSHOT, depth=2)
            if not snap.deferred and incoming_id(snap.short) is None and not self._arriving(snap)
        ]
        if not snaps:
            self._pool.check_place()
        records = self._pool.snapshot_records(snaps)
        return [
            ObservedSnapshot(id=None, volume_id=None, size=snap.referenced, place=snap.name)
            if (record := records.get(snap.name)) is None
            else self.observed(record, snap)
            for snap in snaps
        ]

    def _arriving(self, snap: Snap) -> bool:
        return incoming_id(snap.dataset.rpartition("/")[2]) is not None

    def observed(self, record: SnapshotRecord, snap: Snap) -> ObservedSnapshot:
        """Describe a snapshot. `size` is what is reachable in it; deleting it may free less."""
        return ObservedSnapshot(
            id=record.id, volume_id=record.volume, size=snap.referenced, note=record.note, place=snap.name
        )
