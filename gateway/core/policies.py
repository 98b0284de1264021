"""Use cases of export and snapshot policies. They touch no substrate; publications follow a changed export policy."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from uuid import UUID, uuid4

import msgspec

from gateway.core import errors
from gateway.core.catalog import Batch, Guard, Sequences, drop, put, when
from gateway.core.context import Core
from gateway.core.lines import check_lines, named_there
from gateway.core.manifest import everything
from gateway.core.model import ExportPolicy, ExportRule, SnapshotPolicy, SnapshotSchedule, Tenant, Volume, utc_now
from gateway.core.query import Compare, Op
from gateway.core.volumes import check_name

RULE_INDEX_MAX = 4_294_967_295
_STALE_RETRIES = 10


async def export_policy_named(core: Core, tenant_id: UUID, name: str) -> ExportPolicy:
    """Give the tenant's export policy of that name; NotFound."""
    policy = await core.find(ExportPolicy, name=name, tenant__id=tenant_id)
    if policy is None:
        raise errors.NotFound(kind="export policy", ref=name)
    return policy


async def create_export_policy(
    core: Core, tenant_id: UUID, name: str, *, rules: Iterable[ExportRule] = ()
) -> ExportPolicy:
    """Make an export policy. AlreadyExists for its name within the tenant."""
    check_name("name", name)
    await core.get(Tenant, tenant_id)
    policy = ExportPolicy(
        id=uuid4(),
        number=await core.catalog.next_number(Sequences.EXPORT_POLICY),
        name=name,
        tenant_id=tenant_id,
        created=utc_now(),
        rules=_numbered(rules),
    )
    await core.catalog.commit(_tenant_there(tenant_id) + put(policy))
    await core.manifest.write()
    return await core.get(ExportPolicy, policy.id)


async def update_export_policy(
    core: Core, policy_id: UUID, *, name: str | None = None, rules: Iterable[ExportRule] | None = None
) -> ExportPolicy:
    """Rename an export policy, replace all its rules, or both at once; None leaves a thing as it is.

    A rule's index 0 means: append in order. AlreadyExists for the name, InUse
    for renaming a built-in policy.
    """
    if name is not None:
        check_name("name", name)
    numbered = None if rules is None else _numbered(rules)

    def updated(policy: ExportPolicy) -> ExportPolicy:
        if policy.builtin and name not in {None, policy.name}:
            raise errors.InUse(kind="export policy", ref=policy.name, by="builtin", action="rename")
        return msgspec.structs.replace(
            policy,
            name=policy.name if name is None else name,
            rules=policy.rules if numbered is None else numbered,
        )

    return await _change(core, policy_id, updated)


async def put_export_policy(core: Core, tenant_id: UUID, name: str, rules: Iterable[ExportRule]) -> ExportPolicy:
    """Make an export policy with these rules, or replace all rules of the one that has the name, in one commit.

    The same rules again publish what is not published yet.
    """
    wanted = tuple(rules)
    found = await core.find(ExportPolicy, name=name, tenant__id=tenant_id)
    if found is None:
        try:
            return await create_export_policy(core, tenant_id, name, rules=wanted)
        except errors.AlreadyExists:
            found = await export_policy_named(core, tenant_id, name)  # somebody was faster
    after = await update_export_policy(core, found.id, rules=wanted)
    if after.rules == found.rules:
        await core.publisher.converge_policy(found.id, core.changes.locks)
    return after


async def add_rule(core: Core, policy_id: UUID, rule: ExportRule) -> ExportRule:
    """Add a rule; index 0 appends, an index in use moves that rule and those behind it up."""
    placed = rule

    def added(policy: ExportPolicy) -> ExportPolicy:
        nonlocal placed
        last = max((r.index for r in policy.rules), default=0)
        placed = rule if rule.index else msgspec.structs.replace(rule, index=last + 1)
        return msgspec.structs.replace(policy, rules=_inserted(policy.rules, placed))

    await _change(core, policy_id, added)
    return placed


async def change_rule(core: Core, policy_id: UUID, index: int, rule: ExportRule) -> ExportRule:
    """Replace the rule at `index`; a different `rule.index` moves it there. NotFound when there is none."""

    def changed(policy: ExportPolicy) -> ExportPolicy:
        return msgspec.structs.replace(policy, rules=_inserted(_without(policy, index), rule))

    await _change(core, policy_id, changed)
    return rule


