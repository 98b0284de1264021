"""What single values of a body must look like, and what a body must hold.

Literal tables; `body` applies them. What the door carries out is in `settable`.
"""

from __future__ import annotations

import re
from collections.abc import Mapping

import msgspec

from gateway.frontends.ontap_rest.scalars import DURATION


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
