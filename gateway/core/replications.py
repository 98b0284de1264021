"""Use cases of replications: volumes that follow others by transfers of snapshots.

A destination can only be read until its replication is broken. What it holds
is that of the base, the newest snapshot that both ends have; the base is kept
at both ends whatever else goes. See `gateway.core.transfers` for what moves.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import suppress
from uuid import UUID, uuid4

import msgspec

from gateway.core import errors, transfers
from gateway.core.catalog import Batch, Guard, drop, put, walk, when
from gateway.core.context import Core
from gateway.core.model import Snapshot, Tenant, Volume, VolumeKind, VolumeState, utc_now
from gateway.core.ownership import Access, permit
from gateway.core.peering import SourceVolume
from gateway.core.query import Compare, Op, Order, Query
from gateway.core.replicas import abandoned, common_of, own_mark, snapshots_at
from gateway.core.replication_model import (
    Replication,
    ReplicationPolicy,
    ReplicationSource,
    ReplicationState,
    Transfer,
    TransferKind,
)
from gateway.core.replication_policies import check_throttle, schedules_there
from gateway.core.snapshots import remove
from gateway.core.sources import described, newest_common, source_of
from gateway.core.transferring import amend, free, mark, tell
from gateway.core.transfers import permitted, require_idle, way, wrong_state
from gateway.core.volumes import settled

_RETRIES = 10
_OUT_OF_REACH = (
    errors.NotFound,
    errors.PermissionDenied,
    errors.Unauthenticated,
    errors.Unavailable,
    errors.Unsupported,
)
"""Why a source at a peer cannot be told that it is followed no more."""


class NewReplication(msgspec.Struct, frozen=True, kw_only=True):
    """What a caller says about a replication to make. `schedule`, `throttle`: see `Replication`.

    `far`: the source where that is a volume at a peer; `source_id` is its id.
    """

    source_id: UUID
    destination_id: UUID
    policy_id: UUID
    schedule: str | None = None
    throttle: int | None = None
    far: SourceVolume | None = None


class ReplicationChange(msgspec.Struct, frozen=True, kw_only=True):
    """New values; UNSET leaves a thing as it is. `schedule`, `throttle`: see `Replication`."""

    policy_id: UUID | msgspec.UnsetType = msgspec.UNSET
    schedule: str | msgspec.UnsetType | None = msgspec.UNSET
    throttle: int | msgspec.UnsetType | None = msgspec.UNSET


async def create(core: Core, new: NewReplication, *, description: str) -> Replication:
    """Make a volume the destination of a replication; nothing is transferred yet.

    It must be of the source's kind, or one of both holds objects, at least as
    large, no clone, and without snapshots, clones, attachments and mounts; what
    it holds goes with the first transfer. One that has a snapshot in common
    with the source, from an earlier replication, may have all of these: the
    replication begins as a broken one, to be resynchronized. NotFound for
    volumes and policy, AlreadyExists when it is a destination already, InUse
    for what keeps it from becoming one, Unsupported with the reason where no
    way leads from pool to pool. Of a volume at a peer only administrators make
    one: nobody here knows who may read it there.
    """
    source = await _source(core, new)
    destination = await settled(core, new.destination_id)
    made = Replication(
        id=uuid4(),
        tenant_id=destination.tenant_id,
        volume_id=destination.id,
        source=ReplicationSource(volume_id=source.id, tenant=source.tenant, volume=source.name, peer_id=source.peer_id),
        policy_id=new.policy_id,
        created=utc_now(),
        schedule=new.schedule,
        throttle=new.throttle,
    )
    common = None if destination.replica_of is not None else await newest_common(core, made)
    if common is not None:
        base = {"base_id": common.destination.id, "base_created": common.source.created}
        made = msgspec.structs.replace(made, state=ReplicationState.BROKEN, **base)
    await _check(core, source, destination, made)
    await core.catalog.commit(_references(made) + put(made))
    try:
        await tell(core, made)
        if common is None:
            await mark(core, destination.id, made.id, description=description)
    except errors.GatewayError:
        await _undone(core, made, description=description)
        raise
    await core.manifest.write()
    return await core.get(Replication, made.id)


async def _undone(core: Core, made: Replication, *, description: str) -> None:
    """Take back what was made, also when only the publication of the destination failed."""
    with suppress(errors.GatewayError):
        await free(core, made, description=description)
    with suppress(errors.GatewayError):
        await source_of(core, made).release()
    with suppress(errors.NotFound, errors.StaleRevision):
        await core.catalog.commit(drop(await core.get(Replication, made.id)))


async def change(core: Core, replication_id: UUID, change: ReplicationChange) -> Replication:
    """Change policy, schedule or throttle. NotFound for what it names."""
    await permitted(core, replication_id, action="change the replication to")
    given = {name: value for name in change.__struct_fields__ if (value := getattr(change, name)) is not msgspec.UNSET}
    for attempt in range(_RETRIES + 1):
        before = await core.get(Replication, replication_id)
        after = msgspec.structs.replace(before, **given)
        if after == before:
            return before
        await _check_words(core, after.policy_id, after.tenant_id, after.throttle)
        try:
            await core.catalog.commit(_references(after) + put(after))
        except errors.StaleRevision:
            if attempt == _RETRIES:
                raise
            continue
        break
    await core.manifest.write()
    return await core.get(Replication, replication_id)


async def pause(core: Core, replication_id: UUID) -> Replication:
    """Let no further transfer begin; one under way goes on. Idempotent. InvalidState unless it is mirrored."""
    states = {ReplicationState.MIRRORED, ReplicationState.PAUSED}
    return await _switch(core, replication_id, states, ReplicationState.PAUSED, action="pause")


async def resume(core: Core, replication_id: UUID) -> Replication:
    """Let transfers begin again. Idempotent. InvalidState unless it is paused or mirrored."""
    states = {ReplicationState.MIRRORED, ReplicationState.PAUSED}
    return await _switch(core, replication_id, states, ReplicationState.MIRRORED, action="resume")


async def break_(core: Core, replication_id: UUID, *, description: str) -> Replication:
    """Make the destination a volume that is written to, with the content of the base. Idempotent.

    Conflict while a transfer runs, InvalidState when none has come yet.
    """
    states = {ReplicationState.MIRRORED, ReplicationState.PAUSED, ReplicationState.BROKEN}
    async with core.changes.locks.holding(replication_id):
        broken = await _switch(core, replication_id, states, ReplicationState.BROKEN, action="break", idle=True)
        await free(core, broken, description=description)
    return await core.get(Replication, replication_id)


async def resync(core: Core, replication_id: UUID, *, throttle: int | None = None, description: str) -> Transfer:
    """Make the destination of a broken replication follow again; what was written there since the base goes.

    InvalidState when it is not broken or both ends have no common snapshot any
    more; InUse while nodes may write to it.
    """
    broken = await permitted(core, replication_id, action="discard the content of")
    if broken.state is not ReplicationState.BROKEN:
        raise wrong_state(broken, "resync")
    _require_unused(await settled(core, broken.volume_id))
    return await transfers.begin(core, replication_id, TransferKind.RESYNC, throttle=throttle, description=description)


async def reverse(core: Core, replication_id: UUID, *, throttle: int | None = None, description: str) -> Transfer:
    """Swap the ends of a broken replication, and resync the other way.

    Fails as `resync` does; AlreadyExists when the source follows another volume
    already, LimitExceeded when it is smaller.
    """
    await permitted(core, replication_id, action="replicate")
    async with core.changes.locks.holding(replication_id):
        turned = await _swapped(core, replication_id, description=description)
    begun = await transfers.begin(
        core, replication_id, TransferKind.RESYNC, throttle=throttle, turned=turned, description=description
    )
    await core.manifest.write()
    return begun


async def delete(core: Core, replication_id: UUID, *, keep_source: bool = False, description: str) -> None:
    """End a replication: the destination becomes a volume as any other, with the content of the base.

    The snapshots that transfers took go at both ends. With `keep_source` those
    of the source stay, as does the base at the destination: a replication
    between the two may go on from there. Conflict while a transfer runs.
    """
    found = await permitted(core, replication_id, action="end the replication to")
    async with core.changes.locks.holding(replication_id):
        await require_idle(core, found)
        if await core.catalog.get(Volume, found.volume_id) is not None:
            await free(core, found, description=description)
        let_go = await amend(core, replication_id, _ended)
        await _forget(core, let_go, keep_source=keep_source, description=description)
        query = Query(where=Compare("replication.id", Op.EQ, replication_id), order=(Order("created"),))
        runs = [one async for one in walk(core.catalog, Transfer, query)]
        await core.catalog.commit(drop(*runs, await core.get(Replication, replication_id)))
    await core.manifest.write()


async def _source(core: Core, new: NewReplication) -> SourceVolume:
    """Give the volume that is to be followed."""
    if new.far is not None:
        if core.caller is not None and not core.caller.administrator:
            raise errors.PermissionDenied(action="replicate a volume at a peer")
        return new.far
    source = await core.get(Volume, new.source_id)
    permit(core.caller, source, Access.READ, action="replicate")
    if source.retired is not None or source.state not in {VolumeState.ONLINE, VolumeState.OFFLINE}:
        state = "retired" if source.retired is not None else source.state
        raise errors.InvalidState(kind="volume", ref=source.name, state=state, action="replicate")
    return await described(core, source)


async def _forget(core: Core, ended: Replication, *, keep_source: bool, description: str) -> None:
    """Remove the snapshots of transfers that nobody needs any more."""
    # The gateway itself does that: not everybody who may end it may change the source.
    own = msgspec.structs.replace(core, caller=None)
    here = await snapshots_at(core, ended.volume_id)
    there: tuple[Snapshot, ...] = ()
    try:
        there = await source_of(core, ended).snapshots()
    except errors.GatewayError:
        if ended.source.peer_id is None:
            raise
        # A source that is out of reach keeps what it has: it is there that this has to be released.
    common = common_of(there, here)
    kept = {common.destination.id} if keep_source and common is not None else set()
    left = await abandoned(core, here, there)

    def taken(at: Sequence[Snapshot]) -> list[Snapshot]:
        return [one for one in at if (one.taken_by == own_mark(ended.id) or one in left) and one.id not in kept]

    await remove(own, taken(here), description=description)
    if not keep_source:
        with suppress(*_OUT_OF_REACH):
            source = source_of(core, ended)
            await source.release()
            await source.remove(taken(there), description=description)


def _ended(replication: Replication) -> Replication:
    """Give a replication that keeps nothing from going any more."""
    state = ReplicationState.BROKEN
    if replication.state is ReplicationState.UNINITIALIZED:
        state = replication.state
    return msgspec.structs.replace(replication, state=state, base_id=None, base_created=None)


async def _check(core: Core, source: SourceVolume, destination: Volume, made: Replication) -> None:
    """Raise unless one volume can follow the other."""
    await _check_words(core, made.policy_id, destination.tenant_id, made.throttle)
    if source.id == destination.id:
        raise errors.InvalidArgument(field="destination_id", value=str(source.id), reason="is the source")
    if source.kind is not destination.kind and VolumeKind.OBJECTS not in {source.kind, destination.kind}:
        reason = f"holds {destination.kind}, the source {source.kind}"
        raise errors.InvalidArgument(field="destination_id", value=str(destination.id), reason=reason)
    _require_room(source, destination)
    present = await core.find(Replication, volume__id=destination.id)
    if present is not None:
        raise errors.AlreadyExists(kind="replication", name=destination.name, field="volume_id")
    for by, there in (
        ("snapshots", destination.snapshot_count),
        ("clones", destination.clone_count),
        ("clone", destination.origin),
        ("attachments", destination.attachments),
        ("mounts", destination.mounts),
    ):
        if there and made.state is ReplicationState.UNINITIALIZED:
            raise errors.InUse(kind="volume", ref=destination.name, by=by, action="replicate")
    await way(core, made, source, destination)


def _require_room(source: SourceVolume | Volume, destination: Volume) -> None:
    if destination.size < source.size:
        raise errors.LimitExceeded(limit="size", value=destination.size, minimum=source.size)


def _require_unused(destination: Volume) -> None:
    if destination.attachments:
        raise errors.InUse(kind="volume", ref=destination.name, by="attachments", action="replicate")
    if destination.mounts:
        raise errors.InUse(kind="volume", ref=destination.name, by="mounts", action="replicate")


async def _check_words(core: Core, policy_id: UUID, tenant_id: UUID, throttle: int | None) -> None:
    policy = await core.get(ReplicationPolicy, policy_id)
    if policy.tenant_id not in {None, tenant_id}:
        raise errors.NotFound(kind="replication policy", ref=policy.name)
    if throttle is not None:
        check_throttle(throttle)


def _references(replication: Replication) -> Batch:
    """Give the guards that hold while everything that the replication names exists."""
    wanted: tuple[tuple[type[ReplicationPolicy | Volume], str, UUID], ...] = (
        (ReplicationPolicy, "replication policy", replication.policy_id),
        (Volume, "volume", replication.volume_id),
    )
    if replication.source.peer_id is None:
        wanted += ((Volume, "volume", replication.source.volume_id),)
    guards = when(
        *(
            Guard(kind, Compare("id", Op.EQ, key), exists=True, error=errors.NotFound(kind=word, ref=str(key)))
            for kind, word, key in wanted
        )
    )
    return guards + schedules_there([replication.schedule] if replication.schedule else [])


async def _switch(
    core: Core,
    replication_id: UUID,
    states: set[ReplicationState],
    state: ReplicationState,
    *,
    action: str,
    idle: bool = False,
) -> Replication:
    """Put a replication that is in one of the states into another one."""
    await permitted(core, replication_id, action=f"{action} the replication to")
    for attempt in range(_RETRIES + 1):
        before = await core.get(Replication, replication_id)
        if before.state not in states:
            raise wrong_state(before, action)
        if idle:
            await require_idle(core, before)
        if before.state is state:
            return before
        try:
            await core.catalog.commit(put(msgspec.structs.replace(before, state=state)))
        except errors.StaleRevision:
            if attempt == _RETRIES:
                raise
            continue
        break
    await core.manifest.write()
    return await core.get(Replication, replication_id)


async def _swapped(core: Core, replication_id: UUID, *, description: str) -> Callable[[Replication], Replication]:
    """Give what makes the source the destination.

    The transfer begins in the same commit: whoever asks again for what failed must not swap back.
    """
    before = await core.get(Replication, replication_id)
    if before.state is not ReplicationState.BROKEN or before.source.peer_id is not None:
        raise wrong_state(before, "reverse")
    await require_idle(core, before)
    await free(core, before, description=description)
    source, destination = await core.get(Volume, before.volume_id), await settled(core, before.source.volume_id)
    _require_unused(destination)
    _require_room(source, destination)
    await way(core, before, await described(core, source), destination)
    common = await newest_common(core, before)
    if common is None:
        raise wrong_state(before, "reverse without a common snapshot")
    if destination.replica_of is not None or await core.find(Replication, volume__id=destination.id) is not None:
        raise errors.AlreadyExists(kind="replication", name=destination.name, field="volume_id")
    tenant = await core.get(Tenant, source.tenant_id)

    def swapped(one: Replication) -> Replication:
        if one.volume_id != source.id:
            raise wrong_state(one, "reverse")
        return msgspec.structs.replace(
            one,
            tenant_id=destination.tenant_id,
            volume_id=destination.id,
            source=ReplicationSource(volume_id=source.id, tenant=tenant.name, volume=source.name),
            base_id=common.source.id,
            base_created=common.destination.created,
        )

    return swapped
