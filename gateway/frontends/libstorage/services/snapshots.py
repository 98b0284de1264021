"""Snapshots: inspect, remove, and volumes made from them."""

from __future__ import annotations

from gateway.core import clones, errors, retired, snapshots
from gateway.core.clones import NewClone
from gateway.core.model import Volume
from gateway.frontends.libstorage import model
from gateway.frontends.libstorage.ask import Ask
from gateway.frontends.libstorage.bodies import SnapshotCopyRequest, VolumeCreateRequest
from gateway.frontends.libstorage.changing import finished, in_gib, require_gib, require_name
from gateway.frontends.libstorage.lookup import find_snapshot
from gateway.frontends.libstorage.opts import overlay
from gateway.frontends.libstorage.render import snapshot_record, volume_record
from gateway.frontends.libstorage.services.volumes import noted, require_plain


async def inspect(ask: Ask) -> model.Snapshot:
    """Give a snapshot."""
    found = await find_snapshot(ask)
    return snapshot_record(found.snapshot, found.volume)


async def create_volume(ask: Ask) -> model.Volume:
    """Make a volume of a snapshot. What the request does not say it has from the snapshot's volume.

    It may be larger; LimitExceeded for one that would be smaller.
    """
    wanted = ask.wanted(VolumeCreateRequest)
    name = require_name("name", wanted.name)
    found = await find_snapshot(ask)
    require_plain(wanted, ask.core.pools.get(found.volume.pool_id).name)
    new = NewClone(
        name=name,
        tenant_id=found.volume.tenant_id,
        source_id=found.volume.id,
        snapshot_id=found.snapshot.id,
        size=require_gib(wanted.size) if wanted.size else None,
        labels=overlay(found.volume.labels, wanted.opts),
        annotations={**found.volume.annotations, **noted(wanted)},
    )
    description = f"libStorage: create {name} from {found.snapshot.name} of {found.volume.name}"
    try:
        started = await clones.create(ask.core, new, description=description, caseless=True)
    except errors.LimitExceeded as error:
        raise in_gib(error) from None
    return volume_record(await ask.core.get(Volume, await finished(ask, started)))


async def copy(ask: Ask) -> model.Snapshot:
    """Refuse to copy a snapshot to another place, as nothing here can."""
    ask.wanted(SnapshotCopyRequest)
    found = await find_snapshot(ask)
    pool = ask.core.pools.get(found.volume.pool_id).name
    raise errors.Unsupported(capability="snapshot copy", backend=pool, reason="a snapshot stays with its volume")


async def remove(ask: Ask) -> None:
    """Remove a snapshot. InUse while there are volumes that were made from it."""
    found = await find_snapshot(ask)
    description = f"libStorage: remove snapshot {found.snapshot.name} of {found.volume.name}"
    await finished(ask, await snapshots.delete(ask.core, found.snapshot.id, description=description))
    await retired.collect_after(ask.core, found.volume)
