"""Volumes: create, inspect, delete, enumerate, what they use, and holding them still."""

from __future__ import annotations

from collections.abc import Sequence
from uuid import UUID

from grpc import StatusCode

from gateway.frontends.openstorage.call import SdkError
from gateway.frontends.openstorage.older.answer import Answer, Refused, json_answer, list_answer
from gateway.frontends.openstorage.older.ask import Ask, read_bool, read_uint64
from gateway.frontends.openstorage.older.client import Client, Quiescing
from gateway.frontends.openstorage.older.encode import rpc_error
from gateway.frontends.openstorage.pb import older_rest_pb2 as older
from gateway.frontends.openstorage.pb import volume_pb2 as pb

VERSIONS = ["v1"]
NOT_SUPPORTED = "Operation not supported"
_NO_ID = "Failed to parse volumeID: could not parse snap ID"


async def versions(_ask: Ask) -> Answer:
    """Give the versions of the API."""
    return json_answer(VERSIONS)


async def no_versions(_ask: Ask) -> Answer:
    """Give an empty list: an old client asks here, by mistake, whether the server is there."""
    return json_answer([])


async def create(ask: Ask) -> Answer:
    """Make a volume. What goes wrong is in the answer, and the source is not looked at."""
    request = await ask.read(older.VolumeCreateRequest)
    wanted = pb.SdkVolumeCreateRequest(name=request.locator.name, labels=request.locator.volume_labels)
    if request.HasField("spec"):
        wanted.spec.CopyFrom(request.spec)
        wanted.spec.volume_labels.update(request.locator.volume_labels)
    answer = older.VolumeCreateResponse(volume_response=older.VolumeResponse())
    try:
        answer.id = (await ask.sdk.call("OpenStorageVolume/Create", wanted, pb.SdkVolumeCreateResponse)).volume_id
    except SdkError as error:
        answer.volume_response.error = rpc_error(error)
    return json_answer(answer)


async def inspect(ask: Ask) -> Answer:
    """Give a list with the volume, or with nothing when it is not known."""
    try:
        found = [await inspected(ask.sdk, ask.id, deep=True)]
    except SdkError as error:
        if error.code is not StatusCode.NOT_FOUND:
            raise Refused(404, rpc_error(error)) from None
        found = []
    return await list_answer(found)


async def delete(ask: Ask) -> Answer:
    """Delete a volume; one that is not known is deleted already."""
    answer = older.VolumeResponse()
    try:
        request = pb.SdkVolumeDeleteRequest(volume_id=ask.id)
        await ask.sdk.call("OpenStorageVolume/Delete", request, pb.SdkVolumeDeleteResponse)
    except SdkError as error:
        answer.error = rpc_error(error)
    return json_answer(answer)


async def enumerate_(ask: Ask) -> Answer:
    """Give the volumes that have the name and all of the labels, or those of the ids, whatever else is asked."""
    labels = ask.labels("Label", "VolumeLabels") | ask.labels("ConfigLabel", "configLabels")
    ids = ask.query.get("VolumeID")
    if ids is not None:
        return await list_answer(await _those(ask.sdk, ids))
    request = pb.SdkVolumeInspectWithFiltersRequest(name=ask.first("Name") or "", labels=labels)
    try:
        every = await ask.sdk.call(
            "OpenStorageVolume/InspectWithFilters", request, pb.SdkVolumeInspectWithFiltersResponse
        )
    except SdkError as error:
        raise Refused(500, rpc_error(error)) from None
    return await list_answer(each.volume for each in every.volumes)


async def stats(ask: Ask) -> Answer:
    """Give a volume's counters, all of them unless `Cumulative` is anything but true."""
    given = ask.query.get("Cumulative")
    cumulative = given is None or read_bool("".join(given)) is True
    return json_answer(await _stats(ask, not_cumulative=not cumulative, prefix=""))


async def used_size(ask: Ask) -> Answer:
    """Give how many bytes a volume uses."""
    found = await _stats(ask, not_cumulative=False, prefix="Failed to get used size: ")
    return json_answer(found.bytes_used)


