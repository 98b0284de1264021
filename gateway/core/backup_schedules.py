"""Use cases of schedules by which backups are made, and the pass that makes those that are due.

`Backups.run` is one pass. What a schedule made is known by the tasks and
backups that name it, so a pass that a crash interrupted is simply made again.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta
from uuid import UUID, uuid4

import msgspec

from gateway.core import backing, backups, credentials, documents, errors
from gateway.core.backups import Backup, NewBackup, decoded, encoded
from gateway.core.context import Core
from gateway.core.credentials import Credential
from gateway.core.intervals import Interval
from gateway.core.model import Volume, utc_now
from gateway.core.observer import Observer
from gateway.core.ownership import Access, Ownership, may, permit
from gateway.core.recurrence import checked, latest_due

KIND = "backup.schedule"
"""The kind of documents that hold them, named by their ids."""

_RETRIES = 20


class BackupSchedule(msgspec.Struct, frozen=True, kw_only=True):
    """When backups of a volume are made. Of each interval so many are kept as it says, of all at most `most` (0: any).

    `days`: older ones go (0: none do). `since`: what was due by then has been served.
    """

    id: UUID
    volume_id: UUID
    credential_id: UUID
    intervals: tuple[Interval, ...]
    since: datetime
    most: int = 0
    days: int = 0
    full: bool = False
    labels: dict[str, str] = {}
    ownership: Ownership | None = None


async def create(
    core: Core,
    volume: Volume,
    credential: Credential,
    intervals: Sequence[Interval],
    *,
    most: int = 0,
    days: int = 0,
    full: bool = False,
    labels: Mapping[str, str] = {},
) -> BackupSchedule:
    """Keep a schedule. InvalidArgument without intervals, or for one that is never due."""
    if core.caller is not None:
        permit(core.caller, volume, Access.WRITE, action="schedule backups of")
    made = BackupSchedule(
        id=uuid4(),
        volume_id=volume.id,
        credential_id=credential.id,
        intervals=_checked(intervals),
        since=utc_now(),
        most=most,
        days=days,
        full=full,
        labels=dict(labels),
        ownership=volume.ownership,
    )
    await documents.create(core, KIND, str(made.id), encoded(made))
    return made


async def update(core: Core, ref: str, changed: BackupSchedule) -> None:
    """Replace a schedule; what it has served is not served again."""
    before = await get(core, ref, access=Access.WRITE)
    kept = msgspec.structs.replace(
        changed, id=before.id, since=before.since, intervals=_checked(changed.intervals), ownership=before.ownership
    )
    for _ in range(_RETRIES):
        document = await documents.named(core, KIND, ref)
        if document is None:
            break
        try:
            await documents.replace(core, document, encoded(kept))
        except errors.StaleRevision:
            continue
        return
    raise errors.NotFound(kind="Backup schedule", ref=ref[:64])


async def get(core: Core, ref: str, *, access: Access = Access.READ) -> BackupSchedule:
    """Give a schedule; NotFound, PermissionDenied."""
    document = await documents.named(core, KIND, ref)
    if document is None:
        raise errors.NotFound(kind="Backup schedule", ref=ref[:64])
    found = decoded(document, BackupSchedule)
    if not may(core.caller, found.ownership, access):
        raise errors.PermissionDenied(action=f"use backup schedule {ref[:64]}")
    return found


async def schedules(core: Core) -> list[BackupSchedule]:
    """Give the schedules that the caller may read."""
    found = [decoded(each, BackupSchedule) for each in await documents.all_of(core, KIND)]
    return [each for each in found if may(core.caller, each.ownership, Access.READ)]


async def delete(core: Core, ref: str) -> None:
    """Forget a schedule; its backups stay. NotFound."""
    await get(core, ref, access=Access.WRITE)
    await documents.delete(core, KIND, ref)


async def forget(core: Core, credential: Credential) -> None:
    """Forget the schedules that use a credential."""
    for one in await schedules(core):
        if one.credential_id == credential.id:
            await delete(core, str(one.id))


async def require_unused(core: Core, credential: Credential) -> None:
    """Raise InUse while schedules or tasks use a credential, whoever's they are."""
    found = [decoded(each, BackupSchedule) for each in await documents.all_of(core, KIND)]
    going = [one for one in await backups.tasks(core) if one.state in backups.UNDER_WAY]
    for by, users in (("a backup schedule", found), ("a backup task", going)):
        if any(one.credential_id == credential.id for one in users):
            raise errors.InUse(kind="credential", ref=str(credential.id), by=by, action="delete")


def _checked(intervals: Sequence[Interval]) -> tuple[Interval, ...]:
    if not intervals:
        raise errors.InvalidArgument(field="schedules", reason="at least one is needed")
    return tuple(Interval(checked(each.recurrence), each.retain) for each in intervals)


class Backups:
    """Performs passes, one after the other. Of the processes that share a catalog one does this."""

    def __init__(self, core: Core, observer: Observer) -> None:
        self._core = core
        self._observer = observer
        self._told: dict[UUID, str] = {}

    async def run(self, now: datetime) -> int:
        """Carry on what a dead process left, and serve every schedule once; give how many backups were begun."""
        await backing.take_over(self._core)
        await backing.tidy(self._core)
        begun = 0
        for one in await schedules(self._core):
            if self._core.changes.draining:
                break
            try:
                begun += await self._serve(one, now)
            except (errors.Busy, errors.Conflict):
                continue  # somebody is at it
            except errors.GatewayError as error:
                if self._told.get(one.id) != str(error):
                    self._told[one.id] = str(error)
                    self._observer.event("backup_not_made", schedule=str(one.id), error=str(error))
            else:
                self._told.pop(one.id, None)
        return begun

    async def _serve(self, one: BackupSchedule, now: datetime) -> int:
        core = self._core
        if await core.catalog.get(Volume, one.volume_id) is None:
            await documents.delete(core, KIND, str(one.id))
            return 0
        credential = await credentials.get(core, str(one.credential_id))
        for surplus in _surplus(one, await backups.backups(core, credential), now):
            await backups.delete(core, credential, surplus)
        due = [latest for each in one.intervals if (latest := latest_due(each.recurrence, one.since, now)) is not None]
        if not due:
            return 0
        new = NewBackup(
            volume_id=one.volume_id, credential=credential, full=one.full, labels=one.labels, schedule_id=one.id
        )
        task = await backups.drawn_up(core, new)
        document = await documents.named(core, KIND, str(one.id))
        if document is not None:
            served = msgspec.structs.replace(decoded(document, BackupSchedule), since=max(due))
            await documents.replace(core, document, encoded(served))
        backing.carry(core, task)
        return 1


def _surplus(one: BackupSchedule, found: Sequence[Backup], now: datetime) -> list[Backup]:
    """Give what a schedule made and does not keep, the oldest first. Its newest stays in any case."""
    own = [each for each in found if each.schedule_id == one.id]
    most = one.most or sum(each.retain for each in one.intervals)
    many = own[: max(0, len(own) - most)] if most else []
    old = [each for each in own[:-1] if one.days and each.created < now - timedelta(days=one.days)]
    return [each for each in own if each in many or each in old]
