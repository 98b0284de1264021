"""What single values of a body must look like, what a body must hold, and what the door carries out.

Literal tables; `body` applies them.
"""

from __future__ import annotations

import re
from collections.abc import Mapping

import msgspec

from gateway.frontends.ontap_rest.scalars import DURATION
from gateway.frontends.ontap_rest.schema import Verb


class TextRule(msgspec.Struct, frozen=True):
    """The value's text must match `pattern` as a whole, or the request fails with `code`."""

    pattern: re.Pattern[str]
    code: str
    message: str


class Required(msgspec.Struct, frozen=True):
    """A POST must hold one of `paths` (or an object above them), unless `unless` is true in it."""

    paths: tuple[str, ...]
    code: str
    message: str
    unless: str = ""


def _rule(pattern: str, code: str, message: str) -> TextRule:
    return TextRule(re.compile(pattern, re.DOTALL | re.ASCII), code, message)


def _or_default(pattern: re.Pattern[str]) -> re.Pattern[str]:
    return re.compile(rf"default|(?:{pattern.pattern})", re.DOTALL | re.ASCII)


_NAME = r"[A-Za-z_][A-Za-z0-9_.-]*"
_PATH_PART = r"(?!\.{1,2}(?:/|$))[^/\x00-\x1f\x7f]{1,255}"
_MATCH = r"(?:[A-Za-z0-9_.:/*?\[\]@%-]+)"

VOLUME_NAME = (
    _rule(r".{0,203}", "917886", "The volume name is longer than 203 characters"),
    _rule(r"[A-Za-z_].*", "917887", 'The volume name must begin with a letter or "_"'),
    _rule(r"[A-Za-z0-9_]*", "917888", 'The volume name may hold letters, digits and "_" only'),
)
SVM_NAME = (
    _rule(r".+", "2621685", "The SVM name is empty"),
    _rule(r".{0,47}", "2621643", "The SVM name is longer than 47 characters"),
    _rule(
        _NAME, "2621519", 'The SVM name must begin with a letter or "_"; letters, digits, "_", "-" and "." may follow'
    ),
)
POLICY_NAME = (
    _rule(r".{0,256}", "1704047", "The policy name is longer than 256 characters"),
    _rule(r"[A-Za-z0-9_.:-]+", "1703952", "The policy name is empty or holds blanks or other special characters"),
)
CLIENT_MATCH = (
    _rule(r".{0,4096}", "1704065", "The client match is too long"),
    _rule(r"(?!\.$).*", "1704036", "The client match lacks its domain"),
    _rule(r"(?!/).*", "1704037", "The client match lacks its network"),
    _rule(r"(?!@$).*", "1704038", "The client match lacks its netgroup"),
    _rule(
        rf"{_MATCH}(?:,{_MATCH})*", "1704039", "The client match is not a host, address, network, domain or netgroup"
    ),
)
INDEX = (_rule(r"[1-9][0-9]*", "3277162", "An index of 0 or less cannot be used"),)
_IQN = r"[Ii][Qq][Nn]\."
_EUI = r"[Ee][Uu][Ii]\."
_NO_IQN, _NO_EUI = rf"(?!{_IQN}).*", rf"(?!{_EUI}).*"
_WWPN = r"(?:[0-9A-Fa-f]{2}:){7}[0-9A-Fa-f]{2}"
_ACCOUNT_CHARACTERS = r"[A-Za-z0-9_.@\\-]*"
ACCOUNT_NAME = (
    _rule(_ACCOUNT_CHARACTERS, "7077897", "The user name holds an invalid character"),
    _rule(r".{3,}", "7077899", "The user name has fewer than 3 characters"),
)
ROLE_NAME = (_rule(r"[A-Za-z0-9_.-]{1,64}", "262245", 'A role name has 1 to 64 letters, digits, "_", "-" and "."'),)
INITIATOR = (
    _rule(r".{0,223}", "5373992", "The initiator name is longer than 223 characters"),
    _rule(rf"(?!{_WWPN}$).*", "1115127", "The cluster lacks a valid FC Protocol license"),
    _rule(
        rf"(?:{_IQN}|{_EUI}|[Nn][Aa][Aa]\.).*",
        "5373993",
        "An initiator name looks like iqn.1995-08.com.example:string or eui.0123456789abcdef",
    ),
    _rule(rf"{_NO_IQN}|{_IQN}[0-9]{{4}}-(?:0[1-9]|1[0-2])(?:\..*)?", "5373971", "The date in the IQN is not yyyy-mm"),
    _rule(rf"{_NO_IQN}|{_IQN}.{{7}}\..+", "5373969", "The IQN ends behind its date"),
    _rule(
        rf"{_NO_IQN}|{_IQN}.{{7}}\.[A-Za-z0-9.-]+(?::[^\s,/]+)?",
        "5373972",
        "The IQN's naming authority holds other characters than letters, digits, dots and hyphens",
    ),
    _rule(rf"{_NO_EUI}|{_EUI}.{{16}}", "5373977", "The EUI has not exactly 16 hexadecimal digits"),
    _rule(rf"{_NO_EUI}|{_EUI}[0-9A-Fa-f]+", "5373978", "The EUI holds other characters than hexadecimal digits"),
)
IGROUP_NAME = (
    _rule(
        r"[A-Za-z0-9_.:-]{1,96}",
        "5373958",
        'An initiator group name has 1 to 96 letters, digits, "_", "-", "." and ":"',
    ),
)
LOGICAL_UNIT = (
    _rule(r".+", "5374862", "The base name of the LUN is missing"),
    _rule(r"[A-Za-z0-9._{}-]*", "5374121", 'A LUN name may hold letters, digits, "-", ".", "_", "{" and "}" only'),
    _rule(r"(?!\.{1,2}$).{1,255}", "5374352", "The LUN's name cannot be used"),
)
_SNAPSHOT_NAME = r"[A-Za-z0-9_][A-Za-z0-9_.:+@=~-]{0,254}"

