"""The records of the core: frozen, typed, without behaviour.

Ids are UUIDs, sizes are bytes as int, times are aware UTC datetimes, durations
end in `_s`. `revision` is catalog-wide and monotonic; the catalog sets it at
every write. Relations are held by id, so a rename is seen everywhere at once.
"""

from __future__ import annotations

import enum
from datetime import UTC, datetime
from uuid import UUID

import msgspec

from gateway.core.errors import ErrorRecord
from gateway.core.ownership import Ownership
from gateway.core.recurrence import Recurrence
from gateway.core.replication_model import Replication, ReplicationPolicy, Transfer


class VolumeKind(enum.StrEnum):
    """What a volume's consumer sees.

    A tree of files, a range of blocks, objects under keys, or a tree that is
    under version control and is reached by its own clients only.
    """

    FILESYSTEM = "filesystem"
    BLOCK = "block"
    OBJECTS = "objects"
    TREE = "tree"


FILES_AND_BLOCKS = (VolumeKind.FILESYSTEM, VolumeKind.BLOCK)
"""The kinds that a host can mount or attach."""


class VolumeState(enum.StrEnum):
    """`creating` and `deleting` last as long as the change; `error` needs a person, `Volume.reason` says why."""

    CREATING = "creating"
    ONLINE = "online"
    OFFLINE = "offline"
    DELETING = "deleting"
    ERROR = "error"


class SnapshotState(enum.StrEnum):
    """See `VolumeState`."""

    CREATING = "creating"
    VALID = "valid"
    DELETING = "deleting"
    ERROR = "error"


class TenantState(enum.StrEnum):
    """A stopped tenant publishes nothing."""

    RUNNING = "running"
    STOPPED = "stopped"


class PoolState(enum.StrEnum):
    """Offline: its substrate does not answer."""

    ONLINE = "online"
    OFFLINE = "offline"


class JobState(enum.StrEnum):
    """`success` and `failure` are final."""

    QUEUED = "queued"
    RUNNING = "running"
    PAUSED = "paused"
    SUCCESS = "success"
    FAILURE = "failure"


class Transport(enum.StrEnum):
    """By which way a node reaches a volume: files by NFS or on the gateway's own host, blocks by all.

    Over NFS blocks are a raw file, which only a file server that a pool is on has.
    """

    ISCSI = "iscsi"
    NBD = "nbd"
    LOCAL = "local"
    NFS = "nfs"


class AttachMode(enum.StrEnum):
    """What a node may do with a volume."""

    READ_WRITE = "rw"
    READ_ONLY = "ro"


class LoginKind(enum.StrEnum):
    """How an initiator proves who it is; `deny` keeps it out whatever it proves."""

    NONE = "none"
    CHAP = "chap"
    DENY = "deny"


class Attachment(msgspec.Struct, frozen=True, kw_only=True):
    """A node's right to a volume.

    `node` is the id by which its door knows the node, or the id of a host
    group as text. `initiators` are a node's iSCSI names; those of a host group
    stay with the group. `lun` is its logical unit number, unique per node.
    `clients` are the addresses that the node comes from over NFS. `device` is
    what the node's door calls the volume there; it means nothing to the core.
    """

    id: UUID
    node: str
    created: datetime
    transport: Transport
    mode: AttachMode = AttachMode.READ_WRITE
    host_group_id: UUID | None = None
    initiators: tuple[str, ...] = ()
    lun: int | None = None
    clients: tuple[str, ...] = ()
    device: str = ""


class Mount(msgspec.Struct, frozen=True, kw_only=True):
    """A place in the tree of a node where the files of a volume are.

    `options` are those of mount(8), by name; the value is empty where they take none.
    `users`: who needs it, "" for those who did not say; it ends with its last
    one. Empty while nobody said.
    """

    id: UUID
    node: str
    path: str
    created: datetime
    read_only: bool = False
    options: dict[str, str] = {}
    users: tuple[str, ...] = ()


class Initiator(msgspec.Struct, frozen=True, kw_only=True):
    """An iSCSI name that belongs to a host group."""

    name: str
    comment: str = ""


