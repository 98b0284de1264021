"""One backup or restore, from its task to its end; each step can be done again by whoever takes it over.

The snapshot that is copied has its id from the beginning, and so has the
backup: what a crash interrupted is begun again, and goes on where it was.
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from contextlib import AbstractAsyncContextManager, suppress
from functools import partial
from uuid import NAMESPACE_OID, UUID, uuid5

import msgspec

from gateway.core import backups, credentials, documents, errors, groups, snapshots, volumes
from gateway.core.backend import Note, VolumeSpec
from gateway.core.backups import BACKUP, UNDER_WAY, Backup, Task, TaskState, Way
from gateway.core.context import Core
from gateway.core.credentials import Credential, Vault
from gateway.core.model import Snapshot, SnapshotState, Volume, VolumeKind, utc_now
from gateway.core.mover import MoveJob, MoveProgress, Place
from gateway.core.receiving import destination_handle, moved, source_handle
from gateway.core.snapshots import NewSnapshot
from gateway.core.transferring import mark
from gateway.core.volumes import NewVolume

FAULTS = ("backup.begun", "backup.taken", "backup.moved", "backup.kept", "backup.recorded", "backup.tidied")
"""The points of a run: behind each of its steps."""

_DESCRIPTION = "Backup task {}"


def carry(core: Core, task: Task) -> None:
    """Let this process carry a task to its end, unless it does already."""
    key, carried = key_of(task.id), core.changes.context.carried
    if carried.task(key) is None:
        carried.announce(key)
        carried.add(key, core.changes.spawn_batch(_Run(core, task).run()))


async def restore(
    core: Core, credential: Credential, found: Backup, new: NewVolume, *, task_id: str = "", description: str
) -> Task:
    """Make a volume, begin to fill it with a backup, and give the task. It goes on whoever waits.

    `new.replica` has to be set: nobody writes to the volume before all of it is there. AlreadyExists for the task's id.
    """
    making = core.changes.spawn_batch(
        _restoring(core, credential, found, new, task_id=task_id, description=description)
    )
    return await asyncio.shield(making)


async def _restoring(
    core: Core, credential: Credential, found: Backup, new: NewVolume, *, task_id: str, description: str
) -> Task:
    made = (await (await volumes.create(core, new, description=description)).result()).target_id
    assert made is not None  # noqa: S101 - a job that made a volume knows it
    try:
        task = await backups.restoring(core, credential, found, made, task_id=task_id)
    except errors.GatewayError:
        await (await volumes.delete(core, made, description=f"{description}, undone")).result()
        raise
    carry(core, task)
    return task


async def pause(core: Core, task: Task) -> None:
    """Let a task rest until `resume`. InvalidState unless it is active."""
    await _halt(core, task, TaskState.PAUSED)


async def stop(core: Core, task: Task) -> None:
    """End a task for good; nothing stays of what it was making. InvalidState when it has ended."""
    if task.state is not TaskState.PAUSED:
        await _halt(core, task, TaskState.STOPPED)
        return
    await resume(core, task, wanted=TaskState.STOPPED)
    running = core.changes.context.carried.task(key_of(task.id))
    if running is not None:
        await running


async def resume(core: Core, task: Task, *, wanted: TaskState = TaskState.DONE) -> None:
    """Let a paused task go on. InvalidState unless it is paused."""

    def resumed(one: Task) -> Task:
        if one.state is not TaskState.PAUSED:
            raise errors.InvalidState(kind="task", ref=one.id, state=one.state, action="resume")
        return msgspec.structs.replace(one, state=TaskState.ACTIVE, wanted=wanted, owner=core.catalog.owner)

    carry(core, await backups.amend(core, task.id, resumed))


async def take_over(core: Core) -> int:
    """Carry on what processes that died were carrying; give how many tasks that are."""
    taken = 0
    for task in await backups.tasks(core):
        if task.state is not TaskState.ACTIVE or core.changes.draining:
            continue
        if core.changes.context.carried.task(key_of(task.id)) is not None:
            continue
        if task.owner != core.catalog.owner and await core.catalog.lives(task.owner):
            continue
        carry(core, await backups.amend(core, task.id, partial(_owned, core.catalog.owner)))
        taken += 1
    return taken


async def tidy(core: Core) -> int:
    """Remove the snapshots that ended tasks could not; give how many."""
    ended = [one for one in await backups.tasks(core) if one.state not in UNDER_WAY]
    left = await core.catalog.get_many(Snapshot, {one.snapshot_id for one in ended})
    removed = 0
    for snapshot_id in left:
        with suppress(errors.GatewayError):  # the next pass tries again
            await (await snapshots.delete(core, snapshot_id, description="What a backup left")).result()
            removed += 1
    return removed


def _owned(owner: str, task: Task) -> Task:
    return msgspec.structs.replace(task, owner=owner)


def key_of(task_id: str) -> UUID:
    """Give the id by which a task is carried."""
    return uuid5(NAMESPACE_OID, f"backup/{task_id}")


async def _halt(core: Core, task: Task, wanted: TaskState) -> None:
    def halted(one: Task) -> Task:
        if one.state is not TaskState.ACTIVE:
            raise errors.InvalidState(kind="task", ref=one.id, state=one.state, action="change the state of")
        return msgspec.structs.replace(one, wanted=wanted)

    carried = core.changes.context.carried
    running = carried.task(key_of(task.id))
    if running is None and halted(task):
        raise errors.Conflict(kind="task", ref=task.id, holder=task.owner)
    await backups.amend(core, task.id, halted)
    carried.halt(key_of(task.id))
    if running is not None:
        await running


class _Run:
    """Carries one task."""

    def __init__(self, core: Core, task: Task) -> None:
        self._core = msgspec.structs.replace(core, caller=None, request="")
        self._task = task
        self._fault = core.changes.context.fault
        self._halted = core.changes.context.carried.halted(key_of(task.id))
        self._progress = MoveProgress()
        self._before = task.done
        self._description = _DESCRIPTION.format(task.id)

    async def run(self) -> None:
        """Do all of it, or as much as there is time for until the gateway stops."""
        stopping = self._core.changes.context.stopping
        try:
            self._fault("backup.begun")
            self._require_going()
            await (self._back_up() if self._task.way is Way.BACKUP else self._restore())
        except errors.GatewayError as error:
            if not (stopping.is_set() and not self._halted.is_set()):
                await self._end(error)
        except Exception as error:  # noqa: BLE001 - a defect must not leave the task under way for ever
            await self._end(errors.Internal(incident=self._core.changes.defect(error)))
        else:
            await self._end(None)

    def _require_going(self) -> None:
        if self._halted.is_set() or self._task.wanted is not TaskState.DONE:
            raise errors.Unavailable(what="task", reason="it was stopped")

    # --- a backup ---

    async def _back_up(self) -> None:
        core, task = self._core, self._task
        if await documents.named(core, BACKUP, str(task.backup_id)) is not None:
            return
        snapshot = await self._snapshot()
        volume = await core.get(Volume, task.volume_id)
        stored = await self._kept(volume, snapshot)
        made = Backup(
            id=task.backup_id,
            place=(await self._credential()).account.place,
            volume_id=volume.id,
            volume=volume.name,
            tenant_id=volume.tenant_id,
            kind=volume.kind,
            size=snapshot.volume_size or volume.size,
            created=snapshot.created,
            full=task.full,
            moved=self._before + self._progress.bytes_transferred,
            stored=stored,
            labels=task.labels,
            annotations=volume.annotations,
            root=volume.root,
            ownership=volume.ownership,
            schedule_id=task.schedule_id,
        )
        with suppress(errors.AlreadyExists):
            await documents.create(core, BACKUP, str(made.id), backups.encoded(made))
        self._fault("backup.recorded")

    async def _kept(self, volume: Volume, snapshot: Snapshot) -> int:
        """Have the store hold what the snapshot does, and give how many bytes that is there."""
        backup_id, size = self._task.backup_id, snapshot.volume_size or volume.size
        async with await self._vault() as vault:
            if await vault.inspect(volume.id) is None:
                await vault.create(VolumeSpec(id=volume.id, kind=VolumeKind.OBJECTS, size=size, note=_note(volume)))
            if await vault.inspect_snapshot(volume.id, backup_id) is None:
                source = await source_handle(self._core.pools.get(volume.pool_id), volume.id, snapshot.id)
                await self._move(volume.kind, source, await vault.place(volume.id), size)
                self._fault("backup.moved")
                await vault.snapshot(volume.id, backup_id, _note(volume))
            self._fault("backup.kept")
            stored = 0
            async for each in vault.objects(volume.id, backup_id):
                stored += each.size
            return stored

    async def _snapshot(self) -> Snapshot:
        """Give the snapshot that is copied; it is taken now when it is not there."""
        core, task = self._core, self._task
        found = await core.catalog.get(Snapshot, task.snapshot_id)
        if found is not None and found.state is SnapshotState.VALID:
            return found
        if task.group_id is None:
            await self._take((task,))
        else:
            async with core.changes.locks.holding(task.group_id):
                await self._take_group(task.group_id)
        self._fault("backup.taken")
        return await core.get(Snapshot, task.snapshot_id)

    async def _take_group(self, group_id: UUID) -> None:
        """Take the snapshots of a group, unless another of its tasks did meanwhile; InvalidState once one has ended."""
        core = self._core
        if await core.catalog.get(Snapshot, self._task.snapshot_id) is not None:
            return
        group = [one for one in await backups.tasks(core) if one.group_id == group_id]
        for one in group:
            if one.state not in UNDER_WAY:
                raise errors.InvalidState(kind="task", ref=one.id, state=one.state, action="snapshot the group of")
        with suppress(errors.AlreadyExists):  # by another gateway, which carries another task of the group
            await self._take(group)

    async def _take(self, tasks: Sequence[Task]) -> None:
        new = [
            NewSnapshot(name=f"cloudbackup.{one.backup_id}", volume_id=one.volume_id, label="cloudbackup")
            for one in tasks
        ]
        ids = [one.snapshot_id for one in tasks]
        if len(tasks) == 1:
            taking = await snapshots.create(self._core, new[0], snapshot_id=ids[0], description=self._description)
        else:
            taking = await groups.create(self._core, new, ids=ids, description=self._description)
        await taking.result()

    # --- a restore ---

    async def _restore(self) -> None:
        core, task = self._core, self._task
        volume = await core.get(Volume, task.volume_id)
        document = await documents.named(core, BACKUP, str(task.backup_id))
        if document is None:
            raise errors.NotFound(kind="Backup", ref=str(task.backup_id))
        found = backups.decoded(document, Backup)
        async with await self._vault() as vault:
            source = await vault.place(found.volume_id, found.id)
            destination = await destination_handle(core.pools.get(volume.pool_id), volume.id)
            await self._move(found.kind, source, destination, volume.size)
        self._fault("backup.moved")
        await mark(core, volume.id, None, description=self._description)

    # --- both ---

    async def _vault(self) -> AbstractAsyncContextManager[Vault]:
        return await backups.vault(self._core, await self._credential())

    async def _credential(self) -> Credential:
        return await credentials.get(self._core, str(self._task.credential_id))

    async def _move(self, kind: VolumeKind, source: Place, destination: Place, size: int) -> None:
        job = MoveJob(
            id=key_of(self._task.id), kind=kind, source=source, destination=destination, size=size, full=self._task.full
        )
        context = self._core.changes.context
        self._follow(await moved(context, job, self._halted, follow=self._follow, tell=self._tell))

    def _follow(self, progress: MoveProgress) -> None:
        self._progress = progress

    async def _tell(self) -> None:
        """Write down how far it is."""
        with suppress(errors.Busy):
            await backups.amend(self._core, self._task.id, self._counted)

    def _counted(self, task: Task) -> Task:
        total = self._progress.bytes_total
        return msgspec.structs.replace(
            task,
            done=self._before + self._progress.bytes_transferred,
            total=None if total is None else self._before + total,
        )

    async def _end(self, error: errors.GatewayError | None) -> None:
        """Tidy up, and write how it ended."""
        core = self._core
        wanted = (await backups.task(core, self._task.id)).wanted
        state = TaskState.DONE if error is None else TaskState.FAILED
        if error is not None and wanted is not TaskState.DONE:
            state, error = wanted, None
        if state not in UNDER_WAY:
            with suppress(errors.GatewayError):
                await self._tidy(state)
        self._fault("backup.tidied")

        def ended(task: Task) -> Task:
            return msgspec.structs.replace(
                self._counted(task),
                state=state,
                wanted=TaskState.DONE,
                ended=None if state in UNDER_WAY else utc_now(),
                error=None if error is None else error.to_record(),
            )

        await backups.amend(core, self._task.id, ended)

    async def _tidy(self, state: TaskState) -> None:
        """Remove the snapshot that was copied, or the volume that did not come to be."""
        core, task = self._core, self._task
        if task.way is Way.BACKUP:
            with suppress(errors.NotFound):
                await (await snapshots.delete(core, task.snapshot_id, description=self._description)).result()
            if state is not TaskState.DONE:
                async with await self._vault() as vault:
                    await backups.clear(vault, task.volume_id)
        elif state is not TaskState.DONE:
            with suppress(errors.NotFound):
                await (await volumes.delete(core, task.volume_id, description=self._description)).result()


def _note(volume: Volume) -> Note:
    return Note(name=volume.name, tenant="", document=b"{}")
