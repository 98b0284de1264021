"""Use cases of tenants. They touch no substrate: one commit each, then the manifest follows."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TypeVar
from uuid import UUID, uuid4

import msgspec

from gateway.core import errors
from gateway.core.catalog import Batch, Guard, Sequences, drop, put, walk, when
from gateway.core.context import Core
from gateway.core.logins import forget_passwords
from gateway.core.manifest import everything
from gateway.core.model import (
    ExportPolicy,
    HostGroup,
    InitiatorLogin,
    IscsiService,
    NfsService,
    Record,
    SnapshotPolicy,
    SnapshotSchedule,
    Tenant,
    TenantState,
    Volume,
    utc_now,
)
from gateway.core.query import And, Compare, Filter, Not, Op, Order, Query
from gateway.core.replication_model import ReplicationPolicy
from gateway.core.replication_policies import ensure_builtin as ensure_replication_policies
from gateway.core.schedules import ensure_builtin
from gateway.core.targets import SERVICE_MAX, check_initiator
from gateway.core.volumes import check_name

DEFAULT_POLICY = "default"
_RETRIES = 10
Owned = TypeVar("Owned", ExportPolicy, SnapshotPolicy, ReplicationPolicy, HostGroup, InitiatorLogin)


class TenantChange(msgspec.Struct, frozen=True, kw_only=True):
    """New values; UNSET leaves a thing as it is."""

    name: str | msgspec.UnsetType = msgspec.UNSET
    comment: str | msgspec.UnsetType = msgspec.UNSET
    state: TenantState | msgspec.UnsetType = msgspec.UNSET
    iscsi: IscsiService | msgspec.UnsetType | None = msgspec.UNSET
    nfs: NfsService | msgspec.UnsetType = msgspec.UNSET
    pool_ids: tuple[UUID, ...] | msgspec.UnsetType = msgspec.UNSET
    snapshot_policy_id: UUID | msgspec.UnsetType | None = msgspec.UNSET


async def create(
    core: Core,
    name: str,
    *,
    comment: str = "",
    pool_ids: tuple[UUID, ...] = (),
    snapshot_policy_id: UUID | None = None,
) -> Tenant:
    """Make a tenant with its built-in, empty export policy `default`. AlreadyExists for its name."""
    check_name("name", name)
    now = utc_now()
    tenant = Tenant(
        id=uuid4(),
        name=name,
        created=now,
        comment=comment,
        pool_ids=pool_ids,
        snapshot_policy_id=snapshot_policy_id,
    )
    policy = ExportPolicy(
        id=uuid4(),
        number=await core.catalog.next_number(Sequences.EXPORT_POLICY),
        name=DEFAULT_POLICY,
        tenant_id=tenant.id,
        created=now,
        builtin=True,
    )
    await core.catalog.commit(put(tenant, policy))
    await core.manifest.write()
    return await core.get(Tenant, tenant.id)


async def update(core: Core, tenant_id: UUID, change: TenantChange, *, force: bool = False) -> Tenant:
    """Change a tenant. Stopping it or one of its services withdraws publications, running publishes them again.

    Nodes that are connected then are cut off by force only; without it InUse
    tells that some are, and they stay until they leave.
    """
    given = {name: value for name in change.__struct_fields__ if (value := getattr(change, name)) is not msgspec.UNSET}
    async with core.changes.locks.holding(tenant_id):
        before = await core.get(Tenant, tenant_id)
        after = msgspec.structs.replace(before, **given)
        check_name("name", after.name)
        if after.iscsi is not None:
            target = check_initiator("iscsi.target", after.iscsi.target)
            if len(target.encode()) > SERVICE_MAX:
                reason = f"is longer than {SERVICE_MAX} bytes"
                raise errors.InvalidArgument(field="iscsi.target", value=target[:64], reason=reason)
            iscsi = msgspec.structs.replace(after.iscsi, target=target)
            after = msgspec.structs.replace(after, iscsi=iscsi)
        if after != before:
            await core.catalog.commit(put(after))
    if after != before:
        await core.manifest.write()
    if (after.state, after.iscsi, after.nfs) != (before.state, before.iscsi, before.nfs):
        await core.publisher.converge_tenant(tenant_id, core.changes.locks, force=force)
    return await core.get(Tenant, tenant_id)


async def delete(core: Core, tenant_id: UUID) -> None:
    """Remove a tenant with its policies, host groups and logins. InUse while it has volumes."""
    async with core.changes.locks.holding(tenant_id):
        for attempt in range(_RETRIES + 1):
            removal = await _removal(core, tenant_id)
            try:
                await core.catalog.commit(removal)
            except (errors.StaleRevision, errors.Conflict):
                if attempt == _RETRIES:
                    raise
                continue
            break
    for write in removal.writes:
        if isinstance(write.record, InitiatorLogin):
            await forget_passwords(core, write.record.id)
    await core.manifest.write()


async def _removal(core: Core, tenant_id: UUID) -> Batch:
    """Give the removal of a tenant with its policies; Conflict at the commit when there are other policies by then."""
    tenant = await core.get(Tenant, tenant_id)
    own = Compare("tenant.id", Op.EQ, tenant_id)
    in_use = errors.InUse(kind="tenant", ref=tenant.name, by="volumes", action="delete")
    changed = errors.Conflict(kind="tenant", ref=tenant.name, holder="policy.create")
    batch = when(Guard(Volume, own, exists=False, error=in_use))
    for part in (
        await _all_of(core, ExportPolicy, own, changed),
        await _all_of(core, SnapshotPolicy, own, changed),
        await _all_of(core, ReplicationPolicy, own, changed),
        await _all_of(core, HostGroup, own, changed),
        await _all_of(core, InitiatorLogin, own, changed),
    ):
        batch += part
    return batch + drop(tenant)


async def _all_of(core: Core, kind: type[Owned], own: Filter, changed: errors.GatewayError) -> Batch:
    """Give the removal of what a tenant has of one kind."""
    query = Query(where=own, order=(Order("id"),))
    owned = [record async for record in walk(core.catalog, kind, query)]
    return when(Guard(kind, _but(own, owned), exists=False, error=changed)) + drop(*owned)


def _but(where: Filter, known: Sequence[Record]) -> Filter:
    return And((where, *(Not(Compare("id", Op.EQ, policy.id)) for policy in known)))


async def ensure_defaults(core: Core, names: tuple[str, ...]) -> None:
    """Make the usual schedules, and once per catalog the tenants that `names` says and the usual snapshot policies."""
    await ensure_builtin(core)
    await ensure_replication_policies(core)
    if await core.catalog.setting("defaults_made"):
        return
    for name in names:
        if await core.find(Tenant, name=name) is None:
            await create(core, name)
    present = {policy.name for policy in await everything(core.catalog, SnapshotPolicy) if policy.tenant_id is None}
    await core.catalog.commit(put(*(policy for policy in _builtin_policies() if policy.name not in present)))
    await core.catalog.put_setting("defaults_made", "1")
    await core.manifest.write()


def _builtin_policies() -> tuple[SnapshotPolicy, ...]:
    now = utc_now()
    hourly, daily, weekly = (
        SnapshotSchedule(schedule=name, count=count, prefix=name)
        for name, count in (("hourly", 6), ("daily", 2), ("weekly", 2))
    )
    single_weekly = msgspec.structs.replace(weekly, count=1)
    return (
        SnapshotPolicy(
            id=uuid4(),
            name="default",
            created=now,
            builtin=True,
            comment="Default policy with hourly, daily & weekly schedules.",
            copies=(hourly, daily, weekly),
        ),
        SnapshotPolicy(
            id=uuid4(),
            name="default-1weekly",
            created=now,
            builtin=True,
            comment="Default policy with 6 hourly, 2 daily & 1 weekly schedule.",
            copies=(hourly, daily, single_weekly),
        ),
        SnapshotPolicy(
            id=uuid4(),
            name="none",
            created=now,
            builtin=True,
            comment="Policy for no automatic snapshots.",
        ),
    )
