"""Cloud backups: copies of volumes in the stores of credentials, made, restored, listed and removed."""

from __future__ import annotations

from collections.abc import Mapping
from uuid import UUID

from grpc import StatusCode

from gateway.core import backing, backups, errors
from gateway.core.backups import Backup, NewBackup, Task, TaskState, Way
from gateway.core.credentials import Credential
from gateway.core.model import Volume
from gateway.core.ownership import Access
from gateway.core.volumes import NewVolume
from gateway.frontends.openstorage import placing, specs
from gateway.frontends.openstorage.accounts import credential_of
from gateway.frontends.openstorage.call import Call, SdkError, refuse, required
from gateway.frontends.openstorage.errors import encode_error
from gateway.frontends.openstorage.lookup import find_volume
from gateway.frontends.openstorage.ownerships import read_ownership
from gateway.frontends.openstorage.pb import cloud_backup_pb2 as pb
from gateway.frontends.openstorage.pb import volume_pb2
from gateway.frontends.openstorage.services.filtered import matching

_CONTENTS_MAX = 10_000
"""So many paths of a backup are told: more would not fit into one answer."""

_VOLUME, _SOURCE, _BACKUP, _TASK = "volume id", "source volume id", "backup id", "task id"
_Status = pb.SdkCloudBackupStatusType
_Op = pb.SdkCloudBackupOpType
_Wanted = pb.SdkCloudBackupRequestedState
_DONE = pb.SdkCloudBackupStatusTypeDone

_STATES: Mapping[TaskState, _Status] = {
    TaskState.ACTIVE: pb.SdkCloudBackupStatusTypeActive,
    TaskState.PAUSED: pb.SdkCloudBackupStatusTypePaused,
    TaskState.STOPPED: pb.SdkCloudBackupStatusTypeStopped,
    TaskState.DONE: _DONE,
    TaskState.FAILED: pb.SdkCloudBackupStatusTypeFailed,
}
_OPERATIONS: Mapping[Way, _Op] = {
    Way.BACKUP: pb.SdkCloudBackupOpTypeBackupOp,
    Way.RESTORE: pb.SdkCloudBackupOpTypeRestoreOp,
}
_CHANGES = {
    pb.SdkCloudBackupRequestedStatePause: backing.pause,
    pb.SdkCloudBackupRequestedStateResume: backing.resume,
    pb.SdkCloudBackupRequestedStateStop: backing.stop,
}
_RESPECIFIED = frozenset({"replica_set", "ownership"})
"""What a restored volume may have otherwise than the one that was backed up."""


async def create(call: Call, request: pb.SdkCloudBackupCreateRequest) -> pb.SdkCloudBackupCreateResponse:
    """Begin to back a volume up; what the store has already is not sent again. UNAVAILABLE while it is under way."""
    ref = required(request.volume_id, _VOLUME)
    if request.near_sync_migrate:
        refuse("near_sync_migrate: volumes are not migrated")
    volume = await find_volume(call, ref, Access.READ)
    new = NewBackup(
        volume_id=volume.id,
        credential=await credential_of(call, request.credential_id),
        task_id=request.task_id,
        full=request.full,
        full_every=request.full_backup_frequency,
        labels=dict(request.labels),
    )
    task = await backups.drawn_up(call.core, new)
    backing.carry(call.core, task)
    return pb.SdkCloudBackupCreateResponse(task_id=task.id)


async def group_create(
    call: Call, request: pb.SdkCloudBackupGroupCreateRequest
) -> pb.SdkCloudBackupGroupCreateResponse:
    """Begin to back up the volumes that meet all conditions, as they are at one instant; refused where that cannot be.

    `labels` are a condition, as in the reference, and not what the backups are tagged with.
    """
    if not (request.group_id or request.volume_ids or request.labels):
        refuse("Must supply a group ID, list of volume IDs, or labels")
    credential = await credential_of(call, request.credential_id)
    members = [
        NewBackup(volume_id=key, credential=credential, full=request.full) for key in await _members(call, request)
    ]
    if not members:
        raise SdkError(StatusCode.NOT_FOUND, "No volume meets these conditions")
    tasks = await backups.drawn_up_together(call.core, members)
    for task in tasks:
        backing.carry(call.core, task)
    return pb.SdkCloudBackupGroupCreateResponse(
        group_cloud_backup_id=str(tasks[0].group_id), task_ids=[task.id for task in tasks]
    )


async def _members(call: Call, request: pb.SdkCloudBackupGroupCreateRequest) -> list[UUID]:
    named = [(await find_volume(call, ref, Access.READ)).id for ref in request.volume_ids]
    if not request.group_id and not request.labels:
        return named
    wanted = volume_pb2.SdkVolumeInspectWithFiltersRequest(labels=request.labels)
    if request.group_id:
        wanted.group.id = request.group_id
    found = [each.volume.id async for each in matching(call, wanted) if each.snapshot is None]
    return [key for key in found if key in named] if named else found


