"""The core's errors in ONTAP's codes and words, as far as accounts and roles are meant.

These lines come before those of `error_table`; every one has a condition.
"""

from __future__ import annotations

from gateway.core import errors
from gateway.frontends.ontap_rest.error_rule import Rule

_ROLE = ("role.", "role_privilege.")

SECURITY_RULES: tuple[Rule, ...] = (
    Rule(
        errors.InUse,
        409,
        "1263347",
        'Role "{ref}" is pre-defined and cannot be modified or deleted.',
        "name",
        {"kind": "role", "by": "builtin"},
    ),
    Rule(
        errors.InUse,
        409,
        "5636172",
        'Accounts with the role "{ref}" were found. Update or delete them before deleting the role.',
        "name",
        {"kind": "role"},
    ),
    Rule(
        errors.LimitExceeded,
        400,
        "13434892",
        "A role has {minimum} to {maximum} privileges.",
        "privileges",
        {"limit": "privileges"},
        _ROLE,
    ),
    Rule(
        errors.Busy,
        429,
        "262160",
        "Too many requests; try again later.",
        "",
        {"what": "requests"},
    ),
)
