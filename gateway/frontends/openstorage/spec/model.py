"""What a volume specification of openstorage can say, as records. Names and numbers are those of the wire.

The defaults are those of the string and option parser. The SDK's Create
applies none: there, what is absent is zero.
"""

from __future__ import annotations

import enum

import msgspec

from gateway.core.secret import Secret

AUTO_AGGREGATION = 2**32 - 1
"""`aggregation_level` that leaves the choice to the driver; its text is `auto`."""

UNCHANGED_INTERVAL = 2**32 - 1
"""`snapshot_interval` that an update takes for "leave it as it is"; nobody can ask for it."""


class FsType(enum.IntEnum):
    """File system that a volume is formatted with."""

    NONE = 0
    BTRFS = 1
    EXT4 = 2
    FUSE = 3
    NFS = 4
    VFS = 5
    XFS = 6
    ZFS = 7
    XFSV2 = 8


class CosType(enum.IntEnum):
    """Class of service."""

    NONE = 0
    LOW = 1
    MEDIUM = 2
    HIGH = 3


class IoProfile(enum.IntEnum):
    """What the volume's consumer does most. The zero is a real profile."""

    SEQUENTIAL = 0
    RANDOM = 1
    DB = 2
    DB_REMOTE = 3
    CMS = 4
    SYNC_SHARED = 5
    AUTO = 6
    NONE = 7
    JOURNAL = 8
    AUTO_JOURNAL = 9


class ExportProtocol(enum.IntEnum):
    """How a volume is exported."""

    INVALID = 0
    PXD = 1
    ISCSI = 2
    NFS = 3
    CUSTOM = 4


class ProxyProtocol(enum.IntEnum):
    """What holds the data of a proxy volume."""

    INVALID = 0
    NFS = 1
    S3 = 2
    PXD = 3
    PURE_BLOCK = 4
    PURE_FILE = 5


class Xattr(enum.IntEnum):
    """How new blocks are marked."""

    UNSPECIFIED = 0
    COW_ON_DEMAND = 1


class ServiceType(enum.IntEnum):
    """Kind of service in front of a shared volume. NONE asks for no service, UNSPECIFIED leaves it open."""

    UNSPECIFIED = 0
    NODEPORT = 1
    CLUSTERIP = 2
    LOADBALANCER = 3
    NONE = 4


class FailoverStrategy(enum.IntEnum):
    """How soon a shared volume moves to another node."""

    UNSPECIFIED = 0
    AGGRESSIVE = 1
    NORMAL = 2


class ScanTrigger(enum.IntEnum):
    """When a file system is scanned."""

    NONE = 0
    ON_MOUNT = 1
    ON_NEXT_MOUNT = 2


class ScanAction(enum.IntEnum):
    """What a scan does."""

    NONE = 0
    SCAN_ONLY = 1
    SCAN_REPAIR = 2


class NearSyncStrategy(enum.IntEnum):
    """How a near-synchronous copy is kept."""

    NONE = 0
    AGGRESSIVE = 1
    OPTIMIZED = 2


class ReplicaSet(msgspec.Struct, frozen=True, kw_only=True):
    """Nodes that shall hold the data."""

    nodes: tuple[str, ...] = ()


class Group(msgspec.Struct, frozen=True, kw_only=True):
    """The consistency group of a volume."""

    id: str = ""


class IoStrategy(msgspec.Struct, frozen=True, kw_only=True):
    """Shortcuts that I/O may take."""

    async_io: bool = False
    early_ack: bool = False
    direct_io: bool = False


class ExportSpec(msgspec.Struct, frozen=True, kw_only=True):
    """How the volume is exported, with options in the protocol's own words."""

    export_protocol: ExportProtocol = ExportProtocol.INVALID
    export_options: str = ""


class ScanPolicy(msgspec.Struct, frozen=True, kw_only=True):
    """When the file system is scanned and what is done then."""

    trigger: ScanTrigger = ScanTrigger.NONE
    action: ScanAction = ScanAction.NONE


class MountOptions(msgspec.Struct, frozen=True, kw_only=True):
    """Options of a mount; those without a value have the empty text."""

    options: dict[str, str] = {}


class NfsProxySpec(msgspec.Struct, frozen=True, kw_only=True):
    """The directory on a file server that a proxy volume stands for."""

    export_path: str = ""
    sub_path: str = ""


