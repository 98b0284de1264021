"""Volume specifications as text: name strings, option maps, documents, snapshot schedules. Nothing here does I/O.

A name string or a map becomes a `Parsed` record by `parse_name`,
`parse_options` or, as Docker gives both at once, `parse_request`; a document
becomes several by `load_documents`. `render_name` and `render_options` go
back, `describe` makes the record for a spec that came another way.
`parse_schedule` and what goes with it read and change the text of a
snapshot schedule. What cannot be read is the core's InvalidArgument, whose
`field` is the option.
"""

from __future__ import annotations

from gateway.frontends.openstorage.spec.documents import DocumentFormat, load_documents
from gateway.frontends.openstorage.spec.grammar import parse_name, parse_options, parse_request, split_name
from gateway.frontends.openstorage.spec.intervals import (
    POLICY_DAY_MAX,
    Daily,
    Interval,
    Monthly,
    Periodic,
    Weekday,
    Weekly,
    check_interval,
    parse_list,
    render_list,
)
from gateway.frontends.openstorage.spec.model import (
    AUTO_AGGREGATION,
    UNCHANGED_INTERVAL,
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
    Xattr,
)
from gateway.frontends.openstorage.spec.render import describe, render_name, render_options
from gateway.frontends.openstorage.spec.schedule import Schedule, apply_policies, parse_schedule, render_schedule
from gateway.frontends.openstorage.spec.units import parse_size, size_text

__all__ = [
    "AUTO_AGGREGATION",
    "POLICY_DAY_MAX",
    "UNCHANGED_INTERVAL",
    "CosType",
    "Daily",
    "DocumentFormat",
    "ExportProtocol",
    "ExportSpec",
    "FailoverStrategy",
    "FsType",
    "Group",
    "Interval",
    "IoProfile",
    "IoStrategy",
    "IoThrottle",
    "Monthly",
    "MountOptions",
    "NearSyncStrategy",
    "NfsProxySpec",
    "Parsed",
    "Periodic",
    "ProxyProtocol",
    "ProxySpec",
    "PureBlockSpec",
    "PureFileSpec",
    "ReplicaSet",
    "ScanAction",
    "ScanPolicy",
    "ScanTrigger",
    "Schedule",
    "ServiceType",
    "Sharedv4ServiceSpec",
    "Sharedv4Spec",
    "TokenSecret",
    "VolumeSpec",
    "Weekday",
    "Weekly",
    "Xattr",
    "apply_policies",
    "check_interval",
    "describe",
    "load_documents",
    "parse_list",
    "parse_name",
    "parse_options",
    "parse_request",
    "parse_schedule",
    "parse_size",
    "render_list",
    "render_name",
    "render_options",
    "render_schedule",
    "size_text",
    "split_name",
]
