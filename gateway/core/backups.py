"""Use cases of backups: copies of volumes in object stores, where credentials let them be kept.

A copy is a snapshot of a volume of objects in a pool outside of this gateway's
own pools: the vault of the credential. All backups of a volume are snapshots
of one such volume, so each is whole by itself, and what did not change is in
the store once.

What is kept is known by documents: a backup is there when its document is. The
work itself is a `Task`, which a crash does not end: see `gateway.core.backing`.
"""

from __future__ import annotations

import enum
from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractAsyncContextManager
from datetime import datetime
from typing import TypeVar
from urllib.parse import unquote
from uuid import UUID, uuid4

import msgspec

from gateway.core import credentials, documents, errors
from gateway.core.capability import require
from gateway.core.catalog import put
from gateway.core.context import Core
from gateway.core.credentials import Credential, Vault
from gateway.core.errors import ErrorRecord
from gateway.core.groups import require_count, require_together
from gateway.core.manifest import CLUSTER_ID
from gateway.core.model import Document, RootDirectory, Volume, VolumeKind, utc_now
from gateway.core.mover import OURS, ObjectPlace
from gateway.core.ownership import Access, Ownership, may, permit
from gateway.core.receiving import content_kind, source_handle
from gateway.core.replicas import require_whole
from gateway.core.volumes import check_text

BACKUP, TASK = "backup", "backup.task"
"""The kinds of documents that hold backups, named by their ids, and tasks, named as whoever asked for them says."""

_TASKS_KEPT = 50
"""So many tasks of a volume are remembered."""

_RETRIES = 20
_LABELS_MAX = 8192
_NOWHERE = ObjectPlace(endpoint="", region="", bucket="", prefix="")

D = TypeVar("D", bound=msgspec.Struct)


class Way(enum.StrEnum):
    """Which way content goes."""

    BACKUP = "backup"
    RESTORE = "restore"


class TaskState(enum.StrEnum):
    """`paused` and `active` tasks go on; all others have ended."""

    ACTIVE = "active"
    PAUSED = "paused"
    STOPPED = "stopped"
    DONE = "done"
    FAILED = "failed"


UNDER_WAY = frozenset({TaskState.ACTIVE, TaskState.PAUSED})


class Task(msgspec.Struct, frozen=True, kw_only=True):
    """The making of a backup, or of a volume from one. `volume_id` is the volume's of this gateway.

    `snapshot_id` is what a backup is made of; it goes afterwards. `full`: content is compared, and no times
    trusted. `wanted` is how a task ends that is under way. `owner`: the process that carries it.
    Tasks with one `group_id` copy what their volumes are at one instant.
    """

    id: str
    way: Way
    backup_id: UUID
    volume_id: UUID
    credential_id: UUID
    created: datetime
    snapshot_id: UUID
    owner: str
    state: TaskState = TaskState.ACTIVE
    wanted: TaskState = TaskState.DONE
    full: bool = False
    labels: dict[str, str] = {}
    schedule_id: UUID | None = None
    group_id: UUID | None = None
    done: int = 0
    total: int | None = None
    ended: datetime | None = None
    error: ErrorRecord | None = None
    ownership: Ownership | None = None


class Backup(msgspec.Struct, frozen=True, kw_only=True):
    """A copy of a volume, as that was at `created`. `moved`: bytes that were written for it; `stored`: all that it has.

    `place` is the bucket: any credential for it reaches the backup.
    `annotations`, `root` and `ownership` are the volume's.
    """

    id: UUID
    place: str
    volume_id: UUID
    volume: str
    tenant_id: UUID
    kind: VolumeKind
    size: int
    created: datetime
    full: bool
    moved: int
    stored: int
    labels: dict[str, str] = {}
    annotations: dict[str, str] = {}
    root: RootDirectory = RootDirectory()
    ownership: Ownership | None = None
    schedule_id: UUID | None = None


class NewBackup(msgspec.Struct, frozen=True, kw_only=True):
    """What a caller says about a backup. `full_every`: after so many that are not full comes a full one; 0: never."""

    volume_id: UUID
    credential: Credential
    task_id: str = ""
    full: bool = False
    full_every: int = 0
    labels: Mapping[str, str] = {}
    schedule_id: UUID | None = None


# --- backups ---


async def drawn_up(core: Core, new: NewBackup) -> Task:
    """Keep the task of a new backup, which `gateway.core.backing.carry` carries out.

    AlreadyExists for its id, Busy while the volume is being backed up, Unsupported where nothing leads to a store.
    """
    (task,) = await _drawn_up(core, (new,), group_id=None)
    return task


