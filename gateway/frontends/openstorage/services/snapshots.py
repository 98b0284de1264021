"""Snapshots: take, list, restore, and when they are taken."""

from __future__ import annotations

from collections.abc import Mapping

from grpc import StatusCode

from gateway.core import errors, groups, snapshots, volumes
from gateway.core.model import Volume
from gateway.core.ownership import Access, permit
from gateway.core.query import Compare, IsNull, Not, Op
from gateway.core.volumes import VolumeChange
from gateway.frontends.openstorage import listing, schedules
from gateway.frontends.openstorage.call import Call, SdkError, required
from gateway.frontends.openstorage.lookup import find, find_volume
from gateway.frontends.openstorage.pb import volume_pb2 as pb
from gateway.frontends.openstorage.project import NAME, parent_of

_NAMES_TRIED = 1000
_STEM_MAX = 250


async def create(call: Call, request: pb.SdkVolumeSnapshotCreateRequest) -> pb.SdkVolumeSnapshotCreateResponse:
    """Take a snapshot. Names need not be unique: the second of a name has a number behind it in other doors."""
    volume = await find_volume(call, required(request.volume_id, "volume id"), Access.READ)
    name = required(request.name, "snapshot name")
    for number in range(_NAMES_TRIED):
        new = snapshots.NewSnapshot(
            name=f"{stem_of(name)}.{number}" if number else name,
            volume_id=volume.id,
            labels=dict(request.labels),
            annotations={NAME: name} if number else {},
        )
        try:
            started = await snapshots.create(call.core, new, description=f"SDK: snapshot {name} of {volume.name}")
            job = await started.result()
        except errors.AlreadyExists:
            continue
        return pb.SdkVolumeSnapshotCreateResponse(snapshot_id=str(job.target_id))
    raise errors.LimitExceeded(limit="snapshots of one name", value=_NAMES_TRIED + 1, minimum=0, maximum=_NAMES_TRIED)


async def create_together(call: Call, names: Mapping[str, str]) -> Mapping[str, str]:
    """Take one snapshot, called as is said, of each volume, all at one instant; give their ids by the volumes'.

    Raises for all what is wrong with one, and where the pool cannot do it.
    """
    members = [
        snapshots.NewSnapshot(name=name, volume_id=(await find_volume(call, ref, Access.READ)).id)
        for ref, name in names.items()
    ]
    started = await groups.create(call.core, members, description=f"SDK: snapshots of {len(members)} volumes at once")
    await started.result()
    taken = await groups.taken(call.core, members)
    return {ref: str(snapshot.id) for ref, snapshot in zip(names, taken, strict=True)}


async def restore(call: Call, request: pb.SdkVolumeSnapshotRestoreRequest) -> pb.SdkVolumeSnapshotRestoreResponse:
    """Bring a snapshot's content back into its volume. Newer snapshots stay; where they cannot it is refused."""
    ref = required(request.volume_id, "volume id")
    wanted = required(request.snapshot_id, "snapshot id")
    volume = await find_volume(call, ref, Access.WRITE)
    found = await find(call, wanted, None)
    if found.snapshot is None or found.volume.id != volume.id:
        raise errors.InvalidArgument(field="snapshot_id", value=wanted[:64], reason=f"is no snapshot of {ref[:64]}")
    try:
        started = await volumes.restore(
            call.core,
            volume.id,
            found.snapshot.id,
            description=f"SDK: restore {volume.name}",
            discard_newer=False,
        )
    except errors.Unsupported as error:
        if error.capability != "restore_keeps_newer":
            raise
        raise SdkError(
            StatusCode.FAILED_PRECONDITION,
            f"Volume {ref[:64]} has newer snapshots, and its pool cannot keep them in a restore: delete them first",
        ) from None
    await started.result()
    return pb.SdkVolumeSnapshotRestoreResponse()


async def enumerate_(
    call: Call, request: pb.SdkVolumeSnapshotEnumerateRequest
) -> pb.SdkVolumeSnapshotEnumerateResponse:
    """Give the ids of what has the volume as parent; without an id, of all that has a parent."""
    return pb.SdkVolumeSnapshotEnumerateResponse(volume_snapshot_ids=await _ids(call, request.volume_id, {}))


async def enumerate_with_filters(
    call: Call, request: pb.SdkVolumeSnapshotEnumerateWithFiltersRequest
) -> pb.SdkVolumeSnapshotEnumerateWithFiltersResponse:
    """Do the same for those that have all of the labels."""
    ids = await _ids(call, request.volume_id, request.labels)
    return pb.SdkVolumeSnapshotEnumerateWithFiltersResponse(volume_snapshot_ids=ids)


def stem_of(name: str) -> str:
    """Give the part of a name that a number may follow in the name of another snapshot that was to have the same."""
    return name.encode()[:_STEM_MAX].decode(errors="ignore")


async def schedule_update(
    call: Call, request: pb.SdkVolumeSnapshotScheduleUpdateRequest
) -> pb.SdkVolumeSnapshotScheduleUpdateResponse:
    """Put policies into a volume's schedule in place of those in it; intervals of its own stay."""
    volume = await find_volume(call, required(request.volume_id, "volume id"), Access.READ)
    permit(call.principal, volume, Access.WRITE, action="update")
    names = tuple(request.snapshot_schedule_names)

    async def wanted(before: Volume) -> VolumeChange:
        plan = await schedules.with_policies(call, before, names)
        return VolumeChange(annotations={**before.annotations, **plan.annotations}, **plan.change)

    description = f"SDK: snapshot schedule of {volume.name}"
    await (await volumes.revise(call.core, volume.id, wanted, description=description)).result()
    return pb.SdkVolumeSnapshotScheduleUpdateResponse()


async def _ids(call: Call, ref: str, labels: Mapping[str, str]) -> list[str]:
    """Give what was taken of `ref`, then what was cloned from it; empty: of anything."""
    if not ref:
        cloned = Not(IsNull("origin.volume.id"))
        taken = [found async for found in listing.snapshots(call, labels=labels)]
        return [str(found) for found in taken] + [str(c) async for c in listing.volumes(call, cloned, labels=labels)]
    parent = await find(call, ref, Access.READ)
    of = parent.volume.id
    own = listing.snapshots(call, Compare("volume.id", Op.EQ, of), labels=labels)
    ids = [str(found) async for found in own] if parent.snapshot is None else []
    clones = listing.volumes(call, Compare("origin.volume.id", Op.EQ, of), labels=labels)
    return ids + [str(clone) async for clone in clones if parent_of(clone) == str(parent)]
