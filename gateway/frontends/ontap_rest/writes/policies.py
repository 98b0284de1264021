"""Export policies with their rules, and snapshot policies."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any
from uuid import uuid4

import msgspec

from gateway.core import errors, policies
from gateway.core.model import ExportPolicy, ExportRule, SnapshotPolicy, utc_now
from gateway.frontends.ontap_rest.ask import Ask
from gateway.frontends.ontap_rest.body import Values
from gateway.frontends.ontap_rest.writes.names import check_place, tenant_of, text
from gateway.frontends.ontap_rest.writes.schedules import read_line

_FLAVOURS = {"ro_rule": "read", "rw_rule": "write", "superuser": "superuser", "protocols": "protocols"}


async def create_export_policy(ask: Ask, values: Values) -> ExportPolicy:
    """Make an export policy, with rules when the body brings some."""
    tenant = await tenant_of(ask, values)
    name = text(values, "name") or ""
    return await policies.create_export_policy(ask.core, tenant.id, name, rules=_rules(values))


async def modify_export_policy(ask: Ask, policy: ExportPolicy, values: Values) -> None:
    """Rename an export policy, replace all its rules, or both."""
    rules = _rules(values) if "rules" in values else None
    await policies.update_export_policy(ask.core, policy.id, name=text(values, "name"), rules=rules)


async def create_rule(ask: Ask, policy: ExportPolicy, values: Values) -> ExportRule:
    """Add a rule to a policy."""
    check_place(values, {"policy.id": policy.number, "policy.name": policy.name})
    return await policies.add_rule(ask.core, policy.id, read_rule(values, ExportRule(index=0, clients=())))


async def modify_rule(ask: Ask, policy: ExportPolicy, rule: ExportRule, values: Values) -> None:
    """Change a rule; the query's `new_index` moves it."""
    changed = read_rule(values, rule)
    index = ask.parameters.options.get("new_index")
    if isinstance(index, int):
        changed = msgspec.structs.replace(changed, index=index)
    await policies.change_rule(ask.core, policy.id, rule.index, changed)


def read_rule(values: Values, present: ExportRule) -> ExportRule:
    """Give a rule with the values put over the present ones."""
    changes: dict[str, Any] = {
        field: tuple(str(item) for item in listed)
        for name, field in _FLAVOURS.items()
        if isinstance(listed := values.get(name), list)
    }
    clients = values.get("clients")
    if isinstance(clients, list):
        changes["clients"] = tuple(_matches(clients))
    for name in ("allow_suid", "allow_device_creation", "index"):
        if values.get(name) is not None:
            changes[name] = values[name]
    if values.get("anonymous_user") is not None:
        changes["anonymous_user"] = str(values["anonymous_user"])
    return msgspec.structs.replace(present, **changes)


def _matches(clients: Iterable[Values]) -> list[str]:
    """Give every client pattern once; ONTAP takes a comma list in one `match`."""
    found: list[str] = []
    for client in clients:
        for match in (text(client, "match") or "").split(","):
            if match and match in found:
                raise errors.AlreadyExists(kind="client match", name=match, field="clients.match")
            if match:
                found.append(match)
    return found


def _rules(values: Values) -> list[ExportRule]:
    listed = values.get("rules")
    return [read_rule(rule, ExportRule(index=0, clients=())) for rule in listed] if isinstance(listed, list) else []


async def create_snapshot_policy(ask: Ask, values: Values) -> SnapshotPolicy:
    """Make a snapshot policy: of the SVM that the body (or the tunnel) names, else of the cluster."""
    named = text(values, "svm.name") or text(values, "svm.uuid")
    tenant = await tenant_of(ask, values) if named or ask.tenant else None
    copies = values.get("copies")
    policy = SnapshotPolicy(
        id=uuid4(),
        name=text(values, "name") or "",
        created=utc_now(),
        tenant_id=tenant.id if tenant else None,
        comment=text(values, "comment") or "",
        enabled=values.get("enabled") is not False,
        copies=tuple([await read_line(ask.core, copy) for copy in copies]) if isinstance(copies, list) else (),
    )
    return await policies.create_snapshot_policy(ask.core, policy)


async def modify_snapshot_policy(ask: Ask, policy: SnapshotPolicy, values: Values) -> None:
    """Change comment or `enabled`."""
    enabled = values.get("enabled")
    await policies.update_snapshot_policy(
        ask.core,
        policy.id,
        comment=(text(values, "comment") or "") if "comment" in values else None,
        enabled=enabled if isinstance(enabled, bool) else None,
    )
