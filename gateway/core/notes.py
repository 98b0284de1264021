"""What is kept with an object on its substrate, so that a lost catalog can be rebuilt.

A note's document is the record itself without what is observed or counted.
Equal documents mean equal records: recovery compares them.
"""

from __future__ import annotations

from datetime import datetime
from typing import TypeVar

import msgspec

from gateway.core import errors
from gateway.core.backend import Note
from gateway.core.model import (
    AccessRole,
    Document,
    ExportPolicy,
    HostGroup,
    InitiatorLogin,
    Schedule,
    Snapshot,
    SnapshotPolicy,
    SnapshotState,
    Tenant,
    Volume,
)
from gateway.core.replication_model import Replication, ReplicationPolicy, ReplicationState

NOTE_MAX = 64 * 1024
"""The longest document in bytes that a backend has to keep."""

_SPARE = 1024
"""Room for what later changes write without asking, such as a longer generation."""

_encoder = msgspec.json.Encoder(order="sorted")
_T = TypeVar("_T", bound=Volume | Snapshot)


class Manifest(msgspec.Struct, frozen=True, kw_only=True):
    """What belongs to no single volume; a copy is kept in every pool. `pools_since`: when each pool was first used."""

    cluster_id: str
    pools_since: dict[str, datetime] = {}
    tenants: tuple[Tenant, ...] = ()
    export_policies: tuple[ExportPolicy, ...] = ()
    snapshot_policies: tuple[SnapshotPolicy, ...] = ()
    schedules: tuple[Schedule, ...] = ()
    host_groups: tuple[HostGroup, ...] = ()
    initiator_logins: tuple[InitiatorLogin, ...] = ()
    access_roles: tuple[AccessRole, ...] = ()
    documents: tuple[Document, ...] = ()
    replication_policies: tuple[ReplicationPolicy, ...] = ()
    replications: tuple[Replication, ...] = ()


def bare(record: _T) -> _T:
    """Give the record without counters, observations and revision."""
    if isinstance(record, Volume):
        return msgspec.structs.replace(record, revision=0, used=0, reason="", snapshot_count=0, clone_count=0)
    return msgspec.structs.replace(record, revision=0, size=0, reason="", clone_count=0, state=SnapshotState.VALID)


def note(record: Volume | Snapshot, tenant: str) -> Note:
    """Give the note of a volume or snapshot of the named tenant."""
    return Note(name=record.name, tenant=tenant, document=_encoder.encode(bare(record)))


def require_short(record: Volume | Snapshot, *texts: str) -> None:
    """Raise InvalidArgument for the longest of the named fields when the note would be longer than `NOTE_MAX`."""
    if len(_encoder.encode(bare(record))) > NOTE_MAX - _SPARE:
        longest = max(texts, key=lambda field: len(_encoder.encode(getattr(record, field))))
        raise errors.InvalidArgument(field=longest, reason="all texts together are too long")


def read_volume(found: Note) -> Volume | None:
    """Give the volume that a note describes; None when it cannot be read."""
    try:
        return msgspec.json.decode(found.document, type=Volume)
    except msgspec.MsgspecError:
        return None


def read_snapshot(found: Note) -> Snapshot | None:
    """Give the snapshot that a note describes; None when it cannot be read."""
    try:
        return msgspec.json.decode(found.document, type=Snapshot)
    except msgspec.MsgspecError:
        return None


def lasting(replication: Replication) -> Replication:
    """Give a replication without what each of its transfers changes: the destination's snapshots tell the base.

    Whether its content is that of the base is not known then.
    """
    return msgspec.structs.replace(
        replication,
        base_id=None,
        base_created=None,
        torn=replication.state in {ReplicationState.MIRRORED, ReplicationState.PAUSED},
        healthy=True,
        reason="",
        transfer_id=None,
        total_bytes=0,
        total_duration_s=0,
        revision=0,
    )


def manifest_document(manifest: Manifest) -> bytes:
    """Give the manifest's stored form."""
    return _encoder.encode(manifest)


def read_manifest(document: bytes) -> Manifest | None:
    """Give a stored manifest; None when it cannot be read."""
    try:
        return msgspec.json.decode(document, type=Manifest)
    except msgspec.MsgspecError:
        return None