class IscsiService(msgspec.Struct, frozen=True, kw_only=True):
    """A tenant's iSCSI target: its name, and whether it serves.

    `removed`: somebody took it away, so it neither serves nor shows until somebody asks for one again.
    """

    target: str
    alias: str = ""
    enabled: bool = True
    removed: bool = False


class NfsService(msgspec.Struct, frozen=True, kw_only=True):
    """Whether a tenant's volumes are exported over NFS.

    `removed`: somebody took the service away, so it does not show until somebody asks for it again.
    """

    enabled: bool = True
    removed: bool = False


class Origin(msgspec.Struct, frozen=True, kw_only=True):
    """Where a clone came from. Cleared by a split."""

    volume_id: UUID
    snapshot_id: UUID | None = None


class RootDirectory(msgspec.Struct, frozen=True, kw_only=True):
    """Owner and permission bits of a filesystem volume's top directory. `mode` is the plain number (0o755)."""

    mode: int = 0o755
    uid: int = 0
    gid: int = 0


class Tenant(msgspec.Struct, frozen=True, kw_only=True):
    """A name space of volumes and policies (an SVM to ONTAP). `iscsi` None: nobody has asked for iSCSI yet.

    What is exported over NFS is so unless `nfs` says otherwise. New volumes are
    in one of `pool_ids`, if there are any, and doors that know of it give them
    `snapshot_policy_id` when nobody names another policy.
    """

    id: UUID
    name: str
    created: datetime
    comment: str = ""
    state: TenantState = TenantState.RUNNING
    iscsi: IscsiService | None = None
    nfs: NfsService = NfsService()
    pool_ids: tuple[UUID, ...] = ()
    snapshot_policy_id: UUID | None = None
    revision: int = 0


class Pool(msgspec.Struct, frozen=True, kw_only=True):
    """One configured backend. `size`, `used`, `available` are bytes as last observed.

    `volume_count` is without the volumes that are retired.
    """

    id: UUID
    name: str
    driver: str
    created: datetime
    state: PoolState = PoolState.ONLINE
    reason: str = ""
    volatile: bool = False
    size: int = 0
    used: int = 0
    available: int = 0
    volume_count: int = 0
    revision: int = 0


class SnapshotSchedule(msgspec.Struct, frozen=True, kw_only=True):
    """One line of a snapshot policy or of a volume: keep `count` snapshots taken on the named schedule.

    Their names begin with `prefix`, or with the schedule's name where it is
    empty; they get `label` as their replication label.
    """

    schedule: str
    count: int
    prefix: str = ""
    label: str = ""


class Volume(msgspec.Struct, frozen=True, kw_only=True):
    """One volume, the same one through every front door.

    `used` is bytes as last observed. `snapshot_count` and `clone_count` are
    kept in the same commit as the objects they count. `generation` counts how
    often the content was replaced in place. `reason` says why the state is
    `error`. `multi_attach` lets several nodes write at once. `annotations`
    are what a door keeps with the volume under keys that begin with the door's
    name; they mean nothing to anybody else. `format` is the type of the file
    system that a block volume was last mounted with. `ownership` None: it is
    everybody's. Snapshots are taken as all of its policies say, and as its own
    `schedules` do. `retired`: when its user deleted it although snapshots or
    clones still need it (`gateway.core.retired`). `replica_of`: the replication
    whose destination it is; nobody else writes to it until that is broken. Its
    own id: it waits for one.
    """

    id: UUID
    name: str
    tenant_id: UUID
    pool_id: UUID
    created: datetime
    size: int
    kind: VolumeKind = VolumeKind.FILESYSTEM
    state: VolumeState = VolumeState.ONLINE
    reason: str = ""
    used: int = 0
    thick: bool = False
    comment: str = ""
    labels: dict[str, str] = {}
    junction_path: str | None = None
    export_policy_id: UUID | None = None
    snapshot_policy_id: UUID | None = None
    more_snapshot_policy_ids: tuple[UUID, ...] = ()
    schedules: tuple[SnapshotSchedule, ...] = ()
    root: RootDirectory = RootDirectory()
    origin: Origin | None = None
    attachments: tuple[Attachment, ...] = ()
    mounts: tuple[Mount, ...] = ()
    format: str = ""
    multi_attach: bool = False
    annotations: dict[str, str] = {}
    ownership: Ownership | None = None
    retired: datetime | None = None
    replica_of: UUID | None = None
    snapshot_count: int = 0
    clone_count: int = 0
    generation: int = 0
    revision: int = 0


