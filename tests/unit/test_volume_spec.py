"""Options of volumes: each row of the grammar, in a map and in a name string, and what is refused."""

from __future__ import annotations

import pytest

from gateway.core.errors import InvalidArgument
from gateway.core.secret import Secret
from gateway.frontends.openstorage.spec import (
    AUTO_AGGREGATION,
    CosType,
    ExportProtocol,
    ExportSpec,
    FailoverStrategy,
    FsType,
    Group,
    IoProfile,
    IoStrategy,
    IoThrottle,
    MountOptions,
    NearSyncStrategy,
    NfsProxySpec,
    Parsed,
    ProxyProtocol,
    ProxySpec,
    PureBlockSpec,
    PureFileSpec,
    ReplicaSet,
    ScanAction,
    ScanPolicy,
    ScanTrigger,
    ServiceType,
    Sharedv4ServiceSpec,
    Sharedv4Spec,
    TokenSecret,
    VolumeSpec,
    Weekday,
    Xattr,
    parse_name,
    parse_options,
)
from gateway.frontends.openstorage.spec.options import ALIASES, FORMS, OPTIONS

GIB = 1 << 30

ENUMS = [
    (FsType, ["NONE", "BTRFS", "EXT4", "FUSE", "NFS", "VFS", "XFS", "ZFS", "XFSV2"]),
    (CosType, ["NONE", "LOW", "MEDIUM", "HIGH"]),
    (
        IoProfile,
        ["SEQUENTIAL", "RANDOM", "DB", "DB_REMOTE", "CMS", "SYNC_SHARED", "AUTO", "NONE", "JOURNAL", "AUTO_JOURNAL"],
    ),
    (ExportProtocol, ["INVALID", "PXD", "ISCSI", "NFS", "CUSTOM"]),
    (ProxyProtocol, ["INVALID", "NFS", "S3", "PXD", "PURE_BLOCK", "PURE_FILE"]),
    (Xattr, ["UNSPECIFIED", "COW_ON_DEMAND"]),
    (ServiceType, ["UNSPECIFIED", "NODEPORT", "CLUSTERIP", "LOADBALANCER", "NONE"]),
    (FailoverStrategy, ["UNSPECIFIED", "AGGRESSIVE", "NORMAL"]),
    (ScanTrigger, ["NONE", "ON_MOUNT", "ON_NEXT_MOUNT"]),
    (ScanAction, ["NONE", "SCAN_ONLY", "SCAN_REPAIR"]),
    (NearSyncStrategy, ["NONE", "AGGRESSIVE", "OPTIMIZED"]),
    (Weekday, ["SUNDAY", "MONDAY", "TUESDAY", "WEDNESDAY", "THURSDAY", "FRIDAY", "SATURDAY"]),
]


@pytest.mark.parametrize(("enum", "members"), ENUMS)
def test_enums_have_the_numbers_of_the_wire(enum, members):
    assert [(member.name, int(member)) for member in enum] == [(name, number) for number, name in enumerate(members)]


def test_nothing_said_gives_the_defaults_of_the_parser():
    spec = parse_options({}).spec
    assert spec == VolumeSpec()
    assert (spec.size, spec.format, spec.block_size, spec.ha_level) == (0, FsType.EXT4, 0, 1)
    assert (spec.cos, spec.io_profile) == (CosType.NONE, IoProfile.AUTO)
    assert (spec.fp_preference, spec.xattr) == (True, Xattr.COW_ON_DEMAND)
    absent = [spec.group, spec.replica_set, spec.io_strategy, spec.export_spec, spec.scan_policy, spec.proxy_spec]
    assert absent == [None] * 6


def proxy(**fields):
    return {"proxy_spec": ProxySpec(**fields)}


def service(**fields):
    return {"sharedv4_service_spec": Sharedv4ServiceSpec(**fields)}


def failover(strategy):
    return {"sharedv4_spec": Sharedv4Spec(failover_strategy=strategy)}


