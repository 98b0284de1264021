"""What single values of a body must look like, what a body must hold, and what the door carries out.

Literal tables; `body` applies them.
"""

from __future__ import annotations

import re
from collections.abc import Mapping

import msgspec

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
_SNAPSHOT_NAME = r"[A-Za-z0-9_][A-Za-z0-9_.:+@=~-]{0,254}"

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
    ("snapshot", "comment"): (_rule(r".{0,255}", "1638455", "The comment is longer than 255 characters"),),
    ("snapshot", "snapmirror_label"): (_rule(r".{1,31}", "1638523", "The label must have 1 to 31 characters"),),
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
    ("snapshot_policy", "copies.count"): (_rule(r"[1-9][0-9]{0,3}", "1638451", "A schedule keeps 1 to 9999 copies"),),
}
"""(resource, path) -> checks in order; a number is checked by its decimal text, an array by each element."""

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
_VOLUME_BOTH = (
    "_tags",
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
    "space.size",
    "state",
)
_SNAPSHOT_BOTH = ("comment", "expiry_time", "name", "snapmirror_label", "volume.name", "volume.uuid", *_PARENT)
_EXPORT_POLICY_BOTH = ("name", "rules", *(f"rules.{name}" for name in _POLICY_RULE))

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
        }
    ),
    ("volume", Verb.PATCH): frozenset(
        {
            *_VOLUME_BOTH,
            "clone.split_initiated",
            "restore_to.snapshot.force",
            "restore_to.snapshot.name",
            "restore_to.snapshot.uuid",
        }
    ),
    ("snapshot", Verb.POST): frozenset(_SNAPSHOT_BOTH),
    ("snapshot", Verb.PATCH): frozenset(_SNAPSHOT_BOTH),
    ("svm", Verb.POST): frozenset({"name", "comment", "aggregates.name", "aggregates.uuid"}),
    ("svm", Verb.PATCH): frozenset({"name", "comment", "state"}),
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
            "copies.snapmirror_label",
            "enabled",
            "name",
        }
    ),
    ("snapshot_policy", Verb.PATCH): frozenset({"comment", "enabled"}),
}
"""The fields that the door carries out. Every other one may only confirm what is reported anyway."""
