"""Use cases of a volume's gateway, for the replications at peers that follow it.

Every one begins with whether the peer's tenant is (still) let in to that of
the volume. A follower keeps the volume, and the snapshots that it needs of it,
from being deleted, until it is released: by its own gateway, or here.
"""

from __future__ import annotations

from collections.abc import Collection
from uuid import UUID

import msgspec

from gateway.core import documents, errors, snapshots
from gateway.core.catalog import Guard, put, when
from gateway.core.context import Core
from gateway.core.follower_model import FOLLOWER, KEPT, Follower, all_followers, followers_of, name_of, read_kept
from gateway.core.handles import LocalPath
from gateway.core.model import Document, Snapshot, Tenant, Volume, VolumeState
from gateway.core.mover import Place
from gateway.core.peer_tenants import require
from gateway.core.peering import SourceVolume
from gateway.core.peers import Peer
from gateway.core.query import Compare, Op
from gateway.core.receiving import source_handle
from gateway.core.replicas import own_mark, snapshots_at
from gateway.core.replication_model import Replication
from gateway.core.sources import described, taken, usable

FOLLOWERS_MAX = 256
"""So many replications of one peer may follow one volume."""


async def named(core: Core, peer: Peer, *, tenant: str, volume: str, reader_id: UUID) -> SourceVolume:
    """Give the volume that a peer's tenant may read and that is called so; NotFound, PermissionDenied."""
    found = await core.find(Tenant, name=tenant)
    if found is None:
        raise errors.NotFound(kind="tenant", ref=tenant)
    await require(core, peer.id, tenant_id=found.id, remote_id=reader_id)
    there = await core.find(Volume, name=volume, tenant__id=found.id)
    if there is None or there.retired is not None:
        raise errors.NotFound(kind="volume", ref=volume)
    return await _shown(core, there)


async def read(core: Core, peer: Peer, *, volume_id: UUID, reader_id: UUID) -> SourceVolume:
    """Give a volume that a peer's tenant may read; NotFound, PermissionDenied."""
    return await _shown(core, await _readable(core, peer, volume_id, reader_id))


async def snapshots_of(core: Core, peer: Peer, *, volume_id: UUID, reader_id: UUID) -> tuple[Snapshot, ...]:
    """Give the snapshots of a volume that a peer's tenant may read, oldest first."""
    await _readable(core, peer, volume_id, reader_id)
    return await snapshots_at(core, volume_id)


async def follow(core: Core, peer: Peer, wanted: Follower) -> None:
    """Keep a volume for a follower, and all its snapshots until it has named those that it needs. Idempotent."""
    volume = await _readable(core, peer, wanted.volume_id, wanted.reader_id)
    name = name_of(wanted.volume_id, wanted.id)
    present = await documents.named(core, FOLLOWER, name)
    if present is not None:
        known = await _own(core, peer, wanted.volume_id, wanted.id)
        if (known.tenant, known.volume) != (wanted.tenant, wanted.volume):
            await documents.replace(core, present, _encoded(msgspec.structs.replace(wanted, created=known.created)))
        return
    if volume.state not in {VolumeState.ONLINE, VolumeState.OFFLINE}:
        raise errors.InvalidState(kind="volume", ref=volume.name, state=volume.state, action="replicate")
    theirs = [one for one in await followers_of(core, volume.id) if one.peer_id == peer.id]
    if len(theirs) >= FOLLOWERS_MAX:
        raise errors.LimitExceeded(limit="followers", value=len(theirs) + 1, minimum=0, maximum=FOLLOWERS_MAX)
    gone = errors.NotFound(kind="volume", ref=volume.name)
    there = when(Guard(Volume, Compare("id", Op.EQ, volume.id), exists=True, error=gone))
    made = documents.drawn_up(FOLLOWER, name, _encoded(wanted))
    async with core.changes.locks.holding(volume.id):
        await core.catalog.commit(there + put(made))
    await core.manifest.write()


async def keep(core: Core, peer: Peer, *, volume_id: UUID, follower_id: UUID, wanted: Collection[UUID]) -> None:
    """Keep these snapshots of a volume, and none but these, for a follower. NotFound for one that is not known."""
    await _own(core, peer, volume_id, follower_id)
    await documents.put_named(core, KEPT, name_of(volume_id, follower_id), _ids(wanted), passing=True)


async def release(core: Core, peer: Peer, *, volume_id: UUID, follower_id: UUID) -> None:
    """Keep nothing for a follower any more, and remove the snapshots that were taken for it. Idempotent."""
    if await documents.named(core, FOLLOWER, name_of(volume_id, follower_id)) is None:
        return
    await _own(core, peer, volume_id, follower_id)
    await let_go(core, volume_id, follower_id, description=_words(peer, "release"))


async def let_go(
    core: Core, volume_id: UUID, follower_id: UUID, *, snapshots_too: bool = True, description: str
) -> None:
    """The same, decided here. `snapshots_too` False leaves those that were taken for it."""
    name = name_of(volume_id, follower_id)
    for kind in (FOLLOWER, KEPT):
        await documents.delete(core, kind, name)
    if snapshots_too:
        own = [one for one in await snapshots_at(core, volume_id) if one.taken_by == own_mark(follower_id)]
        await snapshots.remove(core, own, description=description)


