"""The core's errors in ONTAP's codes and words, as far as peers are meant.

These lines come before those of `error_table`; every one has a condition.
"""

from __future__ import annotations

from gateway.core import errors
from gateway.core.peer_tenants import NO_PEER
from gateway.frontends.ontap_rest.error_rule import Rule

_CLUSTER = ("cluster_peer.",)
_SVM = ("svm_peer.",)
_MIRROR = ("snapmirror_relationship.", "snapmirror_transfer.")
_PLATFORM = "The operation is not supported on this platform: {reason}."

PEER_RULES: tuple[Rule, ...] = (
    Rule(errors.NotFound, 404, "4", "entry doesn't exist", "uuid", {"kind": "peer"}, _CLUSTER),
    Rule(errors.NotFound, 404, "4", "entry doesn't exist", "uuid", {"kind": "tenant peer"}, _SVM),
    Rule(
        errors.AlreadyExists,
        409,
        "4653076",
        'The cluster is a peer already, called "{name}".',
        "remote.ip_addresses",
        {"kind": "peer", "field": "cluster_id"},
        _CLUSTER,
    ),
    Rule(
        errors.AlreadyExists,
        409,
        "4653075",
        'A peer cluster "{name}" exists already.',
        "name",
        {"kind": "peer"},
        _CLUSTER,
    ),
    Rule(
        errors.AlreadyExists,
        409,
        "9896086",
        'The SVM has a peer "{name}" already.',
        "name",
        {"kind": "tenant peer"},
        _SVM,
    ),
    Rule(
        errors.InvalidArgument,
        400,
        "4653058",
        "A cluster cannot be its own peer.",
        "remote.ip_addresses",
        {"field": "cluster_id"},
        _CLUSTER,
    ),
    Rule(
        errors.InvalidArgument,
        400,
        "4653368",
        'Invalid address "{value}": it {reason}.',
        "remote.ip_addresses",
        {"field": "addresses"},
        _CLUSTER,
    ),
    Rule(
        errors.LimitExceeded,
        400,
        "4653368",
        "A peer cluster has at most {maximum} addresses.",
        "remote.ip_addresses",
        {"limit": "addresses"},
        _CLUSTER,
    ),
    Rule(
        errors.InvalidArgument,
        400,
        "4653236",
        "The passphrase {reason}.",
        "authentication.passphrase",
        {"field": "passphrase"},
        _CLUSTER,
    ),
    Rule(
        errors.InvalidArgument,
        400,
        "262197",
        'The value "{value}" is invalid for field "authentication.expiry_time": it {reason}.',
        "authentication.expiry_time",
        {"field": "expires"},
        _CLUSTER,
    ),
    Rule(
        errors.InUse,
        409,
        "4653079",
        'Peer cluster "{ref}" cannot be deleted: it is in use by {by}.',
        "",
        {"kind": "peer"},
        _CLUSTER,
    ),
    Rule(
        errors.InUse,
        409,
        "9895956",
        'SVM peer "{ref}" cannot be deleted: it is in use by {by}.',
        "",
        {"kind": "tenant peer"},
        _SVM,
    ),
    Rule(
        errors.InvalidState,
        409,
        "26345576",
        'SVM peer "{ref}" is "{state}": it is the peer that accepts.',
        "state",
        {"kind": "tenant peer"},
        _SVM,
    ),
    Rule(errors.Unsupported, 400, "262144017", _PLATFORM, "", {"capability": "peers"}),
    Rule(
        errors.PermissionDenied,
        400,
        "13303886",
        "The SVMs of source and destination are no peers of each other.",
        "source.svm",
        {"action": NO_PEER},
        _MIRROR,
    ),
    Rule(
        errors.NotFound,
        404,
        "13303886",
        'The cluster "{ref}" is no peer of this one.',
        "source.cluster",
        {"kind": "peer"},
        _MIRROR,
    ),
)
