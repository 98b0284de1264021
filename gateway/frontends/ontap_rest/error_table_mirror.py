"""The core's errors in ONTAP's codes and words, as far as SnapMirror is meant.

These lines come before those of `error_table`; every one has a condition.
"""

from __future__ import annotations

from gateway.core import errors
from gateway.core.errors import GatewayError
from gateway.frontends.ontap_rest.error_rule import Rule

_RELATIONSHIP = ("snapmirror_relationship.",)
_CREATE = ("snapmirror_relationship.create",)
_POLICY = ("snapmirror_policy.",)
_ALL = ("snapmirror_relationship.", "snapmirror_transfer.", "snapmirror_policy.")
_BUSY = "Another transfer is in progress"
_WHY = ' Pool "{backend}" lacks "{capability}": {reason}.'

_CHANGES: tuple[tuple[str, str, str], ...] = (
    ("snapmirror_relationship.break", "13303808", 'Failed to change the state to "broken_off".'),
    ("snapmirror_relationship.pause", "13303809", 'Failed to change the state to "paused".'),
    ("snapmirror_relationship.mirror", "13303810", 'Failed to change the state to "snapmirrored".'),
    ("snapmirror_relationship.reverse", "13303810", "Failed to reverse the relationship."),
    ("snapmirror_relationship.update", "6619715", "Failed to modify the relationship."),
    ("snapmirror_relationship.delete", "13303822", "Failed to release the relationship."),
    ("snapmirror_transfer.create", "13303844", "Failed to update the relationship."),
)
"""What is done -> the code and the words of its failure."""


def _failures() -> tuple[Rule, ...]:
    """Give, for each change, why it fails: it is busy, in the wrong state, needed by others, or no longer possible."""
    reasons: tuple[tuple[type[GatewayError], str], ...] = (
        (errors.Conflict, _BUSY),
        (errors.StaleRevision, _BUSY),
        (errors.InvalidState, 'the {kind} is "{state}"'),
        (errors.InUse, '{kind} "{ref}" is in use by {by}'),
    )
    return tuple(
        Rule(error, 409, code, f"{words} Reason: {reason}.", "", {}, (change,))
        for change, code, words in _CHANGES
        for error, reason in reasons
    )


MIRROR_RULES: tuple[Rule, ...] = (
    # what does not exist
    Rule(
        errors.NotFound,
        404,
        "13303821",
        'SnapMirror policy "{ref}" does not exist.',
        "policy",
        {"kind": "replication policy"},
        _RELATIONSHIP,
    ),
    Rule(
        errors.NotFound,
        404,
        "6619699",
        'Schedule "{ref}" does not exist.',
        "transfer_schedule",
        {"kind": "schedule"},
        _ALL,
    ),
    # what exists already
    Rule(
        errors.AlreadyExists,
        409,
        "6619637",
        "A SnapMirror relationship with this destination exists already.",
        "destination.path",
        {},
        _CREATE,
    ),
    Rule(errors.AlreadyExists, 409, "6621060", 'SnapMirror policy "{name}" already exists.', "name", {}, _POLICY),
    # what keeps a volume from being a destination
    Rule(
        errors.InUse,
        409,
        "6619546",
        'Volume "{ref}" cannot be a destination: it is in use by {by}.',
        "destination.path",
        {"kind": "volume"},
        _CREATE,
    ),
    Rule(
        errors.InvalidState,
        409,
        "917628",
        'Cannot {action} volume "{ref}": it is a volume of type DP.',
        "",
        {"kind": "volume", "state": "replica"},
        ("volume.update",),
    ),
    # what has ended already
    Rule(errors.InvalidState, 404, "4", "entry doesn't exist", "uuid", {"kind": "transfer"}),
    *_failures(),
    # what cannot be
    Rule(
        errors.Unsupported,
        400,
        "13303841",
        "The relationship is not supported between these endpoints." + _WHY,
        "",
        {},
        ("snapmirror_relationship.", "snapmirror_transfer."),
    ),
    Rule(
        errors.OutOfSpace,
        409,
        "13303875",
        'Aggregate "{pool}" has no room for the destination: {wanted} bytes wanted, {free} free.',
        "create_destination",
        {},
        _CREATE,
    ),
    Rule(
        errors.LimitExceeded,
        400,
        "13303887",
        "Too many rules of retention: at most {maximum}.",
        "retention",
        {"limit": "rules"},
        _POLICY,
    ),
    Rule(
        errors.LimitExceeded,
        400,
        "13303868",
        "Failed to provision the destination: {limit} {value} is outside of {minimum}..{maximum}.",
        "create_destination.size",
        {},
        _CREATE,
    ),
    Rule(errors.InvalidArgument, 400, "13303850", 'Invalid value "{value}": {reason}.', "", {}, _POLICY),
)