async def drawn_up_together(core: Core, members: Sequence[NewBackup]) -> list[Task]:
    """Keep the tasks of new backups, in the order of their volumes, which will all be of one instant.

    Raises for any of them what `drawn_up` raises for one, and nothing is kept;
    what `gateway.core.groups.create` raises where there is no such instant.
    """
    require_count(len(members))
    volumes = [await core.get(Volume, new.volume_id) for new in members]
    if len({volume.id for volume in volumes}) < len(volumes):
        raise errors.InvalidArgument(field="members", reason="a volume is named twice")
    if len(volumes) > 1:
        require_together(core, volumes)
    return await _drawn_up(core, members, group_id=uuid4())


async def _drawn_up(core: Core, members: Sequence[NewBackup], *, group_id: UUID | None) -> list[Task]:
    _require_going(core)
    volumes = [await _required(core, new) for new in members]
    async with core.changes.locks.holding(*(volume.id for volume in volumes)):
        going = {one.volume_id for one in await tasks(core) if one.state in UNDER_WAY}
        drawn = []
        for new, volume in zip(members, volumes, strict=True):
            await require_whole(core, volume, action="back up")
            if volume.id in going:
                raise errors.Busy(what=f"volume {volume.name}", retry_after=1)
            drawn.append(await _task(core, new, volume, group_id=group_id))
        kept = (documents.drawn_up(TASK, task.id, encoded(task), passing=True) for task in drawn)
        await core.catalog.commit(put(*kept))
    for volume in volumes:
        await _forget_old(core, volume.id)
    return drawn


async def _required(core: Core, new: NewBackup) -> Volume:
    """Give the volume that is to be backed up; raise what forbids that."""
    volume = await core.get(Volume, new.volume_id)
    if core.caller is not None:
        permit(core.caller, volume, Access.READ, action="back up")
    for key, value in new.labels.items():
        check_text("labels", f"{key}{value}", _LABELS_MAX)
    if not new.credential.account.bucket:
        raise errors.InvalidArgument(field="credential_id", reason="names no bucket")
    await _require_way(core, volume)
    return volume


async def _task(core: Core, new: NewBackup, volume: Volume, *, group_id: UUID | None) -> Task:
    return Task(
        id=new.task_id or str(uuid4()),
        way=Way.BACKUP,
        backup_id=uuid4(),
        volume_id=volume.id,
        credential_id=new.credential.id,
        created=utc_now(),
        snapshot_id=uuid4(),
        owner=core.catalog.owner,
        full=new.full or await _is_due_full(core, new),
        labels=dict(new.labels),
        schedule_id=new.schedule_id,
        group_id=group_id,
        ownership=volume.ownership,
    )


def _require_going(core: Core) -> None:
    if core.changes.draining:
        raise errors.Unavailable(what="gateway", reason="it is stopping")


async def _require_way(core: Core, volume: Volume) -> None:
    require(core.pools.get(volume.pool_id).capability(volume.kind), "snapshot")
    mover = core.changes.context.mover
    reason = "there is no mover"
    if mover is not None:
        source = await source_handle(core.pools.get(volume.pool_id), volume.id, None)
        reason = mover.reaches(content_kind(volume.kind, VolumeKind.OBJECTS), source, _NOWHERE)
    if reason or core.stores is None:
        backend = core.pools.get(volume.pool_id).name
        raise errors.Unsupported(capability="backup", backend=backend, reason=reason or "nothing reaches stores")


async def _is_due_full(core: Core, new: NewBackup) -> bool:
    since = 0
    for backup in reversed(await backups(core, new.credential)):
        if backup.volume_id == new.volume_id:
            if backup.full:
                break
            since += 1
    return bool(new.full_every) and since >= new.full_every


async def restoring(core: Core, credential: Credential, found: Backup, volume_id: UUID, *, task_id: str = "") -> Task:
    """Keep the task of filling a new volume, which nobody writes to yet, with a backup."""
    _require_going(core)
    task = Task(
        id=task_id or str(uuid4()),
        way=Way.RESTORE,
        backup_id=found.id,
        volume_id=volume_id,
        credential_id=credential.id,
        created=utc_now(),
        snapshot_id=uuid4(),
        owner=core.catalog.owner,
        ownership=(await core.get(Volume, volume_id)).ownership,
    )
    await documents.create(core, TASK, task.id, encoded(task), passing=True)
    return task


async def backups(core: Core, credential: Credential) -> list[Backup]:
    """Give the backups at a credential that the caller may read, the oldest first."""
    found = [decoded(each, Backup) for each in await documents.all_of(core, BACKUP)]
    here = [each for each in found if each.place == credential.account.place]
    return sorted(
        (each for each in here if may(core.caller, each.ownership, Access.READ)),
        key=lambda each: (each.created, each.id),
    )


