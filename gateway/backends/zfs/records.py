"""What is kept with datasets: the records in our user properties, and the names under which everything lies.

    <pool>/<parent>                        one for each gateway pool: `POOL` says its id
    <pool>/<parent>/manifest               the core's document; apart, because children inherit every user property
    <pool>/<parent>/<volume id>            a volume: `VOLUME` says what it is
    <pool>/<parent>/<volume id>@<id>       a snapshot: `SNAPSHOT` says what it is
    <pool>/<parent>/incoming-<volume id>   one that is being received
    <volume>@incoming-<snapshot id>        an increment that is being received

User properties are inherited by children and snapshots, so a record names what
it speaks of and is believed only there. They are part of the dataset's
directory, not of its content: a rollback leaves them alone.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TypeVar
from uuid import UUID

import msgspec

from gateway.core.backend import Note

_T = TypeVar("_T")

FORMAT = 1
POOL = "volume-gateway:pool"
VOLUME = "volume-gateway:volume"
SNAPSHOT = "volume-gateway:snapshot"
MANIFEST = "volume-gateway:manifest"

MANIFEST_NAME = "manifest"
INCOMING = "incoming-"


class PoolRecord(msgspec.Struct, frozen=True):
    """What `POOL` says: `<format> <id>`."""

    id: UUID
    format: int = FORMAT


class Restoring(msgspec.Struct, frozen=True, array_like=True):
    """A restore that was announced: from then on it is finished, not undone. `size` is the volume's before it."""

    token: UUID
    snapshot: UUID
    size: int


class VolumeRecord(msgspec.Struct, frozen=True, array_like=True):
    """What `VOLUME` says.

    whole: false while the volume is being made.
    size: what was asked for, where the substrate cannot be told.
    split: a clone that nobody counts as one any more, whatever the substrate still shares.
    restored: the token of the last restore that took effect.
    """

    id: UUID
    size: int
    note: Note
    whole: bool = True
    origin: UUID | None = None
    origin_snapshot: UUID | None = None
    split: bool = False
    restored: UUID | None = None
    restoring: Restoring | None = None


class SnapshotRecord(msgspec.Struct, frozen=True, array_like=True):
    """One entry of what `SNAPSHOT` says: snapshots taken at one instant all carry the entries of all."""

    id: UUID
    volume: UUID
    note: Note


_encoder = msgspec.msgpack.Encoder()
_volume = msgspec.msgpack.Decoder(VolumeRecord)
_snapshots = msgspec.msgpack.Decoder(tuple[SnapshotRecord, ...])


def encode(record: VolumeRecord | Sequence[SnapshotRecord]) -> bytes:
    """Give a record's stored form."""
    return _encoder.encode(record)


def encode_pool(record: PoolRecord) -> str:
    """Give the value of `POOL`."""
    return f"{record.format} {record.id}"


def decode_pool(value: str) -> PoolRecord | None:
    """Read the value of `POOL`; None when it cannot be read."""
    form, _, name = value.partition(" ")
    found = parse_id(name)
    return PoolRecord(found, int(form)) if found is not None and form.isdecimal() else None


def decode_volume(document: bytes | None, volume: UUID) -> VolumeRecord | None:
    """Read what `VOLUME` says of this volume; None when it speaks of another, or cannot be read."""
    record = None if document is None else _decoded(_volume, document)
    return record if record is not None and record.id == volume else None


def decode_snapshot(document: bytes | None, snapshot: UUID) -> SnapshotRecord | None:
    """Read what `SNAPSHOT` says of this snapshot; None when it does not speak of it, or cannot be read."""
    records = None if document is None else _decoded(_snapshots, document)
    return next((record for record in records or () if record.id == snapshot), None)


def parse_id(name: str) -> UUID | None:
    """Read a name that we give; None for every other, also for the same id written differently."""
    try:
        found = UUID(name)
    except ValueError:
        return None
    return found if str(found) == name else None


def incoming_id(name: str) -> UUID | None:
    """Give the id of what is being received under this name; None when it is no such name."""
    return parse_id(name.removeprefix(INCOMING)) if name.startswith(INCOMING) else None


def _decoded(decoder: msgspec.msgpack.Decoder[_T], document: bytes) -> _T | None:
    try:
        return decoder.decode(document)
    except msgspec.MsgspecError:
        return None
