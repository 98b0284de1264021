"""Single volumes: create, clone, inspect, update, delete, and how much they hold."""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import suppress
from typing import Any

from grpc import StatusCode

from gateway.core import clones, errors, retired, volumes
from gateway.core import snapshots as snapshot_cases
from gateway.core.change import Started
from gateway.core.clones import NewClone
from gateway.core.model import Pool, Snapshot, Volume
from gateway.core.ownership import Access, permit
from gateway.core.snapshots import SnapshotChange
from gateway.core.volumes import NewVolume, VolumeChange
from gateway.frontends.openstorage import naming, placing, schedules, specs, storage_rules
from gateway.frontends.openstorage.call import Call, SdkError, refuse, required
from gateway.frontends.openstorage.devices import device_path
from gateway.frontends.openstorage.lookup import Found, driver_of, find, find_or_none
from gateway.frontends.openstorage.ownerships import read_ownership
from gateway.frontends.openstorage.pb import volume_pb2 as pb
from gateway.frontends.openstorage.pb import volume_spec_pb2 as spec_pb
from gateway.frontends.openstorage.project import ATTACHED, PARENT, inspected


async def create(call: Call, request: pb.SdkVolumeCreateRequest) -> pb.SdkVolumeCreateResponse:
    """Make a volume; a name that exists gives the id of its volume if size, sharing and parent are the same."""
    name = required(request.name, "volume name")
    if not request.HasField("spec"):
        refuse("Must supply a spec")
    spec = await storage_rules.applied(call, request.spec)
    same = naming.Same(size=spec.size, shared=spec.shared, parent="")

    async def make() -> Started:
        new = await _new(call, name, spec, request.labels)
        return await volumes.create(call.core, new, description=f"SDK: create {name}")

    return pb.SdkVolumeCreateResponse(volume_id=await naming.made(call, name, same, make))


async def clone(call: Call, request: pb.SdkVolumeCloneRequest) -> pb.SdkVolumeCloneResponse:
    """Make a volume of a volume or of a snapshot. It has its parent's spec and none of its labels."""
    name = required(request.name, "volume name")
    parent = await find(call, required(request.parent_id, "parent volume id"), Access.READ)
    same = naming.Same(size=parent.volume.size, parent=str(parent))

    async def make() -> Started:
        new = NewClone(
            name=name,
            tenant_id=parent.volume.tenant_id,
            source_id=parent.volume.id,
            snapshot_id=None if parent.snapshot is None else parent.snapshot.id,
            labels=dict(request.additional_labels),
            transient_base=True,
            **await _of_parent(call, name, parent),
        )
        return await clones.create(call.core, new, description=f"SDK: clone {name}")

    return pb.SdkVolumeCloneResponse(volume_id=await naming.made(call, name, same, make))


async def delete(call: Call, request: pb.SdkVolumeDeleteRequest) -> pb.SdkVolumeDeleteResponse:
    """Delete a volume or a snapshot. An unknown id is deleted already; snapshots outlive their volume."""
    found = await find_or_none(call, required(request.volume_id, "volume id"))
    if found is not None:
        permit(call.principal, found.volume, Access.ADMIN, action="delete")
        with suppress(errors.NotFound):  # somebody else was first
            await _delete(call, found)
    return pb.SdkVolumeDeleteResponse()


async def inspect(call: Call, request: pb.SdkVolumeInspectRequest) -> pb.SdkVolumeInspectResponse:
    """Give a volume or a snapshot whole."""
    found = await find(call, required(request.volume_id, "volume id"), Access.READ)
    volume = found.volume
    schedule = (await schedules.texts_of(call.core, [volume]))[volume.id]
    return inspected(
        found, await driver_of(call, volume), schedule=schedule, device_path=await device_path(call, volume)
    )


async def update(call: Call, request: pb.SdkVolumeUpdateRequest) -> pb.SdkVolumeUpdateResponse:
    """Change labels, spec or ownership. A label that is given empty goes."""
    found = await find(call, required(request.volume_id, "volume id"), Access.READ)
    permit(call.principal, found.volume, Access.WRITE, action="update")
    if found.snapshot is not None:
        await _update_snapshot(call, found, request)
        return pb.SdkVolumeUpdateResponse()
    volume = found.volume

    async def wanted(before: Volume) -> VolumeChange:
        given: dict[str, Any] = {}
        if request.labels:
            given["labels"] = _relabelled(before.labels, request.labels)
        if request.HasField("spec"):
            given |= await _respecified(call, before, request.spec)
        return VolumeChange(**given)

    if await wanted(volume) != VolumeChange():
        await (await volumes.revise(call.core, volume.id, wanted, description=f"SDK: update {volume.name}")).result()
    return pb.SdkVolumeUpdateResponse()


async def stats(call: Call, request: pb.SdkVolumeStatsRequest) -> pb.SdkVolumeStatsResponse:
    """Give what is known of a volume's use. Bytes never pass here, so reads and writes are not counted."""
    found = await find(call, required(request.volume_id, "volume id"), Access.READ)
    return pb.SdkVolumeStatsResponse(stats=pb.Stats(bytes_used=used_bytes(found)))


