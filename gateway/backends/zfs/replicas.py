"""Replication, step by step. All of it blocks.

A volume's first stream is received beside its place and renamed into it when
everything is in order; an increment is received as a snapshot with a name that
nobody is told of, and renamed. What a broken stream brought so far stays where
it is: `resume_token` lets its sender go on there, and a stream from the start
drops it.
"""

from __future__ import annotations

from collections.abc import Sequence
from uuid import UUID

import msgspec

from gateway.backends.zfs.commands import options
from gateway.backends.zfs.failures import Meaning, Refused
from gateway.backends.zfs.pool import Pool, Step, Volume
from gateway.backends.zfs.records import (
    INCOMING,
    SNAPSHOT,
    VOLUME,
    SnapshotRecord,
    VolumeRecord,
    encode,
    incoming_id,
    parse_id,
)
from gateway.backends.zfs.stream import Head, Receiver, Sender
from gateway.backends.zfs.volumes import Volumes
from gateway.core.backend import Note, VolumeSpec
from gateway.core.errors import AlreadyExists, InUse, InvalidArgument, NotFound
from gateway.core.model import VolumeKind


class Arrival(msgspec.Struct, frozen=True):
    """Where a stream goes: the snapshot that it becomes, and the name that it gets at the end."""

    spec: VolumeSpec
    snapshot: UUID
    note: Note
    target: str
    first: bool

    @property
    def dataset(self) -> str:
        """Give the dataset that is received into."""
        return self.target.partition("@")[0]


