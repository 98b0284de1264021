"""What this door keeps with volumes and host groups because only ONTAP has a word for it.

A volume of blocks is a FlexVol with one LUN in it, and both are one record: the
LUN has the volume's uuid and size. Its name and whatever else is its own are
annotations of the volume, so clones, restores and rebuilds carry them along.
"""

from __future__ import annotations

from collections.abc import Mapping

from gateway.core.model import Attachment, HostGroup, Transport, Volume, VolumeKind

LUN = "ontap.lun"
"""The LUN's name within its volume. Empty: the volume was asked for as a FlexVol and holds no LUN yet."""
FLEXVOL = "ontap.flexvol"
"""There when the volume was asked for as a FlexVol, before its LUN was."""
OS_TYPE = "ontap.os_type"
COMMENT = "ontap.lun_comment"
RESERVE = "ontap.lun_reserve"
"""Whether a space guarantee was requested for the LUN."""
SCSI_THIN = "ontap.lun_scsi_thin"
PROTOCOL = "ontap.protocol"

OF_LUNS = frozenset({LUN, FLEXVOL, OS_TYPE, COMMENT, RESERVE, SCSI_THIN})
"""What a copy of a volume that holds a LUN has to have, too."""

EMPTY_FLEXVOL: Mapping[str, str] = {LUN: "", FLEXVOL: "true"}
"""The annotations of a FlexVol that holds blocks but no LUN yet."""

_UNNAMED = "lun0"
_OS_TYPE = "linux"


def lun_name(volume: Volume) -> str | None:
    """Give the name of a volume's LUN; None when it has none. The LUNs of other doors are called `lun0`."""
    if volume.kind is not VolumeKind.BLOCK:
        return None
    return volume.annotations.get(LUN, _UNNAMED) or None


def lun_path(volume: Volume) -> str:
    """Give the path by which this dialect calls a volume's LUN."""
    return f"/vol/{volume.name}/{lun_name(volume)}"


def os_type(record: Volume | HostGroup) -> str:
    """Give the operating system of a LUN's or igroup's hosts."""
    return record.annotations.get(OS_TYPE, _OS_TYPE)


def protocol(group: HostGroup) -> str:
    """Give the protocol of an igroup."""
    return group.annotations.get(PROTOCOL, "iscsi")


def flag(value: bool) -> str:
    """Give a boolean as an annotation holds it."""
    return "true" if value else "false"


def flagged(volume: Volume, key: str) -> bool:
    """Tell whether an annotation says yes."""
    return volume.annotations.get(key) == "true"


def maps(volume: Volume) -> list[Attachment]:
    """Give those attachments of a volume that are LUN maps; those of other doors' nodes are not."""
    return [a for a in volume.attachments if a.transport is Transport.ISCSI and a.host_group_id is not None]
