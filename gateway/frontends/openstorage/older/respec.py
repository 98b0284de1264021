"""What a spec of the older API changes about a volume: whatever differs from what it has now. Pure.

A spec is sent whole there, and what is left out of JSON is zero. So a flag
that is not sent is switched off. Numbers that no volume can do without, such
as the size, are left alone when they are zero.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from gateway.frontends.openstorage.pb import volume_spec_pb2 as pb

RESET: Mapping[str, str] = {
    "shared": "shared",
    "sharedv4": "sharedv4",
    "passphrase": "passphrase",
    "journal": "journal",
    "nodiscard": "nodiscard",
    "sticky": "sticky",
    "scale": "scale",
    "io_profile": "io_profile",
    "dedupe": "dedupe",
    "queue_depth": "queue_depth",
    "snapshot_schedule": "snapshot_schedule",
    "fp_preference": "fastpath",
    "xattr": "xattr",
    "proxy_write": "proxy_write",
    "auto_fstrim": "auto_fstrim",
}
"""Fields of a spec that are set to what is sent, also to zero -> those of the update."""

KEPT_AT_ZERO = ("size", "cos", "ha_level", "near_sync_replication_strategy")
"""Fields that are set to what is sent unless that is zero."""

WHOLE: Mapping[str, str] = {
    "replica_set": "replica_set",
    "io_strategy": "io_strategy",
    "group": "group",
    "export_spec": "export_spec",
    "mount_options": "mount_opt_spec",
    "sharedv4_mount_options": "sharedv4_mount_opt_spec",
    "sharedv4_service_spec": "sharedv4_service_spec",
    "sharedv4_spec": "sharedv4_spec",
    "scan_policy": "scan_policy",
    "proxy_spec": "proxy_spec",
    "io_throttle": "io_throttle",
}
"""Messages that are replaced whenever they are sent -> those of the update."""

UNCHANGED_INTERVAL = 2**32 - 1
"""The snapshot interval that says nothing."""


def update_of(wanted: pb.VolumeSpec, present: pb.VolumeSpec) -> pb.VolumeSpecUpdate:
    """Give the update that makes `wanted` of `present`."""
    update = pb.VolumeSpecUpdate()
    for name, target in RESET.items():
        if _differs(wanted, present, name):
            setattr(update, target, getattr(wanted, name))
    for name in KEPT_AT_ZERO:
        if _differs(wanted, present, name) and getattr(wanted, name):
            setattr(update, name, getattr(wanted, name))
    if wanted.snapshot_interval != UNCHANGED_INTERVAL and _differs(wanted, present, "snapshot_interval"):
        update.snapshot_interval = wanted.snapshot_interval
    for name, target in WHOLE.items():
        if _sent(wanted, name):
            getattr(update, target).CopyFrom(getattr(wanted, name))
    return update


def _differs(wanted: pb.VolumeSpec, present: pb.VolumeSpec, name: str) -> bool:
    return bool(getattr(wanted, name) != getattr(present, name))


def _sent(spec: Any, name: str) -> bool:
    return bool(spec.HasField(name))