class Replicas:
    """Sends and takes snapshots as streams."""

    def __init__(self, pool: Pool, volumes: Volumes) -> None:
        self._pool = pool
        self._commands = pool.commands
        self._volumes = volumes

    # --- sending ---

    def sender(self, volume: UUID, snapshot: UUID, base: UUID | None) -> Sender:
        """Start sending a snapshot, whole or as the difference from `base`."""
        name = self._pool.snapshot(volume, snapshot).snap.name
        since = () if base is None else ("-i", self._pool.snapshot(volume, base).snap.name)
        return Sender(self._pool.name, [*since, name])

    def rest(self, token: str) -> Sender:
        """Start sending what is left of a stream that broke off."""
        return Sender(self._pool.name, ["-t", token])

    def token(self, volume: UUID) -> str | None:
        """Give the token with which the sender of a broken stream can go on; None when nothing waits for it."""
        for name in (self._pool.arriving(volume), self._pool.place(volume)):
            dataset = self._pool.dataset(name)
            if dataset is not None and dataset.token is not None:
                return dataset.token
        return None

    # --- receiving ---

    def arrive(self, spec: VolumeSpec, snapshot: UUID, note: Note, head: Head) -> tuple[Arrival, Receiver]:
        """Start receiving a stream; refuses what cannot fit before anything is changed."""
        if head.block != (spec.kind is VolumeKind.BLOCK):
            raise InvalidArgument(field="stream", reason=f"not of a {spec.kind} volume")
        present = self._pool.find(spec.id)
        if present is None and head.base:
            raise NotFound(kind="volume", ref=str(spec.id))
        if present is not None and not head.base:
            raise AlreadyExists(kind="volume", name=str(spec.id), field="id")
        self._pool.steps("receive")("begun")
        if present is None:
            return self._first(spec, snapshot, note, head)
        self._require_base(present, head)
        self._prepare(present.dataset.name, head)
        self._remember_size(present)
        target = f"{present.dataset.name}@{INCOMING}{snapshot}"
        arrival = Arrival(spec, snapshot, note, target, first=False)
        return arrival, Receiver(["-s", "-u", "-F", target])

    def _first(self, spec: VolumeSpec, snapshot: UUID, note: Note, head: Head) -> tuple[Arrival, Receiver]:
        name = self._pool.arriving(spec.id)
        self._prepare(name, head)
        record = VolumeRecord(id=spec.id, size=spec.size, note=spec.note)
        user = options(self._pool.user(VOLUME, encode(record)))
        kind = [] if head.block else ["-o", "canmount=noauto"]
        arrival = Arrival(spec, snapshot, note, f"{name}@{snapshot}", first=True)
        return arrival, Receiver(["-s", "-u", *kind, *user, arrival.target])

    def _prepare(self, name: str, head: Head) -> None:
        """Drop what an earlier stream left, unless this one goes on from there."""
        dataset = self._pool.dataset(name)
        if dataset is None or (dataset.token is not None and head.resuming):
            return
        if incoming_id(dataset.short) is not None:
            self._volumes.discard_arriving(dataset)
        elif dataset.token is not None:
            self._commands.abort_receive(name)

    def _require_base(self, present: Volume, head: Head) -> None:
        """The base must be the newest: a receive would take newer snapshots away without a word."""
        snaps = self._pool.snapshots_of(present.dataset.name)
        for snap in [snap for snap in snaps if incoming_id(snap.short) is not None]:
            self.undo(snap.name)
            snaps.remove(snap)
        if head.base not in {snap.guid for snap in snaps}:
            raise NotFound(kind="snapshot", ref="the base of the stream")
        if snaps[-1].guid != head.base:
            raise InUse(kind="snapshot", ref=snaps[-1].short, by="snapshots", action="receive")

    def _remember_size(self, present: Volume) -> None:
        """The size of a block volume is content to ZFS: what undoes a receive must know what it was."""
        size = present.dataset.volsize
        if present.dataset.block and size != present.record.size:
            self._pool.describe(present, msgspec.structs.replace(present.record, size=size), lambda _step: None)

    def land(self, arrival: Arrival) -> None:
        """Give what was received its record, its size and its name."""
        passed = self._pool.steps("receive")
        passed("streamed")
        record = SnapshotRecord(arrival.snapshot, arrival.spec.id, arrival.note)
        self._pool.write(arrival.target, SNAPSHOT, encode([record]), present=None, passed=passed)
        self._size(arrival, passed)
        if arrival.first:
            self._commands.rename(arrival.dataset, self._pool.place(arrival.spec.id))
        else:
            self._commands.rename(arrival.target, f"{arrival.dataset}@{arrival.snapshot}")
        passed("placed")

    def _size(self, arrival: Arrival, passed: Step) -> None:
        """Set the size that the volume is to have; the stream brought that of the sender's."""
        dataset = self._pool.dataset(arrival.dataset)
        size = arrival.spec.size
        if dataset is None:
            return
        wanted: dict[str, str] = {}
        if dataset.block and dataset.volsize < size:
            wanted = {"volsize": str(size)}
        if arrival.first and arrival.spec.thick:
            wanted["refreservation"] = "auto" if dataset.block else str(size)
        if arrival.first and not dataset.block and self._pool.quota:
            wanted = {"refquota": str(size), **wanted}
        for name, value in wanted.items():
            self._commands.set(arrival.dataset, {name: value})
        if wanted:
            passed("sized")

    # --- after a failure or a crash ---

    def abandon(self, arrival: Arrival) -> None:
        """Undo a receive that failed after its stream had come in; what can be resumed stays."""
        dataset = self._pool.dataset(arrival.dataset)
        if dataset is None or dataset.token is not None:
            return
        if arrival.first:
            self._volumes.discard_arriving(dataset)
        elif self._commands.snaps(arrival.target, SNAPSHOT):
            self.undo(arrival.target)

    def undo(self, snapshot: str) -> None:
        """Take an increment back that has not become a snapshot of ours."""
        dataset, _, short = snapshot.partition("@")
        older = [snap.name for snap in self._pool.snapshots_of(dataset) if snap.name != snapshot]
        self._commands.destroy_snapshots(dataset, [short])
        if older:
            self._commands.rollback(older[-1])
        self._bring_size_back(dataset)

    def _bring_size_back(self, dataset: str) -> None:
        volume = parse_id(dataset.rpartition("/")[2])
        found = None if volume is None else self._pool.find(volume)
        if found is not None and found.dataset.block and found.dataset.volsize < found.record.size:
            self._commands.set(dataset, {"volsize": str(found.record.size)})

    def settle(self, snapshots: Sequence[str], recorded: Sequence[str]) -> None:
        """Finish the increments that have their record, and take back the others."""
        for name in snapshots:
            dataset, _, short = name.partition("@")
            if name in recorded:
                self._finish(name, f"{dataset}@{short.removeprefix(INCOMING)}")
            else:
                self.undo(name)

    def _finish(self, old: str, new: str) -> None:
        self._bring_size_back(new.partition("@")[0])
        try:
            self._commands.rename(old, new)
        except Refused as refused:
            if refused.meaning is not Meaning.EXISTS:
                raise
