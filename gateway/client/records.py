"""What the door tells about its objects, as far as this client asks. Sizes in bytes, times as the door writes them."""

from __future__ import annotations

import msgspec


class Ref(msgspec.Struct, frozen=True):
    """Another object by name and id; either may be unknown."""

    name: str = ""
    uuid: str = ""


class Nas(msgspec.Struct, frozen=True):
    """Where the volume is mounted, and who may."""

    path: str = ""
    export_policy: Ref = Ref()


class Space(msgspec.Struct, frozen=True):
    """Room in and around a volume."""

    size: int = 0
    used: int = 0
    available: int = 0


class Origin(msgspec.Struct, frozen=True):
    """What a clone was made from."""

    is_flexclone: bool = False
    parent_volume: Ref = Ref()
    parent_snapshot: Ref = Ref()


class Volume(msgspec.Struct, frozen=True, kw_only=True):
    """A volume."""

    uuid: str
    name: str
    svm: Ref = Ref()
    aggregates: tuple[Ref, ...] = ()
    size: int = 0
    state: str = ""
    comment: str = ""
    create_time: str = ""
    nas: Nas = Nas()
    space: Space = Space()
    clone: Origin = Origin()
    snapshot_count: int = 0
    tags: tuple[str, ...] = msgspec.field(default=(), name="_tags")


class Snapshot(msgspec.Struct, frozen=True, kw_only=True):
    """A snapshot of a volume."""

    uuid: str
    name: str
    volume: Ref = Ref()
    create_time: str = ""
    comment: str = ""
    size: int = 0


class BlockStorage(msgspec.Struct, frozen=True):
    """Space of a pool."""

    size: int = 0
    used: int = 0
    available: int = 0


class PoolSpace(msgspec.Struct, frozen=True):
    """Space of a pool, as ONTAP nests it."""

    block_storage: BlockStorage = BlockStorage()


class Pool(msgspec.Struct, frozen=True, kw_only=True):
    """A pool: one configured backend (ONTAP's aggregate)."""

    uuid: str
    name: str
    state: str = ""
    space: PoolSpace = PoolSpace()


class JobError(msgspec.Struct, frozen=True):
    """Why a job failed."""

    message: str = ""
    code: str = ""
    target: str = ""


class Job(msgspec.Struct, frozen=True, kw_only=True):
    """A change that the gateway carries out."""

    uuid: str
    description: str = ""
    state: str = ""
    message: str = ""
    code: int = 0
    error: JobError | None = None
    start_time: str = ""
    end_time: str = ""

    @property
    def ended(self) -> bool:
        """Whether nothing more will happen."""
        return self.state not in {"", "queued", "running", "paused"}


class Client(msgspec.Struct, frozen=True):
    """One pattern of an export rule."""

    match: str


class Rule(msgspec.Struct, frozen=True, kw_only=True):
    """Who may reach an export, and how."""

    index: int = 0
    clients: tuple[Client, ...] = ()
    ro_rule: tuple[str, ...] = ()
    rw_rule: tuple[str, ...] = ()
    superuser: tuple[str, ...] = ()


class Policy(msgspec.Struct, frozen=True, kw_only=True):
    """An export policy; its key is a number."""

    id: int
    name: str
    svm: Ref = Ref()
    rules: tuple[Rule, ...] = ()


class Initiator(msgspec.Struct, frozen=True):
    """An iSCSI name of a host."""

    name: str


class LunMap(msgspec.Struct, frozen=True, kw_only=True):
    """A block volume that is attached to a group of hosts, and under which number."""

    lun: Ref = Ref()
    logical_unit_number: int = 0


class HostGroup(msgspec.Struct, frozen=True, kw_only=True):
    """Hosts that are given block volumes together (ONTAP's igroup)."""

    uuid: str
    name: str
    svm: Ref = Ref()
    comment: str = ""
    os_type: str = ""
    initiators: tuple[Initiator, ...] = ()
    lun_maps: tuple[LunMap, ...] = ()


class Handle(msgspec.Struct, frozen=True, kw_only=True):
    """One way to a volume's bytes. `kind` says which of the others are set.

    It is `local_path`, `in_process`, `nfs` (`file`: of blocks, the path below
    `path`), `iscsi` (`target`, `lun`, `chap`), `nbd` (`name`), `git` (`url`;
    `namespace`: what GIT_NAMESPACE has to be; `lfs_url`: where large files are,
    if not there) or `objects` (`endpoint`, `region`, `bucket`, `prefix`;
    `partial`: only signed requests lead to all of them).
    """

    kind: str = msgspec.field(name="type")
    key: str = ""
    address: str = ""
    port: int = 0
    path: str = ""
    file: str = ""
    version: str = ""
    target: str = ""
    lun: int | None = None
    chap: bool = False
    name: str = ""
    endpoint: str = ""
    region: str = ""
    bucket: str = ""
    prefix: str = ""
    partial: bool = False
    url: str = ""
    namespace: str = ""
    lfs_url: str = ""
    read_only: bool = False

    @property
    def place(self) -> str:
        """Give what a client asks the address for: a path, a target with its unit, an export's name, or a URL."""
        if self.url:
            return f"{self.url} GIT_NAMESPACE={self.namespace}" if self.namespace else self.url
        if self.target:
            return f"{self.target}/{self.lun}"
        if self.bucket:
            return f"{self.endpoint}/{self.bucket}/{self.prefix}"
        if self.file:
            return f"{self.path.rstrip('/')}/{self.file}"
        return self.path or self.name or self.key
