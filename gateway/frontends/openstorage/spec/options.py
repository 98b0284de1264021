"""The options: where each one's value goes in a `VolumeSpec`, and how a name string writes it.

A name string has a comma between options, so lists in its values are written
otherwise than in a map: each `Form` says how.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from typing import Any

import msgspec

from gateway.frontends.openstorage.spec import values
from gateway.frontends.openstorage.spec.model import (
    UNCHANGED_INTERVAL,
    ExportProtocol,
    ExportSpec,
    FsType,
    Group,
    IoProfile,
    IoStrategy,
    IoThrottle,
    MountOptions,
    NearSyncStrategy,
    NfsProxySpec,
    ProxyProtocol,
    ProxySpec,
    PureBlockSpec,
    PureFileSpec,
    ReplicaSet,
    ScanAction,
    ScanPolicy,
    ScanTrigger,
    Sharedv4ServiceSpec,
    Sharedv4Spec,
    VolumeSpec,
)
from gateway.frontends.openstorage.spec.schedule import parse_schedule
from gateway.frontends.openstorage.spec.values import Codec

Path = tuple[str, ...]
"""The fields from a `VolumeSpec` down to a value."""


class Form(msgspec.Struct, frozen=True):
    """How a name string writes a value: both ways between its text and the map's."""

    from_name: Callable[[str], str] = str
    to_name: Callable[[str], str] = str


class Option(msgspec.Struct, frozen=True, kw_only=True):
    """One option. `secret`: its value is in no error and in no text that is not asked to reveal it."""

    name: str
    path: Path
    codec: Codec
    form: Form
    secret: bool = False


def _colons(text: str) -> str:
    """Turn `k1;k2:v2` into `k1,k2=v2`. Only the first colon separates, so a value may hold others."""
    return ",".join(_swapped(item, ":", "=") for item in text.split(";"))


def _equals(text: str) -> str:
    return ";".join(_swapped(item, "=", ":") for item in text.split(","))


def _swapped(item: str, old: str, new: str) -> str:
    key, found, value = item.partition(old)
    return item if not found or new in key else f"{key}{new}{value}"


PLAIN = Form()
LIST = Form(lambda text: text.replace(";", ","), lambda text: text.replace(",", ";"))
PAIRS = Form(_colons, _equals)
SCHEDULE = Form(lambda text: text.replace("#", ","), lambda text: text.replace(",", "#"))

NESTED: Mapping[Path, type[msgspec.Struct]] = {
    ("replica_set",): ReplicaSet,
    ("group",): Group,
    ("io_strategy",): IoStrategy,
    ("export_spec",): ExportSpec,
    ("scan_policy",): ScanPolicy,
    ("mount_options",): MountOptions,
    ("sharedv4_mount_options",): MountOptions,
    ("proxy_spec",): ProxySpec,
    ("proxy_spec", "nfs_spec"): NfsProxySpec,
    ("proxy_spec", "pure_block_spec"): PureBlockSpec,
    ("proxy_spec", "pure_file_spec"): PureFileSpec,
    ("sharedv4_service_spec",): Sharedv4ServiceSpec,
    ("sharedv4_spec",): Sharedv4Spec,
    ("io_throttle",): IoThrottle,
}
"""The records inside a `VolumeSpec`, which are there only when an option said something of them."""

ENCRYPTED = ("encrypted",)
PASSPHRASE = ("passphrase",)
NODISCARD = ("nodiscard",)
AUTO_FSTRIM = ("auto_fstrim",)
ENDPOINT = ("proxy_spec", "endpoint")
PROTOCOL = ("proxy_spec", "proxy_protocol")
PURE_NAME = ("proxy_spec", "full_vol_name")
"""No field of its own: it is in the record that the protocol asks for."""

