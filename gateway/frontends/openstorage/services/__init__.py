"""The handlers of every call that is served, by `Service/Call`. What is not here is answered UNIMPLEMENTED."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from typing import Any

from google.protobuf.message import Message

from gateway.frontends.openstorage.call import Call
from gateway.frontends.openstorage.services import (
    backup_schedules,
    cloud_backups,
    credentials,
    filtered,
    identity,
    mount_attach,
    nodes,
    roles,
    schedule_policies,
    snapshots,
    storage_policies,
    volumes,
)

Handler = Callable[[Call, Any], Awaitable[Message]]

HANDLERS: Mapping[str, Handler] = {
    "OpenStorageIdentity/Capabilities": identity.capabilities,
    "OpenStorageIdentity/Version": identity.version,
    "OpenStorageCluster/InspectCurrent": nodes.cluster,
    "OpenStorageNode/Inspect": nodes.inspect,
    "OpenStorageNode/InspectCurrent": nodes.inspect_current,
    "OpenStorageNode/Enumerate": nodes.enumerate_,
    "OpenStorageNode/EnumerateWithFilters": nodes.enumerate_with_filters,
    "OpenStorageNode/VolumeUsageByNode": nodes.volume_usage,
    "OpenStorageVolume/Create": volumes.create,
    "OpenStorageVolume/Clone": volumes.clone,
    "OpenStorageVolume/Delete": volumes.delete,
    "OpenStorageVolume/Inspect": volumes.inspect,
    "OpenStorageVolume/InspectWithFilters": filtered.inspect_with_filters,
    "OpenStorageVolume/Update": volumes.update,
    "OpenStorageVolume/Stats": volumes.stats,
    "OpenStorageVolume/CapacityUsage": volumes.capacity_usage,
    "OpenStorageVolume/Enumerate": filtered.enumerate_,
    "OpenStorageVolume/EnumerateWithFilters": filtered.enumerate_with_filters,
    "OpenStorageVolume/SnapshotCreate": snapshots.create,
    "OpenStorageVolume/SnapshotRestore": snapshots.restore,
    "OpenStorageVolume/SnapshotEnumerate": snapshots.enumerate_,
    "OpenStorageVolume/SnapshotEnumerateWithFilters": snapshots.enumerate_with_filters,
    "OpenStorageVolume/SnapshotScheduleUpdate": snapshots.schedule_update,
    "OpenStorageMountAttach/Attach": mount_attach.attach,
    "OpenStorageMountAttach/Detach": mount_attach.detach,
    "OpenStorageMountAttach/Mount": mount_attach.mount,
    "OpenStorageMountAttach/Unmount": mount_attach.unmount,
    "OpenStorageSchedulePolicy/Create": schedule_policies.create,
    "OpenStorageSchedulePolicy/Update": schedule_policies.update,
    "OpenStorageSchedulePolicy/Enumerate": schedule_policies.enumerate_,
    "OpenStorageSchedulePolicy/Inspect": schedule_policies.inspect,
    "OpenStorageSchedulePolicy/Delete": schedule_policies.delete,
    "OpenStoragePolicy/Create": storage_policies.create,
    "OpenStoragePolicy/Update": storage_policies.update,
    "OpenStoragePolicy/Enumerate": storage_policies.enumerate_,
    "OpenStoragePolicy/Inspect": storage_policies.inspect,
    "OpenStoragePolicy/Delete": storage_policies.delete,
    "OpenStoragePolicy/SetDefault": storage_policies.set_default,
    "OpenStoragePolicy/DefaultInspect": storage_policies.default_inspect,
    "OpenStoragePolicy/Release": storage_policies.release,
    "OpenStorageCredentials/Create": credentials.create,
    "OpenStorageCredentials/Update": credentials.update,
    "OpenStorageCredentials/Enumerate": credentials.enumerate_,
    "OpenStorageCredentials/Inspect": credentials.inspect,
    "OpenStorageCredentials/Delete": credentials.delete,
    "OpenStorageCredentials/Validate": credentials.validate,
    "OpenStorageCredentials/DeleteReferences": credentials.delete_references,
    "OpenStorageCloudBackup/Create": cloud_backups.create,
    "OpenStorageCloudBackup/GroupCreate": cloud_backups.group_create,
    "OpenStorageCloudBackup/Restore": cloud_backups.restore,
    "OpenStorageCloudBackup/Delete": cloud_backups.delete,
    "OpenStorageCloudBackup/DeleteAll": cloud_backups.delete_all,
    "OpenStorageCloudBackup/EnumerateWithFilters": cloud_backups.enumerate_with_filters,
    "OpenStorageCloudBackup/Status": cloud_backups.status,
    "OpenStorageCloudBackup/Catalog": cloud_backups.catalog,
    "OpenStorageCloudBackup/History": cloud_backups.history,
    "OpenStorageCloudBackup/StateChange": cloud_backups.state_change,
    "OpenStorageCloudBackup/SchedCreate": backup_schedules.create,
    "OpenStorageCloudBackup/SchedUpdate": backup_schedules.update,
    "OpenStorageCloudBackup/SchedDelete": backup_schedules.delete,
    "OpenStorageCloudBackup/SchedEnumerate": backup_schedules.enumerate_,
    "OpenStorageCloudBackup/Size": cloud_backups.size,
    "OpenStorageRole/Create": roles.create,
    "OpenStorageRole/Enumerate": roles.enumerate_,
    "OpenStorageRole/Inspect": roles.inspect,
    "OpenStorageRole/Update": roles.update,
    "OpenStorageRole/Delete": roles.delete,
}


def _always(_answer: Message) -> bool:
    return True


KEPT: Mapping[str, Callable[[Any], bool]] = {
    # An exporter that starts anew may give another device.
    "OpenStorageVolume/Inspect": lambda answer: not answer.volume.attached_on,
    "OpenStorageVolume/InspectWithFilters": _always,
    "OpenStorageVolume/Enumerate": _always,
    "OpenStorageVolume/EnumerateWithFilters": _always,
    "OpenStorageVolume/SnapshotEnumerate": _always,
    "OpenStorageVolume/SnapshotEnumerateWithFilters": _always,
}
"""Calls whose answers may be kept until the catalog changes: those that follow from it alone."""
