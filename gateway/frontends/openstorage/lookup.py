"""Finding what a client means: to the SDK volumes and snapshots are one kind of thing, called by id or by name."""

from __future__ import annotations

from collections.abc import Iterable
from uuid import UUID

import msgspec

from gateway.core import errors
from gateway.core.model import Pool, Snapshot, Volume
from gateway.core.ownership import Access, permit
from gateway.frontends.openstorage.call import Call


class Found(msgspec.Struct, frozen=True):
    """A volume, or a snapshot with its volume. `str` gives the id that clients know it by."""

    volume: Volume
    snapshot: Snapshot | None = None

    def __str__(self) -> str:
        return str(self.volume.id if self.snapshot is None else self.snapshot.id)


async def find(call: Call, ref: str, access: Access | None) -> Found:
    """Give what `ref` names, if the caller has access to it (None: whoever it is).

    NotFound; PermissionDenied. A retired volume is to be found through its snapshots only.
    """
    found = await find_or_none(call, ref)
    if found is None:
        raise errors.NotFound(kind="Volume", ref=ref[:64])
    if access is not None:
        permit(call.principal, found.volume, access, action="use")
    return found


async def find_or_none(call: Call, ref: str) -> Found | None:
    """Give what `ref` names, None when nothing is called so."""
    tenant = await call.site.tenant_id(call.core)
    key = as_uuid(ref)
    if key is not None:
        found = await _by_id(call, key, tenant)
        if found is not None:
            return found
    volume = await volume_named(call, ref)
    return None if volume is None else Found(volume)


async def find_volume(call: Call, ref: str, access: Access | None) -> Volume:
    """Give the volume that `ref` names; InvalidArgument when it is a snapshot."""
    found = await find(call, ref, access)
    if found.snapshot is not None:
        raise errors.InvalidArgument(field="volume_id", value=ref[:64], reason="is a snapshot, not a volume")
    return found.volume


async def volume_named(call: Call, name: str) -> Volume | None:
    """Give the volume of that name, None when there is none."""
    if not name or "\0" in name:
        return None
    volume = await call.core.find(Volume, tenant__id=await call.site.tenant_id(call.core), name=name)
    return None if volume is None or volume.retired else volume


async def driver_of(call: Call, volume: Volume) -> str:
    """Give the driver of a volume's pool."""
    return (await call.core.known.get_many(Pool, [volume.pool_id]))[volume.pool_id].driver


async def parents(call: Call, snapshots: Iterable[Snapshot]) -> list[Found]:
    """Give snapshots with their volumes; those whose volume has just gone are left out."""
    snapshots = tuple(snapshots)
    volumes = await call.core.catalog.get_many(Volume, {snapshot.volume_id for snapshot in snapshots})
    return [
        Found(volume, snapshot) for snapshot in snapshots if (volume := volumes.get(snapshot.volume_id)) is not None
    ]


def as_uuid(ref: str) -> UUID | None:
    """Read an id in any of its spellings."""
    try:
        return UUID(ref)
    except ValueError:
        return None


async def _by_id(call: Call, key: UUID, tenant: UUID) -> Found | None:
    volume = await call.core.catalog.get(Volume, key)
    if volume is not None:
        return Found(volume) if volume.tenant_id == tenant and not volume.retired else None
    snapshot = await call.core.catalog.get(Snapshot, key)
    if snapshot is None or snapshot.tenant_id != tenant or snapshot.internal:
        return None
    volume = await call.core.catalog.get(Volume, snapshot.volume_id)
    return None if volume is None else Found(volume, snapshot)
