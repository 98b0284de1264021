"""Attach and mount. A call speaks of the node that it reaches: the gateway's own host."""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import suppress

from grpc import StatusCode

from gateway.core import attachments, errors, mounts, volumes
from gateway.core.attachments import NewAttachment
from gateway.core.model import Transport, Volume, VolumeKind
from gateway.core.mounts import NewMount
from gateway.core.ownership import Access, permit
from gateway.core.volumes import VolumeChange
from gateway.frontends.openstorage.call import Call, SdkError, required
from gateway.frontends.openstorage.devices import device_path
from gateway.frontends.openstorage.lookup import Found, driver_of, find, find_or_none
from gateway.frontends.openstorage.pb import mount_attach_pb2 as pb
from gateway.frontends.openstorage.pb import volume_spec_pb2 as spec_pb
from gateway.frontends.openstorage.project import ATTACHED, attached_on
from gateway.frontends.openstorage.specs import spec_of

_READ_ONLY = "ro"
_MADE: Mapping[int, str] = {
    spec_pb.FS_TYPE_EXT4: "ext4",
    spec_pb.FS_TYPE_XFS: "xfs",
    spec_pb.FS_TYPE_XFSv2: "xfs",
    spec_pb.FS_TYPE_BTRFS: "btrfs",
}
"""What a mount makes of blocks on which nothing is yet."""


async def attach(call: Call, request: pb.SdkVolumeAttachRequest) -> pb.SdkVolumeAttachResponse:
    """Attach a volume to this node; once more gives the same device. ALREADY_EXISTS while another node has it."""
    found = await find(call, required(request.volume_id, "volume id"), Access.WRITE)
    volume = _writable(found, "attached")
    await _attach(call, volume)
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
    if volume.mounts and not (request.options.unmount_before_detach or force):
        raise errors.InUse(kind="Volume", ref=str(found), by="mounts", action="detach")
    for mounted in volume.mounts:
        await _unmount(call, volume, mounted.path, force=force)
    await _detach(call, volume, force=force)
    return pb.SdkVolumeDetachResponse()


async def mount(call: Call, request: pb.SdkVolumeMountRequest) -> pb.SdkVolumeMountResponse:
    """Mount a volume on this node. Once more at the same path is no error; blocks have to be attached before."""
    found = await find(call, required(request.volume_id, "volume id"), Access.WRITE)
    path = required(request.mount_path, "mount path")
    volume = _writable(found, "mounted")
    if volume.kind is VolumeKind.BLOCK and not attached_on(volume):
        raise SdkError(StatusCode.FAILED_PRECONDITION, f"Volume {found} is not attached: attach it first")
    spec = spec_of(volume, await driver_of(call, volume))
    options = {**spec.mount_options.options, **request.driver_options}
    new = NewMount(
        path=path,
        read_only=options.pop(_READ_ONLY, None) is not None,
        options=options,
        format=_MADE.get(spec.format, "") if volume.kind is VolumeKind.BLOCK else "",
    )
    started = await mounts.mount(call.core, volume.id, new, description=f"SDK: mount {volume.name}")
    await started.result()
    return pb.SdkVolumeMountResponse()


async def unmount(call: Call, request: pb.SdkVolumeUnmountRequest) -> pb.SdkVolumeUnmountResponse:
    """Unmount a volume from a path of this node. One that is not mounted there is unmounted already."""
    ref = required(request.volume_id, "volume id")
    path = required(request.mount_path, "mount path")
    found = await find_or_none(call, ref)
    if found is None:
        # A driver's own refusal, which is what an unknown volume comes to in the reference.
        raise SdkError(StatusCode.INTERNAL, f"Volume {ref[:64]} not found")
    permit(call.principal, found.volume, Access.WRITE, action="unmount")
    await _unmount(call, found.volume, path, delete_path=request.options.delete_mount_path)
    return pb.SdkVolumeUnmountResponse()


async def _unmount(call: Call, volume: Volume, path: str, *, force: bool = False, delete_path: bool = False) -> None:
    with suppress(errors.NotFound):
        started = await mounts.unmount(
            call.core,
            volume.id,
            path,
            description=f"SDK: unmount {volume.name}",
            force=force,
            delete_path=delete_path,
        )
        await started.result()


def _writable(found: Found, what: str) -> Volume:
    if found.snapshot is not None:
        raise SdkError(StatusCode.FAILED_PRECONDITION, f"Volume {found} is a snapshot: clone it to have it {what}")
    return found.volume


async def _attach(call: Call, volume: Volume) -> None:
    node, files = call.site.node_id, volume.kind is VolumeKind.FILESYSTEM
    if volume.annotations.get(ATTACHED, node) != node and not volume.multi_attach:
        raise errors.InUse(kind="Volume", ref=str(volume.id), by="attachments", action="attach")
    transport = Transport.LOCAL if files else Transport(call.site.options.transport)
    new = NewAttachment(node=node, transport=transport, shared=False)
    started = await attachments.attach(call.core, volume.id, new, description=f"SDK: attach {volume.name}")
    await started.result()


async def _detach(call: Call, volume: Volume, *, force: bool) -> None:
    """End what this node has. What another node has of a volume of files ends by force, too."""
    node = call.site.node_id
    everybody = force and volume.kind is VolumeKind.FILESYSTEM
    description = f"SDK: detach {volume.name}"
    with suppress(errors.NotFound):
        started = await attachments.detach(
            call.core, volume.id, None if everybody else node, description=description, force=force
        )
        await started.result()
    noted = volume.annotations.get(ATTACHED)
    if noted is not None and (everybody or noted == node):
        await (await volumes.revise(call.core, volume.id, _unnoted, description=description)).result()


async def _unnoted(volume: Volume) -> VolumeChange:
    return VolumeChange(annotations={key: value for key, value in volume.annotations.items() if key != ATTACHED})
