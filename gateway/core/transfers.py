"""Use cases of transfers, the runs of replications."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from uuid import UUID, uuid4

import msgspec

from gateway.core import errors
from gateway.core.capability import require
from gateway.core.catalog import Batch, drop, put, walk
from gateway.core.context import Core
from gateway.core.model import Snapshot, SnapshotState, Volume, utc_now
from gateway.core.ownership import Access, permit
from gateway.core.peering import SourceVolume
from gateway.core.query import Compare, Op, Order, Query
from gateway.core.receiving import content_kind, destination_handle, source_handle, streams
from gateway.core.replicas import common_of, current, own_mark, snapshots_at
from gateway.core.replication_model import (
    Replication,
    ReplicationPolicy,
    ReplicationState,
    SnapshotChoice,
    Transfer,
    TransferKind,
    TransferMethod,
    TransferState,
)
from gateway.core.replication_policies import check_throttle
from gateway.core.sources import source_of
from gateway.core.transferring import Run

KEPT = 20
"""So many transfers of a replication are remembered."""

_RETRIES = 10
_KINDS = {
    ReplicationState.UNINITIALIZED: TransferKind.INITIALIZE,
    ReplicationState.MIRRORED: TransferKind.UPDATE,
    ReplicationState.BROKEN: TransferKind.RESYNC,
}


async def transfer(
    core: Core,
    replication_id: UUID,
    *,
    snapshot_id: UUID | None = None,
    throttle: int | None = None,
    description: str,
) -> Transfer:
    """Start a transfer and give it as soon as it is durable; it runs on whoever waits.

    The first one initializes, all others update. `snapshot_id`: which of the
    source's snapshots is sent; None: as the policy says. `throttle`: bytes per
    second for this one. Conflict while another one runs; InvalidState when the
    replication is paused or broken, which only a resync ends, or both ends have
    no common snapshot any more; Unsupported where no way leads from pool to
    pool (any more).
    """
    replication = await permitted(core, replication_id, action="transfer to")
    kind = _KINDS.get(replication.state)
    if kind is None or kind is TransferKind.RESYNC:
        raise wrong_state(replication, "transfer")
    return await begin(core, replication_id, kind, snapshot_id=snapshot_id, throttle=throttle, description=description)


async def begin(
    core: Core,
    replication_id: UUID,
    kind: TransferKind,
    *,
    snapshot_id: UUID | None = None,
    throttle: int | None = None,
    turned: Callable[[Replication], Replication] | None = None,
    description: str,
) -> Transfer:
    """Start a transfer of one kind; InvalidState when that is not the one for the replication's state.

    `turned`: what becomes of the replication before it begins.
    """
    if core.changes.draining:
        raise errors.Unavailable(what="gateway", reason="it is stopping")
    if throttle is not None:
        check_throttle(throttle)
    for attempt in range(_RETRIES + 1):
        replication = await core.get(Replication, replication_id)
        if _KINDS.get(replication.state) is not kind:
            raise wrong_state(replication, "transfer")
        await require_idle(core, replication)
        replication = replication if turned is None else turned(replication)
        # A source at a peer may take long to answer: nobody else is kept waiting for that.
        made = await _drawn_up(core, replication, kind, snapshot_id=snapshot_id, throttle=throttle)
        known = msgspec.structs.replace(replication, transfer_id=made.id)
        async with core.changes.locks.holding(replication_id):
            try:
                stored = await core.catalog.commit(put(known, made) + await _forgotten(core, replication_id))
            except errors.StaleRevision:
                if attempt == _RETRIES:
                    raise
                continue
            return carry(core, stored[made.id], description=description)  # type: ignore[arg-type]
    raise AssertionError


def carry(core: Core, transfer: Transfer, *, description: str) -> Transfer:
    """Let this process carry a transfer to its end."""
    carried = core.changes.context.carried
    carried.announce(transfer.id)
    run = Run(core, transfer, description=description)
    carried.add(transfer.id, core.changes.spawn_batch(run.run()))
    return transfer


async def wait(core: Core, transfer_id: UUID, timeout_s: float | None = None) -> Transfer:
    """Give the transfer as it is when it ends, or after `timeout_s` seconds.

    One that another process carries is given as it is now.
    """
    task = core.changes.context.carried.task(transfer_id)
    if task is not None:
        done, _ = await asyncio.wait({task}, timeout=timeout_s)
        for ended in done:
            ended.result()
    return await core.get(Transfer, transfer_id)


async def abort(core: Core, transfer_id: UUID, *, timeout_s: float | None = None) -> Transfer:
    """End a transfer under way, wait as `wait` does, and give it; the base stays.

    InvalidState when it has ended, Conflict while another process carries it.
    """
    found = await core.get(Transfer, transfer_id)
    await permitted(core, found.replication_id, action="abort a transfer to")
    if found.ended is not None:
        raise errors.InvalidState(kind="transfer", ref=str(transfer_id), state=found.state, action="abort")
    carried = core.changes.context.carried
    if carried.task(transfer_id) is None:
        raise errors.Conflict(kind="transfer", ref=str(transfer_id), holder=found.owner)
    carried.halt(transfer_id)
    return await wait(core, transfer_id, timeout_s)


async def take_over(core: Core) -> int:
    """Carry on what processes that died were carrying; give how many transfers that are."""
    query = Query(where=Compare("state", Op.EQ, TransferState.TRANSFERRING), order=(Order("id"),))
    found = [one async for one in walk(core.catalog, Transfer, query)]
    taken = 0
    for one in found:
        # One that just begins is in the catalog before it is carried.
        async with core.changes.locks.holding(one.replication_id):
            taken += await _taken_over(core, one)
    return taken


async def _taken_over(core: Core, one: Transfer) -> bool:
    if core.changes.draining or core.changes.context.carried.task(one.id) is not None:
        return False
    if one.owner != core.catalog.owner and await core.catalog.lives(one.owner):
        return False
    mine = msgspec.structs.replace(one, owner=core.catalog.owner)
    try:
        stored = await core.catalog.commit(put(mine))
    except errors.StaleRevision:
        return False
    carry(core, stored[one.id], description=f"Transfer {one.id}, taken over")  # type: ignore[arg-type]
    return True


async def permitted(core: Core, replication_id: UUID, *, action: str) -> Replication:
    """Give a replication whose destination the caller may change; NotFound, PermissionDenied."""
    replication = await core.get(Replication, replication_id)
    if core.caller is not None and not core.caller.administrator:
        permit(core.caller, await core.get(Volume, replication.volume_id), Access.WRITE, action=action)
    return replication


async def require_idle(core: Core, replication: Replication) -> None:
    """Raise Conflict while a transfer runs."""
    if await current(core, replication) is not None:
        raise errors.Conflict(kind="replication", ref=str(replication.id), holder="transfer")


def wrong_state(replication: Replication, action: str) -> errors.GatewayError:
    """Give the error of what cannot be done in the state that a replication is in."""
    return errors.InvalidState(kind="replication", ref=str(replication.id), state=replication.state, action=action)


async def way(core: Core, replication: Replication, source: SourceVolume, destination: Volume) -> TransferMethod:
    """Give by what content gets from one volume to the other; Unsupported with the reason where nothing does."""
    here = core.pools.get(destination.pool_id)
    require(here.capability(destination.kind), "snapshot")
    require(here.capability(destination.kind), "restore")
    if source.pool_id is None:
        return await _way_from_afar(core, replication, source, destination)
    there = core.pools.get(source.pool_id)
    require(there.capability(source.kind), "snapshot")
    if source.kind is destination.kind and streams(source.kind, there, here):
        return TransferMethod.NATIVE
    mover = core.changes.context.mover
    reason = f"what a pool of {there.substrate.driver} sends no pool of {here.substrate.driver} understands"
    if mover is not None:
        ends = (await source_handle(there, source.id, None), await destination_handle(here, destination.id))
        reason = mover.reaches(content_kind(source.kind, destination.kind), *ends)
    if reason:
        raise errors.Unsupported(capability="replicate", backend=here.name, reason=reason)
    return TransferMethod.MOVER


async def _way_from_afar(
    core: Core, replication: Replication, source: SourceVolume, destination: Volume
) -> TransferMethod:
    here, context = core.pools.get(destination.pool_id), core.changes.context
    reason = source.why_not
    if context.mover is None or context.peers is None or source.peer_id is None:
        reason = reason or "there is no mover"
    elif not reason:
        sample = context.peers.source(source.peer_id, replication).sample(source.kind)
        kind = content_kind(source.kind, destination.kind)
        reason = context.mover.reaches(kind, sample.place, await destination_handle(here, destination.id))
    if reason:
        raise errors.Unsupported(capability="replicate", backend=here.name, reason=reason)
    return TransferMethod.MOVER


async def _drawn_up(
    core: Core, replication: Replication, kind: TransferKind, *, snapshot_id: UUID | None, throttle: int | None
) -> Transfer:
    """Give the transfer that is to be, with the snapshot that it is about."""
    policy = await core.get(ReplicationPolicy, replication.policy_id)
    source = source_of(core, replication)
    method = await way(core, replication, await source.volume(), await core.get(Volume, replication.volume_id))
    there = await source.snapshots()
    common = common_of(there, await snapshots_at(core, replication.volume_id))
    unbased = kind is TransferKind.RESYNC or (kind is TransferKind.UPDATE and method is TransferMethod.NATIVE)
    if common is None and unbased:
        raise wrong_state(replication, "transfer without a common snapshot")
    chosen = snapshot_id
    if chosen is not None:
        asked = next((one for one in there if one.id == chosen and one.state is SnapshotState.VALID), None)
        if asked is None:
            raise errors.NotFound(kind="snapshot", ref=str(chosen))
        if common is not None and (asked.created, asked.id) < (common.source.created, common.source.id):
            raise errors.InvalidArgument(field="snapshot_id", value=str(chosen), reason="is older than what is there")
    elif policy.choice is not SnapshotChoice.CREATE:
        chosen = _newest(there, replication, policy, since=None if common is None else common.source)
    taken = chosen is None and (policy.choice is SnapshotChoice.CREATE or kind is TransferKind.INITIALIZE)
    speed = throttle if throttle is not None else replication.throttle
    return Transfer(
        id=uuid4(),
        replication_id=replication.id,
        volume_id=replication.volume_id,
        kind=kind,
        state=TransferState.TRANSFERRING,
        created=utc_now(),
        snapshot_id=uuid4() if taken else chosen,
        taken=taken,
        throttle=policy.throttle if speed is None else speed,
        method=method,
        owner=core.catalog.owner,
    )


def _newest(
    there: Sequence[Snapshot], replication: Replication, policy: ReplicationPolicy, *, since: Snapshot | None
) -> UUID | None:
    """Give the newest of the source's snapshots that the policy wants, unless it is older than what is there."""
    labels = {rule.label for rule in policy.rules}
    wanted = [
        one
        for one in there
        if one.state is SnapshotState.VALID
        and not one.internal
        and one.taken_by != own_mark(replication.id)
        and (policy.choice is SnapshotChoice.LATEST or not labels or one.label in labels)
        and (since is None or (one.created, one.id) >= (since.created, since.id))
    ]
    return wanted[-1].id if wanted else None


async def _forgotten(core: Core, replication_id: UUID) -> Batch:
    """Give the removal of transfers beyond those that are remembered."""
    query = Query(
        where=Compare("replication.id", Op.EQ, replication_id),
        order=(Order("created", descending=True),),
        offset=KEPT - 1,
    )
    return drop(*(await core.catalog.page(Transfer, query)).records)
