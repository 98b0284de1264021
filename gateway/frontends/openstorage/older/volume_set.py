"""PUT of a volume: labels and spec, then attach or detach, then mount or unmount, in one request."""

from __future__ import annotations

import ipaddress

from grpc import StatusCode

from gateway.frontends.openstorage.call import SdkError
from gateway.frontends.openstorage.older.answer import Answer, Refused, json_answer
from gateway.frontends.openstorage.older.ask import Ask
from gateway.frontends.openstorage.older.client import Client
from gateway.frontends.openstorage.older.encode import rpc_error
from gateway.frontends.openstorage.older.respec import update_of
from gateway.frontends.openstorage.older.volumes import inspected
from gateway.frontends.openstorage.pb import mount_attach_pb2, node_pb2
from gateway.frontends.openstorage.pb import older_rest_pb2 as older
from gateway.frontends.openstorage.pb import volume_pb2 as pb

NOT_IN_CLUSTER = "Failed to locate IP in this cluster."
_ON, _OFF = older.VOLUME_ACTION_PARAM_ON, older.VOLUME_ACTION_PARAM_OFF
_OWN_OPTIONS = frozenset(
    {
        "SECRET_NAME",
        "SECRET_KEY",
        "SECRET_CONTEXT",
        "FASTPATH_STATE",
        "FORCE_DETACH",
        "UNMOUNT_BEFORE_DETACH",
        "REDIRECT_DETACH",
        "DELETE_AFTER_UNMOUNT",
        "WAIT_BEFORE_DELETE",
    }
)
"""Options that mean something to this API, and are none of a mount."""

_NO_PATH = "Invalid mount path"


async def set_volume(ask: Ask) -> Answer:
    """Change a volume and answer with what it is then.

    A change of labels or spec that fails ends the request with 400. What goes
    wrong after it is in the answer, and the first of it ends the actions. A
    volume that is not known is no obstacle to actions: it may be detached and
    unmounted for good.
    """
    request = await ask.read(older.VolumeSetRequest)
    if request.HasField("locator") or request.HasField("spec"):
        await _update(ask, request)
    failure = await _act(ask, request)
    answer = older.VolumeSetResponse()
    try:
        answer.volume.CopyFrom(await inspected(ask.sdk, ask.id, deep=True))
    except SdkError as error:
        answer.volume.SetInParent()
        if request.action.attach == _ON:
            failure = failure or rpc_error(error)
    if failure:
        answer.volume_response.error = failure
    return json_answer(answer)


async def node_id_of(sdk: Client, ref: str) -> str:
    """Give the id of the node that has an address; what is no address is taken for an id. SdkError."""
    try:
        ipaddress.ip_address(ref)
    except ValueError:
        return ref
    every = await sdk.call(
        "OpenStorageNode/EnumerateWithFilters",
        node_pb2.SdkNodeEnumerateWithFiltersRequest(),
        node_pb2.SdkNodeEnumerateWithFiltersResponse,
    )
    for node in every.nodes:
        if ref in {node.mgmt_ip, node.data_ip}:
            return node.id
    raise SdkError(StatusCode.NOT_FOUND, NOT_IN_CLUSTER)


async def _update(ask: Ask, request: older.VolumeSetRequest) -> None:
    try:
        volume = await inspected(ask.sdk, ask.id, deep=False)
    except SdkError as error:
        if error.code is StatusCode.NOT_FOUND and request.HasField("action"):
            return
        raise Refused(400, rpc_error(error)) from None
    update = pb.SdkVolumeUpdateRequest(volume_id=ask.id, labels=request.locator.volume_labels)
    if request.HasField("spec"):
        try:
            nodes = [await node_id_of(ask.sdk, ref) for ref in request.spec.replica_set.nodes if ref]
        except SdkError as error:
            raise Refused(400, error.text) from None
        if nodes:
            request.spec.replica_set.nodes[:] = nodes
        update.spec.CopyFrom(update_of(request.spec, volume.spec))
    try:
        await ask.sdk.call("OpenStorageVolume/Update", update, pb.SdkVolumeUpdateResponse)
    except SdkError as error:
        raise Refused(400, rpc_error(error)) from None


async def _act(ask: Ask, request: older.VolumeSetRequest) -> str:
    """Carry out the actions; give what went wrong."""
    action = request.action
    try:
        if action.attach == _ON:
            await _attach(ask, request)
        elif action.attach == _OFF:
            await _detach(ask, request)
        if action.mount == _ON and not action.mount_path:
            return _NO_PATH
        if action.mount == _ON:
            await _mount(ask, request)
        elif action.mount == _OFF:
            await _unmount(ask, request)
    except SdkError as error:
        return rpc_error(error)
    return ""


async def _attach(ask: Ask, request: older.VolumeSetRequest) -> None:
    given = request.options
    wanted = mount_attach_pb2.SdkVolumeAttachRequest(volume_id=ask.id, driver_options=given)
    wanted.options.secret_name = given.get("SECRET_NAME", "")
    wanted.options.secret_key = given.get("SECRET_KEY", "")
    wanted.options.secret_context = given.get("SECRET_CONTEXT", "")
    wanted.options.fastpath = given.get("FASTPATH_STATE", "")
    wanted.options.SetInParent()
    await ask.sdk.call("OpenStorageMountAttach/Attach", wanted, mount_attach_pb2.SdkVolumeAttachResponse)


async def _detach(ask: Ask, request: older.VolumeSetRequest) -> None:
    wanted = mount_attach_pb2.SdkVolumeDetachRequest(
        volume_id=ask.id,
        driver_options=request.options,
        options=mount_attach_pb2.SdkVolumeDetachOptions(
            force=_is_set(request, "FORCE_DETACH"),
            unmount_before_detach=_is_set(request, "UNMOUNT_BEFORE_DETACH"),
            redirect=_is_set(request, "REDIRECT_DETACH"),
        ),
    )
    await ask.sdk.call("OpenStorageMountAttach/Detach", wanted, mount_attach_pb2.SdkVolumeDetachResponse)


async def _mount(ask: Ask, request: older.VolumeSetRequest) -> None:
    given = {key: value for key, value in request.options.items() if key not in _OWN_OPTIONS}
    wanted = mount_attach_pb2.SdkVolumeMountRequest(
        volume_id=ask.id, mount_path=request.action.mount_path, driver_options=given
    )
    await ask.sdk.call("OpenStorageMountAttach/Mount", wanted, mount_attach_pb2.SdkVolumeMountResponse)


async def _unmount(ask: Ask, request: older.VolumeSetRequest) -> None:
    wanted = mount_attach_pb2.SdkVolumeUnmountRequest(
        volume_id=ask.id,
        mount_path=request.action.mount_path,
        driver_options=request.options,
        options=mount_attach_pb2.SdkVolumeUnmountOptions(
            delete_mount_path=_is_set(request, "DELETE_AFTER_UNMOUNT"),
            no_delay_before_deleting_mount_path=not _is_set(request, "WAIT_BEFORE_DELETE"),
        ),
    )
    await ask.sdk.call("OpenStorageMountAttach/Unmount", wanted, mount_attach_pb2.SdkVolumeUnmountResponse)


def _is_set(request: older.VolumeSetRequest, option: str) -> bool:
    return request.options.get(option, "") == "true"