COPIES = (_rule(r"[1-9][0-9]{0,3}", "1638451", "A schedule keeps 1 to 9999 copies"),)
PREFIX = (
    _rule(
        r"[A-Za-z0-9_][A-Za-z0-9_.:+@=~-]{0,199}",
        "1638417",
        "The prefix is empty, too long, or holds a character that it must not",
    ),
)

ENDPOINT = (
    _rule(r".*:.*", "13303852", 'The path of an endpoint is the name of an SVM, ":" and the name of a volume'),
    _rule(
        r"[^:]+:[^/:]+", "13303841", "Relationships of this platform are between volumes, whose paths are svm:volume"
    ),
)

TEXT_RULES: Mapping[tuple[str, str], tuple[TextRule, ...]] = {
    ("volume", "name"): VOLUME_NAME,
    ("volume", "nas.path"): (
        _rule(
            rf"(?:|(?:/{_PATH_PART})+)",
            "918252",
            'The junction path must begin with "/" and must not end with it or hold ".", ".." or empty parts',
        ),
        _rule(r".{0,1024}", "918252", "The junction path is longer than 1024 characters"),
    ),
    ("volume", "nas.unix_permissions"): (
        _rule(r"[0-7]{1,4}", "262245", "UNIX permissions are up to four octal digits, such as 755"),
    ),
    ("volume", "state"): (
        _rule(r"(?!error$|mixed$).*", "918652", "The volume cannot be brought into this state by request"),
        _rule(r"online|offline", "918703", "Volumes of this platform are online or offline"),
    ),
    ("volume", "_tags"): (_rule(r"[^:]+:.*", "262256", "A tag must have the form key:value"),),
    ("snapshot", "name"): (
        _rule(_SNAPSHOT_NAME, "1638518", "The snapshot name is empty, too long, or holds a character that it must not"),
    ),
    ("consistency_group", "name"): (
        _rule(_SNAPSHOT_NAME, "262245", "The group's name is empty, too long, or holds a character that it must not"),
    ),
    ("consistency_group_snapshot", "name"): (
        _rule(_SNAPSHOT_NAME, "1638518", "The snapshot name is empty, too long, or holds a character that it must not"),
    ),
    ("snapshot", "comment"): (_rule(r".{0,255}", "1638455", "The comment is longer than 255 characters"),),
    ("snapshot", "snapmirror_label"): (_rule(r".{1,31}", "1638523", "The label must have 1 to 31 characters"),),
    ("account", "name"): ACCOUNT_NAME,
    ("role", "name"): ROLE_NAME,
    ("svm", "name"): SVM_NAME,
    ("svm", "state"): (_rule(r"running|stopped", "262245", "An SVM can be brought into running and stopped only"),),
    ("export_policy", "name"): POLICY_NAME,
    ("export_policy", "rules.clients.match"): CLIENT_MATCH,
    ("export_policy", "rules.index"): INDEX,
    ("export_rule", "clients.match"): CLIENT_MATCH,
    ("export_rule", "index"): INDEX,
    ("snapshot_policy", "name"): (
        _rule(_SNAPSHOT_NAME, "1638417", "The policy name is empty, too long, or holds a character that it must not"),
    ),
    ("qtree", "name"): (
        _rule(r".{0,64}", "5242886", "The qtree name is longer than 64 characters"),
        _rule(
            r"(?!(?:\.{1,2}|\.snapshot)$)[^/\x00-\x1f\x7f]*",
            "5242886",
            "The qtree name holds a character that it must not",
        ),
    ),
    ("qtree", "unix_permissions"): (
        _rule(r"[0-7]{1,4}", "262245", "UNIX permissions are up to four octal digits, such as 755"),
    ),
    ("lun", "space.size"): (_rule(r"[^-].*", "5374123", "The size of a LUN cannot be negative"),),
    ("lun", "location.logical_unit"): LOGICAL_UNIT,
    ("igroup", "name"): IGROUP_NAME,
    ("igroup", "initiators.name"): INITIATOR,
    ("igroup", "protocol"): (_rule(r"(?!fcp$).*", "1115127", "The cluster lacks a valid FC Protocol license"),),
    ("igroup_initiator", "name"): INITIATOR,
    ("iscsi_credentials", "initiator"): (
        _rule(
            rf"default|{_IQN}.+|{_EUI}.+|[Nn][Aa][Aa]\..+",
            "5373997",
            'An initiator name looks like iqn.1995-08.com.example:string or eui.0123456789abcdef, or is "default"',
        ),
        *(msgspec.structs.replace(rule, pattern=_or_default(rule.pattern)) for rule in INITIATOR),
    ),
    ("snapmirror_policy", "name"): (
        _rule(_SNAPSHOT_NAME, "13303850", "The policy name is empty, too long, or holds a character that it must not"),
    ),
    ("snapmirror_policy", "retention.count"): (
        _rule(r"[1-9][0-9]{0,3}", "13303850", "A rule keeps 1 to 1023 snapshots"),
    ),
    ("snapmirror_policy", "retention.label"): (
        _rule(r".{1,31}", "13303850", "The label must have 1 to 31 characters"),
    ),
    ("snapmirror_relationship", "source.path"): ENDPOINT,
    ("snapmirror_relationship", "destination.path"): ENDPOINT,
    ("snapshot_policy", "copies.count"): COPIES,
    ("snapshot_policy", "copies.prefix"): PREFIX,
    ("snapshot_policy_schedule", "count"): COPIES,
    ("snapshot_policy_schedule", "prefix"): PREFIX,
    ("schedule", "name"): (
        _rule(_SNAPSHOT_NAME, "459760", "The schedule name is empty, too long, or holds a character that it must not"),
    ),
    ("schedule", "interval"): (
        _rule(DURATION, "459760", "An interval is an ISO 8601 duration such as PT7M30S or P1DT2H"),
    ),
}
"""(resource, path) -> checks in order; a number is checked by its decimal text, an array by each element."""

