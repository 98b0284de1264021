"""Volumes and snapshots of the core as the SDK's one kind of volume. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime

from gateway.core.model import Attachment, AttachMode, SnapshotState, Volume, VolumeState
from gateway.core.ownership import Ownership
from gateway.frontends.openstorage.lookup import Found
from gateway.frontends.openstorage.ownerships import ownership_message
from gateway.frontends.openstorage.pb import volume_pb2 as pb
from gateway.frontends.openstorage.pb import volume_spec_pb2 as spec_pb
from gateway.frontends.openstorage.specs import format_of, spec_of, unhonoured

ATTACHED = "openstorage.attached"
"""The annotation with the node that a volume of files was attached to before the core had attachments of files."""

PARENT = "openstorage.parent"
"""The annotation with the id that a clone was made from."""

NAME = "openstorage.name"
"""The annotation with a snapshot's name, where another snapshot has that name already."""

READ_ONLY = "attach.read_only"

_STATES: Mapping[VolumeState, tuple[int, int]] = {
    VolumeState.CREATING: (pb.VOLUME_STATE_PENDING, pb.VOLUME_STATUS_NOT_PRESENT),
    VolumeState.ONLINE: (pb.VOLUME_STATE_AVAILABLE, pb.VOLUME_STATUS_UP),
    VolumeState.OFFLINE: (pb.VOLUME_STATE_AVAILABLE, pb.VOLUME_STATUS_DOWN),
    VolumeState.DELETING: (pb.VOLUME_STATE_DELETED, pb.VOLUME_STATUS_DOWN),
    VolumeState.ERROR: (pb.VOLUME_STATE_ERROR, pb.VOLUME_STATUS_DOWN),
}


_SNAPSHOT_STATES: Mapping[SnapshotState, tuple[int, int]] = {
    SnapshotState.CREATING: (pb.VOLUME_STATE_PENDING, pb.VOLUME_STATUS_NOT_PRESENT),
    SnapshotState.VALID: (pb.VOLUME_STATE_AVAILABLE, pb.VOLUME_STATUS_UP),
    SnapshotState.DELETING: (pb.VOLUME_STATE_DELETED, pb.VOLUME_STATUS_DOWN),
    SnapshotState.ERROR: (pb.VOLUME_STATE_ERROR, pb.VOLUME_STATUS_DOWN),
}


def name_of(found: Found) -> str:
    """Give the name by which a client made it."""
    if found.snapshot is None:
        return found.volume.name
    return found.snapshot.annotations.get(NAME, found.snapshot.name)


def labels_of(found: Found) -> Mapping[str, str]:
    """Give its labels."""
    return found.volume.labels if found.snapshot is None else found.snapshot.labels


def parent_of(found: Found) -> str:
    """Give the id of what it was taken or cloned from; empty for neither."""
    if found.snapshot is not None:
        return str(found.volume.id)
    origin = found.volume.origin
    return "" if origin is None else found.volume.annotations.get(PARENT, str(origin.volume_id))


def attached_on(volume: Volume) -> str:
    """Give the node that has the volume, empty when none has."""
    if volume.attachments:
        return volume.attachments[0].node
    return volume.annotations.get(ATTACHED, "")


def attachment_of(volume: Volume, node: str) -> Attachment | None:
    """Give the attachment by which a node has a volume, or else the first; None when nobody has it."""
    return next((one for one in volume.attachments if one.node == node), next(iter(volume.attachments), None))


def message(found: Found, driver: str, *, schedule: str = "", device_path: str = "") -> pb.Volume:
    """Give the volume as the SDK shows it. `driver`: that of its pool; `schedule`: its snapshot schedule as text."""
    volume, snapshot = found.volume, found.snapshot
    result = pb.Volume(
        id=str(found),
        source=pb.Source(parent=parent_of(found)),
        locator=pb.VolumeLocator(name=name_of(found), volume_labels=dict(labels_of(found))),
        readonly=snapshot is not None,
        spec=spec_of(volume, driver),
        usage=volume.used if snapshot is None else snapshot.size,
    )
    created = volume.created if snapshot is None else snapshot.created
    _stamp(result.ctime, created)
    result.last_scan.CopyFrom(result.ctime)
    result.format = format_of(volume, driver, result.spec.format)  # type: ignore[assignment]
    if result.spec.HasField("group"):
        result.group.CopyFrom(result.spec.group)
    _own(result.spec, volume.ownership)
    result.spec.snapshot_schedule = "" if snapshot is not None else schedule
    if snapshot is None:
        _state(result, volume, device_path)
    else:
        result.state, result.status = _SNAPSHOT_STATES[snapshot.state]  # type: ignore[assignment]
        result.error = snapshot.reason
    if wishes := ", ".join(unhonoured(result.spec)):
        result.runtime_state.append(pb.RuntimeStateMap(runtime_state={"unhonoured": wishes}))
    return result


def inspected(found: Found, driver: str, *, schedule: str = "", device_path: str = "") -> pb.SdkVolumeInspectResponse:
    """Give the answer to Inspect."""
    return pb.SdkVolumeInspectResponse(
        volume=message(found, driver, schedule=schedule, device_path=device_path),
        name=name_of(found),
        labels=dict(labels_of(found)),
    )


def _state(result: pb.Volume, volume: Volume, device_path: str) -> None:
    result.state, result.status = _STATES[volume.state]  # type: ignore[assignment]
    result.error = volume.reason
    result.attached_on = attached_on(volume)
    if result.attached_on:
        if volume.state is VolumeState.ONLINE:
            result.state = pb.VOLUME_STATE_ATTACHED
        result.device_path = device_path
        for attachment in volume.attachments:
            result.attach_info[READ_ONLY] = str(attachment.mode is AttachMode.READ_ONLY).lower()
    else:
        result.attached_state = pb.ATTACH_STATE_EXTERNAL
    result.attach_path.extend(mount.path for mount in volume.mounts)


def _own(spec: spec_pb.VolumeSpec, ownership: Ownership | None) -> None:
    if ownership is not None:
        spec.ownership.CopyFrom(ownership_message(ownership))


def _stamp(target: object, at: datetime) -> None:
    target.FromDatetime(at)  # type: ignore[attr-defined] # a well-known type has more than its stub
