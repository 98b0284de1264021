"""Volumes, attachments and snapshots of the core as this protocol shows them. Pure."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from urllib.parse import quote

import msgspec

from gateway.core.handles import AccessHandle, LocalPath, NfsExport
from gateway.core.model import Attachment, Snapshot, SnapshotState, Transport, Volume, VolumeKind
from gateway.frontends.handles import KINDS, bracketed, url_of
from gateway.frontends.libstorage import model
from gateway.frontends.libstorage.masks import Mask, see, state_of, with_devices
from gateway.frontends.libstorage.settings import GIB
from gateway.frontends.libstorage.site import Service, StorageType

TYPE, IOPS, ZONE = "libstorage.type", "libstorage.iops", "libstorage.zone"
"""The annotations with what was asked for and nothing here enforces."""

ACCESS_URL = "accessURL"
"""The field of an attachment that says how the bytes are reached, whatever its device is called."""

_ATTACHED = "attached"
_SNAPSHOT_STATES: Mapping[SnapshotState, str] = {SnapshotState.VALID: "online"}


class View(msgspec.Struct, frozen=True, kw_only=True):
    """How somebody looks at the volumes of a service.

    `instance`: the id of the asking node, empty when it is not known;
    `devices`: what that node has, None when it did not say.
    """

    service: Service
    mask: int = 0
    instance: str = ""
    devices: Mapping[str, str] | None = None


def gib(size: int) -> int:
    """Give bytes as GiB, rounded up."""
    return -(-size // GIB)


def volume_shown(
    volume: Volume, view: View, *, location: AccessHandle | None = None, handles: Sequence[AccessHandle] = ()
) -> model.Volume | None:
    """Give a volume as the view shows it, None where it leaves it out.

    `location`: where its files are published; `handles`: all ways to its bytes, as far as they were asked for.
    """
    if not view.mask:
        return volume_record(volume)
    shown = attachments_shown(volume, view, location=location, handles=handles)
    seen = see(view.mask, shown, view.instance)
    return None if seen is None else volume_record(volume, state=seen.state, attachments=seen.attachments)


def volume_after(
    volume: Volume, view: View, *, location: AccessHandle | None = None, handles: Sequence[AccessHandle] = ()
) -> model.Volume:
    """Give a volume after the asking node attached or detached it: with its state, and with what that node has of it.

    Of several nodes' attachments only that one's is there.
    """
    shown = attachments_shown(volume, view, location=location, handles=handles)
    own = tuple(each for each in shown if state_of((each,), view.instance) == model.ATTACHED)
    return volume_record(volume, state=state_of(shown, view.instance), attachments=own)


def volume_record(
    volume: Volume, *, state: int = 0, attachments: tuple[model.VolumeAttachment, ...] = ()
) -> model.Volume:
    """Give a volume with what is known of its attachments."""
    noted = volume.annotations
    iops = noted.get(IOPS, "")
    return model.Volume(
        id=str(volume.id),
        name=volume.name,
        type=noted.get(TYPE, ""),
        size=gib(volume.size),
        iops=int(iops) if iops.isdecimal() else 0,
        availability_zone=noted.get(ZONE, ""),
        status=volume.state.value,
        attachment_state=state,
        attachments=attachments,
        fields=volume.labels,
    )


def attachments_shown(
    volume: Volume, view: View, *, location: AccessHandle | None, handles: Sequence[AccessHandle]
) -> tuple[model.VolumeAttachment, ...]:
    """Give all attachments of a volume, in the words of the service's driver."""
    if not volume.attachments:
        return ()
    service = view.service
    reached = _reached(volume, handles)
    shown = tuple(
        model.VolumeAttachment(
            device_name=device_name(attachment, volume, service, location=location),
            instance_id=model.InstanceRef(id=attachment.node, driver=service.driver.name, service=service.name),
            status=_ATTACHED,
            volume_id=str(volume.id),
            fields=_fields(reached.get(attachment, location if attachment.transport is Transport.NFS else None)),
        )
        for attachment in volume.attachments
    )
    devices = view.devices if view.mask & Mask.DEVICES else None
    if mounts_files(service, volume):
        return with_devices(shown, devices, instance=view.instance, kind=StorageType.NAS.value)
    if service.driver.type is StorageType.BLOCK:
        return with_devices(shown, devices, instance=view.instance, kind=StorageType.BLOCK.value)
    return shown


def mounts_files(service: Service, volume: Volume) -> bool:
    """Tell whether clients of a service mount a volume by the name of its export."""
    return service.driver.type is StorageType.NAS and volume.kind is VolumeKind.FILESYSTEM


def device_name(attachment: Attachment, volume: Volume, service: Service, *, location: AccessHandle | None) -> str:
    """Give what an attached volume is called on its node: the export as mount(8) wants it, or a device."""
    if attachment.device and not mounts_files(service, volume):
        return attachment.device
    if attachment.transport is Transport.NFS and isinstance(location, NfsExport):
        return export_name(location)
    return attachment.device


def export_name(export: NfsExport) -> str:
    """Give an export as mount(8) wants it."""
    return f"{bracketed(export.address)}:{export.path}"


def access_url(handle: AccessHandle) -> str:
    """Give a way to the bytes as a URL."""
    match handle:
        case LocalPath():
            return f"file://{quote(handle.path)}"
        case NfsExport():
            return f"nfs://{bracketed(handle.address)}:{handle.port}{quote(handle.place)}"
        case _:
            return url_of(handle)


def snapshot_record(snapshot: Snapshot, volume: Volume) -> model.Snapshot:
    """Give a snapshot of a volume."""
    return model.Snapshot(
        id=str(snapshot.id),
        name=snapshot.name,
        description=snapshot.comment,
        start_time=int(snapshot.created.timestamp()),
        status=_SNAPSHOT_STATES.get(snapshot.state, snapshot.state.value),
        volume_id=str(volume.id),
        volume_size=gib(volume.size),
        fields=snapshot.labels,
    )


def _reached(volume: Volume, handles: Sequence[AccessHandle]) -> dict[Attachment, AccessHandle]:
    """Give the way to the bytes of each attachment.

    The pool's own comes first, then each exporter's in their order, then where
    this host has what is elsewhere.
    """
    found: dict[Attachment, AccessHandle] = {}
    for transport, kind in KINDS.items():
        own = [attachment for attachment in volume.attachments if attachment.transport is transport]
        ways = [handle for handle in handles[1:] if isinstance(handle, kind)]
        if transport is Transport.NFS:
            ways = [handle for handle in handles if isinstance(handle, kind)][:1] * len(own)
        elif transport is Transport.LOCAL and len(ways) < len(own):
            ways = [*(ways or handles)][:1] * len(own)
        found |= dict(zip(own, ways, strict=False))
    return found


def _fields(handle: AccessHandle | None) -> dict[str, str]:
    return {} if handle is None else {ACCESS_URL: access_url(handle)}