RANGES: Mapping[tuple[str, str], tuple[str, str]] = {
    ("lun", "space.size"): ("5374124", "5374125"),
}
"""(resource, path) -> the codes for a number below and above its limits, where they are not the usual one."""

_SVM = Required(("svm.name", "svm.uuid"), "2621707", 'One of "svm.uuid" and "svm.name" is required')

REQUIRED: Mapping[str, tuple[Required, ...]] = {
    "volume": (
        Required(("name",), "918232", 'The volume\'s "name" is required'),
        _SVM,
        Required(("aggregates",), "787140", '"aggregates" is required', unless="clone.is_flexclone"),
    ),
    "snapshot": (Required(("name",), "262212", 'A value is required for field "name"'),),
    "svm": (Required(("name",), "262212", 'A value is required for field "name"'),),
    "export_policy": (Required(("name",), "262212", 'A value is required for field "name"'), _SVM),
    "export_rule": (
        Required(("clients",), "262212", 'A value is required for field "clients"'),
        Required(("ro_rule",), "262212", 'A value is required for field "ro_rule"'),
        Required(("rw_rule",), "262212", 'A value is required for field "rw_rule"'),
    ),
    "snapshot_policy": (
        Required(("name",), "262212", 'A value is required for field "name"'),
        Required(("copies",), "262212", 'A value is required for field "copies"'),
    ),
    "snapshot_policy_schedule": (
        Required(("schedule.name", "schedule.uuid"), "1638408", 'The "schedule" is required'),
        Required(("count",), "1638407", 'The "count" is required'),
    ),
    "schedule": (Required(("name",), "262212", 'A value is required for field "name"'),),
    "lun": (_SVM,),
    "igroup": (
        Required(("name",), "262212", 'A value is required for field "name"'),
        Required(("os_type",), "262212", 'A value is required for field "os_type"'),
        _SVM,
    ),
    "igroup_initiator": (Required(("name",), "5374033", 'The initiator\'s "name" is required'),),
    "lun_map": (
        _SVM,
        Required(("lun.uuid", "lun.name"), "5374901", 'One of "lun.uuid" and "lun.name" is required'),
        Required(("igroup.uuid", "igroup.name"), "5374902", 'One of "igroup.uuid" and "igroup.name" is required'),
    ),
    "snapmirror_policy": (Required(("name",), "262212", 'A value is required for field "name"'),),
    "snapmirror_relationship": (
        Required(("source.path",), "262212", 'A value is required for field "source.path"'),
        Required(("destination.path",), "262212", 'A value is required for field "destination.path"'),
    ),
    "file_clone": (
        Required(("source_path",), "262212", 'A value is required for field "source_path"'),
        Required(("destination_path",), "262212", 'A value is required for field "destination_path"'),
        Required(("volume.uuid", "volume.name"), "262212", 'A value is required for field "volume.uuid"'),
    ),
    "cli_file_clone": tuple(
        Required((path,), "262212", f'A value is required for field "{path}"')
        for path in ("vserver", "volume", "source_path", "destination_path")
    ),
    "qtree": (
        Required(("name",), "5242953", 'The qtree\'s "name" is required'),
        _SVM,
        Required(("volume.name", "volume.uuid"), "918232", 'Either "volume.name" or "volume.uuid" is required'),
    ),
    "account": (Required(("name",), "262212", 'A value is required for field "name"'),),
    "account_password": (
        Required(("name",), "262212", 'A value is required for field "name"'),
        Required(("password",), "262212", 'A value is required for field "password"'),
    ),
    "role": (
        Required(("name",), "262212", 'A value is required for field "name"'),
        Required(("privileges",), "13434892", "Roles need at least one privilege"),
    ),
    "role_privilege": (
        Required(("path",), "262212", 'A value is required for field "path"'),
        Required(("access",), "262212", 'A value is required for field "access"'),
    ),
    "consistency_group": (_SVM, Required(("volumes",), "262212", 'A value is required for field "volumes"')),
    "consistency_group_snapshot": (Required(("name",), "262212", 'A value is required for field "name"'),),
    "iscsi_service": (_SVM,),
    "qos_policy": (Required(("name",), "262212", 'A value is required for field "name"'), _SVM),
    "nfs_service": (_SVM,),
    "iscsi_credentials": (
        _SVM,
        Required(("initiator",), "262212", 'A value is required for field "initiator"'),
        Required(("authentication_type",), "262212", 'A value is required for field "authentication_type"'),
    ),
}

