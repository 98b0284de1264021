"""What a volume's spec asks for, and what becomes of it.

The core keeps what it understands: size, name, labels, ownership, schedules,
the publication of a shared volume. The rest of the spec stays with the volume
as an annotation, so that it reads back as it was asked for. What no pool
can do and a client must not take for done is refused; hints about how fast or
how small data should be kept are taken as wishes, and `unhonoured` names
those that nothing follows.
"""

from __future__ import annotations

import functools
from collections.abc import Iterable, Mapping
from typing import Any

import msgspec
from google.protobuf import json_format
from grpc import StatusCode

from gateway.core.model import Pool, Volume, VolumeKind
from gateway.frontends.openstorage.call import SdkError, refuse
from gateway.frontends.openstorage.pb import volume_spec_pb2 as pb
from gateway.frontends.openstorage.spec import UNCHANGED_INTERVAL

SPEC = "openstorage.spec"
"""The annotation with the spec as JSON."""

VOLATILE_HA_LEVEL_MAX = 3
_NOTHING = pb.VolumeSpec()
_REMEMBERED = 256
_KEPT_ELSEWHERE = (
    "size",
    "volume_labels",
    "passphrase",
    "ownership",
    "snapshot_schedule",
)
"""Fields that the core itself holds, or that must not be kept."""

_WISHES = (
    "dedupe",
    "compressed",
    "cascaded",
    "journal",
    "queue_depth",
    "aggregation_level",
    "block_size",
    "io_strategy",
    "io_throttle",
    "placement_strategy",
    "group_enforced",
    "proxy_write",
    "scale",
    "near_sync",
)
"""Wishes that change nothing about what is kept, and that no pool follows."""

CALLED_OTHERWISE: Mapping[str, str] = {
    "fastpath": "fp_preference",
    "mount_opt_spec": "mount_options",
    "sharedv4_mount_opt_spec": "sharedv4_mount_options",
}
"""Fields of an update or a policy -> those of a spec that they mean."""

FORMAT_OF_DRIVER: Mapping[str, int] = {
    "btrfs": pb.FS_TYPE_BTRFS,
    "zfs": pb.FS_TYPE_ZFS,
    "nfs": pb.FS_TYPE_NFS,
    "directory": pb.FS_TYPE_VFS,
    "memory": pb.FS_TYPE_VFS,
}
"""What file systems of a pool's own are called."""

BLOCK_FORMATS = frozenset({pb.FS_TYPE_EXT4, pb.FS_TYPE_XFS, pb.FS_TYPE_XFSv2})
"""File systems that are made on a block device by whoever mounts it."""


def check_spec(spec: pb.VolumeSpec, *, ha_level_max: int) -> None:
    """Refuse what cannot be had. INVALID_ARGUMENT, or INTERNAL where the reference says so."""
    if spec.ha_level < 1:
        # Its own memory driver refuses 0, and INTERNAL is how a driver's refusal comes out.
        raise SdkError(StatusCode.INTERNAL, f"HA level {spec.ha_level} cannot be had: it must be at least 1")
    if spec.ha_level > ha_level_max:
        refuse(f"HA level {spec.ha_level} cannot be had: the pool keeps at most {ha_level_max} copies")
    if spec.encrypted or spec.passphrase:
        refuse("Encrypted volumes cannot be had: no pool encrypts volumes by itself")
    if spec.HasField("proxy_spec"):
        refuse("Proxy volumes are not supported")
    check_enums(spec)


def check_enums(message: Any, prefix: str = "") -> None:
    """Refuse an enum number that the schema does not know, wherever it is in the message."""
    for field, value in message.ListFields():
        if field.message_type is not None and not _is_map(field):
            for part in value if _repeated(field) else (value,):
                check_enums(part, f"{prefix}{field.name}.")
        elif field.enum_type is not None:
            for number in value if _repeated(field) else (value,):
                if number not in field.enum_type.values_by_number:
                    refuse(f"{prefix}{field.name}: {number} is no {field.enum_type.name}")


def stored(spec: pb.VolumeSpec) -> str:
    """Give the annotation for a spec."""
    kept = pb.VolumeSpec()
    kept.CopyFrom(spec)
    for name in _KEPT_ELSEWHERE:
        kept.ClearField(name)
    return msgspec.json.encode(json_format.MessageToDict(kept, preserving_proto_field_name=True)).decode()


def by_itself(text: str) -> str:
    """Give the annotation of a spec for a volume that is neither published nor snapshotted, in whatever pool."""
    spec = pb.VolumeSpec()
    spec.ParseFromString(_packed(text))
    for name in ("sharedv4", "snapshot_interval", "replica_set", "sticky"):
        spec.ClearField(name)
    return stored(spec)


def spec_of(volume: Volume, driver: str) -> pb.VolumeSpec:
    """Give the spec of a volume, whichever door it was made by. Ownership and schedule are not filled in."""
    text = volume.annotations.get(SPEC)
    spec = pb.VolumeSpec()
    if text is None:
        spec.ha_level = 1
        spec.format = format_of(volume, driver, pb.FS_TYPE_NONE)  # type: ignore[assignment] # a number is enough
        spec.sharedv4 = volume.junction_path is not None
    else:
        spec.ParseFromString(_packed(text))
    spec.size = volume.size
    return spec


@functools.lru_cache(_REMEMBERED)
def _packed(text: str) -> bytes:
    """Give the message of an annotation. Many volumes are asked for alike, and reading JSON costs most of a reading."""
    spec = json_format.ParseDict(msgspec.json.decode(text), pb.VolumeSpec(), ignore_unknown_fields=True)
    return spec.SerializeToString()


def format_of(volume: Volume, driver: str, asked: int) -> int:
    """Give the file system that really is there, or that a block volume is meant for."""
    if volume.kind is VolumeKind.BLOCK:
        return asked if asked in BLOCK_FORMATS else pb.FS_TYPE_NONE
    return FORMAT_OF_DRIVER.get(driver, pb.FS_TYPE_VFS)


def unhonoured(spec: pb.VolumeSpec) -> Iterable[str]:
    """Give the names of the wishes in a spec that nothing follows."""
    present = {field.name for field, _ in spec.ListFields()}
    for name in _WISHES:
        # A message that is there may be empty.
        if name in present and getattr(spec, name) != getattr(_NOTHING, name):
            yield name


def ha_level_max(pool: Pool, stated: int) -> int:
    """Give how many copies a pool may be asked for."""
    return VOLATILE_HA_LEVEL_MAX if pool.volatile else stated


def merged(spec: pb.VolumeSpec, update: pb.VolumeSpecUpdate) -> pb.VolumeSpec:
    """Give the spec with the members that the update sets. Schema of both: `<field>_opt` holds `field`."""
    result = pb.VolumeSpec()
    result.CopyFrom(spec)
    # Members of a oneof are listed even when they are set to their zero.
    for field, value in update.ListFields():
        if field.name == "snapshot_interval" and value == UNCHANGED_INTERVAL:
            continue
        _set(result, CALLED_OTHERWISE.get(field.name, field.name), value)
    return result


def _set(spec: pb.VolumeSpec, name: str, value: Any) -> None:
    field = pb.VolumeSpec.DESCRIPTOR.fields_by_name[name]
    if field.message_type is not None:
        spec.ClearField(name)
        getattr(spec, name).MergeFrom(value)
    else:
        setattr(spec, name, value)


def _repeated(field: Any) -> bool:
    return bool(field.is_repeated)


def _is_map(field: Any) -> bool:
    return bool(field.message_type is not None and field.message_type.GetOptions().map_entry)