ENDPOINT_SCHEMES: Mapping[str, ProxyProtocol] = {
    "nfs": ProxyProtocol.NFS,
    "s3": ProxyProtocol.S3,
    "pxd": ProxyProtocol.PXD,
}
PURE_RECORDS: Mapping[ProxyProtocol, str] = {
    ProxyProtocol.PURE_BLOCK: "pure_block_spec",
    ProxyProtocol.PURE_FILE: "pure_file_spec",
}


def _read_schedule(text: str) -> str:
    """Give the text itself; InvalidArgument when it is no schedule: the reference finds that out only later."""
    parse_schedule(text, field="snap_schedule")
    return text


def _read_endpoint(text: str) -> str:
    scheme, found, rest = text.partition("://")
    if scheme not in ENDPOINT_SCHEMES or not found or not rest:
        raise ValueError(f"must begin with one of {', '.join(f'{known}://' for known in ENDPOINT_SCHEMES)}")
    return text


_TABLE: tuple[tuple[str, str, Codec] | tuple[str, str, Codec, Form], ...] = (
    ("size", "size", values.SIZE),
    ("fs", "format", values.names(FsType)),
    ("block_size", "block_size", values.SIZE),
    ("repl", "ha_level", values.INT64),
    ("io_priority", "cos", values.COS),
    ("io_profile", "io_profile", values.names(IoProfile)),
    ("snap_schedule", "snapshot_schedule", Codec(_read_schedule, str), SCHEDULE),
    ("snap_interval", "snapshot_interval", values.whole(UNCHANGED_INTERVAL - 1)),
    ("aggregation_level", "aggregation_level", values.AGGREGATION),
    ("shared", "shared", values.BOOLEAN),
    ("sharedv4", "sharedv4", values.BOOLEAN),
    ("journal", "journal", values.BOOLEAN),
    ("sticky", "sticky", values.BOOLEAN),
    ("secure", "encrypted", values.BOOLEAN),
    ("secret_key", "passphrase", values.SECRET),
    ("compressed", "compressed", values.BOOLEAN),
    ("cascaded", "cascaded", values.BOOLEAN),
    ("ephemeral", "ephemeral", values.BOOLEAN),
    ("dedupe", "dedupe", values.BOOLEAN),
    ("nearsync", "near_sync", values.BOOLEAN),
    ("nearsync_replication_strategy", "near_sync_replication_strategy", values.names(NearSyncStrategy)),
    ("early_ack", "io_strategy.early_ack", values.BOOLEAN),
    ("async_io", "io_strategy.async_io", values.BOOLEAN),
    ("direct_io", "io_strategy.direct_io", values.BOOLEAN),
    ("nodiscard", "nodiscard", values.BOOLEAN),
    ("auto_fstrim", "auto_fstrim", values.BOOLEAN),
    ("readahead", "readahead", values.BOOLEAN),
    ("winshare", "winshare", values.BOOLEAN),
    ("fastpath", "fp_preference", values.BOOLEAN),
    ("proxy_write", "proxy_write", values.BOOLEAN),
    ("cow_ondemand", "xattr", values.COW),
    ("force_unsupported_fs_type", "force_unsupported_fs_type", values.BOOLEAN),
    ("group", "group.id", values.TEXT),
    ("fg", "group_enforced", values.BOOLEAN),
    ("nodes", "replica_set.nodes", values.NODES, LIST),
    ("scale", "scale", values.UINT32),
    ("queue_depth", "queue_depth", values.UINT32),
    ("storagepolicy", "storage_policy", values.TEXT),
    ("export_options", "export_spec.export_options", values.TEXT),
    ("export", "export_spec.export_protocol", values.names(ExportProtocol)),
    ("proxy_endpoint", "proxy_spec.endpoint", Codec(_read_endpoint, str)),
    ("proxy_nfs_subpath", "proxy_spec.nfs_spec.sub_path", values.TEXT),
    ("proxy_nfs_exportpath", "proxy_spec.nfs_spec.export_path", values.TEXT),
    ("backend", "proxy_spec.proxy_protocol", values.names(ProxyProtocol)),
    ("pure_vol_name", "proxy_spec.full_vol_name", values.TEXT),
    ("pure_fa_pod_name", "proxy_spec.pure_block_spec.pod_name", values.TEXT),
    ("pure_export_rules", "proxy_spec.pure_file_spec.export_rules", values.TEXT),
    ("pure_nfs_endpoint", "proxy_spec.pure_file_spec.nfs_endpoint", values.TEXT),
    ("mount_options", "mount_options.options", values.PAIRS, PAIRS),
    ("sharedv4_mount_options", "sharedv4_mount_options.options", values.PAIRS, PAIRS),
    ("sharedv4_svc_name", "sharedv4_service_spec.name", values.TEXT),
    ("sharedv4_svc_type", "sharedv4_service_spec.type", values.SERVICE_TYPE),
    ("sharedv4_external_access", "sharedv4_service_spec.external_access", values.BOOLEAN),
    ("sharedv4_failover_strategy", "sharedv4_spec.failover_strategy", values.FAILOVER),
    ("io_throttle_rd_iops", "io_throttle.read_iops", values.UINT32),
    ("io_throttle_wr_iops", "io_throttle.write_iops", values.UINT32),
    ("io_throttle_rd_bw", "io_throttle.read_bw_mbytes", values.UINT32),
    ("io_throttle_wr_bw", "io_throttle.write_bw_mbytes", values.UINT32),
    ("createoptions", "fa_create_options", values.TEXT),
    ("scan_policy_trigger", "scan_policy.trigger", values.names(ScanTrigger)),
    ("scan_policy_action", "scan_policy.action", values.names(ScanAction)),
)