_POLICY_RULE = (
    "allow_device_creation",
    "allow_suid",
    "anonymous_user",
    "clients.match",
    "index",
    "protocols",
    "ro_rule",
    "rw_rule",
    "superuser",
)
_PARENT = ("svm.name", "svm.uuid")
_OWNER = ("owner.name", "owner.uuid")
_ACCOUNT_BOTH = (
    "applications.application",
    "applications.authentication_methods",
    "applications.is_ldap_fastbind",
    "applications.is_ns_switch_group",
    "applications.second_authentication_method",
    "comment",
    "locked",
    "password",
    "role.name",
)
_PRIVILEGE = ("path", "access", "query")
_VOLUME_BOTH = (
    "_tags",
    "autosize.grow_threshold",
    "autosize.maximum",
    "autosize.minimum",
    "autosize.mode",
    "autosize.shrink_threshold",
    "comment",
    "name",
    "nas.export_policy.id",
    "nas.export_policy.name",
    "nas.gid",
    "nas.path",
    "nas.uid",
    "nas.unix_permissions",
    "size",
    "snapshot_policy.name",
    "snapshot_policy.uuid",
    "space.full_threshold_percent",
    "space.nearly_full_threshold_percent",
    "space.size",
    "space.snapshot.reserve_percent",
    "state",
)
_QTREE_BOTH = ("group.id", "group.name", "name", "unix_permissions", "user.id", "user.name")
_GROUP_MEMBERS = ("volumes", "volumes.name", "volumes.provisioning_options.action", "volumes.uuid")
_LUN_BOTH = (
    "comment",
    "location.logical_unit",
    "location.volume.name",
    "location.volume.uuid",
    "name",
    "space.guarantee.requested",
    "space.scsi_thin_provisioning_support_enabled",
    "space.size",
)
_RECURRENCE = ("interval", *(f"cron.{part}" for part in ("days", "hours", "minutes", "months", "weekdays")))
_CHAP = tuple(f"chap.{side}.{part}" for side in ("inbound", "outbound") for part in ("user", "password"))
_MIRROR_POLICY_BOTH = (
    "comment",
    "retention",
    "retention.count",
    "retention.creation_schedule.name",
    "retention.creation_schedule.uuid",
    "retention.label",
    "retention.prefix",
    "throttle",
    "transfer_schedule.name",
    "transfer_schedule.uuid",
)
_MIRROR_BOTH = (
    "destination.path",
    "policy.name",
    "policy.uuid",
    "source.path",
    "state",
    "throttle",
    "transfer_schedule.name",
    "transfer_schedule.uuid",
)
_QOS = (
    "adaptive.absolute_min_iops",
    "adaptive.block_size",
    "adaptive.expected_iops",
    "adaptive.expected_iops_allocation",
    "adaptive.peak_iops",
    "adaptive.peak_iops_allocation",
    "fixed.capacity_shared",
    "fixed.max_throughput_iops",
    "fixed.max_throughput_mbps",
    "fixed.min_throughput_iops",
    "fixed.min_throughput_mbps",
)
_SNAPSHOT_BOTH = ("comment", "expiry_time", "name", "snapmirror_label", "volume.name", "volume.uuid", *_PARENT)
_SVM_BOTH = (
    "aggregates",
    "aggregates.name",
    "aggregates.uuid",
    "comment",
    "name",
    "snapshot_policy.name",
    "snapshot_policy.uuid",
)
_EXPORT_POLICY_BOTH = ("name", "rules", *(f"rules.{name}" for name in _POLICY_RULE))

