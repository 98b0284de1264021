"""Schedules of cloud backups."""

from __future__ import annotations

from gateway.core import backup_schedules
from gateway.core.backup_schedules import BackupSchedule
from gateway.core.intervals import Interval
from gateway.core.ownership import Access
from gateway.frontends.openstorage.accounts import credential_of
from gateway.frontends.openstorage.call import Call, refuse, required
from gateway.frontends.openstorage.lookup import find_volume
from gateway.frontends.openstorage.pb import cloud_backup_pb2 as pb
from gateway.frontends.openstorage.services.schedule_policies import read_interval, shown_interval

_WHAT = "backup schedule id"


async def create(call: Call, request: pb.SdkCloudBackupSchedCreateRequest) -> pb.SdkCloudBackupSchedCreateResponse:
    """Keep a schedule by which a volume is backed up."""
    if not request.HasField("cloud_sched_info"):
        refuse("Must supply a backup schedule")
    asked = _asked(request.cloud_sched_info)
    volume = await find_volume(call, required(asked.src_volume_id, "source volume id"), Access.WRITE)
    credential = await credential_of(call, required(asked.credential_id, "credential id"))
    made = await backup_schedules.create(
        call.core,
        volume,
        credential,
        _intervals(asked),
        most=asked.max_backups,
        days=asked.retention_days,
        full=asked.full,
        labels=dict(asked.labels),
    )
    return pb.SdkCloudBackupSchedCreateResponse(backup_schedule_id=str(made.id))


async def update(call: Call, request: pb.SdkCloudBackupSchedUpdateRequest) -> pb.SdkCloudBackupSchedUpdateResponse:
    """Replace a schedule. What is empty of its volume, credential and intervals stays."""
    ref = required(request.sched_uuid, _WHAT)
    if not request.HasField("cloud_sched_info"):
        refuse("Must supply a backup schedule")
    asked = _asked(request.cloud_sched_info)
    before = await backup_schedules.get(call.core, ref, access=Access.WRITE)
    volume_id, credential_id = before.volume_id, before.credential_id
    if asked.src_volume_id:
        volume_id = (await find_volume(call, asked.src_volume_id, Access.WRITE)).id
    if asked.credential_id:
        credential_id = (await credential_of(call, asked.credential_id)).id
    changed = BackupSchedule(
        id=before.id,
        volume_id=volume_id,
        credential_id=credential_id,
        intervals=_intervals(asked) if asked.schedules else before.intervals,
        since=before.since,
        most=asked.max_backups,
        days=asked.retention_days,
        full=asked.full,
        labels=dict(asked.labels),
    )
    await backup_schedules.update(call.core, ref, changed)
    return pb.SdkCloudBackupSchedUpdateResponse()


async def delete(call: Call, request: pb.SdkCloudBackupSchedDeleteRequest) -> pb.SdkCloudBackupSchedDeleteResponse:
    """Forget a schedule; what it made stays."""
    await backup_schedules.delete(call.core, required(request.backup_schedule_id, _WHAT))
    return pb.SdkCloudBackupSchedDeleteResponse()


async def enumerate_(
    call: Call, _request: pb.SdkCloudBackupSchedEnumerateRequest
) -> pb.SdkCloudBackupSchedEnumerateResponse:
    """Give the schedules that the caller may read."""
    found = await backup_schedules.schedules(call.core)
    return pb.SdkCloudBackupSchedEnumerateResponse(cloud_sched_list={str(each.id): _message(each) for each in found})


def _asked(info: pb.SdkCloudBackupScheduleInfo) -> pb.SdkCloudBackupScheduleInfo:
    if info.group_id:
        refuse("group_id: volumes are backed up one by one")
    return info


def _intervals(asked: pb.SdkCloudBackupScheduleInfo) -> tuple[Interval, ...]:
    if not asked.schedules:
        refuse("Must supply at least one schedule")
    return tuple(read_interval(each) for each in asked.schedules)


def _message(one: BackupSchedule) -> pb.SdkCloudBackupScheduleInfo:
    shown = (shown_interval(each) for each in one.intervals)
    return pb.SdkCloudBackupScheduleInfo(
        src_volume_id=str(one.volume_id),
        credential_id=str(one.credential_id),
        schedules=[each for each in shown if each is not None],
        max_backups=one.most,
        full=one.full,
        retention_days=one.days,
        labels=one.labels,
    )