def _options() -> Iterator[Option]:
    for name, path, codec, *form in _TABLE:
        fields = tuple(path.split("."))
        yield Option(
            name=name, path=fields, codec=codec, form=form[0] if form else PLAIN, secret=codec is values.SECRET
        )


OPTIONS: Mapping[str, Option] = {option.name: option for option in _options()}
"""Every option that sets something in a `VolumeSpec`, in the order in which a text gives them."""

ALIASES: Mapping[str, str] = {"priority_io": "io_priority", "rack": "racks"}
"""Another name of an option -> its usual name."""

LABEL_OPTIONS: Mapping[str, Form] = {"zones": LIST, "racks": LIST, "regions": LIST, "proxy_s3_bucket": PLAIN}
"""Options that are labels and nothing else."""

BEST_EFFORT = "best_effort_location_provisioning"
LABELS = "labels"
PARENT = "parent"
TOKEN = "token"  # noqa: S105 - the name of an option
TOKEN_SECRET = "token_secret"  # noqa: S105 - the name of an option
TOKEN_SECRET_NAMESPACE = "token_secret_namespace"  # noqa: S105 - the name of an option

FORMS: Mapping[str, Form] = {
    **{option.name: option.form for option in OPTIONS.values()},
    **LABEL_OPTIONS,
    BEST_EFFORT: PLAIN,
    LABELS: PAIRS,
    PARENT: PLAIN,
    TOKEN: PLAIN,
    TOKEN_SECRET: PLAIN,
    TOKEN_SECRET_NAMESPACE: PLAIN,
}
"""Everything that a name string may say, by its usual name."""


def read(option: Option, text: str) -> Any:
    """Give the value of a text; InvalidArgument on the option's name when it is none."""
    try:
        return option.codec.read(text)
    except ValueError as error:
        value = None if option.secret else text
        raise values.invalid(option.name, str(error), value=value) from None


def find(spec: msgspec.Struct, path: Path) -> Any:
    """Give the value at a path, None where a record on the way to it is absent."""
    found: Any = spec
    for field in path:
        found = None if found is None else getattr(found, field)
    return found


def default(path: Path) -> Any:
    """Give what stands at a path when nothing was said, in a record that is there."""
    record = NESTED[path[:-1]]() if len(path) > 1 else VolumeSpec()
    return getattr(record, path[-1])
