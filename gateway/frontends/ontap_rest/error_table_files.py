"""The core's errors in ONTAP's codes and words, as far as what is within volumes is meant.

These lines come before those of `error_table`; every one has a condition. The
codes of files are those of the system's errors: 131072 and the number that
FreeBSD gives them.
"""

from __future__ import annotations

from gateway.core import errors
from gateway.frontends.ontap_rest.error_rule import Rule

_FILES = ("file.", "file_clone.")
_QTREE = ("qtree.",)

FILES_RULES: tuple[Rule, ...] = (
    # what does not exist
    Rule(errors.NotFound, 404, "5242927", 'The directory "{ref}" was not found.', "name", {"kind": "file"}, _QTREE),
    Rule(errors.NotFound, 404, "6684674", 'No such file or directory: "{ref}".', "path", {"kind": "file"}),
    Rule(
        errors.NotFound,
        404,
        "918235",
        'A volume with UUID or name "{ref}" was not found.',
        "volume",
        {"kind": "volume"},
        _FILES,
    ),
    Rule(errors.NotFound, 404, "917927", 'Volume "{ref}" was not found.', "volume", {"kind": "volume"}, _QTREE),
    Rule(
        errors.NotFound,
        404,
        "1703954",
        'Export policy "{ref}" does not exist.',
        "export_policy",
        {"kind": "export policy"},
        _QTREE,
    ),
    # what exists already
    Rule(
        errors.AlreadyExists,
        409,
        "5242886",
        'Failed to create the qtree: "{name}" exists already.',
        "name",
        {"kind": "file"},
        ("qtree.create",),
    ),
    Rule(
        errors.AlreadyExists,
        409,
        "5242972",
        'Failed to rename the qtree: "{name}" exists already.',
        "name",
        {"kind": "file"},
        _QTREE,
    ),
    Rule(errors.AlreadyExists, 409, "131089", 'File exists: "{name}".', "path", {"kind": "file"}),
    # what is in the way
    Rule(errors.InUse, 409, "131138", 'Directory not empty: "{ref}".', "path", {"kind": "file"}),
    Rule(
        errors.InvalidState, 409, "131102", "Read-only file system.", "", {"kind": "volume", "state": "replica"}, _FILES
    ),
    Rule(
        errors.InvalidState,
        409,
        "5242881",
        "The volume is read-only.",
        "",
        {"kind": "volume", "state": "replica"},
        ("qtree.create",),
    ),
    Rule(
        errors.InvalidState,
        409,
        "5242897",
        "The volume is read-only.",
        "",
        {"kind": "volume", "state": "replica"},
        _QTREE,
    ),
    Rule(
        errors.LimitExceeded,
        400,
        "5242886",
        "Failed to create the qtree: a volume has {maximum} at most.",
        "",
        {"limit": "qtrees"},
    ),
)
