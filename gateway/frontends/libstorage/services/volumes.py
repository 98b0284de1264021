"""Volumes: inspect, create, copy, snapshot, remove. Lists are in `gateway.frontends.libstorage.listing`."""

from __future__ import annotations

from uuid import UUID

from gateway.core import clones, errors, policies, retired, snapshots, volumes
from gateway.core.clones import NewClone
from gateway.core.exports import NfsServer
from gateway.core.model import Snapshot, Volume, VolumeKind
from gateway.core.pools import OpenPool
from gateway.core.snapshots import NewSnapshot
from gateway.core.volumes import NewVolume
from gateway.frontends.libstorage import listing, model
from gateway.frontends.libstorage.ask import Ask
from gateway.frontends.libstorage.bodies import (
    VolumeCopyRequest,
    VolumeCreateRequest,
    VolumeSnapshotRequest,
)
from gateway.frontends.libstorage.changing import (
    finished,
    handles_of,
    in_gib,
    require_gib,
    require_name,
)
from gateway.frontends.libstorage.errors import not_found
from gateway.frontends.libstorage.lookup import VOLUME, find_volume, service_of
from gateway.frontends.libstorage.opts import opts_fields, overlay
from gateway.frontends.libstorage.render import (
    IOPS,
    TYPE,
    ZONE,
    snapshot_record,
    volume_record,
    volume_shown,
)
from gateway.frontends.libstorage.site import Service


async def inspect(ask: Ask) -> model.Volume:
    """Give a volume; 404 also where the mask leaves it out."""
    view = listing.view_of(ask, service_of(ask), ask.query.mask())
    volume = await find_volume(ask)
    looked_at = view.mask and volume.attachments
    shown = volume_shown(
        volume,
        view,
        location=ask.core.publisher.location(volume),
        handles=await handles_of(ask, volume) if looked_at else (),
    )
    if shown is None:
        raise not_found(ask.keys[VOLUME])
    return shown


async def create(ask: Ask) -> model.Volume:
    """Make a volume in the first of the service's pools that has such volumes."""
    service = service_of(ask)
    wanted = ask.wanted(VolumeCreateRequest)
    name = require_name("name", wanted.name)
    pool = await _place(ask, service)
    require_plain(wanted, pool.name)
    new = NewVolume(
        name=name,
        tenant_id=await service.tenant_id(ask.core),
        pool_id=pool.id,
        size=require_gib(wanted.size or ask.site.options.default_gib),
        kind=service.kind,
        labels=opts_fields(wanted.opts),
        annotations=noted(wanted),
        export_policy_id=await _policy(ask, service, pool),
    )
    try:
        started = await volumes.create(ask.core, new, description=f"libStorage: create {name}", caseless=True)
    except errors.LimitExceeded as error:
        raise in_gib(error) from None
    made = await finished(ask, started)
    return volume_record(await ask.core.get(Volume, made), state=model.AVAILABLE)


async def copy(ask: Ask) -> model.Volume:
    """Make a clone of a volume as it is. It has what the volume has, with the options over its fields."""
    wanted = ask.wanted(VolumeCopyRequest)
    name = require_name("volumeName", wanted.volume_name)
    source = await find_volume(ask)
    new = NewClone(
        name=name,
        tenant_id=source.tenant_id,
        source_id=source.id,
        transient_base=True,
        labels=overlay(source.labels, wanted.opts),
    )
    description = f"libStorage: copy {source.name} to {name}"
    made = await finished(ask, await clones.create(ask.core, new, description=description, caseless=True))
    return volume_record(await ask.core.get(Volume, made), state=model.AVAILABLE)


async def snapshot(ask: Ask) -> model.Snapshot:
    """Take a snapshot of a volume. It has the volume's fields with the options over them."""
    wanted = ask.wanted(VolumeSnapshotRequest)
    volume = await find_volume(ask)
    new = NewSnapshot(name=wanted.snapshot_name, volume_id=volume.id, labels=overlay(volume.labels, wanted.opts))
    description = f"libStorage: snapshot {wanted.snapshot_name} of {volume.name}"
    made = await finished(ask, await snapshots.create(ask.core, new, description=description))
    return snapshot_record(await ask.core.get(Snapshot, made), volume)


async def remove(ask: Ask) -> None:
    """Remove a volume; its snapshots and copies stay. One that is attached or mounted goes by force only."""
    volume = await find_volume(ask)
    description = f"libStorage: remove {volume.name}"
    force = ask.query.flag("force")
    await finished(ask, await retired.remove(ask.core, volume.id, description=description, force=force))
    await retired.collect_after(ask.core, volume)


def noted(wanted: VolumeCreateRequest) -> dict[str, str]:
    """Give the annotations for what is shown again and not enforced."""
    if wanted.iops < 0:
        raise errors.InvalidArgument(field="iops", value=wanted.iops, reason="must not be negative")
    given = {TYPE: wanted.type, IOPS: str(wanted.iops or ""), ZONE: wanted.availability_zone}
    return {key: text for key, text in given.items() if text}


def require_plain(wanted: VolumeCreateRequest, pool: str) -> None:
    """Raise Unsupported for a volume that is to be encrypted."""
    if wanted.encrypted:
        raise errors.Unsupported(capability="encryption", backend=pool, reason="volumes are not encrypted here")


async def _place(ask: Ask, service: Service) -> OpenPool:
    """Give the first pool of a service that holds volumes of its kind.

    Unsupported when none does; Unavailable when only one that is away could.
    """
    able = {pool.id: pool for pool in ask.core.pools}
    known = await service.pool_ids(ask.core)
    for key in known:
        if key in able and service.kind in able[key].capabilities:
            return able[key]
    if len(known) < len(service.pools) or not able.keys() >= set(known):
        raise errors.Unavailable(what="pool", reason="its substrate does not answer")
    reason = f"no pool of the service holds volumes of kind {service.kind}"
    raise errors.Unsupported(capability=service.kind.value, backend=", ".join(service.pools), reason=reason)


async def _policy(ask: Ask, service: Service, pool: OpenPool) -> UUID | None:
    """Give the export policy of files that are published once they are attached; NotFound when there is none."""
    if service.kind is not VolumeKind.FILESYSTEM or ask.core.publisher.files_by(pool.id) is not NfsServer.EXPORTER:
        return None
    return (await policies.export_policy_named(ask.core, await service.tenant_id(ask.core), service.policy)).id