async def restore(call: Call, request: pb.SdkCloudBackupRestoreRequest) -> pb.SdkCloudBackupRestoreResponse:
    """Make a volume and begin to fill it with a backup; nobody writes to it before that has been done."""
    ref = required(request.backup_id, _BACKUP)
    credential = await credential_of(call, request.credential_id)
    found = await backups.backup(call.core, credential, ref)
    new = await _new(call, request, found)
    task = await backing.restore(
        call.core, credential, found, new, task_id=request.task_id, description=f"SDK: restore {found.id}"
    )
    return pb.SdkCloudBackupRestoreResponse(restore_volume_id=str(task.volume_id), task_id=task.id)


async def delete(call: Call, request: pb.SdkCloudBackupDeleteRequest) -> pb.SdkCloudBackupDeleteResponse:
    """Remove a backup from its store."""
    ref = required(request.backup_id, _BACKUP)
    credential = await credential_of(call, request.credential_id)
    found = await backups.backup(call.core, credential, ref, access=Access.ADMIN)
    await backups.delete(call.core, credential, found)
    return pb.SdkCloudBackupDeleteResponse()


async def delete_all(call: Call, request: pb.SdkCloudBackupDeleteAllRequest) -> pb.SdkCloudBackupDeleteAllResponse:
    """Remove all backups of a volume that a credential reaches."""
    ref = required(request.src_volume_id, _SOURCE)
    credential = await credential_of(call, request.credential_id)
    for each in await _of_volume(call, credential, ref):
        found = await backups.backup(call.core, credential, str(each.id), access=Access.ADMIN)
        await backups.delete(call.core, credential, found)
    return pb.SdkCloudBackupDeleteAllResponse()


async def enumerate_with_filters(
    call: Call, request: pb.SdkCloudBackupEnumerateWithFiltersRequest
) -> pb.SdkCloudBackupEnumerateWithFiltersResponse:
    """Give the backups of this gateway that meet all conditions, the oldest first, page after page."""
    credential = await credential_of(call, request.credential_id)
    found = await backups.backups(call.core, credential)
    if request.src_volume_id:
        found = await _of_volume(call, credential, request.src_volume_id)
    if request.missing_src_volumes:
        present = await call.core.catalog.get_many(Volume, {each.volume_id for each in found})
        found = [each for each in found if each.volume_id not in present]
    found = [each for each in found if _meets(call, each, request)]
    if request.continuation_token:
        places = [str(each.id) for each in found]
        if request.continuation_token not in places:
            refuse("continuation_token: is of no response to such a request, or its backup is gone")
        found = found[places.index(request.continuation_token) + 1 :]
    most = request.max_backups or len(found)
    shown = found[:most]
    return pb.SdkCloudBackupEnumerateWithFiltersResponse(
        backups=[_info(each) for each in shown],
        continuation_token=str(shown[-1].id) if len(found) > most else "",
    )


async def status(call: Call, request: pb.SdkCloudBackupStatusRequest) -> pb.SdkCloudBackupStatusResponse:
    """Give how far tasks are: one, those of a volume, or all that the caller may know of."""
    if request.task_id:
        found = [await backups.task(call.core, request.task_id)]
    else:
        found = await backups.readable_tasks(call.core)
    if request.volume_id:
        key = await _source(call, request.volume_id)
        found = [each for each in found if each.volume_id == key]
    return pb.SdkCloudBackupStatusResponse(statuses={each.id: _status(call, each) for each in found})


async def catalog(call: Call, request: pb.SdkCloudBackupCatalogRequest) -> pb.SdkCloudBackupCatalogResponse:
    """Give the paths in a backup. One that does not exist is INTERNAL, as in the reference."""
    ref = required(request.backup_id, _BACKUP)
    credential = await credential_of(call, request.credential_id)
    try:
        found = await backups.backup(call.core, credential, ref)
    except errors.NotFound as error:
        raise SdkError(StatusCode.INTERNAL, f"Failed to get the catalog: backup {error.ref} not found") from None
    contents = await backups.contents(call.core, credential, found, most=_CONTENTS_MAX)
    return pb.SdkCloudBackupCatalogResponse(contents=contents)


async def history(call: Call, request: pb.SdkCloudBackupHistoryRequest) -> pb.SdkCloudBackupHistoryResponse:
    """Give the backups of a volume, and the last tasks that came to none."""
    key = await _source(call, required(request.src_volume_id, _SOURCE))
    if key is None:
        return pb.SdkCloudBackupHistoryResponse()
    items = [(each.created, _DONE) for each in await backups.all_backups(call.core, key)]
    items += [
        (task.created, _STATES[task.state])
        for task in await backups.readable_tasks(call.core)
        if task.volume_id == key and task.way is Way.BACKUP and task.state is not TaskState.DONE
    ]
    response = pb.SdkCloudBackupHistoryResponse()
    for created, state in sorted(items):
        item = response.history_list.add(src_volume_id=str(key), status=state)
        item.timestamp.FromDatetime(created)
    return response


