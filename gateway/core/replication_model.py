"""The records of replications: volumes that follow others. See `gateway.core.model` for what holds of all records."""

from __future__ import annotations

import enum
from datetime import datetime
from uuid import UUID

import msgspec

from gateway.core.errors import ErrorRecord


class ReplicationState(enum.StrEnum):
    """What a replication's destination is.

    Uninitialized: still empty. Mirrored: read only, as the source was at the
    last transfer. Paused: that, and no transfer begins. Broken: a volume of its own, until a resync.
    """

    UNINITIALIZED = "uninitialized"
    MIRRORED = "mirrored"
    BROKEN = "broken"
    PAUSED = "paused"


class SnapshotChoice(enum.StrEnum):
    """Which snapshots of the source a transfer sends: one taken for it, the newest one there is, or all new ones."""

    CREATE = "create"
    LATEST = "latest"
    ALL = "all"


class TransferKind(enum.StrEnum):
    """Initialize sends all, update what is new, resync also discards what the destination wrote.

    Restore sends from the destination back into the source.
    """

    INITIALIZE = "initialize"
    UPDATE = "update"
    RESYNC = "resync"
    RESTORE = "restore"


class TransferState(enum.StrEnum):
    """`success`, `failed` and `aborted` are final."""

    QUEUED = "queued"
    TRANSFERRING = "transferring"
    SUCCESS = "success"
    FAILED = "failed"
    ABORTED = "aborted"


class TransferMethod(enum.StrEnum):
    """By what bytes move: streams that pools of one driver understand, or the mover."""

    NATIVE = "native"
    MOVER = "mover"


class ReplicationRule(msgspec.Struct, frozen=True, kw_only=True):
    """How many snapshots with a replication label a destination keeps.

    `schedule`: also take one there by that name, whose name begins with `prefix`.
    """

    label: str
    count: int
    prefix: str = ""
    schedule: str = ""


class ReplicationPolicy(msgspec.Struct, frozen=True, kw_only=True):
    """What replications send, when, how quickly, and what stays at their destinations.

    `tenant_id` None: usable by every tenant. `schedule` is a name, empty for
    none; `throttle` is bytes per second, 0 for no limit.
    """

    id: UUID
    name: str
    created: datetime
    tenant_id: UUID | None = None
    comment: str = ""
    rules: tuple[ReplicationRule, ...] = ()
    schedule: str = ""
    throttle: int = 0
    choice: SnapshotChoice = SnapshotChoice.CREATE
    builtin: bool = False
    revision: int = 0


class ReplicationSource(msgspec.Struct, frozen=True, kw_only=True):
    """The volume that a replication reads, with its name and its tenant's as last known.

    `peer_id` None: it is one of this gateway.
    """

    volume_id: UUID
    tenant: str
    volume: str
    peer_id: UUID | None = None


class Replication(msgspec.Struct, frozen=True, kw_only=True):
    """A volume that follows another one, by transfers of its snapshots (a SnapMirror relationship to ONTAP).

    `tenant_id` and `volume_id` are the destination's. `schedule` and `throttle`
    None: as the policy says; empty and 0: none. `base_id` is the destination's
    copy of the newest common snapshot, `base_created` when the source took it.
    `torn`: the destination may be between the base and what a transfer was to bring.
    `healthy`: the last transfer did not fail; else `reason` says why it did.
    `transfer_id` is the transfer under way or the last one; `total_bytes` and
    `total_duration_s` are of all that ended well.
    """

    id: UUID
    tenant_id: UUID
    volume_id: UUID
    source: ReplicationSource
    policy_id: UUID
    created: datetime
    state: ReplicationState = ReplicationState.UNINITIALIZED
    schedule: str | None = None
    throttle: int | None = None
    base_id: UUID | None = None
    base_created: datetime | None = None
    torn: bool = False
    healthy: bool = True
    reason: str = ""
    transfer_id: UUID | None = None
    total_bytes: int = 0
    total_duration_s: int = 0
    revision: int = 0


class Transfer(msgspec.Struct, frozen=True, kw_only=True):
    """One run of a replication. The last ones of each are kept.

    `snapshot_id` is the source's snapshot that the destination then holds,
    None when there is nothing to send; `taken`: the transfer itself takes it.
    `bytes_transferred` is what was written to the destination; `bytes_total`
    what is to be, where that is known. `owner`: the process that carries it.
    """

    id: UUID
    replication_id: UUID
    volume_id: UUID
    kind: TransferKind
    state: TransferState
    created: datetime
    snapshot_id: UUID | None = None
    taken: bool = False
    bytes_transferred: int = 0
    bytes_total: int | None = None
    throttle: int = 0
    method: TransferMethod = TransferMethod.NATIVE
    ended: datetime | None = None
    error: ErrorRecord | None = None
    owner: str = ""
    revision: int = 0
