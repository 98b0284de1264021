"""Replications and their transfers: list, show, make, change, remove; start, abort; break, resync, reverse."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator, Sequence
from typing import Any
from uuid import UUID

from msgspec import UNSET, UnsetType

from gateway.core import errors, replication_policies, replications, transfers
from gateway.core.context import Core
from gateway.core.manifest import everything
from gateway.core.model import Pool, Tenant, Volume
from gateway.core.ownership import readable, visible
from gateway.core.query import And, Compare, Filter, Op, Order, Query
from gateway.core.replication_model import Replication, ReplicationPolicy, Transfer
from gateway.frontends.native import model
from gateway.frontends.native.ask import Ask
from gateway.frontends.native.bodies import (
    Letting,
    NewReplication,
    NewTransfer,
    Nothing,
    PageWanted,
    ReplicationChange,
    ReplicationsWanted,
    Turning,
)
from gateway.frontends.native.errors import told
from gateway.frontends.native.lookup import volume_of

REPLICATION, TRANSFER = "replication", "transfer"
"""Keys in the paths of routes."""


async def enumerate_(ask: Ask[ReplicationsWanted, Nothing]) -> model.Replications:
    """Give a page of the replications into volumes that the caller may read, the oldest first."""
    query = Query(where=And(tuple(_terms(ask))), limit=ask.query.limit, after=ask.query.after or None)
    page = await ask.core.catalog.page(Replication, query)
    return model.Replications(records=await _all_told(ask.core, page.records), next=page.cursor or "")


async def policies(ask: Ask[Nothing, Nothing]) -> model.ReplicationPolicies:
    """Give every policy."""
    found = await everything(ask.core.catalog, ReplicationPolicy)
    tenants = await ask.core.catalog.get_many(Tenant, {one.tenant_id for one in found if one.tenant_id is not None})
    return model.ReplicationPolicies(
        records=tuple(
            model.ReplicationPolicy(
                id=one.id,
                name=one.name,
                tenant=None if one.tenant_id is None else tenants[one.tenant_id].name,
                comment=one.comment,
                schedule=one.schedule,
                throttle=one.throttle,
                choice=one.choice,
                keep={rule.label: rule.count for rule in one.rules},
            )
            for one in found
            if one.tenant_id is None or one.tenant_id in tenants
        )
    )


async def inspect(ask: Ask[Nothing, Nothing]) -> model.Replication:
    """Give a replication."""
    return await _told(ask.core, await _asked(ask))


async def create(ask: Ask[Nothing, NewReplication]) -> model.Replication:
    """Let a volume follow another one. Nothing is transferred yet."""
    core, wanted = ask.core, ask.body
    source, destination = await volume_of(core, wanted.source), await volume_of(core, wanted.volume)
    policy = await replication_policies.named(core, wanted.policy, tenant_id=destination.tenant_id)
    new = replications.NewReplication(
        source_id=source.id,
        destination_id=destination.id,
        policy_id=policy.id,
        schedule=wanted.schedule,
        throttle=wanted.throttle,
    )
    description = f"native: replicate {source.name} to {destination.name}"
    made = await replications.create(core, new, description=description)
    ask.trace.target = str(made.id)
    return await _told(core, made)


async def change(ask: Ask[Nothing, ReplicationChange]) -> model.Replication:
    """Change a replication, pause it or let it go on."""
    found, wanted, core = await _asked(ask), ask.body, ask.core
    policy_id: UUID | UnsetType = UNSET
    if wanted.policy is not UNSET:
        policy_id = (await replication_policies.named(core, wanted.policy, tenant_id=found.tenant_id)).id
    values = replications.ReplicationChange(policy_id=policy_id, schedule=wanted.schedule, throttle=wanted.throttle)
    found = await replications.change(core, found.id, values)
    if wanted.paused is not UNSET:
        turn = replications.pause if wanted.paused else replications.resume
        found = await turn(core, found.id)
    return await _told(core, found)


async def delete(ask: Ask[Letting, Nothing]) -> None:
    """End a replication; the destination is then a volume as any other."""
    found = await _asked(ask)
    await replications.delete(
        ask.core, found.id, keep_source=ask.query.keep_source, description=f"native: end replication {found.id}"
    )


async def transfer(ask: Ask[Nothing, NewTransfer]) -> model.Transfer:
    """Start a transfer; give it as it is when it ends, or when that is not waited for any longer."""
    found = await _asked(ask)
    begun = await transfers.transfer(
        ask.core,
        found.id,
        snapshot_id=ask.body.snapshot,
        throttle=ask.body.throttle,
        description=f"native: transfer of replication {found.id}",
    )
    return await _waited(ask, begun)


async def enumerate_transfers(ask: Ask[PageWanted, Nothing]) -> model.Transfers:
    """Give a page of the transfers of a replication."""
    found = await _asked(ask)
    query = Query(
        where=Compare("replication.id", Op.EQ, found.id),
        order=(Order("created", descending=True),),
        limit=ask.query.limit,
        after=ask.query.after or None,
    )
    page = await ask.core.catalog.page(Transfer, query)
    return model.Transfers(records=tuple(map(_transfer, page.records)), next=page.cursor or "")


async def inspect_transfer(ask: Ask[Nothing, Nothing]) -> model.Transfer:
    """Give a transfer."""
    return _transfer(await _asked_transfer(ask))


async def abort(ask: Ask[Nothing, Nothing]) -> model.Transfer:
    """End a transfer early; the base stays."""
    found = await _asked_transfer(ask)
    return _transfer(await transfers.abort(ask.core, found.id, timeout_s=_left(ask)))


async def break_(ask: Ask[Nothing, Nothing]) -> model.Replication:
    """Make the destination a volume that is written to."""
    found = await _asked(ask)
    broken = await replications.break_(ask.core, found.id, description=f"native: break replication {found.id}")
    return await _told(ask.core, broken)


async def resync(ask: Ask[Nothing, Turning]) -> model.Transfer:
    """Let the destination follow again. What was written there goes."""
    found, throttle = await _asked(ask), ask.body.throttle
    description = f"native: resync replication {found.id}"
    return await _waited(ask, await replications.resync(ask.core, found.id, throttle=throttle, description=description))


async def reverse(ask: Ask[Nothing, Turning]) -> model.Transfer:
    """Let the source follow the destination. What was written to the source goes."""
    found, throttle = await _asked(ask), ask.body.throttle
    description = f"native: reverse replication {found.id}"
    return await _waited(
        ask, await replications.reverse(ask.core, found.id, throttle=throttle, description=description)
    )


async def _asked(ask: Ask[Any, Any]) -> Replication:
    """Give the replication that the path names; NotFound also for one into a volume that the caller may not read."""
    key, core = ask.key(REPLICATION, "replication"), ask.core
    found = await core.catalog.get(Replication, key)
    volume = None if found is None else await core.catalog.get(Volume, found.volume_id)
    if found is None or (volume is not None and not visible(core.caller, volume)):
        raise errors.NotFound(kind="replication", ref=str(key))
    return found


async def _asked_transfer(ask: Ask[Any, Any]) -> Transfer:
    replication, key = await _asked(ask), ask.key(TRANSFER, "transfer")
    found = await ask.core.catalog.get(Transfer, key)
    if found is None or found.replication_id != replication.id:
        raise errors.NotFound(kind="transfer", ref=str(key))
    return found


def _left(ask: Ask[Any, Any]) -> float:
    return max(0.0, ask.until - asyncio.get_running_loop().time())


async def _waited(ask: Ask[Any, Any], begun: Transfer) -> model.Transfer:
    return _transfer(await transfers.wait(ask.core, begun.id, _left(ask)))


async def _told(core: Core, found: Replication) -> model.Replication:
    for one in await _all_told(core, [found]):
        return one
    raise errors.NotFound(kind="replication", ref=str(found.id))


async def _all_told(core: Core, found: Sequence[Replication]) -> tuple[model.Replication, ...]:
    """Give replications with the names of what they belong to; what has just gone is left out."""
    volumes = await core.catalog.get_many(Volume, {one.volume_id for one in found})
    tenants = await core.catalog.get_many(Tenant, {one.tenant_id for one in found})
    pools = await core.catalog.get_many(Pool, {one.pool_id for one in volumes.values()})
    policies = await core.catalog.get_many(ReplicationPolicy, {one.policy_id for one in found})
    runs = await core.catalog.get_many(Transfer, {one.transfer_id for one in found if one.transfer_id is not None})
    return tuple(
        _replication(
            one,
            tenant=tenants[one.tenant_id],
            volume=volumes[one.volume_id],
            pool=pools[volumes[one.volume_id].pool_id],
            policy=policies[one.policy_id],
            run=None if one.transfer_id is None else runs.get(one.transfer_id),
        )
        for one in found
        if one.volume_id in volumes and one.tenant_id in tenants and one.policy_id in policies
    )


def _replication(
    found: Replication, *, tenant: Tenant, volume: Volume, pool: Pool, policy: ReplicationPolicy, run: Transfer | None
) -> model.Replication:
    return model.Replication(
        id=found.id,
        tenant=tenant.name,
        volume=volume.id,
        volume_name=volume.name,
        pool=pool.name,
        source=model.ReplicationSource(
            volume=found.source.volume_id, name=found.source.volume, tenant=found.source.tenant
        ),
        policy=policy.name,
        schedule=found.schedule,
        throttle=found.throttle,
        state=found.state,
        healthy=found.healthy,
        reason=found.reason,
        created=found.created,
        base=found.base_id,
        base_created=found.base_created,
        transfer=None if run is None else _transfer(run),
        total_bytes=found.total_bytes,
        total_duration_s=found.total_duration_s,
    )


def _transfer(found: Transfer) -> model.Transfer:
    return model.Transfer(
        id=found.id,
        replication=found.replication_id,
        kind=found.kind,
        state=found.state,
        method=found.method,
        created=found.created,
        ended=found.ended,
        snapshot=found.snapshot_id,
        bytes_transferred=found.bytes_transferred,
        bytes_total=found.bytes_total,
        throttle=found.throttle,
        error=None if found.error is None else told(errors.from_record(found.error)),
    )


def _terms(ask: Ask[ReplicationsWanted, Nothing]) -> Iterator[Filter]:
    if (of_caller := readable(ask.core.caller, field="volume.reader")) is not None:
        yield of_caller
    wanted = ask.query
    for field, value in (
        ("tenant.name", wanted.tenant),
        ("volume.id", wanted.volume),
        ("source.volume_id", wanted.source),
    ):
        if value is not UNSET:
            yield Compare(field, Op.EQ, value)
