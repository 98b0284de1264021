"""The records of the protocol, as they stand in answers.

Members are in the order in which the reference writes them. What has a
default is left out when it has it; all else is always there.
"""

from __future__ import annotations

from typing import Any

import msgspec

UNKNOWN = 1
ATTACHED = 2
AVAILABLE = 3
UNAVAILABLE = 4
"""States of attachment: who asks holds it, nobody does, another one does. 0 was not asked for."""


def wire_name(name: str) -> str:
    """Give the name on the wire of a member, which ends with `ID` where ours ends with `_id`."""
    first, *others = name.split("_")
    return first + "".join("ID" if each == "id" else each.capitalize() for each in others)


class InstanceRef(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """A node. `service` is empty where the reference leaves it to the client."""

    id: str
    driver: str
    service: str
    fields: dict[str, str] = {}


class VolumeAttachment(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True, rename=wire_name):
    """An attachment of a volume to a node."""

    device_name: str
    mount_point: str = ""
    instance_id: InstanceRef
    status: str
    volume_id: str
    fields: dict[str, str] = {}


class Volume(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True, rename=wire_name):
    """A volume; `size` in GiB."""

    attachments: tuple[VolumeAttachment, ...] = ()
    attachment_state: int = 0
    availability_zone: str = ""
    encrypted: bool = False
    iops: int = 0
    name: str
    network_name: str = ""
    size: int = 0
    status: str = ""
    id: str
    type: str
    fields: dict[str, str] = {}


class Snapshot(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True, rename=wire_name):
    """A snapshot; `start_time` in seconds since the epoch, `volume_size` in GiB."""

    description: str = ""
    name: str = ""
    encrypted: bool = False
    id: str
    start_time: int = 0
    status: str = ""
    volume_id: str = ""
    volume_size: int = 0
    fields: dict[str, str] = {}


class VolumeAttachResponse(msgspec.Struct, frozen=True, kw_only=True, rename=wire_name):
    """An attached volume, and what to wait for on the node, "" for nothing."""

    volume: Volume
    attach_token: str


class NextDeviceInfo(msgspec.Struct, frozen=True, kw_only=True):
    """How a driver's executor is to find the next free device."""

    ignore: bool
    prefix: str
    pattern: str


class DriverInfo(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True, rename=wire_name):
    """A driver; `type` is one of: block, nas, object."""

    name: str
    type: str
    next_device: NextDeviceInfo | None = None


class Instance(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True, rename=wire_name):
    """A node as a service knows it."""

    instance_id: InstanceRef
    name: str = ""
    provider_name: str
    region: str = ""
    fields: dict[str, str] = {}


class ServiceInfo(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """A service, with the asking node if that was asked for."""

    name: str
    instance: Instance | None = None
    driver: DriverInfo


class Task(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True, rename=wire_name):
    """A task; times in seconds since the epoch. `state` is one of: queued, running, success, error.

    `result` is what the call would have answered; `error` an object with a
    `msg`, or the text of an error without fields.
    """

    id: int
    user: str = ""
    complete_time: int = 0
    queue_time: int
    start_time: int = 0
    state: str
    result: Any = None
    error: Any = None


class ErrorBody(msgspec.Struct, frozen=True, kw_only=True):
    """An error. `error` is its context, or its message again where there is none."""

    message: str
    status: int
    error: dict[str, Any] | str