class Snapshot(msgspec.Struct, frozen=True, kw_only=True):
    """A read-only image of a volume at one instant. `label` is the replication label, `expires` forbids deletion.

    `taken_by`: "<id of a policy or of the volume>/<schedule>", when it was
    taken because it was `due` then; such ones go again without being asked.
    `annotations`: see `Volume`. `internal`: the core took it as the base of a
    clone, no user asked for it. `transient`: such a one goes with its last clone.
    `volume_size`: how large the volume was then, in bytes; 0 where that was
    not kept. `size` is what the snapshot takes. `lineage`: the snapshot of a
    replication's source that this one is the copy of.
    """

    id: UUID
    name: str
    volume_id: UUID
    tenant_id: UUID
    pool_id: UUID
    created: datetime
    state: SnapshotState = SnapshotState.VALID
    reason: str = ""
    comment: str = ""
    label: str = ""
    labels: dict[str, str] = {}
    annotations: dict[str, str] = {}
    internal: bool = False
    transient: bool = False
    expires: datetime | None = None
    taken_by: str = ""
    due: datetime | None = None
    volume_size: int = 0
    lineage: UUID | None = None
    size: int = 0
    clone_count: int = 0
    revision: int = 0


class ExportRule(msgspec.Struct, frozen=True, kw_only=True):
    """Who may reach an export and how. `read`, `write`, `superuser` list the security flavours that may."""

    index: int
    clients: tuple[str, ...]
    read: tuple[str, ...] = ("any",)
    write: tuple[str, ...] = ("any",)
    superuser: tuple[str, ...] = ("any",)
    protocols: tuple[str, ...] = ("any",)
    anonymous_user: str = "65534"
    allow_suid: bool = True
    allow_device_creation: bool = True


class ExportPolicy(msgspec.Struct, frozen=True, kw_only=True):
    """Named, ordered access rules of a tenant. `number` is its integer key in dialects that need one."""

    id: UUID
    number: int
    name: str
    tenant_id: UUID
    created: datetime
    rules: tuple[ExportRule, ...] = ()
    builtin: bool = False
    revision: int = 0


class Schedule(msgspec.Struct, frozen=True, kw_only=True):
    """Instants with a name; the lines of policies and volumes say the name."""

    id: UUID
    name: str
    recurrence: Recurrence
    created: datetime
    builtin: bool = False
    revision: int = 0


class SnapshotPolicy(msgspec.Struct, frozen=True, kw_only=True):
    """When snapshots are taken and how many stay. `tenant_id` None: usable by every tenant."""

    id: UUID
    name: str
    created: datetime
    tenant_id: UUID | None = None
    comment: str = ""
    enabled: bool = True
    copies: tuple[SnapshotSchedule, ...] = ()
    builtin: bool = False
    revision: int = 0


class RoleRule(msgspec.Struct, frozen=True, kw_only=True):
    """Patterns of services and of their calls that a role allows or, with a leading `!`, denies."""

    services: tuple[str, ...]
    apis: tuple[str, ...]


class AccessRole(msgspec.Struct, frozen=True, kw_only=True):
    """What callers of a role may call, see `gateway.core.roles`. The id follows from the name."""

    id: UUID
    name: str
    created: datetime
    rules: tuple[RoleRule, ...]
    builtin: bool = False
    revision: int = 0


class HostGroup(msgspec.Struct, frozen=True, kw_only=True):
    """Hosts that are given volumes together, by their iSCSI names (an igroup to ONTAP)."""

    id: UUID
    name: str
    tenant_id: UUID
    created: datetime
    comment: str = ""
    initiators: tuple[Initiator, ...] = ()
    annotations: dict[str, str] = {}
    revision: int = 0


class InitiatorLogin(msgspec.Struct, frozen=True, kw_only=True):
    """How an initiator of a tenant logs in. `initiator` "default" stands for those without a login of their own.

    The passwords of `user` (the initiator's) and `target_user` (the target's,
    when the initiator asks it to prove itself) are not here: see
    `gateway.core.logins`.
    """

    id: UUID
    tenant_id: UUID
    initiator: str
    kind: LoginKind
    created: datetime
    user: str = ""
    target_user: str = ""
    revision: int = 0


