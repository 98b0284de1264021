"""Every error of the core in ONTAP's codes and words. `errors` applies the table."""

from __future__ import annotations

from collections.abc import Mapping

import msgspec

from gateway.core import errors
from gateway.core.errors import FieldValue, GatewayError


class Rule(msgspec.Struct, frozen=True):
    """One line of the table: which errors, and how they look. `when` and `during` narrow it.

    `when` compares fields of the error (and `side`, low or high, of a broken
    limit); `during` is an operation or, ending in a dot, a group of them.
    """

    error: type[GatewayError]
    status: int
    code: str
    message: str
    target: str = ""
    when: Mapping[str, FieldValue] = {}
    during: tuple[str, ...] = ()


_ENDPOINT = "The specified operation on the {noun} endpoint is not supported on this platform."
_PROPERTY = "The specified volume property cannot be changed on this platform."
_WHY = ' Pool "{backend}" lacks "{capability}": {reason}.'
_MAKING = ("volume.create", "volume.clone", "volume.delete")

RULES: tuple[Rule, ...] = (
    Rule(errors.Unauthenticated, 401, "6691623", "User is not authorized."),
    Rule(errors.PermissionDenied, 403, "6", "not authorized for that command"),
    # what does not exist
    Rule(errors.NotFound, 404, "4", "entry doesn't exist", "uuid", {"kind": "tenant"}, ("svm.",)),
    Rule(errors.NotFound, 404, "2621462", 'SVM "{ref}" does not exist.', "svm", {"kind": "tenant"}),
    Rule(errors.NotFound, 404, "4", "entry doesn't exist", "uuid", {"kind": "pool"}, ("aggregate.",)),
    Rule(errors.NotFound, 404, "917508", 'Aggregate "{ref}" does not exist.', "aggregates", {"kind": "pool"}),
    Rule(errors.NotFound, 404, "4", "entry doesn't exist", "id", {"kind": "export policy"}, ("export_policy.",)),
    Rule(errors.NotFound, 404, "1703954", 'Export policy "{ref}" does not exist.', "policy", {"kind": "export policy"}),
    Rule(errors.NotFound, 404, "4", "entry doesn't exist", "uuid", {"kind": "snapshot policy"}, ("snapshot_policy.",)),
    Rule(
        errors.NotFound,
        404,
        "917551",
        'Snapshot policy "{ref}" does not exist.',
        "snapshot_policy",
        {"kind": "snapshot policy"},
    ),
    Rule(errors.NotFound, 404, "1638413", 'Schedule "{ref}" does not exist.', "copies.schedule", {"kind": "schedule"}),
    Rule(
        errors.NotFound,
        404,
        "524601",
        'Parent volume "{ref}" does not exist.',
        "clone.parent_volume",
        {"kind": "volume"},
        ("volume.clone",),
    ),
    Rule(
        errors.NotFound,
        404,
        "1638600",
        'Snapshot "{ref}" does not exist.',
        "clone.parent_snapshot",
        {"kind": "snapshot"},
        ("volume.clone",),
    ),
    Rule(
        errors.NotFound,
        404,
        "1638600",
        'Snapshot "{ref}" does not exist.',
        "restore_to.snapshot",
        {"kind": "snapshot"},
        ("volume.restore",),
    ),
    Rule(errors.NotFound, 404, "4", "entry doesn't exist", "index", {"kind": "export rule"}),
    Rule(errors.NotFound, 404, "4", "entry doesn't exist", "uuid"),
    # what exists already
    Rule(
        errors.AlreadyExists,
        409,
        "918252",
        'Junction path "{name}" is already in use in the SVM.',
        "nas.path",
        {"kind": "volume", "field": "junction_path"},
    ),
    Rule(
        errors.AlreadyExists,
        409,
        "917526",
        'Duplicate volume name "{name}": it is already in use in the SVM.',
        "name",
        {"kind": "volume"},
    ),
    Rule(
        errors.AlreadyExists,
        409,
        "525059",
        'Snapshot "{name}" already exists on the volume.',
        "name",
        {"kind": "snapshot"},
    ),
    Rule(
        errors.AlreadyExists,
        409,
        "1638527",
        'Snapshot policy "{name}" already exists.',
        "name",
        {"kind": "snapshot policy"},
    ),
    Rule(
        errors.AlreadyExists,
        409,
        "1704070",
        "The export rule already exists.",
        "clients.match",
        {"kind": "export rule"},
    ),
    Rule(errors.AlreadyExists, 409, "13434908", 'The SVM name "{name}" is in use.', "name", {"kind": "tenant"}),
    Rule(errors.AlreadyExists, 409, "786439", 'An aggregate "{name}" already exists.', "name", {"kind": "pool"}),
    Rule(errors.AlreadyExists, 409, "1", "duplicate entry"),
    # what another change holds
    Rule(errors.Conflict, 409, "13107406", "Another operation on {kind} {ref} is in progress; try again later."),
    Rule(errors.StaleRevision, 409, "13107406", "{kind} {ref} was changed by another operation; try again."),
    # what the state forbids
    Rule(
        errors.InvalidState,
        409,
        "9437885",
        'Volume "{ref}" is offline and cannot be restored.',
        "state",
        {"kind": "volume", "state": "offline"},
        ("volume.restore",),
    ),
    Rule(
        errors.InvalidState,
        409,
        "524511",
        'Cannot restore: {kind} "{ref}" is in state "{state}".',
        "state",
        {},
        ("volume.restore",),
    ),
    Rule(
        errors.InvalidState,
        409,
        "13107406",
        'Another operation on {kind} "{ref}" is in progress: it is "{state}".',
        "state",
        {"state": "creating"},
    ),
    Rule(
        errors.InvalidState,
        409,
        "13107406",
        'Another operation on {kind} "{ref}" is in progress: it is "{state}".',
        "state",
        {"state": "deleting"},
    ),
    Rule(
        errors.InvalidState,
        409,
        "524479",
        'Volume "{ref}" is "{state}"; snapshots cannot be made.',
        "state",
        {"kind": "volume"},
        ("snapshot.",),
    ),
    Rule(
        errors.InvalidState,
        409,
        "524819",
        'Cannot clone: {kind} "{ref}" is in state "{state}".',
        "state",
        {},
        ("volume.clone",),
    ),
    Rule(
        errors.InvalidState,
        400,
        "918703",
        _PROPERTY + ' Volume "{ref}" is not a FlexClone volume.',
        "clone.split_initiated",
        {"state": "not a clone"},
    ),
    Rule(
        errors.InvalidState,
        409,
        "917533",
        'Volume "{ref}" is offline and cannot be modified.',
        "state",
        {"kind": "volume", "state": "offline"},
    ),
    Rule(errors.InvalidState, 409, "524849", 'Cannot {action} {kind} "{ref}": its state is "{state}".', "state"),
    # what something else needs
    Rule(
        errors.InUse,
        409,
        "524615",
        'Volume "{ref}" has one or more clones.',
        "",
        {"kind": "volume", "by": "clones"},
    ),
    Rule(
        errors.InUse,
        409,
        "1638555",
        'Volume "{ref}" has snapshots that have not expired.',
        "",
        {"kind": "volume", "by": "expiry"},
    ),
    Rule(
        errors.InUse,
        409,
        "9437886",
        'Newer snapshot "{ref}" has not expired.',
        "restore_to.snapshot",
        {"kind": "snapshot", "by": "expiry"},
        ("volume.restore",),
    ),
    Rule(
        errors.InUse,
        409,
        "1638480",
        'Newer snapshot "{ref}" is in use by: {by}.',
        "restore_to.snapshot",
        {"kind": "snapshot"},
        ("volume.restore",),
    ),
    Rule(errors.InUse, 409, "1638555", 'Snapshot "{ref}" is busy or locked: {by}.', "", {"kind": "snapshot"}),
    Rule(
        errors.InUse,
        409,
        "1703947",
        'The default export policy "{ref}" cannot be deleted or changed so.',
        "",
        {"kind": "export policy", "by": "builtin"},
    ),
    Rule(
        errors.InUse,
        409,
        "1703945",
        'Export policy "{ref}" is in use by one or more {by}.',
        "",
        {"kind": "export policy"},
    ),
    Rule(
        errors.InUse,
        409,
        "1638431",
        'Snapshot policy "{ref}" is built in and cannot be deleted or changed.',
        "",
        {"kind": "snapshot policy", "by": "builtin"},
    ),
    Rule(
        errors.InUse,
        409,
        "1638415",
        'Snapshot policy "{ref}" is in use by one or more {by}.',
        "",
        {"kind": "snapshot policy"},
    ),
    Rule(errors.InUse, 409, "8", 'Cannot {action} {kind} "{ref}": it is in use by {by}.'),
    # what the pool cannot do
    Rule(errors.Unsupported, 400, "1638644", _ENDPOINT + _WHY, "", {}, ("snapshot.",)),
    Rule(errors.Unsupported, 400, "918701", _ENDPOINT + _WHY, "", {}, _MAKING),
    Rule(errors.Unsupported, 400, "918703", _PROPERTY + _WHY, "", {}, ("volume.",)),
    Rule(errors.Unsupported, 400, "19726544", _ENDPOINT + _WHY, "", {}, ("aggregate.",)),
    Rule(errors.Unsupported, 400, "262144017", "The operation is not supported on this platform." + _WHY),
    # what is too much or too little
    Rule(
        errors.LimitExceeded,
        400,
        "917534",
        "Size {value} is too small; the minimum is {minimum} bytes.",
        "size",
        {"limit": "size", "side": "low"},
    ),
    Rule(
        errors.LimitExceeded,
        400,
        "262200",
        "Size {value} is too large; the maximum is {maximum} bytes.",
        "size",
        {"limit": "size"},
    ),
    Rule(
        errors.LimitExceeded,
        409,
        "525062",
        "No more snapshots: the volume may have {maximum}.",
        "",
        {"limit": "snapshots"},
    ),
    Rule(errors.LimitExceeded, 400, "263149", "Too many tags: at most {maximum}.", "_tags", {"limit": "labels"}),
    Rule(errors.LimitExceeded, 400, "262200", "{value} is outside the limit for {limit} ({minimum}..{maximum})."),
    Rule(
        errors.OutOfSpace,
        409,
        "524479",
        'Pool "{pool}" is full: {wanted} bytes wanted, {free} free.',
        "",
        {},
        ("snapshot.",),
    ),
    Rule(errors.OutOfSpace, 409, "460770", 'Aggregate "{pool}" has no room: {wanted} bytes wanted, {free} free.'),
    # what a value must not be
    Rule(
        errors.InvalidArgument,
        400,
        "917888",
        'Invalid name "{value}": {reason}.',
        "name",
        {"field": "name"},
        ("volume.",),
    ),
    Rule(
        errors.InvalidArgument,
        400,
        "1638518",
        'Invalid snapshot name "{value}": {reason}.',
        "name",
        {"field": "name"},
        ("snapshot.",),
    ),
    Rule(
        errors.InvalidArgument,
        400,
        "1703952",
        'Invalid policy name "{value}": {reason}.',
        "name",
        {"field": "name"},
        ("export_policy.",),
    ),
    Rule(
        errors.InvalidArgument,
        400,
        "1638417",
        'Invalid policy name "{value}": {reason}.',
        "name",
        {"field": "name"},
        ("snapshot_policy.",),
    ),
    Rule(
        errors.InvalidArgument,
        400,
        "918252",
        'Invalid junction path "{value}": {reason}.',
        "nas.path",
        {"field": "junction_path"},
    ),
    Rule(
        errors.InvalidArgument,
        400,
        "1704039",
        'Invalid client match "{value}": {reason}.',
        "clients.match",
        {"field": "clients"},
    ),
    Rule(errors.InvalidArgument, 400, "262256", "Invalid tags: {reason}.", "_tags", {"field": "labels"}),
    Rule(errors.InvalidArgument, 400, "262245", 'Invalid value "{value}" for field "{target}": {reason}.'),
    # what may pass by itself
    Rule(errors.Busy, 503, "524486", "{what} is busy; try again later.", "", {}, ("volume.",)),
    Rule(errors.Busy, 503, "8", "{what} is busy; try again later."),
    Rule(errors.Timeout, 500, "65541", "{what} did not answer in time."),
    Rule(errors.Unavailable, 503, "65552", "{what} is not available: {reason}."),
    Rule(errors.Internal, 500, "262145", "An unexpected internal error occurred (incident {incident})."),
)
"""First match decides; every class of the tree ends with a line without conditions."""

TARGETS: Mapping[str, str] = {
    "tenant": "svm.name",
    "tenant_id": "svm.uuid",
    "pool": "aggregates.name",
    "pool_id": "aggregates.uuid",
    "junction_path": "nas.path",
    "export_policy_id": "nas.export_policy.name",
    "snapshot_policy_id": "snapshot_policy.name",
    "root": "nas.unix_permissions",
    "thick": "guarantee.type",
    "labels": "_tags",
    "label": "snapmirror_label",
    "expires": "expiry_time",
    "clients": "clients.match",
    "read": "ro_rule",
    "write": "rw_rule",
}
"""The core's field names where this dialect has another; the rest are the same."""