class PureBlockSpec(msgspec.Struct, frozen=True, kw_only=True):
    """A volume of a block array. `pod_name` is only in newer schemas."""

    full_vol_name: str = ""
    pod_name: str = ""


class PureFileSpec(msgspec.Struct, frozen=True, kw_only=True):
    """A file system of a file array. `nfs_endpoint` is only in newer schemas."""

    export_rules: str = ""
    full_vol_name: str = ""
    nfs_endpoint: str = ""


class ProxySpec(msgspec.Struct, frozen=True, kw_only=True):
    """Where the data of a proxy volume is. `endpoint` has no scheme: that is the protocol."""

    proxy_protocol: ProxyProtocol = ProxyProtocol.INVALID
    endpoint: str = ""
    nfs_spec: NfsProxySpec | None = None
    pure_block_spec: PureBlockSpec | None = None
    pure_file_spec: PureFileSpec | None = None


class Sharedv4ServiceSpec(msgspec.Struct, frozen=True, kw_only=True):
    """The service in front of a shared volume. `external_access` is only in newer schemas."""

    name: str = ""
    type: ServiceType = ServiceType.UNSPECIFIED
    external_access: bool = False


class Sharedv4Spec(msgspec.Struct, frozen=True, kw_only=True):
    """How a shared volume fails over."""

    failover_strategy: FailoverStrategy = FailoverStrategy.UNSPECIFIED


class IoThrottle(msgspec.Struct, frozen=True, kw_only=True):
    """Limits of I/O: operations per second and megabytes per second; zero is no limit."""

    read_iops: int = 0
    write_iops: int = 0
    read_bw_mbytes: int = 0
    write_bw_mbytes: int = 0


class VolumeSpec(msgspec.Struct, frozen=True, kw_only=True):
    """All that the grammar can say about a volume. Sizes are bytes; an absent message is None.

    `size` 0 means that none was given. `readahead` and `winshare` are only in
    newer schemas.
    """

    size: int = 0
    format: FsType = FsType.EXT4
    block_size: int = 0
    ha_level: int = 1
    cos: CosType = CosType.NONE
    io_profile: IoProfile = IoProfile.AUTO
    ephemeral: bool = False
    dedupe: bool = False
    snapshot_interval: int = 0
    snapshot_schedule: str = ""
    shared: bool = False
    replica_set: ReplicaSet | None = None
    aggregation_level: int = 0
    encrypted: bool = False
    passphrase: Secret | None = None
    scale: int = 0
    sticky: bool = False
    group: Group | None = None
    group_enforced: bool = False
    compressed: bool = False
    cascaded: bool = False
    journal: bool = False
    sharedv4: bool = False
    queue_depth: int = 0
    force_unsupported_fs_type: bool = False
    nodiscard: bool = False
    io_strategy: IoStrategy | None = None
    storage_policy: str = ""
    export_spec: ExportSpec | None = None
    fp_preference: bool = True
    xattr: Xattr = Xattr.COW_ON_DEMAND
    scan_policy: ScanPolicy | None = None
    mount_options: MountOptions | None = None
    sharedv4_mount_options: MountOptions | None = None
    proxy_write: bool = False
    proxy_spec: ProxySpec | None = None
    sharedv4_service_spec: Sharedv4ServiceSpec | None = None
    sharedv4_spec: Sharedv4Spec | None = None
    auto_fstrim: bool = False
    io_throttle: IoThrottle | None = None
    readahead: bool = False
    winshare: bool = False
    fa_create_options: str = ""
    near_sync: bool = False
    near_sync_replication_strategy: NearSyncStrategy = NearSyncStrategy.NONE


class TokenSecret(msgspec.Struct, frozen=True, kw_only=True):
    """Where the caller's token is kept: not the token itself."""

    name: str
    namespace: str = ""


class Parsed(msgspec.Struct, frozen=True, kw_only=True):
    """A request for a volume as it was written.

    `given` are the options that were written and set something in `spec`, by
    their usual names: a default is not a wish. `parent` makes it a clone. A
    `token` counts before a `token_secret`; neither may be stored. `own` are
    options that only the door knows which asked for them.
    """

    name: str = ""
    spec: VolumeSpec = VolumeSpec()
    labels: dict[str, str] = {}
    parent: str = ""
    token: Secret | None = None
    token_secret: TokenSecret | None = None
    given: frozenset[str] = frozenset()
    own: dict[str, str] = {}