async def usage(ask: Ask) -> Answer:
    """Give what a volume alone takes and what it shares; 500 where only the total is known."""
    if not ask.keys:
        raise Refused(400, _NO_ID)
    request = pb.SdkVolumeCapacityUsageRequest(volume_id=ask.id)
    try:
        found = await ask.sdk.call("OpenStorageVolume/CapacityUsage", request, pb.SdkVolumeCapacityUsageResponse)
    except SdkError as error:
        raise Refused(500, f"Failed to get CapacityUsage: {error.text}") from None
    return json_answer({"CapacityUsageInfo": found.capacity_usage_info, "Error": None})


async def requests(_ask: Ask) -> Answer:
    """Give the requests under way: none, whatever the volume, since no bytes pass here."""
    return json_answer({"RequestCount": 0, "ActiveRequest": []})


async def catalog(ask: Ask) -> Answer:
    """Give the folders and files of a volume; 404 for whatever goes wrong."""
    request = pb.SdkVolumeCatalogRequest(
        volume_id=ask.id, path=ask.first("subfolder") or "", depth=ask.first("depth") or "0"
    )
    try:
        found = await ask.sdk.call("OpenStorageVolume/VolumeCatalog", request, pb.SdkVolumeCatalogResponse)
    except SdkError as error:
        raise Refused(404, error.text) from None
    return json_answer(found.catalog)


async def quiesce(ask: Ask) -> Answer:
    """Hold a volume still. `TimeoutSec`: for how long at the most; whoever names the same `QuiesceID` may prolong."""
    text = ask.first("TimeoutSec")
    timeout_s = 0 if text is None else read_uint64(text)
    if timeout_s is None:
        raise Refused(400, "TimeoutSec must be int")
    answer = older.VolumeResponse()
    try:
        volume_id = await _allowed(ask, "quiesce")
        await _holding(ask).quiesce(volume_id, quiesce_id=ask.first("QuiesceID") or "", timeout_s=timeout_s)
    except SdkError as error:
        ask.sdk.fail(error.code.name)
        answer.error = error.text
    return json_answer(answer)


async def unquiesce(ask: Ask) -> Answer:
    """Release a volume that is held still."""
    answer = older.VolumeResponse()
    try:
        volume_id = await _allowed(ask, "unquiesce")
        await _holding(ask).unquiesce(volume_id)
    except SdkError as error:
        ask.sdk.fail(error.code.name)
        answer.error = error.text
    return json_answer(answer)


async def inspected(sdk: Client, volume_id: str, *, deep: bool) -> pb.Volume:
    """Give a volume by id or name; SdkError. `deep`: as it is now, not as it was noted."""
    request = pb.SdkVolumeInspectRequest(volume_id=volume_id)
    if deep:
        request.options.deep = True
    return (await sdk.call("OpenStorageVolume/Inspect", request, pb.SdkVolumeInspectResponse)).volume


async def _those(sdk: Client, ids: Sequence[str]) -> list[pb.Volume]:
    """Give the volumes of the ids; those that are not known are left out."""
    found = []
    for volume_id in ids:
        try:
            found.append(await inspected(sdk, volume_id, deep=True))
        except SdkError as error:
            if error.code is not StatusCode.NOT_FOUND:
                raise Refused(400, f"Failed to inspect volumeID: {rpc_error(error)}") from None
    return found


async def _stats(ask: Ask, *, not_cumulative: bool, prefix: str) -> pb.Stats:
    if not ask.keys:
        raise Refused(400, _NO_ID)
    request = pb.SdkVolumeStatsRequest(volume_id=ask.id, not_cumulative=not_cumulative)
    try:
        return (await ask.sdk.call("OpenStorageVolume/Stats", request, pb.SdkVolumeStatsResponse)).stats
    except SdkError as error:
        raise Refused(400, f"{prefix}{error.text}") from None


def _holding(ask: Ask) -> Quiescing:
    if ask.quiescing is None:
        raise SdkError(StatusCode.UNIMPLEMENTED, NOT_SUPPORTED)
    return ask.quiescing


async def _allowed(ask: Ask, operation: str) -> UUID:
    """Give the id of the volume to hold or release, once the caller is known to have the right to change it.

    An update that changes nothing asks for just that right.
    """
    volume_id = (await inspected(ask.sdk, ask.id, deep=False)).id
    ask.sdk.begin(operation, volume_id)
    error = await ask.sdk.probe("OpenStorageVolume/Update", pb.SdkVolumeUpdateRequest(volume_id=volume_id))
    if error is not None:
        raise error
    return UUID(volume_id)
