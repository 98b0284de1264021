"""SnapMirror policies, and the policies and schedules that relationships name."""

from __future__ import annotations

from collections.abc import Mapping
from uuid import UUID, uuid4

import msgspec

from gateway.core import errors, jobs, replication_policies
from gateway.core.context import Core
from gateway.core.model import Job, Schedule, Tenant, utc_now
from gateway.core.replication_model import ReplicationPolicy, ReplicationRule, SnapshotChoice
from gateway.core.replication_policies import PolicyChange
from gateway.frontends.ontap_rest.ask import Ask
from gateway.frontends.ontap_rest.body import Values
from gateway.frontends.ontap_rest.errors import WireError
from gateway.frontends.ontap_rest.render.mirror import KIB
from gateway.frontends.ontap_rest.writes.names import tenant_of, text

_NOUN = "snapmirror_policy"
_CHOICES: Mapping[str, tuple[bool, SnapshotChoice]] = {
    "copy_all_source_snapshots": (True, SnapshotChoice.ALL),
    "copy_latest_source_snapshot": (True, SnapshotChoice.LATEST),
    "create_snapshot_on_source": (False, SnapshotChoice.ALL),
}
"""Property -> the one value that says anything, and what it says."""


async def create(ask: Ask, values: Values) -> Job:
    """Make a policy: of the SVM that the body (or the tunnel) names, else of the cluster."""
    named = text(values, "svm.name") or text(values, "svm.uuid")
    tenant = await tenant_of(ask, values) if named or ask.tenant else None
    schedule = await schedule_of(ask.core, values)
    throttle = values.get("throttle")
    policy = ReplicationPolicy(
        id=uuid4(),
        name=text(values, "name") or "",
        created=utc_now(),
        tenant_id=tenant.id if tenant else None,
        comment=text(values, "comment") or "",
        rules=await _rules(ask.core, values),
        schedule=schedule or "",
        throttle=throttle * KIB if isinstance(throttle, int) else 0,
        choice=_choice(values),
    )
    return await _done(ask, await replication_policies.create(ask.core, policy), "create")


async def modify(ask: Ask, policy: ReplicationPolicy, values: Values) -> Job:
    """Change a policy's comment, schedule or throttle, or replace all its rules."""
    unset = msgspec.UNSET
    schedule = await schedule_of(ask.core, values)
    throttle = values.get("throttle")
    change = PolicyChange(
        comment=(text(values, "comment") or "") if "comment" in values else unset,
        rules=await _rules(ask.core, values) if "retention" in values else unset,
        schedule=unset if schedule is unset else schedule or "",
        throttle=unset if "throttle" not in values else throttle * KIB if isinstance(throttle, int) else 0,
    )
    return await _done(ask, await replication_policies.update(ask.core, policy.id, change), "update")


async def delete(ask: Ask, policy: ReplicationPolicy) -> Job:
    """Remove a policy that no relationship has."""
    await replication_policies.delete(ask.core, policy.id)
    return await _done(ask, policy, "delete")


async def put_back(ask: Ask, before: ReplicationPolicy, after: ReplicationPolicy) -> None:
    """Undo a change."""
    change = PolicyChange(
        comment=before.comment, rules=before.rules, schedule=before.schedule, throttle=before.throttle
    )
    await replication_policies.update(ask.core, after.id, change)


async def policy_of(core: Core, values: Values, tenant_id: UUID, *, fallback: str) -> ReplicationPolicy:
    """Give the policy that a relationship's body names, one of the destination's SVM before one of the cluster."""
    name, uuid = text(values, "policy.name"), text(values, "policy.uuid")
    if uuid is None:
        try:
            return await replication_policies.named(core, name or fallback, tenant_id=tenant_id)
        except errors.InvalidArgument:
            raise errors.NotFound(kind="replication policy", ref=name) from None
    found = await core.catalog.get(ReplicationPolicy, _key(uuid, "replication policy"))
    if found is None or found.tenant_id not in {None, tenant_id}:
        raise errors.NotFound(kind="replication policy", ref=uuid)
    if name not in {None, found.name}:
        message = 'The specified "policy.name" and "policy.uuid" do not match.'
        raise WireError(400, "13304080", message=message, target="policy")
    return found


async def schedule_of(core: Core, values: Values, path: str = "transfer_schedule") -> str | msgspec.UnsetType | None:
    """Give the name of the schedule that a body names; empty where it says that there is to be none."""
    name, uuid = text(values, f"{path}.name"), text(values, f"{path}.uuid")
    if not {f"{path}.name", f"{path}.uuid"} & values.keys():
        return msgspec.UNSET
    if uuid is not None:
        found = await core.catalog.get(Schedule, _key(uuid, "schedule"))
    elif name:
        try:
            found = await core.find(Schedule, name=name)
        except errors.InvalidArgument:
            found = None
    else:
        return ""
    if found is None or name not in {None, found.name}:
        raise errors.NotFound(kind="schedule", ref=name or uuid)
    return found.name


def _choice(values: Values) -> SnapshotChoice:
    given = [path for path in _CHOICES if values.get(path) is not None]
    if len(given) > 1:
        message = f'Fields "{given[0]}" and "{given[1]}" exclude each other.'
        raise WireError(400, "13304083", message=message, target=given[1])
    for path in given:
        only, choice = _CHOICES[path]
        if values[path] is not only:
            message = f'Field "{path}" can be set to {str(only).lower()} only.'
            raise WireError(400, "13304085", message=message, target=path)
        if only and values.get("retention"):
            message = f'Field "{path}" and rules of retention exclude each other.'
            raise WireError(400, "13304084", message=message, target="retention")
        return choice
    return SnapshotChoice.CREATE


async def _rules(core: Core, values: Values) -> tuple[ReplicationRule, ...]:
    listed = values.get("retention")
    return tuple([await _rule(core, rule) for rule in listed]) if isinstance(listed, list) else ()


async def _rule(core: Core, values: Values) -> ReplicationRule:
    label, count = text(values, "label"), text(values, "count")
    for path, value in (("label", label), ("count", count)):
        if value is None:
            message = f'A rule of retention needs its "{path}".'
            raise WireError(400, "13303850", message=message, target=f"retention.{path}")
    try:
        schedule = await schedule_of(core, values, "creation_schedule")
    except errors.NotFound as error:
        message = f'Schedule "{error.fields["ref"]}" does not exist.'
        raise WireError(404, "6619699", message=message, target="retention.creation_schedule") from None
    return ReplicationRule(
        label=label or "",
        count=int(count or 0),
        prefix=text(values, "prefix") or "",
        schedule=schedule or "",
    )


async def _done(ask: Ask, policy: ReplicationPolicy, word: str) -> Job:
    tenant = await ask.core.get(Tenant, policy.tenant_id) if policy.tenant_id else None
    return await jobs.finished(
        ask.core, f"{_NOUN}.{word}", description=ask.description, tenant=tenant, target_id=policy.id
    )


def _key(uuid: str, kind: str) -> UUID:
    try:
        return UUID(uuid)
    except ValueError:
        raise errors.NotFound(kind=kind, ref=uuid) from None