_CLUSTER_PEER = (
    "authentication.expiry_time",
    "authentication.generate_passphrase",
    "authentication.passphrase",
    "encryption.proposed",
    "initial_allowed_svms",
    "initial_allowed_svms.name",
    "initial_allowed_svms.uuid",
    "name",
    "peer_applications",
    "remote.ip_addresses",
)

SETTABLE: Mapping[tuple[str, Verb], frozenset[str]] = {
    ("volume", Verb.POST): frozenset(
        {
            *_VOLUME_BOTH,
            *_PARENT,
            "aggregates.name",
            "aggregates.uuid",
            "clone.is_flexclone",
            "clone.parent_snapshot.name",
            "clone.parent_snapshot.uuid",
            "clone.parent_svm.name",
            "clone.parent_svm.uuid",
            "clone.parent_volume.name",
            "clone.parent_volume.uuid",
            "guarantee.type",
            "type",
        }
    ),
    ("volume", Verb.PATCH): frozenset(
        {
            *_VOLUME_BOTH,
            "clone.split_initiated",
            "movement.destination_aggregate.name",
            "movement.destination_aggregate.uuid",
            "movement.state",
            "restore_to.snapshot.force",
            "restore_to.snapshot.name",
            "restore_to.snapshot.uuid",
        }
    ),
    ("file", Verb.PATCH): frozenset({"path"}),
    ("file_clone", Verb.POST): frozenset(
        {
            "bypass_throttle",
            "destination_path",
            "is_backup",
            "overwrite_destination",
            "source_path",
            "volume.name",
            "volume.uuid",
        }
    ),
    ("cli_file_clone", Verb.POST): frozenset(
        {
            "destination_path",
            "is_backup",
            "no_reserve",
            "overwrite_destination",
            "snapshot_name",
            "source_path",
            "volume",
            "vserver",
        }
    ),
    ("qtree", Verb.POST): frozenset(
        {*_QTREE_BOTH, *_PARENT, "export_policy.id", "export_policy.name", "volume.name", "volume.uuid"}
    ),
    ("qtree", Verb.PATCH): frozenset(_QTREE_BOTH),
    ("snapshot", Verb.POST): frozenset(_SNAPSHOT_BOTH),
    ("snapshot", Verb.PATCH): frozenset(_SNAPSHOT_BOTH),
    ("consistency_group", Verb.POST): frozenset({"name", *_PARENT, *_GROUP_MEMBERS}),
    ("consistency_group", Verb.PATCH): frozenset(_GROUP_MEMBERS),
    ("consistency_group_snapshot", Verb.POST): frozenset({"name", "comment", "snapmirror_label"}),
    ("application_log", Verb.POST): frozenset(
        {
            "app_version",
            "autosupport_required",
            "category",
            "computer_name",
            "event_description",
            "event_id",
            "event_source",
            "severity",
        }
    ),
    ("cli_volume", Verb.PATCH): frozenset({"autosize_reset"}),
    ("cluster", Verb.PATCH): frozenset({"contact", "location"}),
    ("svm", Verb.POST): frozenset({*_SVM_BOTH, "iscsi.enabled", "nfs.allowed", "nfs.enabled"}),
    ("account", Verb.POST): frozenset({*_ACCOUNT_BOTH, "name", *_OWNER}),
    ("account", Verb.PATCH): frozenset(_ACCOUNT_BOTH),
    ("account_password", Verb.POST): frozenset({"name", "password", *_OWNER}),
    ("role", Verb.POST): frozenset({"name", *_OWNER, *(f"privileges.{part}" for part in _PRIVILEGE)}),
    ("role_privilege", Verb.POST): frozenset(_PRIVILEGE),
    ("role_privilege", Verb.PATCH): frozenset({"access", "query"}),
    ("svm", Verb.PATCH): frozenset({*_SVM_BOTH, "state"}),
    ("export_policy", Verb.POST): frozenset({*_EXPORT_POLICY_BOTH, *_PARENT}),
    ("export_policy", Verb.PATCH): frozenset(_EXPORT_POLICY_BOTH),
    ("export_rule", Verb.POST): frozenset({*_POLICY_RULE, "policy.id", "policy.name"}),
    ("export_rule", Verb.PATCH): frozenset(_POLICY_RULE),
    ("snapshot_policy", Verb.POST): frozenset(
        {
            *_PARENT,
            "comment",
            "copies.count",
            "copies.prefix",
            "copies.schedule.name",
            "copies.schedule.uuid",
            "copies.snapmirror_label",
            "enabled",
            "name",
        }
    ),
    ("snapshot_policy", Verb.PATCH): frozenset({"comment", "enabled"}),
    ("snapshot_policy_schedule", Verb.POST): frozenset(
        {"count", "prefix", "schedule.name", "schedule.uuid", "snapmirror_label"}
    ),
    ("snapshot_policy_schedule", Verb.PATCH): frozenset({"count", "snapmirror_label"}),
    ("schedule", Verb.POST): frozenset({"name", *_RECURRENCE}),
    ("schedule", Verb.PATCH): frozenset(_RECURRENCE),
    ("lun", Verb.POST): frozenset({*_LUN_BOTH, *_PARENT, "clone.source.name", "clone.source.uuid", "os_type"}),
    ("lun", Verb.PATCH): frozenset({*_LUN_BOTH, "enabled"}),
    ("igroup", Verb.POST): frozenset(
        {*_PARENT, "comment", "initiators", "initiators.comment", "initiators.name", "name", "os_type", "protocol"}
    ),
    ("igroup", Verb.PATCH): frozenset({"comment", "name", "os_type"}),
    ("igroup_initiator", Verb.POST): frozenset({"comment", "name"}),
    ("igroup_initiator", Verb.PATCH): frozenset({"comment"}),
    ("lun_map", Verb.POST): frozenset(
        {*_PARENT, "igroup.name", "igroup.uuid", "logical_unit_number", "lun.name", "lun.uuid"}
    ),
    ("iscsi_service", Verb.POST): frozenset({*_PARENT, "enabled", "target.alias"}),
    ("iscsi_service", Verb.PATCH): frozenset({"enabled", "target.alias"}),
    ("nfs_service", Verb.POST): frozenset({*_PARENT, "enabled"}),
    ("nfs_service", Verb.PATCH): frozenset({"enabled"}),
    ("iscsi_credentials", Verb.POST): frozenset({*_PARENT, *_CHAP, "authentication_type", "initiator"}),
    ("iscsi_credentials", Verb.PATCH): frozenset({*_CHAP, "authentication_type"}),
    ("snapmirror_policy", Verb.POST): frozenset(
        {
            *_MIRROR_POLICY_BOTH,
            *_PARENT,
            "copy_all_source_snapshots",
            "copy_latest_source_snapshot",
            "create_snapshot_on_source",
            "name",
        }
    ),
    ("snapmirror_policy", Verb.PATCH): frozenset(_MIRROR_POLICY_BOTH),
    ("snapmirror_relationship", Verb.POST): frozenset(
        {
            *_MIRROR_BOTH,
            "create_destination.enabled",
            "create_destination.size",
            "source.cluster.name",
            "source.cluster.uuid",
        }
    ),
    ("snapmirror_relationship", Verb.PATCH): frozenset({*_MIRROR_BOTH, "quick_resync"}),
    ("qos_policy", Verb.POST): frozenset({"name", *_PARENT, *_QOS}),
    ("qos_policy", Verb.PATCH): frozenset({"name", *_QOS} - {"fixed.capacity_shared"}),
    ("cluster_peer", Verb.POST): frozenset(_CLUSTER_PEER),
    ("cluster_peer", Verb.PATCH): frozenset(_CLUSTER_PEER),
    ("svm_peer", Verb.POST): frozenset({*_PARENT, "applications", "name", "peer.cluster.name", "peer.svm.name"}),
    ("svm_peer", Verb.PATCH): frozenset({"applications", "name", "state"}),
    ("snapmirror_transfer", Verb.POST): frozenset(
        {"files.destination_path", "files.source_path", "files", "source_snapshot", "throttle"}
    ),
    ("snapmirror_transfer", Verb.PATCH): frozenset({"state"}),
}
"""The fields that the door carries out. Every other one may only confirm what is reported anyway."""