async def take(core: Core, peer: Peer, *, volume_id: UUID, follower_id: UUID, snapshot_id: UUID) -> Snapshot:
    """Take a snapshot for a follower, with an id chosen before, and keep it. Idempotent by that."""
    await entitled(core, peer, volume_id=volume_id, follower_id=follower_id)
    await _keep_more(core, volume_id, follower_id, snapshot_id)
    return await taken(
        core, volume_id, follower_id, snapshot_id=snapshot_id, description=_words(peer, "snapshot for a transfer")
    )


async def remove(
    core: Core, peer: Peer, *, volume_id: UUID, reader_id: UUID, follower_id: UUID, surplus: Collection[UUID]
) -> None:
    """Delete those of the snapshots that were taken for the follower, or for replications that are no more."""
    await _readable(core, peer, volume_id, reader_id)
    own = (peer.id, follower_id)
    living = {own_mark(one.id) for one in await followers_of(core, volume_id) if (one.peer_id, one.id) != own}
    mark = own_mark(follower_id).partition("/")[0]
    going: list[Snapshot] = []
    for one in await snapshots_at(core, volume_id):
        what, _, owner = one.taken_by.partition("/")
        if one.id in surplus and what == mark and one.taken_by not in living:
            ours = await core.catalog.get(Replication, UUID(owner))
            going += [one] if ours is None else []
    await snapshots.remove(core, going, description=_words(peer, "snapshots that no transfer needs"))


async def sent(
    core: Core, peer: Peer, *, volume_id: UUID, follower_id: UUID, snapshot_id: UUID
) -> tuple[Volume, LocalPath]:
    """Give where a snapshot is that a follower is to get, and keep it. Unsupported where no mover reaches it."""
    volume = await entitled(core, peer, volume_id=volume_id, follower_id=follower_id)
    snapshot = await core.get(Snapshot, snapshot_id)
    if snapshot.volume_id != volume_id:
        raise errors.NotFound(kind="snapshot", ref=str(snapshot_id))
    await _keep_more(core, volume_id, follower_id, snapshot_id)
    usable(await core.get(Snapshot, snapshot_id))  # it was not kept from being deleted before
    place = await source_handle(core.pools.get(snapshot.pool_id), volume_id, snapshot_id)
    return volume, _local(place)


async def by_id(core: Core, follower_id: UUID) -> Follower | None:
    """Give a follower, None when there is none."""
    return next((one for one in await all_followers(core) if one.id == follower_id), None)


async def _readable(core: Core, peer: Peer, volume_id: UUID, reader_id: UUID) -> Volume:
    volume = await core.get(Volume, volume_id)
    await require(core, peer.id, tenant_id=volume.tenant_id, remote_id=reader_id)
    if volume.retired is not None:
        raise errors.NotFound(kind="volume", ref=str(volume_id))
    return volume


async def _own(core: Core, peer: Peer, volume_id: UUID, follower_id: UUID) -> Follower:
    """Give a follower of the peer; what others have is as if it were not there."""
    for one in await followers_of(core, volume_id):
        if one.id == follower_id and one.peer_id == peer.id:
            return one
    raise errors.NotFound(kind="follower", ref=str(follower_id))


async def entitled(core: Core, peer: Peer, *, volume_id: UUID, follower_id: UUID) -> Volume:
    """Give a volume to whose content a follower of the peer is entitled; NotFound, PermissionDenied."""
    follower = await _own(core, peer, volume_id, follower_id)
    return await _readable(core, peer, volume_id, follower.reader_id)


async def _keep_more(core: Core, volume_id: UUID, follower_id: UUID, snapshot_id: UUID) -> None:
    """Keep one more, unless all are kept because the follower has not said yet which it needs."""

    def more(present: Document) -> str | None:
        kept = read_kept(present)
        return None if snapshot_id in kept else _ids({*kept, snapshot_id})

    await documents.rewrite(core, KEPT, name_of(volume_id, follower_id), more, what=f"volume {volume_id}")


async def _shown(core: Core, volume: Volume) -> SourceVolume:
    """Give a volume as peers see it: without its pool, and with why nothing of it could be sent."""
    found = await described(core, volume)
    why_not = ""
    try:
        pool = core.pools.get(volume.pool_id)
        if not pool.capability(volume.kind).can("snapshot"):
            why_not = f"pool {pool.name} takes no snapshots of it"
        else:
            _local(await source_handle(pool, volume.id, None))
    except errors.Unsupported as error:
        why_not = str(error.fields["reason"])
    return msgspec.structs.replace(found, pool_id=None, why_not=why_not)


def _local(place: Place) -> LocalPath:
    if not isinstance(place, LocalPath):
        reason = f"content of {place.__struct_config__.tag} is not sent to other gateways"
        raise errors.Unsupported(capability="replicate", reason=reason)
    return place


def _words(peer: Peer, what: str) -> str:
    return f"Peer {peer.name}: {what}"


def _encoded(follower: Follower) -> str:
    return msgspec.json.encode(follower).decode()


def _ids(wanted: Collection[UUID]) -> str:
    return msgspec.json.encode(sorted(map(str, wanted))).decode()
