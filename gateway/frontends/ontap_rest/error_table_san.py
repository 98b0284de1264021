"""The core's errors in ONTAP's codes and words, as far as LUNs, igroups, their maps and iSCSI are meant.

These lines come before those of `error_table`; every one has a condition.
"""

from __future__ import annotations

from gateway.core import errors
from gateway.frontends.ontap_rest.error_rule import Rule

_GROUPS = ("igroup.", "igroup_initiator.")
_MAPPING = ("lun_map.",)
_LUNS = ("lun.",)
_NUMBER = 'The logical unit number is in use in the initiator group ("{name}").'

SAN_RULES: tuple[Rule, ...] = (
    # what does not exist
    Rule(
        errors.NotFound,
        404,
        "5374875",
        'The specified "clone.source" was not found: {kind} "{ref}" does not exist.',
        "clone.source",
        {"kind": "volume"},
        ("lun.clone",),
    ),
    Rule(
        errors.NotFound,
        404,
        "5374875",
        'The specified "clone.source" was not found: snapshot "{ref}" does not exist.',
        "clone.source",
        {"kind": "snapshot"},
        ("lun.clone",),
    ),
    Rule(errors.NotFound, 404, "917927", 'Volume "{ref}" was not found.', "name", {"kind": "volume"}, ("lun.create",)),
    Rule(errors.NotFound, 404, "5374875", 'LUN "{ref}" does not exist.', "lun", {"kind": "volume"}, _MAPPING),
    Rule(
        errors.NotFound,
        404,
        "5374878",
        'Initiator group "{ref}" does not exist in the SVM of the LUN.',
        "igroup",
        {"kind": "host group"},
        _MAPPING,
    ),
    Rule(
        errors.NotFound,
        404,
        "5374922",
        "The specified LUN map does not exist.",
        "igroup.uuid",
        {"kind": "attachment"},
    ),
    Rule(errors.NotFound, 404, "5374852", 'Initiator group "{ref}" does not exist.', "uuid", {"kind": "host group"}),
    Rule(
        errors.NotFound,
        404,
        "5374034",
        'Initiator "{ref}" is not a member of the initiator group.',
        "name",
        {"kind": "initiator"},
    ),
    Rule(
        errors.NotFound,
        404,
        "5374895",
        "The iSCSI security credentials do not exist in the SVM.",
        "initiator",
        {"kind": "initiator login"},
    ),
    # what exists already
    Rule(errors.AlreadyExists, 409, "1254324", _NUMBER, "logical_unit_number", {"kind": "attachment", "field": "lun"}),
    Rule(
        errors.AlreadyExists,
        409,
        "1254324",
        _NUMBER,
        "logical_unit_number",
        {"kind": "volume", "field": "attachment.lun"},
    ),
    Rule(
        errors.AlreadyExists,
        409,
        "1254207",
        "The LUN is already mapped to the initiator group.",
        "igroup",
        {"kind": "attachment"},
    ),
    Rule(
        errors.AlreadyExists,
        409,
        "5374242",
        'A volume "{name}" with a LUN of its own is there already.',
        "name",
        {"kind": "volume"},
        _LUNS,
    ),
    Rule(
        errors.AlreadyExists,
        409,
        "5374023",
        'An initiator group "{name}" already exists in the SVM.',
        "name",
        {"kind": "host group"},
    ),
    Rule(
        errors.AlreadyExists,
        409,
        "5374142",
        'iSCSI security credentials for initiator "{name}" already exist in the SVM.',
        "initiator",
        {"kind": "initiator login"},
    ),
    Rule(
        errors.Conflict,
        409,
        "8",
        'The CHAP user "{ref}" has another password at another target: use another name or the same password.',
        "",
        {"kind": "login"},
    ),
    # what the state forbids
    Rule(
        errors.InvalidState,
        409,
        "5374866",
        'The volume "{ref}" of the LUN is "{state}".',
        "",
        {"kind": "volume", "state": "offline"},
        ("lun.", "lun_map."),
    ),
    # what something else needs
    Rule(
        errors.InUse,
        409,
        "1254197",
        'The LUN in volume "{ref}" is mapped and cannot be deleted without "allow_delete_while_mapped".',
        "allow_delete_while_mapped",
        {"kind": "volume", "by": "attachments"},
        ("lun.delete",),
    ),
    Rule(
        errors.InUse,
        409,
        "5374705",
        'Volume "{ref}" has snapshots of the LUN, which would go with it: delete the volume instead.',
        "",
        {"kind": "volume", "by": "snapshots"},
        ("lun.delete",),
    ),
    Rule(
        errors.InUse,
        409,
        "1254197",
        'The LUN of volume "{ref}" is mapped, or hosts have its files: delete its LUN maps, or detach it, first.',
        "",
        {"kind": "volume", "by": "attachments"},
        ("volume.delete",),
    ),
    *(
        Rule(
            errors.InUse,
            409,
            "5374707",
            'Volume "{ref}" cannot take a LUN: a volume holds one LUN and nothing else, and this one has {by}.',
            "name",
            {"kind": "volume", "by": by},
            ("lun.create", "volume.convert"),
        )
        for by in ("content", "snapshots", "clones", "clone", "export", "attachments")
    ),
    Rule(
        errors.InUse,
        409,
        "524511",
        'Cannot restore volume "{ref}": initiators are logged in to its LUN. Log them out first.',
        "",
        {"by": "sessions"},
        ("volume.restore",),
    ),
    Rule(errors.InUse, 409, "8", "Initiators are logged in to the LUN. Log them out first.", "", {"by": "sessions"}),
    Rule(
        errors.InUse,
        409,
        "1254213",
        'Initiator group "{ref}" is mapped to one or more LUNs and "allow_delete_while_mapped" was not given.',
        "allow_delete_while_mapped",
        {"kind": "host group"},
    ),
    # what is too much or too little
    Rule(
        errors.LimitExceeded,
        400,
        "5374124",
        "The size {value} is too small for a LUN; the minimum is {minimum} bytes.",
        "space.size",
        {"limit": "size", "side": "low"},
        _LUNS,
    ),
    Rule(
        errors.LimitExceeded,
        400,
        "5374125",
        "The size {value} is too large for a LUN; the maximum is {maximum} bytes.",
        "space.size",
        {"limit": "size"},
        _LUNS,
    ),
    # what a value must not be
    Rule(
        errors.InvalidArgument,
        400,
        "5374352",
        'Invalid LUN name "{value}": {reason}.',
        "name",
        {"field": "name"},
        _LUNS,
    ),
    Rule(
        errors.InvalidArgument,
        400,
        "5373958",
        'Invalid initiator group name "{value}": {reason}.',
        "name",
        {"field": "name"},
        _GROUPS,
    ),
    Rule(
        errors.InvalidArgument,
        400,
        "5374039",
        'Invalid iSCSI initiator name "{value}": {reason}.',
        "initiators.name",
        {"field": "initiators.name"},
    ),
    Rule(
        errors.InvalidArgument,
        400,
        "5373997",
        'Invalid initiator name "{value}": {reason}.',
        "initiator",
        {"field": "initiator"},
    ),
)
