"""Changes of volumes, step by step. All of it blocks."""
# ruff: noqa: D102 - the protocols carry the contract of the methods

from __future__ import annotations

from collections.abc import Sequence
from uuid import UUID

import msgspec

from gateway.backends.perforce.failures import Meaning, Refused
from gateway.backends.perforce.pool import Pool, text
from gateway.backends.perforce.records import VolumeRecord, decode
from gateway.core.backend import Note, Observed, VolumeSpec
from gateway.core.errors import AlreadyExists, Busy, InUse
from gateway.core.model import VolumeKind


class Volumes:
    """Makes, changes and finds volumes."""

    def __init__(self, pool: Pool) -> None:
        self._pool = pool

    # --- making ---

    def create(self, spec: VolumeSpec) -> Observed:
        present = self._present(spec.id)
        if present is not None:
            return self._observed(present)
        passed = self._pool.steps("create")
        passed("begun")
        record = VolumeRecord(id=spec.id, size=spec.size, note=spec.note)
        self._pool.make(record)
        passed("made")
        return self._observed(record, used=0)

    def clone(self, source: UUID, snapshot: UUID | None, spec: VolumeSpec) -> Observed:
        present = self._present(spec.id)
        if present is not None:
            return self._observed(present)
        if snapshot is None:
            self._pool.volume(source)
            change = self._pool.newest_change(source)
        else:
            change = self._pool.snapshot(source, snapshot).record.change
        passed = self._pool.steps("clone")
        passed("begun")
        whole = VolumeRecord(id=spec.id, size=spec.size, note=spec.note, origin=source, origin_snapshot=snapshot)
        self._pool.make(msgspec.structs.replace(whole, whole=False))
        passed("made")
        # One changelist has all of it. That there are no files at all is only a warning.
        said = f"Clone of {self._pool.names.stream(source)} at changelist {change}, by volume-gateway"
        names = self._pool.names
        self._pool.change("populate", "-d", said, names.files(source, change), names.files(spec.id))
        passed("populated")
        made = self._pool.find(spec.id)
        if made is None:
            raise Busy(what=self._pool.name)
        self._pool.describe(made, whole)
        passed("noted")
        return self._observed(whole)

    def _present(self, volume: UUID) -> VolumeRecord | None:
        """Give a whole volume; None when its place is free, AlreadyExists when something else is there."""
        found = self._pool.find(volume)
        if found is not None and found.record.whole:
            return found.record
        if found is not None:
            self._pool.discard(found)
        elif self._pool.form("stream", self._pool.names.stream(volume)) is not None:
            raise AlreadyExists(kind="volume", name=str(volume), field="id")
        return None

    # --- removing ---

    def delete(self, volume: UUID) -> None:
        found = self._pool.find(volume)
        if found is None:
            return
        names = self._pool.names
        self._refuse_used(volume)
        passed = self._pool.steps("delete")
        passed("begun")
        self._pool.describe(found, msgspec.structs.replace(found.record, whole=False))
        passed("marked")
        self._pool.empty(volume)
        passed("emptied")
        try:
            self._pool.remove("stream", names.stream(volume), "-f")
        except Refused as refused:
            if refused.meaning is Meaning.WORKSPACES:
                raise InUse(kind="volume", ref=str(volume), by="sessions", action="delete") from refused
            raise
        passed("removed")

    def _refuse_used(self, volume: UUID) -> None:
        """Raise InUse while anything depends on the stream: looked at before anything is taken away."""
        names = self._pool.names
        users: dict[str, Sequence[object]] = {
            "snapshots": self._pool.read("labels", "-m", "1", "-e", names.labels_of(volume)),
            "sessions": self._pool.workspaces_of(volume),
            "volumes": self._pool.read("streams", "-m", "1", "-F", f"Parent={names.stream(volume)}"),
        }
        for by, found in users.items():
            if found:
                raise InUse(kind="volume", ref=str(volume), by=by, action="delete")

    # --- changing ---

    def annotate(self, volume: UUID, note: Note) -> None:
        found = self._pool.volume(volume)
        passed = self._pool.steps("annotate")
        passed("begun")
        self._pool.describe(found, msgspec.structs.replace(found.record, note=note))
        passed("noted")

    def resize(self, volume: UUID, size: int) -> None:
        found = self._pool.volume(volume)
        if found.record.size == size:
            return
        passed = self._pool.steps("resize")
        passed("begun")
        self._pool.describe(found, msgspec.structs.replace(found.record, size=size))
        passed("noted")

    def split(self, volume: UUID) -> None:
        """Stop being a clone. Lazy copies need no more than that: the server keeps what they need by itself."""
        found = self._pool.volume(volume)
        if found.record.origin is None:
            return
        passed = self._pool.steps("split")
        passed("begun")
        self._pool.describe(found, msgspec.structs.replace(found.record, origin=None, origin_snapshot=None))
        passed("noted")

    # --- looking ---

    def inspect(self, volume: UUID) -> Observed | None:
        found = self._pool.find(volume)
        return None if found is None or not found.record.whole else self._observed(found.record)

    def scan(self) -> list[Observed]:
        """Give every stream of the depot."""
        listed = {
            text(line, "Stream"): line.get("desc") for line in self._pool.read("streams", self._pool.names.streams)
        }
        records = {stream: self._record(stream, listed[stream]) for stream in listed}
        whole = {stream: record for stream, record in records.items() if record is not None and record.whole}
        used = self._pool.sizes([f"{stream}/..." for stream in whole])
        seen = [self._observed(record, used=used.get(f"{stream}/...", 0)) for stream, record in whole.items()]
        foreign = [stream for stream, record in records.items() if record is None]
        return seen + [Observed(id=None, kind=VolumeKind.TREE, place=stream) for stream in foreign]

    def _record(self, stream: str, description: object) -> VolumeRecord | None:
        """Give a listed stream's record; from its form where the list does not have the whole description."""
        volume = self._pool.names.volume_of(stream)
        if volume is None:
            return None
        record = decode(description, VolumeRecord)
        if record is None:
            found = self._pool.find(volume)
            record = None if found is None else found.record
        return record if record is not None and record.id == volume else None

    def _observed(self, record: VolumeRecord, *, used: int | None = None) -> Observed:
        """Describe a volume. `used` is what its files have now, whoever else shares them."""
        names = self._pool.names
        return Observed(
            id=record.id,
            kind=VolumeKind.TREE,
            size=record.size,
            used=self._pool.size_of(names.files(record.id)) if used is None else used,
            note=record.note,
            origin=record.origin,
            origin_snapshot=record.origin_snapshot,
            place=names.stream(record.id),
        )
