"""What a caller may do at this door at all: path rules, or the core's roles; and how far an SVM's account reaches."""

from __future__ import annotations

import enum
from collections.abc import Iterable, Mapping
from typing import Any

from gateway.core.context import Core
from gateway.core.errors import PermissionDenied
from gateway.core.principal import Principal
from gateway.core.roles import authorize
from gateway.frontends.ontap_rest.ask import Ask
from gateway.frontends.ontap_rest.calls import OPERATIONS
from gateway.frontends.ontap_rest.endpoint import Route
from gateway.frontends.ontap_rest.paths import Found
from gateway.frontends.ontap_rest.privileges import ANY, granted, request_parts
from gateway.frontends.ontap_rest.schema import Resource, Verb
from gateway.frontends.ontap_rest.security_roles import rules_of


class Reach(enum.Enum):
    """What an account of an SVM is let near."""

    OWN = enum.auto()
    """Records belong to SVMs: it sees its own SVM's, and may with them what its role says."""
    KEPT = enum.auto()
    """The record is the SVM itself: it is changed, but neither made nor removed."""
    SEEN = enum.auto()
    """The cluster's, and no secret."""


REACHES: Mapping[str, Reach] = {
    "account": Reach.OWN,
    "account_password": Reach.OWN,
    "cluster": Reach.SEEN,
    "consistency_group": Reach.OWN,
    "consistency_group_snapshot": Reach.OWN,
    "export_policy": Reach.OWN,
    "export_rule": Reach.OWN,
    "file": Reach.OWN,
    "file_clone": Reach.OWN,
    "igroup": Reach.OWN,
    "igroup_initiator": Reach.OWN,
    "ip_interface": Reach.OWN,
    "iscsi_credentials": Reach.OWN,
    "iscsi_service": Reach.OWN,
    "job": Reach.OWN,
    "lun": Reach.OWN,
    "lun_map": Reach.OWN,
    "nfs_service": Reach.OWN,
    "qos_policy": Reach.OWN,
    "qtree": Reach.OWN,
    "quota_rule": Reach.OWN,
    "role": Reach.OWN,
    "role_privilege": Reach.OWN,
    "schedule": Reach.SEEN,
    "snapshot": Reach.OWN,
    "snapshot_policy": Reach.OWN,
    "snapshot_policy_schedule": Reach.OWN,
    "split_status": Reach.OWN,
    "svm": Reach.KEPT,
    "volume": Reach.OWN,
    "volume_metrics": Reach.OWN,
}
"""By resource. What is not here is closed to the accounts of SVMs."""

_VERBS: Mapping[Reach, frozenset[Verb]] = {
    Reach.OWN: frozenset(Verb),
    Reach.KEPT: frozenset({Verb.GET, Verb.PATCH}),
    Reach.SEEN: frozenset({Verb.GET}),
}

NESTED: Mapping[tuple[str, str], str] = {
    ("export_policy", "rules"): "protocols/nfs/export-policies/{}/rules",
    ("igroup", "initiators"): "protocols/san/igroups/{}/initiators",
    ("snapshot_policy", "copies"): "storage/snapshot-policies/{}/schedules",
    ("role", "privileges"): "security/roles/{}/{}/privileges",
    ("snapmirror_relationship", "create_destination"): "storage/volumes",
    ("svm", "iscsi"): "protocols/san/iscsi/services",
}
"""(resource, object of its bodies) -> the path at which the same is written alone: its rules hold, too."""

_NEEDED: Mapping[Verb, frozenset[Verb]] = {
    Verb.GET: frozenset({Verb.GET}),
    Verb.POST: frozenset({Verb.POST}),
    Verb.PATCH: frozenset({Verb.POST, Verb.PATCH, Verb.DELETE}),
    Verb.DELETE: frozenset({Verb.DELETE}),
}
"""What a body's verb does to its parts: a PATCH replaces them all."""

SAME: Mapping[str, str] = {
    "private/cli/aggr": "storage/aggregates",
    "private/cli/volume": "storage/volumes",
    "private/cli/volume/efficiency": "storage/volumes",
    "private/cli/volume/file/clone": "storage/file/clone",
}
"""Paths at which commands are run -> the path at which the same is had without one: its rules hold, too.

A command that is not here is closed to all callers whom path rules bind.
"""
_COMMANDS = "private/cli/"


async def check(core: Core, principal: Principal, found: Found[Route], verb: Verb) -> None:
    """Raise PermissionDenied unless the caller may make such a request."""
    route = found.target
    resource = route.endpoint.resource.name
    if principal.tenant_id is not None:
        reach = REACHES.get(resource)
        if reach is None or verb not in _VERBS[reach]:
            raise PermissionDenied(action=f"{verb.value} {resource} of the cluster")
    rules = await rules_of(core, principal)
    if rules is None:
        await authorize(core, principal, *route.calls[verb])
        return
    same = SAME.get(route.template)
    allowed = granted(rules, request_parts(route.template, found.keys))
    if same is not None:
        allowed &= granted(rules, request_parts(same, ()))
    if verb not in allowed or (same is None and route.template.startswith(_COMMANDS)):
        raise PermissionDenied(action=f"{verb.value} {route.template}")


async def check_body(ask: Ask, resource: Resource, operation: str, *, values: Mapping[str, Any]) -> None:
    """Raise PermissionDenied for what only the body tells and the caller may not."""
    if ask.principal is None:
        return
    rules = await rules_of(ask.core, ask.principal)
    if rules is None:
        if operation in OPERATIONS:
            await authorize(ask.core, ask.principal, *OPERATIONS[operation])
        return
    collection = resource.collection.removeprefix("/api/")
    for template in _written(resource.name, values):
        at = _place(ask, template)
        allowed = granted(rules, at)
        below = template.startswith(f"{collection}/")
        if below and allowed == granted(rules, request_parts(collection, ())):
            continue  # one rule is about both
        if not _NEEDED[ask.verb] <= allowed:
            raise PermissionDenied(action=f"{ask.verb.value} {template}")


def _place(ask: Ask, template: str) -> tuple[str, ...]:
    """Give the path of a part of a body; a key that is not known yet stands for every one."""
    number = template.count("{}")
    return request_parts(template, [*ask.keys, *[ANY] * number][:number])


def _written(resource: str, values: Iterable[str]) -> set[str]:
    """Give the paths at which parts of a body could be written alone."""
    return {
        template
        for (name, part), template in NESTED.items()
        if name == resource and any(path == part or path.startswith(f"{part}.") for path in values)
    }
