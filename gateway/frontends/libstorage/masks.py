"""Which volumes and attachments a caller sees, by the bits of an attachments mask. Pure."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from enum import IntEnum

import msgspec

from gateway.frontends.libstorage.model import ATTACHED, AVAILABLE, UNAVAILABLE, VolumeAttachment


class Mask(IntEnum):
    """What is asked for."""

    REQUESTED = 1
    MINE = 2
    DEVICES = 4
    ATTACHED = 8
    UNATTACHED = 16


class Seen(msgspec.Struct, frozen=True):
    """What a caller sees of a volume's attachments. `state` is one of those in `model`, 0 if it was not asked for."""

    state: int = 0
    attachments: tuple[VolumeAttachment, ...] = ()


def needs_instance(mask: int) -> bool:
    """Tell whether a mask makes no sense without knowing which node asks."""
    return bool(mask & (Mask.MINE | Mask.DEVICES))


def state_of(attachments: Sequence[VolumeAttachment], instance: str) -> int:
    """Give the state of a volume with all these attachments to a node, "" for one that is not known."""
    if not attachments:
        return AVAILABLE
    return ATTACHED if any(_is_of(each, instance) for each in attachments) else UNAVAILABLE


def see(mask: int, attachments: Sequence[VolumeAttachment], instance: str = "") -> Seen | None:
    """Give what a node sees of a volume with all these attachments, None if it does not see the volume.

    The state comes from all attachments and only then are others' left out.
    One driver of the reference does it the other way round, and shows a volume
    that another node holds as available.
    """
    if mask == 0:
        return Seen()
    state = state_of(attachments, instance)
    attached, unattached = bool(mask & Mask.ATTACHED), bool(mask & Mask.UNATTACHED)
    if state == AVAILABLE and attached and not unattached:
        return None
    if state != AVAILABLE and unattached and not attached:
        return None
    if state == UNAVAILABLE and attached and mask & Mask.MINE:
        return None
    mine = bool(mask & Mask.MINE)
    return Seen(state, tuple(each for each in attachments if not mine or _is_of(each, instance)))


def with_devices(
    attachments: Sequence[VolumeAttachment], devices: Mapping[str, str] | None, *, instance: str, kind: str
) -> tuple[VolumeAttachment, ...]:
    """Give attachments with what the asking node's devices say of its own ones, by the `kind` of the driver.

    A `block` device that is not there has no name; a `nas` source is always
    named, and its status says whether the node has it mounted. None for
    `devices` is not told, and then nothing but "Exported" can be said.
    """
    if kind == "nas":
        return tuple(
            msgspec.structs.replace(each, status=_export_status(each, devices if _is_of(each, instance) else None))
            for each in attachments
        )
    if kind == "block" and devices is not None:
        return tuple(
            msgspec.structs.replace(each, device_name="")
            if _is_of(each, instance) and devices.keys().isdisjoint((each.device_name, each.device_name.lower()))
            else each
            for each in attachments
        )
    return tuple(attachments)


def _export_status(attachment: VolumeAttachment, devices: Mapping[str, str] | None) -> str:
    if devices is None:
        return "Exported"
    return "Exported and Mounted" if attachment.device_name in devices else "Exported and Unmounted"


def _is_of(attachment: VolumeAttachment, instance: str) -> bool:
    return bool(instance) and attachment.instance_id.id.lower() == instance.lower()
