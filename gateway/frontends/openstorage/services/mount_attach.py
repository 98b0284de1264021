"""Attach and mount. A call speaks of the node that it reaches: the gateway's own host."""

from __future__ import annotations

from grpc import StatusCode

from gateway.core import attachments, errors, mounts, volumes
from gateway.core.attachments import NewAttachment
from gateway.core.model import Volume, VolumeKind
from gateway.core.mounts import NewMount
from gateway.core.ownership import Access, permit
from gateway.core.volumes import VolumeChange
from gateway.frontends.openstorage.call import Call, SdkError, required
from gateway.frontends.openstorage.devices import device_path
from gateway.frontends.openstorage.lookup import Found, find, find_or_none
from gateway.frontends.openstorage.pb import mount_attach_pb2 as pb
from gateway.frontends.openstorage.project import ATTACHED, attached_on

_READ_ONLY = "ro"


async def attach(call: Call, request: pb.SdkVolumeAttachRequest) -> pb.SdkVolumeAttachResponse:
    """Attach a volume to this node; once more gives the same device. ALREADY_EXISTS while another node has it."""
    found = await find(call, required(request.volume_id, "volume id"), Access.WRITE)
    volume = _writable(found, "attached")
    await (_attach_blocks(call, volume) if volume.kind is VolumeKind.BLOCK else _attach_files(call, volume))
    volume = await call.core.get(Volume, volume.id)
    return pb.SdkVolumeAttachResponse(device_path=await device_path(call, volume))


async def detach(call: Call, request: pb.SdkVolumeDetachRequest) -> pb.SdkVolumeDetachResponse:
    """Detach a volume from this node. One that is not attached, or does not exist, is detached already."""
    found = await find_or_none(call, required(request.volume_id, "volume id"))
    if found is None or found.snapshot is not None:
        return pb.SdkVolumeDetachResponse()
    volume = found.volume
    permit(call.principal, volume, Access.WRITE, action="detach")
    force = request.options.force
    if request.options.unmount_before_detach:
        for mount in _here(call, volume):
            await _unmount(call, volume, mount.path, force=force)
    elif _here(call, volume) and not force:
        raise errors.InUse(kind="Volume", ref=str(found), by="mounts", action="be detached")
    if volume.kind is VolumeKind.BLOCK:
        await _detach_blocks(call, volume, force=force)
    elif attached_on(volume):
        await _annotate(call, volume, None)
    return pb.SdkVolumeDetachResponse()


async def mount(call: Call, request: pb.SdkVolumeMountRequest) -> pb.SdkVolumeMountResponse:
    """Mount an attached volume on this node. Once more at the same path is no error."""
    found = await find(call, required(request.volume_id, "volume id"), Access.WRITE)
    path = required(request.mount_path, "mount path")
    volume = _writable(found, "mounted")
    if volume.kind is VolumeKind.BLOCK and not attached_on(volume):
        raise SdkError(StatusCode.FAILED_PRECONDITION, f"Volume {found} is not attached: attach it first")
    options = _mount_options(request.driver_options)
    new = NewMount(
        path=path,
        node=call.site.node_id,
        read_only=_READ_ONLY in options,
        options={key: value for key, value in options.items() if key != _READ_ONLY},
        format=_format(volume),
    )
    started = await mounts.mount(call.core, volume.id, new, description=f"SDK: mount {volume.name}")
    await started.result()
    return pb.SdkVolumeMountResponse()


async def unmount(call: Call, request: pb.SdkVolumeUnmountRequest) -> pb.SdkVolumeUnmountResponse:
    """Unmount a volume from a path of this node."""
    ref = required(request.volume_id, "volume id")
    path = required(request.mount_path, "mount path")
    found = await find_or_none(call, ref)
    if found is None:
        # A driver's own refusal, which is what an unknown volume comes to in the reference.
        raise SdkError(StatusCode.INTERNAL, f"Volume {ref[:64]} not found")
    permit(call.principal, found.volume, Access.WRITE, action="unmount")
    await _unmount(call, found.volume, path, remove=request.options.delete_mount_path)
    return pb.SdkVolumeUnmountResponse()


def _writable(found: Found, what: str) -> Volume:
    if found.snapshot is not None:
        raise SdkError(StatusCode.FAILED_PRECONDITION, f"Volume {found} is a snapshot: clone it to have it {what}")
    return found.volume


async def _attach_blocks(call: Call, volume: Volume) -> None:
    new = NewAttachment(node=call.site.node_id, transport=call.site.options.transport)
    started = await attachments.attach(call.core, volume.id, new, description=f"SDK: attach {volume.name}")
    await started.result()


async def _detach_blocks(call: Call, volume: Volume, *, force: bool) -> None:
    try:
        started = await attachments.detach(
            call.core, volume.id, call.site.node_id, description=f"SDK: detach {volume.name}", force=force
        )
    except errors.NotFound:
        return
    await started.result()


async def _attach_files(call: Call, volume: Volume) -> None:
    """Note who has a volume of files: nothing has to be done for its host to reach it."""
    holder = attached_on(volume)
    if holder == call.site.node_id:
        return
    if holder and not volume.multi_attach:
        raise errors.InUse(kind="Volume", ref=str(volume.id), by="attachments", action="be attached")
    await _annotate(call, volume, call.site.node_id)


async def _annotate(call: Call, volume: Volume, node: str | None) -> None:
    annotations = {key: value for key, value in volume.annotations.items() if key != ATTACHED}
    if node is not None:
        annotations[ATTACHED] = node
    word = "attach" if node else "detach"
    started = await volumes.update(
        call.core,
        volume.id,
        VolumeChange(annotations=annotations),
        description=f"SDK: {word} {volume.name}",
        annotated=volume.annotations,
    )
    await started.result()