async def state_change(
    call: Call, request: pb.SdkCloudBackupStateChangeRequest
) -> pb.SdkCloudBackupStateChangeResponse:
    """Let a task rest, go on, or end."""
    ref = required(request.task_id, _TASK)
    change = _CHANGES.get(request.requested_state)
    if change is None:
        refuse("requested_state: must be Pause, Resume or Stop")
    await change(call.core, await backups.task(call.core, ref, access=Access.WRITE))
    return pb.SdkCloudBackupStateChangeResponse()


async def size(call: Call, request: pb.SdkCloudBackupSizeRequest) -> pb.SdkCloudBackupSizeResponse:
    """Give how much a backup holds, and what restoring it takes."""
    ref = required(request.backup_id, _BACKUP)
    found = await backups.backup(call.core, await credential_of(call, request.credential_id), ref)
    return pb.SdkCloudBackupSizeResponse(
        size=found.stored,
        total_download_bytes=found.stored,
        compressed_object_bytes=found.stored,
        capacity_required_for_restore=found.size,
    )


async def _source(call: Call, ref: str) -> UUID | None:
    """Give the id of a volume that may be gone by now; None for what is no id and no name."""
    try:
        return (await find_volume(call, ref, Access.READ)).id
    except errors.NotFound:
        pass
    try:
        return UUID(ref)
    except ValueError:
        return None


async def _of_volume(call: Call, credential: Credential, ref: str) -> list[Backup]:
    key = await _source(call, ref)
    return [each for each in await backups.backups(call.core, credential) if each.volume_id == key]


async def _new(call: Call, request: pb.SdkCloudBackupRestoreRequest, found: Backup) -> NewVolume:
    """Give the volume that is to be restored."""
    for field, _ in request.spec.ListFields():
        if field.name not in _RESPECIFIED:
            refuse(f"spec.{field.name}: cannot be another one than in the backup")
    pool = await placing.pool_with(call, found.kind, request.spec.replica_set.pool_uuids)
    ownership = read_ownership(request.spec.ownership) if request.spec.HasField("ownership") else None
    text = found.annotations.get(specs.SPEC)
    return NewVolume(
        name=request.restore_volume_name or request.locator.name or f"{found.volume}-{found.id.hex[:8]}",
        tenant_id=await call.site.tenant_id(call.core),
        pool_id=pool.id,
        size=found.size,
        kind=found.kind,
        labels=dict(request.locator.volume_labels),
        annotations={} if text is None else {specs.SPEC: specs.by_itself(text)},
        root=found.root,
        ownership=ownership,
        replica=True,
    )


def _meets(call: Call, each: Backup, request: pb.SdkCloudBackupEnumerateWithFiltersRequest) -> bool:
    return (
        request.cluster_id in {"", call.site.cluster_id}
        and request.cloud_backup_id in {"", str(each.id)}
        and request.status_filter in {pb.SdkCloudBackupStatusTypeUnknown, _DONE}
        and dict(request.metadata_filter).items() <= each.labels.items()
    )


def _info(each: Backup) -> pb.SdkCloudBackupInfo:
    shown = pb.SdkCloudBackupInfo(
        id=str(each.id),
        src_volume_id=str(each.volume_id),
        src_volume_name=each.volume,
        metadata=each.labels,
        status=_DONE,
        cluster_type=pb.SdkCloudBackupClusterType.CURRENT_CLUSTER,
    )
    shown.timestamp.FromDatetime(each.created)
    return shown


def _status(call: Call, task: Task) -> pb.SdkCloudBackupStatus:
    shown = pb.SdkCloudBackupStatus(
        backup_id=str(task.backup_id),
        optype=_OPERATIONS[task.way],
        status=_STATES[task.state],
        bytes_done=task.done,
        bytes_total=task.done if task.total is None else task.total,
        node_id=call.site.node_id,
        src_volume_id=str(task.volume_id),
        credential_id=str(task.credential_id),
    )
    if task.group_id is not None:
        shown.group_id = str(task.group_id)
    shown.start_time.FromDatetime(task.created)
    if task.ended is not None:
        shown.completed_time.FromDatetime(task.ended)
    if task.error is not None:
        error = errors.from_record(task.error)
        reason = getattr(error, "reason", "")
        shown.info.append(f"{encode_error(error, '').text}{f': {reason}' if reason else ''}")
    return shown