async def delete_rule(core: Core, policy_id: UUID, index: int) -> None:
    """Remove a rule. NotFound when there is none at `index`."""
    await _change(core, policy_id, lambda policy: msgspec.structs.replace(policy, rules=_without(policy, index)))


async def delete_export_policy(core: Core, policy_id: UUID) -> None:
    """Remove an export policy. InUse for a built-in one and while volumes use it."""
    policy = await core.get(ExportPolicy, policy_id)
    if policy.builtin:
        raise errors.InUse(kind="export policy", ref=policy.name, by="builtin", action="delete")
    used = Compare("export_policy.id", Op.EQ, policy_id)
    in_use = errors.InUse(kind="export policy", ref=policy.name, by="volumes", action="delete")
    await core.catalog.commit(when(Guard(Volume, used, exists=False, error=in_use)) + drop(policy))
    await core.manifest.write()


async def create_snapshot_policy(core: Core, policy: SnapshotPolicy) -> SnapshotPolicy:
    """Make a snapshot policy.

    AlreadyExists for its name, NotFound for a schedule, InvalidArgument for
    lines that clash or keep nothing, or when there are none.
    """
    check_name("name", policy.name)
    if policy.tenant_id is not None:
        await core.get(Tenant, policy.tenant_id)
    _check_copies(policy)
    await core.catalog.commit(_tenant_there(policy.tenant_id) + named_there(policy.copies) + put(policy))
    await core.manifest.write()
    return await core.get(SnapshotPolicy, policy.id)


async def update_snapshot_policy(
    core: Core,
    policy_id: UUID,
    *,
    comment: str | None = None,
    enabled: bool | None = None,
    copies: Sequence[SnapshotSchedule] | None = None,
) -> SnapshotPolicy:
    """Change a snapshot policy's comment, whether it is carried out, or all its lines; None leaves a thing as it is.

    Fails as `create_snapshot_policy` does; InUse for other lines of a built-in policy.
    """

    def updated(policy: SnapshotPolicy) -> SnapshotPolicy:
        return msgspec.structs.replace(
            policy,
            comment=policy.comment if comment is None else comment,
            enabled=policy.enabled if enabled is None else enabled,
            copies=policy.copies if copies is None else tuple(copies),
        )

    return await _change_snapshot_policy(core, policy_id, updated)


async def add_line(core: Core, policy_id: UUID, line: SnapshotSchedule) -> None:
    """Add a line to a snapshot policy. AlreadyExists when it has one on the same schedule."""

    def added(policy: SnapshotPolicy) -> SnapshotPolicy:
        if any(other.schedule == line.schedule for other in policy.copies):
            raise errors.AlreadyExists(kind="policy line", name=line.schedule, field="schedule.name")
        return msgspec.structs.replace(policy, copies=(*policy.copies, line))

    await _change_snapshot_policy(core, policy_id, added)


async def change_line(core: Core, policy_id: UUID, line: SnapshotSchedule) -> None:
    """Replace the line of a snapshot policy that is on the same schedule. NotFound when there is none."""

    def changed(policy: SnapshotPolicy) -> SnapshotPolicy:
        _line(policy, line.schedule)
        lines = (line if other.schedule == line.schedule else other for other in policy.copies)
        return msgspec.structs.replace(policy, copies=tuple(lines))

    await _change_snapshot_policy(core, policy_id, changed)


async def delete_line(core: Core, policy_id: UUID, schedule: str) -> None:
    """Remove a line from a snapshot policy; its snapshots stay. NotFound when there is none, InUse for the last one."""

    def removed(policy: SnapshotPolicy) -> SnapshotPolicy:
        gone = _line(policy, schedule)
        if len(policy.copies) == 1:
            raise errors.InUse(kind="policy line", ref=schedule, by="policy", action="delete")
        return msgspec.structs.replace(policy, copies=tuple(line for line in policy.copies if line != gone))

    await _change_snapshot_policy(core, policy_id, removed)


async def delete_snapshot_policy(core: Core, policy_id: UUID) -> None:
    """Remove a snapshot policy. InUse for a built-in one, while volumes use it, and while it is what a tenant's get."""
    policy = await core.get(SnapshotPolicy, policy_id)
    if policy.builtin:
        raise errors.InUse(kind="snapshot policy", ref=policy.name, by="builtin", action="delete")
    if any(tenant.snapshot_policy_id == policy_id for tenant in await everything(core.catalog, Tenant)):
        raise errors.InUse(kind="snapshot policy", ref=policy.name, by="tenants", action="delete")
    used = Compare("schedule.policy", Op.EQ, policy_id)
    in_use = errors.InUse(kind="snapshot policy", ref=policy.name, by="volumes", action="delete")
    await core.catalog.commit(when(Guard(Volume, used, exists=False, error=in_use)) + drop(policy))
    await core.manifest.write()


