"""Snapshots: take one or one of each of several volumes, clone, list, restore."""

from __future__ import annotations

from grpc import StatusCode

from gateway.core.model import utc_now
from gateway.frontends.openstorage.call import SdkError
from gateway.frontends.openstorage.older.answer import Answer, Refused, json_answer, list_answer
from gateway.frontends.openstorage.older.ask import Ask
from gateway.frontends.openstorage.older.encode import rpc_error
from gateway.frontends.openstorage.older.volumes import inspected
from gateway.frontends.openstorage.pb import older_rest_pb2 as older
from gateway.frontends.openstorage.pb import volume_pb2 as pb

_MEMBERLESS = "Must supply volume ids, a group or labels that volumes have"


async def create(ask: Ask) -> Answer:
    """Take a snapshot when it shall be read-only, make a clone when not. What goes wrong is in the answer."""
    request = await ask.read(older.SnapCreateRequest)
    answer = older.SnapCreateResponse(volume_create_response=older.VolumeCreateResponse())
    try:
        answer.volume_create_response.id = await (_snapshot if request.readonly else _clone)(ask, request)
    except SdkError as error:
        answer.volume_create_response.volume_response.error = rpc_error(error)
    return json_answer(answer)


async def enumerate_(ask: Ask) -> Answer:
    """Give the snapshots and clones of the first `VolumeID`, of every volume without one, that have all labels."""
    request = pb.SdkVolumeSnapshotEnumerateWithFiltersRequest(
        volume_id=ask.first("VolumeID") or "", labels=ask.labels("Label", "VolumeLabels")
    )
    try:
        ids = await ask.sdk.call(
            "OpenStorageVolume/SnapshotEnumerateWithFilters", request, pb.SdkVolumeSnapshotEnumerateWithFiltersResponse
        )
    except SdkError as error:
        raise Refused(400, f"Failed to enumerate snaps: {rpc_error(error)}") from None
    found = []
    for volume_id in ids.volume_snapshot_ids:
        try:
            found.append(await inspected(ask.sdk, volume_id, deep=False))
        except SdkError as error:
            if error.code is not StatusCode.NOT_FOUND:
                raise Refused(400, rpc_error(error)) from None
    return await list_answer(found)


async def restore(ask: Ask) -> Answer:
    """Bring the content of the snapshot `SnapID` back into a volume."""
    snapshot_id = ask.first("SnapID")
    if snapshot_id is None:
        raise Refused(400, "Missing SnapID param")
    answer = older.VolumeResponse()
    try:
        request = pb.SdkVolumeSnapshotRestoreRequest(volume_id=ask.id, snapshot_id=snapshot_id)
        await ask.sdk.call("OpenStorageVolume/SnapshotRestore", request, pb.SdkVolumeSnapshotRestoreResponse)
    except SdkError as error:
        answer.error = rpc_error(error)
    return json_answer(answer)


async def create_group(ask: Ask) -> Answer:
    """Take a snapshot of each of the volumes, or of each that is in the group and has all of the labels.

    All are of one instant where the volumes are in one pool that can do it.
    Otherwise, also when one of them cannot be taken, they are taken one after
    the other, each at an instant of its own: the first that fails gives its
    words to the whole; `delete_on_failure` ends there, and takes away those
    that were taken before it.
    """
    request = await ask.read(older.GroupSnapCreateRequest)
    try:
        members = await _members(ask, request)
    except SdkError as error:
        raise Refused(400, rpc_error(error)) from None
    if not members:
        raise Refused(400, _MEMBERLESS)
    answer = older.GroupSnapCreateResponse()
    suffix = f"{request.id or 'group'}_{utc_now():%Y%m%dT%H%M%SZ}"
    names = {volume_id: f"{name}.{suffix}" for volume_id, name in members.items()}
    together = await ask.sdk.snapshot_together(names)
    if together is not None:
        for volume_id, snapshot_id in together.items():
            answer.snapshots[volume_id].volume_create_response.id = snapshot_id
        return json_answer(answer)
    for volume_id, name in names.items():
        part = answer.snapshots[volume_id].volume_create_response
        try:
            part.id = await _taken(ask, volume_id, name, {})
        except SdkError as error:
            part.volume_response.error = rpc_error(error)
            answer.error = answer.error or rpc_error(error)
            if request.delete_on_failure:
                await _take_away(ask, answer)
                break
    return json_answer(answer)


async def _members(ask: Ask, request: older.GroupSnapCreateRequest) -> dict[str, str]:
    """Give ids and names of the volumes of a group."""
    if request.volume_ids:
        return {
            volume_id: (await inspected(ask.sdk, volume_id, deep=False)).locator.name
            for volume_id in request.volume_ids
        }
    if not request.id and not request.Labels:
        return {}
    wanted = pb.SdkVolumeInspectWithFiltersRequest(labels=request.Labels)
    if request.id:
        wanted.group.id = request.id
    every = await ask.sdk.call("OpenStorageVolume/InspectWithFilters", wanted, pb.SdkVolumeInspectWithFiltersResponse)
    return {each.volume.id: each.volume.locator.name for each in every.volumes if not each.volume.readonly}


async def _take_away(ask: Ask, answer: older.GroupSnapCreateResponse) -> None:
    """Delete the snapshots that an answer tells of, and what it tells of them; those that resist stay in it."""
    for volume_id, part in list(answer.snapshots.items()):
        if not part.volume_create_response.id:
            continue
        request = pb.SdkVolumeDeleteRequest(volume_id=part.volume_create_response.id)
        try:
            await ask.sdk.call("OpenStorageVolume/Delete", request, pb.SdkVolumeDeleteResponse)
        except SdkError as error:
            part.volume_create_response.volume_response.error = rpc_error(error)
        else:
            del answer.snapshots[volume_id]


async def _snapshot(ask: Ask, request: older.SnapCreateRequest) -> str:
    return await _taken(ask, request.id, request.locator.name, dict(request.locator.volume_labels))


async def _taken(ask: Ask, volume_id: str, name: str, labels: dict[str, str]) -> str:
    request = pb.SdkVolumeSnapshotCreateRequest(volume_id=volume_id, name=name, labels=labels)
    answer = await ask.sdk.call("OpenStorageVolume/SnapshotCreate", request, pb.SdkVolumeSnapshotCreateResponse)
    return answer.snapshot_id


async def _clone(ask: Ask, request: older.SnapCreateRequest) -> str:
    wanted = pb.SdkVolumeCloneRequest(
        name=request.locator.name, parent_id=request.id, additional_labels=request.locator.volume_labels
    )
    return (await ask.sdk.call("OpenStorageVolume/Clone", wanted, pb.SdkVolumeCloneResponse)).volume_id
