"""Use cases of the policies of replications. They touch no substrate."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from uuid import UUID, uuid4

import msgspec

from gateway.core import errors
from gateway.core.catalog import Batch, Guard, drop, put, walk, when
from gateway.core.context import Core
from gateway.core.model import Schedule, Tenant, utc_now
from gateway.core.query import Compare, IsNull, Op, Order, Query
from gateway.core.replication_model import Replication, ReplicationPolicy, ReplicationRule, SnapshotChoice
from gateway.core.volumes import check_name, check_text

OWN_LABEL = "sm_created"
"""The replication label of the snapshots that transfers take."""

COUNT_MAX = 1023
_TEXT_MAX = 4096
_RULES_MAX = 10
_RETRIES = 10
_BUILTIN: Sequence[tuple[str, str, SnapshotChoice, tuple[tuple[str, int], ...]]] = (
    ("Asynchronous", "A mirror of the newest content.", SnapshotChoice.CREATE, ((OWN_LABEL, 1),)),
    ("MirrorLatest", "A mirror of the newest snapshot.", SnapshotChoice.LATEST, ()),
    ("MirrorAllSnapshots", "A mirror of all snapshots.", SnapshotChoice.ALL, ()),
    ("XDPDefault", "A vault with daily and weekly snapshots.", SnapshotChoice.ALL, (("daily", 7), ("weekly", 52))),
)


class PolicyChange(msgspec.Struct, frozen=True, kw_only=True):
    """New values; UNSET leaves a thing as it is."""

    comment: str | msgspec.UnsetType = msgspec.UNSET
    rules: tuple[ReplicationRule, ...] | msgspec.UnsetType = msgspec.UNSET
    schedule: str | msgspec.UnsetType = msgspec.UNSET
    throttle: int | msgspec.UnsetType = msgspec.UNSET
    choice: SnapshotChoice | msgspec.UnsetType = msgspec.UNSET


async def create(core: Core, policy: ReplicationPolicy) -> ReplicationPolicy:
    """Make a policy. AlreadyExists for its name, NotFound for a schedule, InvalidArgument for what cannot be."""
    check_name("name", policy.name)
    if policy.tenant_id is not None:
        await core.get(Tenant, policy.tenant_id)
    _check(policy)
    await core.catalog.commit(_references(policy) + put(policy))
    await core.manifest.write()
    return await core.get(ReplicationPolicy, policy.id)


async def update(core: Core, policy_id: UUID, change: PolicyChange) -> ReplicationPolicy:
    """Change a policy, for all replications that have it. Fails as `create` does; InUse for a built-in one."""
    given = {name: value for name in change.__struct_fields__ if (value := getattr(change, name)) is not msgspec.UNSET}
    async with core.changes.locks.holding(policy_id):
        for attempt in range(_RETRIES + 1):
            before = await core.get(ReplicationPolicy, policy_id)
            after = msgspec.structs.replace(before, **given)
            if after == before:
                return before
            if before.builtin:
                raise errors.InUse(kind="replication policy", ref=before.name, by="builtin", action="change")
            _check(after)
            try:
                await core.catalog.commit(_references(after) + put(after))
            except errors.StaleRevision:
                if attempt == _RETRIES:
                    raise
                continue
            break
    await core.manifest.write()
    return await core.get(ReplicationPolicy, policy_id)


async def delete(core: Core, policy_id: UUID) -> None:
    """Remove a policy. InUse for a built-in one and while replications have it."""
    policy = await core.get(ReplicationPolicy, policy_id)
    if policy.builtin:
        raise errors.InUse(kind="replication policy", ref=policy.name, by="builtin", action="delete")
    in_use = errors.InUse(kind="replication policy", ref=policy.name, by="replications", action="delete")
    used = Guard(Replication, Compare("policy.id", Op.EQ, policy_id), exists=False, error=in_use)
    await core.catalog.commit(when(used) + drop(policy))
    await core.manifest.write()


async def named(core: Core, name: str, *, tenant_id: UUID | None = None) -> ReplicationPolicy:
    """Give the policy of that name, the tenant's own before one that every tenant may use; NotFound."""
    own = None if tenant_id is None else await core.find(ReplicationPolicy, name=name, tenant__id=tenant_id)
    if own is not None:
        return own
    for policy in await shared(core):
        if policy.name == name:
            return policy
    raise errors.NotFound(kind="replication policy", ref=name)


async def shared(core: Core) -> tuple[ReplicationPolicy, ...]:
    """Give the policies that every tenant may use."""
    from_all = Query(where=IsNull("tenant.id"), order=(Order("name"),))
    return tuple([policy async for policy in walk(core.catalog, ReplicationPolicy, from_all)])


async def ensure_builtin(core: Core) -> None:
    """Make those of the policies that everybody expects which are not there."""
    present = {policy.name for policy in await shared(core)}
    for name, comment, choice, rules in _BUILTIN:
        if name in present:
            continue
        policy = ReplicationPolicy(
            id=uuid4(),
            name=name,
            created=utc_now(),
            comment=comment,
            choice=choice,
            rules=tuple(ReplicationRule(label=label, count=count) for label, count in rules),
            builtin=True,
        )
        try:
            await core.catalog.commit(put(policy))
        except errors.AlreadyExists:
            continue  # another process started at the same time


def schedule_there(name: str | None) -> Batch:
    """Give the guard that the schedule, if one is named, is there."""
    return schedules_there(filter(None, [name]))


def schedules_there(names: Iterable[str]) -> Batch:
    """Give the guards that all of the schedules are there."""
    return when(
        *(
            Guard(
                Schedule,
                Compare("name", Op.EQ, name),
                exists=True,
                error=errors.NotFound(kind="schedule", ref=name),
            )
            for name in dict.fromkeys(names)
        )
    )


def check_throttle(throttle: int) -> None:
    """Raise InvalidArgument for a limit that is none."""
    if throttle < 0:
        raise errors.InvalidArgument(field="throttle", value=throttle, reason="must not be negative")


def _references(policy: ReplicationPolicy) -> Batch:
    guards = schedules_there(filter(None, [policy.schedule, *(rule.schedule for rule in policy.rules)]))
    if policy.tenant_id is not None:
        gone = errors.NotFound(kind="tenant", ref=str(policy.tenant_id))
        guards += when(Guard(Tenant, Compare("id", Op.EQ, policy.tenant_id), exists=True, error=gone))
    return guards


def _check(policy: ReplicationPolicy) -> None:
    check_text("comment", policy.comment, _TEXT_MAX)
    check_throttle(policy.throttle)
    labels = [rule.label for rule in policy.rules]
    if len(set(labels)) < len(labels):
        raise errors.InvalidArgument(field="rules.label", reason="names a label twice")
    if len(labels) > _RULES_MAX:
        raise errors.LimitExceeded(limit="rules", value=len(labels), minimum=0, maximum=_RULES_MAX)
    for rule in policy.rules:
        check_name("rules.label", rule.label)
        if rule.prefix:
            check_name("rules.prefix", rule.prefix)
        if not 1 <= rule.count <= COUNT_MAX:
            raise errors.InvalidArgument(field="rules.count", value=rule.count, reason=f"must be 1 to {COUNT_MAX}")
