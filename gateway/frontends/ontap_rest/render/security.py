"""Accounts, roles with their path rules, and what the trail of this gateway keeps."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Any

import msgspec

from gateway.core.trail import Entry
from gateway.frontends.ontap_rest.privileges import Privilege
from gateway.frontends.ontap_rest.render.cluster import NodeFacts
from gateway.frontends.ontap_rest.scalars import format_datetime
from gateway.frontends.ontap_rest.security_roles import Role

HTTP = "http"
"""The one application by which this platform is entered."""

_ACCEPTED = frozenset({"success", "accepted"})
_WORD = re.compile(r"[^a-z0-9]+")


class Owner(msgspec.Struct, frozen=True):
    """Whose an account or a role is: the cluster, or an SVM."""

    uuid: str
    name: str
    scope: str


class AccountFacts(msgspec.Struct, frozen=True, kw_only=True):
    """What is told of an account. `locked` None: it has no password, so there is nothing to lock."""

    name: str
    owner: Owner
    role: str
    methods: Sequence[str]
    comment: str = ""
    locked: bool | None = None


def render_account(facts: AccountFacts) -> dict[str, Any]:
    """Render an account; nothing of its password."""
    record = {
        **_owned(facts.owner),
        "name": facts.name,
        "role": {"name": facts.role},
        "applications": [
            {
                "application": HTTP,
                "authentication_methods": sorted(facts.methods),
                "second_authentication_method": "none",
            }
        ],
    }
    if facts.comment:
        record["comment"] = facts.comment
    if facts.locked is not None:
        record["locked"] = facts.locked
    return record


def render_role(role: Role, owner: Owner) -> dict[str, Any]:
    """Render a role with its rules."""
    return {
        **_owned(owner),
        "name": role.name,
        "builtin": role.builtin,
        "privileges": [_rule(privilege) for privilege in role.privileges],
    }


def render_privilege(privilege: Privilege, role: Role, owner: Owner) -> dict[str, Any]:
    """Render one rule of a role; whose it is stands there for its path only."""
    return {**_owned(owner), "role": {"name": role.name}, **_rule(privilege)}


def render_audit(entry: Entry, node: NodeFacts, svm: str) -> dict[str, Any]:
    """Render a change that somebody asked for."""
    record: dict[str, Any] = {
        **_line(entry, node),
        "timestamp": format_datetime(entry.time),
        "application": HTTP,
        "location": entry.peer,
        "user": entry.who,
        "input": f"{entry.operation} {entry.target}".rstrip(),
        "session_id": entry.request,
        "scope": "svm" if entry.tenant_id else "cluster",
        "state": _STATES.get(entry.outcome, "error"),
        "message": entry.outcome if not entry.job else f"{entry.outcome}, job {entry.job}",
    }
    if svm:
        record["svm"] = {"name": svm}
    return {name: value for name, value in record.items() if value != ""}


def render_event(entry: Entry, node: NodeFacts) -> dict[str, Any]:
    """Render what happened, or a change that somebody asked for, as an event."""
    parameters = dict(entry.parameters)
    if entry.door:
        told = {"user": entry.who, "target": entry.target, "outcome": entry.outcome, "job": entry.job}
        parameters = {name: value for name, value in told.items() if value}
    failed = bool(entry.door) and entry.outcome not in _ACCEPTED
    return {
        **_line(entry, node),
        "time": format_datetime(entry.time),
        "message": {"name": _message(entry.operation), "severity": "error" if failed else "notice"},
        "source": entry.door or "gateway",
        "log_message": _sentence(entry.operation, parameters),
        "parameters": [{"name": name, "value": value} for name, value in parameters.items()],
    }


_STATES: Mapping[str, str] = {"accepted": "pending", "success": "success"}


def _line(entry: Entry, node: NodeFacts) -> dict[str, Any]:
    return {"index": entry.number, "node": {"name": node.name, "uuid": str(node.id)}}


def _message(operation: str) -> str:
    return f"gateway.{_WORD.sub('.', operation.lower()).strip('.')}"


def _sentence(operation: str, parameters: Mapping[str, str]) -> str:
    told = ", ".join(f"{name}: {value}" for name, value in parameters.items())
    return f"{_message(operation)}: {told}" if told else _message(operation)


def _owned(owner: Owner) -> dict[str, Any]:
    return {"owner": {"uuid": owner.uuid, "name": owner.name}, "scope": owner.scope}


def _rule(privilege: Privilege) -> dict[str, Any]:
    return {"path": privilege.path, "access": privilege.access.value}