async def _change(core: Core, policy_id: UUID, change: Callable[[ExportPolicy], ExportPolicy]) -> ExportPolicy:
    """Read, change and write one policy; a race with another process reads again."""
    async with core.changes.locks.holding(policy_id):
        for attempt in range(_STALE_RETRIES + 1):
            before = await core.get(ExportPolicy, policy_id)
            after = change(before)
            try:
                await core.catalog.commit(put(after) if after != before else Batch())
            except errors.StaleRevision:
                if attempt == _STALE_RETRIES:
                    raise
                continue
            break
    await core.manifest.write()
    if after.rules != before.rules:
        await core.publisher.converge_policy(policy_id, core.changes.locks)
    return await core.get(ExportPolicy, policy_id)


async def _change_snapshot_policy(
    core: Core, policy_id: UUID, change: Callable[[SnapshotPolicy], SnapshotPolicy]
) -> SnapshotPolicy:
    """Read, change and write one policy; a race with another process reads again."""
    async with core.changes.locks.holding(policy_id):
        for attempt in range(_STALE_RETRIES + 1):
            before = await core.get(SnapshotPolicy, policy_id)
            after = change(before)
            if after == before:
                return before
            if after.copies != before.copies:
                if before.builtin:
                    raise errors.InUse(kind="snapshot policy", ref=before.name, by="builtin", action="change")
                _check_copies(after)
            try:
                await core.catalog.commit(named_there(after.copies) + put(after))
            except errors.StaleRevision:
                if attempt == _STALE_RETRIES:
                    raise
                continue
            break
    await core.manifest.write()
    return await core.get(SnapshotPolicy, policy_id)


def _check_copies(policy: SnapshotPolicy) -> None:
    if not policy.copies:
        raise errors.InvalidArgument(field="copies", reason="a policy needs at least one schedule")
    check_lines("copies", policy.copies)


def _line(policy: SnapshotPolicy, schedule: str) -> SnapshotSchedule:
    for line in policy.copies:
        if line.schedule == schedule:
            return line
    raise errors.NotFound(kind="policy line", ref=schedule)


def _tenant_there(tenant_id: UUID | None) -> Batch:
    """Give the guard that the tenant, if there is to be one, has not gone meanwhile."""
    if tenant_id is None:
        return Batch()
    gone = errors.NotFound(kind="tenant", ref=str(tenant_id))
    return when(Guard(Tenant, Compare("id", Op.EQ, tenant_id), exists=True, error=gone))


def _without(policy: ExportPolicy, index: int) -> tuple[ExportRule, ...]:
    others = tuple(r for r in policy.rules if r.index != index)
    if len(others) == len(policy.rules):
        raise errors.NotFound(kind="export rule", ref=str(index))
    return others


def _numbered(rules: Iterable[ExportRule]) -> tuple[ExportRule, ...]:
    numbered: tuple[ExportRule, ...] = ()
    for rule in rules:
        index = rule.index or max((r.index for r in numbered), default=0) + 1
        if any(r.index == index for r in numbered):
            raise errors.AlreadyExists(kind="export rule", name=str(index), field="rules.index")
        numbered = _inserted(numbered, msgspec.structs.replace(rule, index=index))
    return numbered


def _inserted(rules: tuple[ExportRule, ...], new: ExportRule) -> tuple[ExportRule, ...]:
    """Put a rule in at its index; rules in the way move up as far as needed."""
    if not 1 <= new.index <= RULE_INDEX_MAX:
        raise errors.InvalidArgument(field="index", value=new.index, reason=f"must be 1 to {RULE_INDEX_MAX}")
    result, taken = [new], new.index
    for rule in sorted(rules, key=lambda r: r.index):
        if rule.index < new.index:
            result.append(rule)
            continue
        index = rule.index
        if index <= taken:
            index = taken + 1
        taken = index
        result.append(msgspec.structs.replace(rule, index=index))
    if max(r.index for r in result) > RULE_INDEX_MAX:
        raise errors.LimitExceeded(limit="export rules", value=RULE_INDEX_MAX + 1, minimum=1, maximum=RULE_INDEX_MAX)
    return tuple(sorted(result, key=lambda r: r.index))
