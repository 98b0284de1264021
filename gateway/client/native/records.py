"""The gateway's own resources as the client has them. Sizes in bytes; ids are UUIDs as text."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime

import msgspec

from gateway.client.records import Handle


class Abilities(msgspec.Struct, frozen=True, kw_only=True):
    """What a pool can do with volumes of one kind.

    `can`: its operations and the facts that are true of it, by the names that
    `gateway check` prints; `why_not` has reasons for others. Limits of None are
    not known. `ways`: the transports by which such volumes can be attached, the
    best first. `addresses`: where clients reach files that the gateway's own
    server publishes.
    """

    can: tuple[str, ...] = ()
    why_not: Mapping[str, str] = {}
    size_min: int | None = None
    size_max: int | None = None
    size_step: int | None = None
    snapshot_max: int | None = None
    ways: tuple[str, ...] = ()
    addresses: tuple[str, ...] = ()


class Pool(msgspec.Struct, frozen=True, kw_only=True):
    """A pool. `kinds` has what it can do with volumes, by their kind: `block`, `filesystem`."""

    id: str
    name: str
    driver: str = ""
    state: str = ""
    reason: str = ""
    volatile: bool = False
    size: int = 0
    used: int = 0
    available: int = 0
    volume_count: int = 0
    kinds: Mapping[str, Abilities] = {}

    def can(self, kind: str, ability: str) -> bool:
        """Tell whether it can do something with volumes of a kind."""
        return kind in self.kinds and ability in self.kinds[kind].can


class Object(msgspec.Struct, frozen=True, kw_only=True):
    """An object of a volume or snapshot. `etag` is what its store says of its bytes."""

    key: str
    size: int = 0
    etag: str = ""
    modified: datetime | None = None


class Signing(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """A request to sign.

    `action` is one of get, put, delete, multipart_start, multipart_part,
    multipart_complete and multipart_abort. `snapshot`: whose object is read,
    by id. `size`: the body has to be exactly that many bytes long. `upload` is
    the id that the store gave when the upload in parts began, `part` the number
    of a part.
    """

    action: str
    key: str
    snapshot: str | None = None
    expires_s: int = 900
    size: int | None = None
    content_type: str = ""
    upload: str = ""
    part: int = 0


class SignedRequest(msgspec.Struct, frozen=True, kw_only=True):
    """A request that whoever holds it may make until `expires`, at the store and with all of `headers`."""

    method: str
    url: str
    headers: Mapping[str, str] = {}
    expires: datetime | None = None

    def __repr__(self) -> str:
        return f"SignedRequest({self.method} {self.url.partition('?')[0]})"


class Tenant(msgspec.Struct, frozen=True, kw_only=True):
    """A name space of volumes and policies."""

    id: str
    name: str


class Attachment(msgspec.Struct, frozen=True, kw_only=True):
    """A node's right to a volume. `mode` is `rw` or `ro`, `transport` one of the pool's ways."""

    node: str
    transport: str = ""
    mode: str = "rw"
    lun: int | None = None


class Origin(msgspec.Struct, frozen=True, kw_only=True):
    """What a clone was made from, by id."""

    volume: str
    snapshot: str | None = None


class Volume(msgspec.Struct, frozen=True, kw_only=True):
    """A volume. Tenant, pool and export policy are told by name, `path` is where it is in the name space."""

    id: str
    name: str
    tenant: str = ""
    pool: str = ""
    kind: str = ""
    state: str = ""
    reason: str = ""
    size: int = 0
    used: int = 0
    thick: bool = False
    comment: str = ""
    labels: Mapping[str, str] = {}
    path: str | None = None
    export_policy: str | None = None
    created: datetime | None = None
    origin: Origin | None = None
    attachments: tuple[Attachment, ...] = ()
    multi_attach: bool = False
    snapshot_count: int = 0
    clone_count: int = 0
    revision: int = 0


class Snapshot(msgspec.Struct, frozen=True, kw_only=True):
    """A snapshot. `volume` is an id, `volume_size` how large it was then (0: not known); tenant and pool are names."""

    id: str
    name: str
    volume: str = ""
    volume_name: str = ""
    tenant: str = ""
    pool: str = ""
    created: datetime | None = None
    state: str = ""
    comment: str = ""
    labels: Mapping[str, str] = {}
    volume_size: int = 0
    size: int = 0
    clone_count: int = 0


class ReplicationSource(msgspec.Struct, frozen=True, kw_only=True):
    """The volume that is followed: by id, and by name as last known."""

    volume: str
    name: str = ""
    tenant: str = ""


class ReplicationPolicy(msgspec.Struct, frozen=True, kw_only=True):
    """A policy of replications. `keep`: how many snapshots a destination keeps, by label."""

    id: str
    name: str
    tenant: str | None = None
    comment: str = ""
    schedule: str = ""
    throttle: int = 0
    choice: str = ""
    keep: Mapping[str, int] = {}


class NewReplication(msgspec.Struct, frozen=True, kw_only=True):
    """A replication to make: `volume` shall follow `source`, both by id. Schedule, throttle None: the policy's."""

    source: str
    volume: str
    policy: str = "Asynchronous"
    schedule: str | None = None
    throttle: int | None = None


