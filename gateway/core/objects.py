"""Use cases of single objects: signed requests for them, and which there are. Both ask the substrate."""

from __future__ import annotations

from uuid import UUID

import msgspec

from gateway.core import errors
from gateway.core.backend import SignAction, SignBackend, SignedRequest, SignRequest, StoredObject
from gateway.core.capability import require
from gateway.core.context import Core
from gateway.core.model import Snapshot, SnapshotState, Volume, VolumeState
from gateway.core.mover import OURS
from gateway.core.ownership import Access, permit
from gateway.core.replicas import require_writable

_READS = frozenset({SignAction.GET})


class Page(msgspec.Struct, frozen=True):
    """Some objects in order of their keys. `after` is the last of the keys where there may be more, else empty."""

    records: tuple[StoredObject, ...]
    after: str


async def sign(core: Core, volume_id: UUID, request: SignRequest, *, snapshot_id: UUID | None = None) -> SignedRequest:
    """Sign a request for one object of a volume or, to read it, of a snapshot.

    Whoever holds it may make it, so it is only given to who may do that
    himself. Unsupported where the pool signs nothing; NotFound where it is
    known that there is no such object; InvalidArgument for one that only the
    gateway writes, because a volume of files may be made after it.
    """
    reads = request.action in _READS
    if not reads and request.key.startswith(OURS):
        raise errors.InvalidArgument(field="key", value=request.key, reason=f'"{OURS}" is the gateway\'s own')
    backend = await _signer(core, volume_id, snapshot_id, access=Access.READ if reads else Access.WRITE)
    return await backend.sign(volume_id, snapshot_id, request)


async def page(
    core: Core, volume_id: UUID, *, snapshot_id: UUID | None = None, prefix: str = "", after: str = "", limit: int
) -> Page:
    """Give at most `limit` objects of a volume or snapshot: those that begin with `prefix` and come after `after`."""
    backend = await _signer(core, volume_id, snapshot_id, access=Access.READ)
    found: list[StoredObject] = []
    async for each in backend.objects(volume_id, snapshot_id, prefix=prefix, after=after):
        found.append(each)
        if len(found) == limit:
            return Page(tuple(found), each.key)
    return Page(tuple(found), "")


async def _signer(core: Core, volume_id: UUID, snapshot_id: UUID | None, *, access: Access) -> SignBackend:
    """Give the backend of a volume that may be reached now, by who may do that much with it."""
    volume = await core.get(Volume, volume_id)
    action = "read" if access is Access.READ else "write"
    permit(core.caller, volume, access, action=action)
    if access is not Access.READ:
        require_writable(volume, action=action)
    pool = core.pools.get(volume.pool_id)
    require(pool.capability(volume.kind), "sign")
    if volume.state is not VolumeState.ONLINE:
        raise errors.InvalidState(kind="volume", ref=volume.name, state=volume.state, action=action)
    if snapshot_id is not None:
        snapshot = await core.get(Snapshot, snapshot_id)
        if snapshot.volume_id != volume.id or snapshot.state is not SnapshotState.VALID:
            raise errors.NotFound(kind="snapshot", ref=str(snapshot_id))
        if access is not Access.READ:
            raise errors.InvalidState(kind="snapshot", ref=snapshot.name, state="read_only", action=action)
    assert isinstance(pool.backend, SignBackend)  # noqa: S101 - the capability is there because it is
    return pool.backend