async def capacity_usage(call: Call, request: pb.SdkVolumeCapacityUsageRequest) -> pb.SdkVolumeCapacityUsageResponse:
    """Give what a volume alone takes; UNIMPLEMENTED where it may share blocks with others, as nobody counts those."""
    found = await find(call, required(request.volume_id, "volume id"), Access.READ)
    volume = found.volume
    if found.snapshot is not None or volume.snapshot_count or volume.clone_count or volume.origin is not None:
        total = used_bytes(found)
        raise SdkError(
            StatusCode.UNIMPLEMENTED,
            f"Volume {found} may share blocks with snapshots or clones: only its total is known, {total} bytes",
        )
    usage = pb.CapacityUsageInfo(exclusive_bytes=volume.used, total_bytes=volume.used)
    return pb.SdkVolumeCapacityUsageResponse(capacity_usage_info=usage)


def used_bytes(found: Found) -> int:
    """Give how many bytes it holds, as last observed."""
    return found.volume.used if found.snapshot is None else found.snapshot.size


async def _new(call: Call, name: str, spec: spec_pb.VolumeSpec, labels: Mapping[str, str]) -> NewVolume:
    """Give what the core is to make of a spec."""
    place = await placing.place(call, spec)
    specs.check_spec(spec, ha_level_max=specs.ha_level_max(place.pool, call.site.options.ha_level_max))
    plan = await schedules.planned(call, spec.snapshot_schedule, interval_min=spec.snapshot_interval)
    return NewVolume(
        name=name,
        tenant_id=await call.site.tenant_id(call.core),
        pool_id=place.pool.id,
        size=spec.size,
        kind=place.kind,
        labels={**labels, **spec.volume_labels},
        multi_attach=spec.shared or spec.sharedv4,
        ownership=read_ownership(spec.ownership) if spec.HasField("ownership") else None,
        annotations={specs.SPEC: specs.stored(spec), **plan.annotations},
        **plan.change,
        **await placing.publication(call, spec, name, place.kind),
    )


async def _of_parent(call: Call, name: str, parent: Found) -> dict[str, Any]:
    """Give what a clone has of its parent's spec. The core inherits schedules; those of a retired parent have ended."""
    volume = parent.volume
    annotations = {PARENT: str(parent)}
    if volume.retired is None and schedules.SCHEDULE in volume.annotations:
        annotations[schedules.SCHEDULE] = volume.annotations[schedules.SCHEDULE]
    if specs.SPEC not in volume.annotations:
        return {"annotations": annotations}
    spec = specs.spec_of(volume, await driver_of(call, volume))
    if volume.retired is not None:
        spec.snapshot_interval = 0
    annotations[specs.SPEC] = specs.stored(spec)
    return {"annotations": annotations, **await placing.publication(call, spec, name, volume.kind)}


async def _delete(call: Call, found: Found) -> None:
    if found.snapshot is not None:
        await (
            await snapshot_cases.delete(call.core, found.snapshot.id, description=f"SDK: delete snapshot {found}")
        ).result()
        await retired.collect_after(call.core, found.volume)
        return
    volume = found.volume
    if specs.spec_of(volume, await driver_of(call, volume)).sticky:
        raise SdkError(
            StatusCode.FAILED_PRECONDITION, f"Volume {found} is sticky: it cannot be deleted until it is not"
        )
    if ATTACHED in volume.annotations:
        raise errors.InUse(kind="Volume", ref=str(found), by="attachments", action="delete")
    await (await retired.remove(call.core, volume.id, description=f"SDK: delete {volume.name}")).result()
    await retired.collect_after(call.core, volume)


async def _update_snapshot(call: Call, found: Found, request: pb.SdkVolumeUpdateRequest) -> None:
    """Change a snapshot's labels; everything else of it is its volume's or cannot change."""
    assert found.snapshot is not None  # noqa: S101 - the caller looked
    if request.HasField("spec") and request.spec.ListFields():
        refuse(f"Volume {found} is a snapshot: only its labels can be changed")
    if request.labels:

        async def wanted(before: Snapshot) -> SnapshotChange:
            return SnapshotChange(labels=_relabelled(before.labels, request.labels))

        await (
            await snapshot_cases.revise(call.core, found.snapshot.id, wanted, description=f"SDK: update {found}")
        ).result()


async def _respecified(call: Call, volume: Volume, update: spec_pb.VolumeSpecUpdate) -> dict[str, Any]:
    """Give what an update of the spec changes about a volume."""
    specs.check_enums(update)
    pools = await call.core.known.get_many(Pool, [volume.pool_id])
    pool = pools[volume.pool_id]
    before = specs.spec_of(volume, pool.driver)
    before.snapshot_schedule = (await schedules.texts_of(call.core, [volume]))[volume.id]
    after = await storage_rules.applied_to_update(call, before, specs.merged(before, update))
    specs.check_spec(after, ha_level_max=specs.ha_level_max(pool, call.site.options.ha_level_max))
    given: dict[str, Any] = {}
    kept = specs.stored(after)
    annotations = {**volume.annotations, specs.SPEC: kept}
    plan = await schedules.replanned(call, volume, before, after)
    if plan is not None:
        annotations |= plan.annotations
        given |= plan.change
    if annotations != volume.annotations and (specs.stored(before) != kept or "schedules" in given):
        given["annotations"] = annotations
    if after.size != volume.size:
        given["size"] = after.size
    if (after.shared or after.sharedv4) != (before.shared or before.sharedv4):
        given["multi_attach"] = after.shared or after.sharedv4
    if after.sharedv4 != before.sharedv4:
        given |= await placing.publication(call, after, volume.name, volume.kind)
    if update.HasField("ownership"):
        given["ownership"] = read_ownership(update.ownership)
    return given


def _relabelled(labels: Mapping[str, str], changes: Mapping[str, str]) -> dict[str, str]:
    merged = {**labels, **changes}
    return {key: value for key, value in merged.items() if value or key not in changes}