class Document(msgspec.Struct, frozen=True, kw_only=True):
    """What a door or a use case keeps that belongs to no volume. `kind` begins with its name; only it reads `body`.

    Names are unique within a kind. `passing`: the pools keep no copy of it, because it is not for long, or is
    for nobody's eyes.
    """

    id: UUID
    kind: str
    name: str
    created: datetime
    body: str
    passing: bool = False
    revision: int = 0


class PartState(enum.StrEnum):
    """`undone`: it had succeeded and was taken back."""

    QUEUED = "queued"
    SUCCESS = "success"
    FAILURE = "failure"
    UNDONE = "undone"


class JobPart(msgspec.Struct, frozen=True, kw_only=True):
    """One change of a batch, called `name` by whoever asked for it.

    `ref` finds what it changed. `error` says why it failed, `undo_error` why
    what it did could not be taken back.
    """

    operation: str
    name: str
    state: PartState = PartState.QUEUED
    ref: str = ""
    error: ErrorRecord | None = None
    undo_error: ErrorRecord | None = None


class Job(msgspec.Struct, frozen=True, kw_only=True):
    """A change that was accepted. Kept after its end so that clients can still ask.

    `target_id` is the object it changes, of several the first; `owner` the process that carries it;
    `caller` whose job it is, empty for those of administrators and of the gateway;
    `request` what a door calls the request that it came of, where it wants to know.
    `parts` are the changes of a batch; other jobs have none.
    """

    id: UUID
    operation: str
    description: str
    state: JobState
    created: datetime
    target_id: UUID | None = None
    tenant_id: UUID | None = None
    owner: str = ""
    caller: str = ""
    request: str = ""
    ended: datetime | None = None
    error: ErrorRecord | None = None
    parts: tuple[JobPart, ...] = ()
    revision: int = 0


class FileChange(msgspec.Struct, frozen=True, kw_only=True):
    """What a change does to one file or directory of a volume; see `gateway.core.files`.

    `path` is where it is, or what is copied (of `snapshot_id`, where there is
    one), `to` where it will be. `inode` is what it was when that was decided.
    `root` are the owner and mode that it gets, `root_before` those it had.
    """

    path: str
    to: str = ""
    snapshot_id: UUID | None = None
    inode: int = 0
    root: RootDirectory | None = None
    root_before: RootDirectory | None = None
    overwrite: bool = False
    recursive: bool = False


class Intent(msgspec.Struct, frozen=True, kw_only=True):
    """The journal's row: what is about to happen, written before the substrate is touched.

    `before` and `after` are the changed object (None: does not exist). `also`
    holds further snapshots that the operation makes (`clone` without a
    snapshot, or several at one instant), removes (`restore`, `move`) or builds
    on (`receive`, whose `snapshot_before` is another volume's). `keys` are
    locked against other changes until the intent is gone. `force`: nodes that
    are connected are cut off. `delete_path`: where a mount ends its directory
    goes, whoever made it. `file`: what happens within the volume.
    """

    id: UUID
    operation: str
    owner: str
    job_id: UUID
    pool_id: UUID
    keys: tuple[UUID, ...]
    created: datetime
    before: Volume | None = None
    after: Volume | None = None
    snapshot_before: Snapshot | None = None
    snapshot_after: Snapshot | None = None
    also: tuple[Snapshot, ...] = ()
    force: bool = False
    delete_path: bool = False
    file: FileChange | None = None
    revision: int = 0

    @property
    def pool_ids(self) -> frozenset[UUID]:
        """Give the pools that it is settled in: two where a volume goes from one to the other."""
        return frozenset({self.pool_id} | ({self.after.pool_id} if self.after else set()))


Record = (
    Tenant
    | Pool
    | Volume
    | Snapshot
    | ExportPolicy
    | SnapshotPolicy
    | Schedule
    | AccessRole
    | HostGroup
    | InitiatorLogin
    | Document
    | ReplicationPolicy
    | Replication
    | Transfer
    | Job
    | Intent
)


def utc_now() -> datetime:
    """Give the current time as every record stores it."""
    return datetime.now(UTC)