async def all_backups(core: Core, volume_id: UUID) -> list[Backup]:
    """Give the backups of a volume, wherever they are, that the caller may read."""
    found = [decoded(each, Backup) for each in await documents.all_of(core, BACKUP)]
    return [each for each in found if each.volume_id == volume_id and may(core.caller, each.ownership, Access.READ)]


async def backup(core: Core, credential: Credential, ref: str, *, access: Access = Access.READ) -> Backup:
    """Give a backup at a credential; NotFound, PermissionDenied."""
    document = await documents.named(core, BACKUP, ref)
    found = None if document is None else decoded(document, Backup)
    if found is None or found.place != credential.account.place:
        raise errors.NotFound(kind="Backup", ref=ref[:64])
    if not may(core.caller, found.ownership, access):
        raise errors.PermissionDenied(action=f"use backup {found.id}")
    return found


async def delete(core: Core, credential: Credential, found: Backup) -> None:
    """Remove a backup from its store. InUse while it is being restored."""
    going = [one for one in await tasks(core) if one.state in UNDER_WAY]
    if any(one.backup_id == found.id for one in going):
        raise errors.InUse(kind="backup", ref=str(found.id), by="a restore", action="delete")
    async with await vault(core, credential) as there:
        await there.delete_snapshot(found.volume_id, found.id)
        if not any(one.volume_id == found.volume_id and one.way is Way.BACKUP for one in going):
            await clear(there, found.volume_id)
    await documents.delete(core, BACKUP, str(found.id))


async def clear(there: Vault, volume_id: UUID) -> None:
    """Remove what is kept of a volume in a vault, unless there are backups of it."""
    async for seen in there.scan_snapshots():
        if seen.volume_id == volume_id:
            return
    await there.delete(volume_id)


async def contents(core: Core, credential: Credential, found: Backup, *, most: int) -> list[str]:
    """Give the paths of at most so many files in a backup; of blocks there is the volume's name alone."""
    if found.kind is VolumeKind.BLOCK:
        return [found.volume]
    paths = ["/"]
    async with await vault(core, credential) as there:
        async for each in there.objects(found.volume_id, found.id):
            if each.key.startswith(OURS):
                continue
            if len(paths) == most:
                break
            paths.append(f"/{unquote(each.key)}")
    return paths


async def vault(core: Core, credential: Credential) -> AbstractAsyncContextManager[Vault]:
    """Give what opens the place of this gateway's backups at a credential."""
    if core.stores is None:
        raise errors.Unsupported(capability="backup", backend="gateway", reason="nothing reaches object stores")
    keys = await credentials.keys_of(core, credential)
    cluster = await core.catalog.setting(CLUSTER_ID)
    return core.stores.vault(credential.account, keys, f"backups/{cluster}/")


# --- tasks ---


async def tasks(core: Core) -> list[Task]:
    """Give all tasks that are remembered, whoever's they are, the oldest first."""
    found = [decoded(each, Task) for each in await documents.all_of(core, TASK)]
    return sorted(found, key=lambda each: each.created)


async def readable_tasks(core: Core) -> list[Task]:
    """Give the tasks that the caller may know of."""
    return [one for one in await tasks(core) if may(core.caller, one.ownership, Access.READ)]


async def task(core: Core, task_id: str, *, access: Access = Access.READ) -> Task:
    """Give a task; NotFound, PermissionDenied."""
    document = await documents.named(core, TASK, task_id)
    if document is None:
        raise errors.NotFound(kind="Task", ref=task_id[:64])
    found = decoded(document, Task)
    if not may(core.caller, found.ownership, access):
        raise errors.PermissionDenied(action=f"use task {task_id[:64]}")
    return found


async def amend(core: Core, task_id: str, change: Callable[[Task], Task]) -> Task:
    """Read, change and write a task; a race with somebody else reads again."""
    for _ in range(_RETRIES):
        document = await documents.named(core, TASK, task_id)
        if document is None:
            raise errors.NotFound(kind="Task", ref=task_id[:64])
        before = decoded(document, Task)
        after = change(before)
        if after == before:
            return before
        try:
            await documents.replace(core, document, encoded(after))
        except errors.StaleRevision:
            continue
        return after
    raise errors.Busy(what=f"task {task_id[:64]}", retry_after=1)


async def _forget_old(core: Core, volume_id: UUID) -> None:
    ended = [one for one in await tasks(core) if one.volume_id == volume_id and one.state not in UNDER_WAY]
    for one in ended[:-_TASKS_KEPT]:
        await documents.delete(core, TASK, one.id)


def decoded(document: Document, kind: type[D]) -> D:
    """Give what a document holds."""
    return msgspec.json.decode(document.body, type=kind)


def encoded(record: msgspec.Struct) -> str:
    """Give a document's body."""
    return msgspec.json.encode(record).decode()
