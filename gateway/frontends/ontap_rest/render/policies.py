"""Export policies with their rules, and snapshot policies."""

from __future__ import annotations

from typing import Any

from gateway.core.model import ExportPolicy, ExportRule, SnapshotPolicy, SnapshotSchedule, Tenant
from gateway.frontends.ontap_rest.constants import nested


def render_export_policy(policy: ExportPolicy, tenant: Tenant) -> dict[str, Any]:
    """Render an export policy with all its rules."""
    return {
        "id": policy.number,
        "name": policy.name,
        "svm": {"uuid": str(tenant.id), "name": tenant.name},
        "rules": [_rule(rule) for rule in policy.rules],
    }


def render_export_rule(rule: ExportRule, policy: ExportPolicy, tenant: Tenant) -> dict[str, Any]:
    """Render one rule as a record of its own."""
    return _rule(rule) | {
        "policy": {"id": policy.number, "name": policy.name},
        "svm": {"uuid": str(tenant.id), "name": tenant.name},
    }


def _rule(rule: ExportRule) -> dict[str, Any]:
    record: dict[str, Any] = nested("export_rule")
    return record | {
        "index": rule.index,
        "clients": [{"match": match} for match in rule.clients],
        "ro_rule": list(rule.read) or ["never"],
        "rw_rule": list(rule.write) or ["never"],
        "superuser": list(rule.superuser) or ["none"],
        "protocols": list(rule.protocols),
        "anonymous_user": rule.anonymous_user,
        "allow_suid": rule.allow_suid,
        "allow_device_creation": rule.allow_device_creation,
    }


def render_snapshot_policy(policy: SnapshotPolicy, tenant: Tenant | None) -> dict[str, Any]:
    """Render a snapshot policy; one that belongs to no tenant has cluster scope and no `svm`."""
    record: dict[str, Any] = {
        "uuid": str(policy.id),
        "name": policy.name,
        "comment": policy.comment,
        "enabled": policy.enabled,
        "scope": "cluster" if policy.tenant_id is None else "svm",
        "copies": [_copy(line) for line in policy.copies],
    }
    if tenant is not None:
        record["svm"] = {"uuid": str(tenant.id), "name": tenant.name}
    return record


def _copy(line: SnapshotSchedule) -> dict[str, Any]:
    copy: dict[str, Any] = {
        "count": line.count,
        "prefix": line.prefix or line.schedule,
        "schedule": {"name": line.schedule},
    }
    if line.label:
        copy["snapmirror_label"] = line.label
    return copy