# option, text in a map, text in a name string (None: the same), fields of the spec
ROWS = [
    ("size", "10", None, {"size": 10 * GIB}),
    ("size", "10 MiB", None, {"size": 10 << 20}),
    ("size", "1.5G", None, {"size": 3 * GIB // 2}),
    ("fs", "xfs", None, {"format": FsType.XFS}),
    ("fs", "none", None, {"format": FsType.NONE}),
    ("fs", "XFSv2", None, {"format": FsType.XFSV2}),
    ("block_size", "4096B", None, {"block_size": 4096}),
    ("block_size", "1", None, {"block_size": GIB}),
    ("repl", "3", None, {"ha_level": 3}),
    ("io_priority", "high", None, {"cos": CosType.HIGH}),
    ("io_priority", "MEDIUM", None, {"cos": CosType.MEDIUM}),
    ("io_priority", "2", None, {"cos": CosType.MEDIUM}),
    ("io_priority", "", None, {"cos": CosType.LOW}),
    ("io_profile", "sync_shared", None, {"io_profile": IoProfile.SYNC_SHARED}),
    ("io_profile", "DB", None, {"io_profile": IoProfile.DB}),
    ("snap_schedule", "daily=@12:30,5", "daily=@12:30#5", {"snapshot_schedule": "daily=@12:30,5"}),
    ("snap_schedule", "policy=a,b;daily=9", "policy=a#b;daily=9", {"snapshot_schedule": "policy=a,b;daily=9"}),
    ("snap_interval", "60", None, {"snapshot_interval": 60}),
    ("aggregation_level", "2", None, {"aggregation_level": 2}),
    ("aggregation_level", "auto", None, {"aggregation_level": AUTO_AGGREGATION}),
    ("secret_key", "a@b.c/d#e&f+g-h", None, {"encrypted": True, "passphrase": Secret("a@b.c/d#e&f+g-h")}),
    ("secret_key", "", None, {"encrypted": True}),
    ("nodiscard", "true", None, {"nodiscard": True, "auto_fstrim": True}),
    ("early_ack", "true", None, {"io_strategy": IoStrategy(early_ack=True)}),
    ("async_io", "true", None, {"io_strategy": IoStrategy(async_io=True)}),
    ("direct_io", "false", None, {"io_strategy": IoStrategy()}),
    ("fastpath", "false", None, {"fp_preference": False}),
    ("cow_ondemand", "false", None, {"xattr": Xattr.UNSPECIFIED}),
    ("cow_ondemand", "true", None, {"xattr": Xattr.COW_ON_DEMAND}),
    ("group", "g1", None, {"group": Group(id="g1")}),
    ("nodes", "n1,n2", "n1;n2", {"replica_set": ReplicaSet(nodes=("n1", "n2"))}),
    ("nodes", "n1;n2;", None, {"replica_set": ReplicaSet(nodes=("n1", "n2"))}),
    ("scale", "4", None, {"scale": 4}),
    ("queue_depth", "128", None, {"queue_depth": 128}),
    ("storagepolicy", "gold", None, {"storage_policy": "gold"}),
    ("export", "nfs", None, {"export_spec": ExportSpec(export_protocol=ExportProtocol.NFS)}),
    ("export", "pxd", None, {"export_spec": ExportSpec(export_protocol=ExportProtocol.PXD)}),
    ("export", "iscsi", None, {"export_spec": ExportSpec(export_protocol=ExportProtocol.ISCSI)}),
    ("export", "custom", None, {"export_spec": ExportSpec(export_protocol=ExportProtocol.CUSTOM)}),
    ("export_options", "rw", None, {"export_spec": ExportSpec(export_options="rw")}),
    ("proxy_endpoint", "nfs://h:2049/x", None, proxy(proxy_protocol=ProxyProtocol.NFS, endpoint="h:2049/x")),
    ("proxy_endpoint", "s3://h", None, proxy(proxy_protocol=ProxyProtocol.S3, endpoint="h")),
    ("proxy_endpoint", "pxd://h", None, proxy(proxy_protocol=ProxyProtocol.PXD, endpoint="h")),
    ("proxy_nfs_subpath", "/a", None, proxy(nfs_spec=NfsProxySpec(sub_path="/a"))),
    ("proxy_nfs_exportpath", "/b", None, proxy(nfs_spec=NfsProxySpec(export_path="/b"))),
    ("backend", "pure_block", None, proxy(proxy_protocol=ProxyProtocol.PURE_BLOCK)),
    ("pure_fa_pod_name", "p", None, proxy(pure_block_spec=PureBlockSpec(pod_name="p"))),
    ("pure_export_rules", "*(rw)", None, proxy(pure_file_spec=PureFileSpec(export_rules="*(rw)"))),
    ("pure_nfs_endpoint", "10.0.0.1", None, proxy(pure_file_spec=PureFileSpec(nfs_endpoint="10.0.0.1"))),
    ("mount_options", "k1,k2=v2", "k1;k2:v2", {"mount_options": MountOptions(options={"k1": "", "k2": "v2"})}),
    ("mount_options", "vers=4", "vers=4", {"mount_options": MountOptions(options={"vers": "4"})}),
    ("mount_options", "a=h:80", "a:h:80", {"mount_options": MountOptions(options={"a": "h:80"})}),
    (
        "sharedv4_mount_options",
        "k1,k2=v2",
        "k1;k2:v2",
        {"sharedv4_mount_options": MountOptions(options={"k1": "", "k2": "v2"})},
    ),
    ("sharedv4_svc_type", "NodePort", None, service(type=ServiceType.NODEPORT)),
    ("sharedv4_svc_type", "clusterIP", None, service(type=ServiceType.CLUSTERIP)),
    ("sharedv4_svc_type", "LoadBalancer", None, service(type=ServiceType.LOADBALANCER)),
    ("sharedv4_svc_type", "", None, service(type=ServiceType.NONE)),
    ("sharedv4_svc_name", "web", None, service(name="web")),
    ("sharedv4_external_access", "t", None, service(external_access=True)),
    ("sharedv4_failover_strategy", "normal", None, failover(FailoverStrategy.NORMAL)),
    ("sharedv4_failover_strategy", "aggressive", None, failover(FailoverStrategy.AGGRESSIVE)),
    ("sharedv4_failover_strategy", "", None, failover(FailoverStrategy.UNSPECIFIED)),
    ("io_throttle_rd_iops", "1", None, {"io_throttle": IoThrottle(read_iops=1)}),
    ("io_throttle_wr_iops", "2", None, {"io_throttle": IoThrottle(write_iops=2)}),
    ("io_throttle_rd_bw", "3", None, {"io_throttle": IoThrottle(read_bw_mbytes=3)}),
    ("io_throttle_wr_bw", "4", None, {"io_throttle": IoThrottle(write_bw_mbytes=4)}),
    ("createoptions", "-O extent", None, {"fa_create_options": "-O extent"}),
    (
        "nearsync_replication_strategy",
        "optimized",
        None,
        {"near_sync_replication_strategy": NearSyncStrategy.OPTIMIZED},
    ),
    ("scan_policy_trigger", "on_mount", None, {"scan_policy": ScanPolicy(trigger=ScanTrigger.ON_MOUNT)}),
    ("scan_policy_action", "scan_repair", None, {"scan_policy": ScanPolicy(action=ScanAction.SCAN_REPAIR)}),
    *(
        (option, "true", None, {field: True})
        for option, field in {
            "shared": "shared",
            "sharedv4": "sharedv4",
            "journal": "journal",
            "sticky": "sticky",
            "secure": "encrypted",
            "compressed": "compressed",
            "cascaded": "cascaded",
            "ephemeral": "ephemeral",
            "dedupe": "dedupe",
            "nearsync": "near_sync",
            "auto_fstrim": "auto_fstrim",
            "readahead": "readahead",
            "winshare": "winshare",
            "proxy_write": "proxy_write",
            "force_unsupported_fs_type": "force_unsupported_fs_type",
            "fg": "group_enforced",
        }.items()
    ),
]  # fmt: skip


@pytest.mark.parametrize(("option", "in_map", "in_name", "fields"), ROWS)
def test_an_option_sets_its_field(option, in_map, in_name, fields):
    wanted = Parsed(name="v", spec=VolumeSpec(**fields), given=frozenset({option}))
    assert parse_options({option: in_map}, name="v") == wanted
    assert parse_name(f"name=v,{option}={in_map if in_name is None else in_name}") == wanted


def test_every_option_has_a_row():
    assert {row[0] for row in ROWS} | {"pure_vol_name"} == set(OPTIONS)


@pytest.mark.parametrize("word", ["1", "t", "T", "TRUE", "true", "True"])
def test_words_for_yes(word):
    assert parse_options({"shared": word}).spec.shared


@pytest.mark.parametrize("word", ["0", "f", "F", "FALSE", "false", "False"])
def test_words_for_no(word):
    parsed = parse_options({"fastpath": word})
    assert not parsed.spec.fp_preference
    assert parsed.given == {"fastpath"}


@pytest.mark.parametrize(
    "option", sorted(name for name, option in OPTIONS.items() if option.codec is OPTIONS["shared"].codec)
)
@pytest.mark.parametrize("word", ["", "yes", "on", "tRUE", "2", " true", "true "])  # fmt: skip
def test_other_words_are_never_taken_for_no(option, word):
    with pytest.raises(InvalidArgument) as caught:
        parse_options({option: word})
    assert caught.value.field == option


@pytest.mark.parametrize(
    ("options", "field"),
    [
        ({"size": ""}, "size"),
        ({"size": "-1G"}, "size"),
        ({"size": "ten"}, "size"),
        ({"block_size": "4k b"}, "block_size"),
        ({"fs": "ntfs"}, "fs"),
        ({"fs": ""}, "fs"),
        ({"fs": "2"}, "fs"),
        ({"repl": "two"}, "repl"),
        ({"repl": "-1"}, "repl"),
        ({"repl": "٣"}, "repl"),
        ({"repl": str(2**63)}, "repl"),
        ({"io_priority": "urgent"}, "io_priority"),
        ({"io_priority": "none"}, "io_priority"),
        ({"priority_io": "0"}, "io_priority"),
        ({"io_profile": "2"}, "io_profile"),
        ({"snap_interval": "hourly"}, "snap_interval"),
        ({"snap_interval": str(2**32 - 1)}, "snap_interval"),
        ({"snap_schedule": "hourly=1"}, "snap_schedule"),
        ({"aggregation_level": "Auto"}, "aggregation_level"),
        ({"aggregation_level": str(2**32)}, "aggregation_level"),
        ({"scale": "x"}, "scale"),
        ({"scale": str(2**32)}, "scale"),
        ({"queue_depth": "-1"}, "queue_depth"),
        ({"queue_depth": "9" * 5000}, "queue_depth"),
        ({"io_throttle_rd_iops": "1.5"}, "io_throttle_rd_iops"),
        ({"export": "smb"}, "export"),
        ({"export": "invalid"}, "export"),
        ({"backend": "invalid"}, "backend"),
        ({"backend": "tape"}, "backend"),
        ({"proxy_endpoint": "http://h"}, "proxy_endpoint"),
        ({"proxy_endpoint": "h:2049"}, "proxy_endpoint"),
        ({"proxy_endpoint": "nfs://"}, "proxy_endpoint"),
        ({"proxy_endpoint": ""}, "proxy_endpoint"),
        ({"proxy_endpoint": "nfs://h", "backend": "s3"}, "backend"),
        ({"pure_vol_name": "v"}, "pure_vol_name"),
        ({"pure_vol_name": "v", "backend": "nfs"}, "pure_vol_name"),
        ({"mount_options": "a,a"}, "mount_options"),
        ({"mount_options": "=x"}, "mount_options"),
        ({"sharedv4_svc_type": "none"}, "sharedv4_svc_type"),
        ({"sharedv4_failover_strategy": "slow"}, "sharedv4_failover_strategy"),
        ({"scan_policy_trigger": "daily"}, "scan_policy_trigger"),
        ({"nearsync_replication_strategy": "lazy"}, "nearsync_replication_strategy"),
        ({"secure": "false", "secret_key": "k"}, "secure"),
        ({"io_priority": "high", "priority_io": "high"}, "io_priority"),
        ({"rack": "a", "racks": "b"}, "racks"),
        ({"labels": "a=1,a=2"}, "labels"),
        ({"labels": "a=1", "a": "1"}, "labels"),
        ({"labels": "=1"}, "labels"),
        ({"": "x"}, "labels"),
        ({"best_effort_location_provisioning": "perhaps"}, "best_effort_location_provisioning"),
        ({"token_secret_namespace": "ns"}, "token_secret_namespace"),
    ],
)
def test_what_cannot_be_read_is_refused_on_its_option(options, field):
    with pytest.raises(InvalidArgument) as caught:
        parse_options(options)
    assert caught.value.field == field
    assert caught.value.reason
    assert len(str(caught.value.value or "")) <= 64


@pytest.mark.parametrize("options", [{"io_priority": "hihg"}, {"fs": "btrsf"}, {"scan_policy_trigger": "on-mount"}])
def test_the_nearest_word_is_offered(options):
    with pytest.raises(InvalidArgument, match="did you mean"):
        parse_options(options)


def test_the_pure_name_goes_where_the_backend_says():
    for backend, record in [("pure_block", "pure_block_spec"), ("pure_file", "pure_file_spec")]:
        parsed = parse_options({"pure_vol_name": "v", "backend": backend})
        assert getattr(parsed.spec.proxy_spec, record).full_vol_name == "v"


def test_auto_fstrim_follows_nodiscard_unless_it_is_given():
    assert not parse_options({"nodiscard": "true", "auto_fstrim": "false"}).spec.auto_fstrim
    assert not parse_options({"nodiscard": "false"}).spec.auto_fstrim


def test_options_of_one_record_come_together():
    parsed = parse_options({"early_ack": "true", "direct_io": "true", "export": "nfs", "export_options": "rw"})
    assert parsed.spec.io_strategy == IoStrategy(early_ack=True, direct_io=True)
    assert parsed.spec.export_spec == ExportSpec(export_protocol=ExportProtocol.NFS, export_options="rw")


@pytest.mark.parametrize(
    ("options", "labels"),
    [
        ({"zones": "a,b"}, {"zones": "a,b"}),
        ({"racks": "r1"}, {"racks": "r1"}),
        ({"rack": "r1"}, {"racks": "r1"}),
        ({"best_effort_location_provisioning": ""}, {"best_effort_location_provisioning": "true"}),
        ({"best_effort_location_provisioning": "1"}, {"best_effort_location_provisioning": "true"}),
        ({"best_effort_location_provisioning": "false"}, {}),
        ({"labels": "k1=v1,k2"}, {"k1": "v1", "k2": ""}),
        ({"labels": "a=b=c,,"}, {"a": "b=c"}),
        ({"labels": ""}, {}),
        ({"proxy_s3_bucket": "b"}, {"proxy_s3_bucket": "b"}),
        ({"owner": "me", "name": "x", "Size": "1"}, {"owner": "me", "name": "x", "Size": "1"}),
    ],
)
def test_labels(options, labels):
    parsed = parse_options(options)
    assert parsed == Parsed(labels=labels)


def test_what_is_not_of_the_spec_stands_beside_it():
    parsed = parse_options(
        {
            "parent": "0c2c8bba-4f1f-4d2d-8f0e-1c6d1f4f8a11",
            "token": "a.b.c",
            "token_secret": "/px/secrets/alpha/token1/",
            "token_secret_namespace": "ns2",
        }
    )
    assert parsed.spec == VolumeSpec()
    assert parsed.given == frozenset()
    assert parsed.labels == {}
    assert parsed.parent == "0c2c8bba-4f1f-4d2d-8f0e-1c6d1f4f8a11"
    assert parsed.token == Secret("a.b.c")
    assert parsed.token_secret == TokenSecret(name="px/secrets/alpha/token1", namespace="ns2")


def test_secrets_are_not_shown():
    parsed = parse_options({"secret_key": "hush", "token": "hush.hush.hush"})
    assert "hush" not in repr(parsed)


def test_names_of_options_are_no_parts_of_each_others_grammar():
    assert set(ALIASES.values()) <= set(FORMS)
    assert not set(ALIASES) & set(FORMS)
    assert not {"policy", "periodic", "daily", "weekly", "monthly"} & set(FORMS), "a schedule would fall apart"
