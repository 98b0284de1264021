"""The records that the door answers with. Sizes are bytes, times UTC.

Other objects are told by name where they have one. What clients may rely on
is here and in `bodies`; the core's own records may change.
"""

from __future__ import annotations

from datetime import datetime
from uuid import UUID

import msgspec

from gateway.core.errors import FieldValue
from gateway.core.handles import AccessHandle
from gateway.core.model import AttachMode, JobState, PoolState, SnapshotState, Transport, VolumeKind, VolumeState
from gateway.core.replication_model import ReplicationState, SnapshotChoice, TransferKind, TransferMethod, TransferState


class Abilities(msgspec.Struct, frozen=True, kw_only=True):
    """What a pool can do with volumes of one kind.

    `can`: operations and true facts of `gateway.core.capability`, in order.
    `why_not`: reasons for what it cannot. `ways`: transports by which such
    volumes can be attached, the shortest way first. `addresses`: of the
    gateway's own server, where clients reach files that are published.
    """

    can: tuple[str, ...]
    why_not: dict[str, str]
    size_min: int
    size_max: int | None
    size_step: int
    snapshot_max: int | None
    ways: tuple[Transport, ...]
    addresses: tuple[str, ...]


class Pool(msgspec.Struct, frozen=True, kw_only=True):
    """A pool. `kinds` is empty while it is not open here; `reason` then says why."""

    id: UUID
    name: str
    driver: str
    state: PoolState
    reason: str
    volatile: bool
    size: int
    used: int
    available: int
    volume_count: int
    kinds: dict[VolumeKind, Abilities]


class Tenant(msgspec.Struct, frozen=True, kw_only=True):
    """A tenant."""

    id: UUID
    name: str


class Attachment(msgspec.Struct, frozen=True, kw_only=True):
    """A node's right to a volume. The node of another door's host group is its id."""

    node: str
    transport: Transport
    mode: AttachMode
    lun: int | None


class Origin(msgspec.Struct, frozen=True, kw_only=True):
    """What a clone was made from, by id."""

    volume: UUID
    snapshot: UUID | None


class Volume(msgspec.Struct, frozen=True, kw_only=True):
    """A volume. `snapshot_count` counts those too that the gateway took for clones."""

    id: UUID
    name: str
    tenant: str
    pool: str
    kind: VolumeKind
    state: VolumeState
    reason: str
    size: int
    used: int
    thick: bool
    comment: str
    labels: dict[str, str]
    path: str | None
    export_policy: str | None
    created: datetime
    origin: Origin | None
    attachments: tuple[Attachment, ...]
    multi_attach: bool
    snapshot_count: int
    clone_count: int
    revision: int


class Snapshot(msgspec.Struct, frozen=True, kw_only=True):
    """A snapshot. `volume` is the id, `volume_size` how large that was then (0: not known)."""

    id: UUID
    name: str
    volume: UUID
    volume_name: str
    tenant: str
    pool: str
    created: datetime
    state: SnapshotState
    comment: str
    labels: dict[str, str]
    volume_size: int
    size: int
    clone_count: int


class Rule(msgspec.Struct, frozen=True, kw_only=True):
    """Clients by address or network, and whether they may write."""

    clients: tuple[str, ...]
    write: bool


class ExportPolicy(msgspec.Struct, frozen=True, kw_only=True):
    """An export policy, as far as its rules grant anything. The first rule that fits a client counts."""

    name: str
    tenant: str
    rules: tuple[Rule, ...]


class ReplicationSource(msgspec.Struct, frozen=True, kw_only=True):
    """The volume that is followed: by id, and by name as last known."""

    volume: UUID
    name: str
    tenant: str


class ReplicationPolicy(msgspec.Struct, frozen=True, kw_only=True):
    """A policy of replications. `tenant` null: every tenant may use it. `keep`: how many snapshots, by label."""

    id: UUID
    name: str
    tenant: str | None
    comment: str
    schedule: str
    throttle: int
    choice: SnapshotChoice
    keep: dict[str, int]


class Error(msgspec.Struct, frozen=True, kw_only=True):
    """What went wrong: the name of a class of `gateway.core.errors`, words for people, the error's own fields."""

    code: str
    message: str
    fields: dict[str, FieldValue]


