"""Export policies with their rules, and snapshot policies."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any
from uuid import UUID

from gateway.core.model import ExportPolicy, ExportRule, Schedule, SnapshotPolicy, SnapshotSchedule, Tenant
from gateway.core.recurrence import Periodic, as_cron
from gateway.frontends.ontap_rest.constants import nested
from gateway.frontends.ontap_rest.scalars import format_duration

NO_LABEL = "-"
"""What a line of a policy shows that gives its snapshots no label: Ansible looks for nothing else."""


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


def render_snapshot_policy(
    policy: SnapshotPolicy, tenant: Tenant | None, schedules: Mapping[str, Schedule] = {}
) -> dict[str, Any]:
    """Render a snapshot policy; one that belongs to no tenant has cluster scope and no `svm`.

    `schedules`: those that the policy names, by name.
    """
    record: dict[str, Any] = {
        "uuid": str(policy.id),
        "name": policy.name,
        "comment": policy.comment,
        "enabled": policy.enabled,
        "scope": "cluster" if policy.tenant_id is None else "svm",
        "copies": [_copy(line, schedules.get(line.schedule)) for line in policy.copies],
    }
    if tenant is not None:
        record["svm"] = {"uuid": str(tenant.id), "name": tenant.name}
    return record


def render_policy_line(line: SnapshotSchedule, policy: SnapshotPolicy, schedule: Schedule) -> dict[str, Any]:
    """Render one line of a snapshot policy as a record of its own."""
    return _copy(line, schedule) | {"snapshot_policy": {"uuid": str(policy.id), "name": policy.name}}


def render_schedule(schedule: Schedule, *, cluster: str, cluster_id: UUID) -> dict[str, Any]:
    """Render a schedule; all but periods are crons, of which what is left out means every one."""
    record: dict[str, Any] = nested("schedule") | {
        "uuid": str(schedule.id),
        "name": schedule.name,
        "cluster": {"name": cluster, "uuid": str(cluster_id)},
    }
    cron = as_cron(schedule.recurrence)
    if cron is not None:
        parts = {name: list(getattr(cron, name)) for name in cron.__struct_fields__}
        record |= {"type": "cron", "cron": {name: numbers for name, numbers in parts.items() if numbers}}
    elif isinstance(schedule.recurrence, Periodic):
        record |= {"type": "interval", "interval": format_duration(schedule.recurrence.seconds)}
    return record


def _copy(line: SnapshotSchedule, schedule: Schedule | None) -> dict[str, Any]:
    copy: dict[str, Any] = {
        "count": line.count,
        "prefix": line.prefix or line.schedule,
        "schedule": {"name": line.schedule},
    }
    if schedule is not None:
        copy["schedule"]["uuid"] = str(schedule.id)
    copy["snapmirror_label"] = line.label or NO_LABEL
    return copy