class JobError(msgspec.Struct, frozen=True, kw_only=True):
    """Why a job failed: see `ClientError`."""

    code: str = ""
    message: str = ""
    fields: Mapping[str, str | int | bool | None] = {}


class Job(msgspec.Struct, frozen=True, kw_only=True):
    """A change that the gateway carries out. `target_id`: what it changes or makes."""

    id: str
    operation: str = ""
    description: str = ""
    state: str = ""
    target_id: str | None = None
    error: JobError | None = None

    @property
    def ended(self) -> bool:
        """Whether nothing more will happen."""
        return self.state in {"success", "failure"}


class Login(msgspec.Struct, frozen=True, kw_only=True):
    """With what an initiator logs in. The password is not shown where the record is."""

    user: str
    password: str

    def __repr__(self) -> str:
        return f"Login(user={self.user!r})"


class Attached(msgspec.Struct, frozen=True, kw_only=True):
    """An attachment, the one way to the bytes that it opens, and the login that this way asks for."""

    attachment: Attachment
    handle: Handle
    login: Login | None = None


class Rule(msgspec.Struct, frozen=True, kw_only=True):
    """Clients by address or network, and whether they may write."""

    clients: tuple[str, ...]
    write: bool = False


class ExportPolicy(msgspec.Struct, frozen=True, kw_only=True):
    """Who may reach the exports of the volumes that have it; the first rule that fits a client counts."""

    name: str
    tenant: str = ""
    rules: tuple[Rule, ...] = ()


class NewVolume(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """What is said about a volume to make; tenant, pool and export policy by name."""

    name: str
    tenant: str
    pool: str
    size: int
    kind: str = "filesystem"
    thick: bool = False
    comment: str = ""
    labels: Mapping[str, str] = {}
    path: str | None = None
    export_policy: str | None = None
    multi_attach: bool = False


class NewClone(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """What is said about a clone. `snapshot` (an id) None: of the volume as it is.

    `size`, `export_policy` and `multi_attach` None: as the source has it.
    """

    name: str
    snapshot: str | None = None
    size: int | None = None
    comment: str = ""
    labels: Mapping[str, str] = {}
    path: str | None = None
    export_policy: str | None = None
    multi_attach: bool | None = None


class NewMember(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """A snapshot to take at the same instant as others. `volume` is an id."""

    volume: str
    name: str
    labels: Mapping[str, str] = {}
    comment: str = ""


class NewAttachment(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """What is said about an attachment.

    `ways`: what the node can use, of `local`, `iscsi`, `nfs`, `nbd`; the
    gateway chooses. `initiators`: its iSCSI names; `addresses`: its own.
    `shared`: other nodes may write at the same time. `chap`: over iSCSI the
    initiators are to log in.
    """

    node: str
    ways: tuple[str, ...]
    mode: str = "rw"
    initiators: tuple[str, ...] = ()
    addresses: tuple[str, ...] = ()
    shared: bool = True
    chap: bool = False


class Transfer(msgspec.Struct, frozen=True, kw_only=True):
    """A run of a replication. `bytes_total` None: not known; `throttle`: bytes per second, 0 for no limit."""

    id: str
    replication: str
    kind: str = ""
    state: str = ""
    method: str = ""
    created: datetime | None = None
    ended: datetime | None = None
    snapshot: str | None = None
    bytes_transferred: int = 0
    bytes_total: int | None = None
    throttle: int = 0
    error: JobError | None = None


class Replication(msgspec.Struct, frozen=True, kw_only=True):
    """A volume that follows another one. `base`: the newest snapshot that both have, as the source took it then.

    `state` is uninitialized, mirrored, paused or broken. `transfer`: the one under way, or the last one.
    """

    id: str
    volume: str
    source: ReplicationSource
    tenant: str = ""
    volume_name: str = ""
    pool: str = ""
    policy: str = ""
    schedule: str | None = None
    throttle: int | None = None
    state: str = ""
    healthy: bool = True
    reason: str = ""
    created: datetime | None = None
    base: str | None = None
    base_created: datetime | None = None
    transfer: Transfer | None = None
    total_bytes: int = 0
    total_duration_s: int = 0