class Transfer(msgspec.Struct, frozen=True, kw_only=True):
    """A transfer. `bytes_total` null: not known. `throttle`: bytes per second, 0 for no limit."""

    id: UUID
    replication: UUID
    kind: TransferKind
    state: TransferState
    method: TransferMethod
    created: datetime
    ended: datetime | None
    snapshot: UUID | None
    bytes_transferred: int
    bytes_total: int | None
    throttle: int
    error: Error | None


class Replication(msgspec.Struct, frozen=True, kw_only=True):
    """A replication. `base`: the destination's snapshot that both ends have; `base_created`: when the source took it.

    `transfer`: the one under way, or the last one.
    """

    id: UUID
    tenant: str
    volume: UUID
    volume_name: str
    pool: str
    source: ReplicationSource
    policy: str
    schedule: str | None
    throttle: int | None
    state: ReplicationState
    healthy: bool
    reason: str
    created: datetime
    base: UUID | None
    base_created: datetime | None
    transfer: Transfer | None
    total_bytes: int
    total_duration_s: int


class Job(msgspec.Struct, frozen=True, kw_only=True):
    """A change that was accepted. `target_id`: what it changes or makes."""

    id: UUID
    operation: str
    description: str
    state: JobState
    target_id: UUID | None
    error: Error | None


class Login(msgspec.Struct, frozen=True, kw_only=True):
    """With what an initiator logs in."""

    user: str
    password: str

    def __repr__(self) -> str:
        return f"Login(user={self.user!r})"


class Attached(msgspec.Struct, frozen=True, kw_only=True):
    """An attachment, the way to the bytes that it opens, and the login that is asked for there."""

    attachment: Attachment
    handle: AccessHandle
    login: Login | None


class Token(msgspec.Struct, frozen=True, kw_only=True):
    """What a client of a published tree gives as its password; any user name will do."""

    token: str

    def __repr__(self) -> str:
        return "Token()"


class Handles(msgspec.Struct, frozen=True, kw_only=True):
    """Every way to the bytes of a volume or snapshot."""

    handles: tuple[AccessHandle, ...]


class Object(msgspec.Struct, frozen=True, kw_only=True):
    """An object of a volume or snapshot. `etag` is what the store says of its bytes."""

    key: str
    size: int
    etag: str
    modified: datetime


class Objects(msgspec.Struct, frozen=True, kw_only=True):
    """A page of objects; see `Volumes`."""

    records: tuple[Object, ...]
    next: str


class SignedRequest(msgspec.Struct, frozen=True, kw_only=True):
    """A request that whoever holds it may make until `expires`, with all of `headers`."""

    method: str
    url: str
    headers: dict[str, str]
    expires: datetime


class Pools(msgspec.Struct, frozen=True, kw_only=True):
    """All pools."""

    records: tuple[Pool, ...]


class Tenants(msgspec.Struct, frozen=True, kw_only=True):
    """All tenants."""

    records: tuple[Tenant, ...]


class Volumes(msgspec.Struct, frozen=True, kw_only=True):
    """A page of volumes. `next` is the `after` of the next page; empty at the end."""

    records: tuple[Volume, ...]
    next: str


class Snapshots(msgspec.Struct, frozen=True, kw_only=True):
    """A page of snapshots; see `Volumes`."""

    records: tuple[Snapshot, ...]
    next: str


class Group(msgspec.Struct, frozen=True, kw_only=True):
    """Snapshots of one instant."""

    records: tuple[Snapshot, ...]


class Replications(msgspec.Struct, frozen=True, kw_only=True):
    """A page of replications; see `Volumes`."""

    records: tuple[Replication, ...]
    next: str


class Transfers(msgspec.Struct, frozen=True, kw_only=True):
    """A page of transfers, the newest first; see `Volumes`."""

    records: tuple[Transfer, ...]
    next: str


class ReplicationPolicies(msgspec.Struct, frozen=True, kw_only=True):
    """All policies of replications that the caller may use."""

    records: tuple[ReplicationPolicy, ...]
