"""Backups as the core makes them: what a crash, a halt or a failure leaves, and what schedules make and remove."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, MutableMapping
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any
from uuid import UUID

import msgspec
import pytest
from core_scene import clone_of, make, snap, tenant_and_pool
from replication_scene import Lasting

from gateway.backends.memory import MemoryBackend, MemoryOptions
from gateway.core import backing, backup_schedules, backups, credentials, errors, volumes
from gateway.core.backend import FaultHook, StoredObject, no_fault
from gateway.core.backing import FAULTS
from gateway.core.backups import Backup, NewBackup, Task, TaskState
from gateway.core.context import Core
from gateway.core.credentials import Account, Credential
from gateway.core.handles import InProcess
from gateway.core.intervals import Interval
from gateway.core.model import Snapshot, Volume, VolumeKind
from gateway.core.mover import Place
from gateway.core.observer import SilentObserver
from gateway.core.ownership import Access, Ownership
from gateway.core.pools import Configured
from gateway.core.principal import Principal
from gateway.core.query import Query
from gateway.core.recurrence import Daily
from gateway.core.secret import AccessKeys, Secret
from gateway.testing.cores import core_on
from gateway.testing.memory_mover import MemoryMover

ACCOUNT = Account(endpoint="store.example", region="here", access_key="A", bucket="b")
KEPT = "kept:"
NOW = datetime.now(UTC)
RESTORE_FAULTS = ("backup.begun", "backup.moved", "backup.tidied")


class Died(BaseException):
    """The process is gone."""


class Dying:
    """A fault hook by which the process dies at a point, once."""

    def __init__(self, point: str) -> None:
        self.point = point

    def __call__(self, point: str) -> None:
        if point == self.point:
            self.point = ""
            raise Died


class MemoryVault(MemoryBackend):
    """What is kept in a store, in memory."""

    async def place(self, volume: UUID, snapshot: UUID | None = None) -> InProcess:
        found = await self.access(volume, snapshot)
        return msgspec.structs.replace(found, key=KEPT + found.key)

    async def objects(
        self, volume: UUID, snapshot: UUID | None, *, prefix: str = "", after: str = ""
    ) -> AsyncIterator[StoredObject]:
        for key, data in self.content(f"{volume}/{snapshot}").items():
            yield StoredObject(
                key=key, size=len(data), etag="", modified=NOW, bucket="b", stored_key=prefix + after, version=""
            )


class Stores:
    """One store, that takes everybody."""

    def __init__(self) -> None:
        self.kept = MemoryVault("vault", MemoryOptions())
        self.error: errors.GatewayError | None = None

    async def check(self, account: Account, keys: AccessKeys | None) -> None:
        """Take whoever comes."""

    @asynccontextmanager
    async def vault(self, _account: Account, _keys: AccessKeys | None, _prefix: str) -> AsyncIterator[Any]:
        if self.error is not None:
            raise self.error
        yield self.kept


class VaultMover(MemoryMover):
    """A mover that finds its way into the vault too."""

    def __init__(self, pool: MemoryBackend, vault: MemoryVault) -> None:
        super().__init__([pool])
        self._vault = vault

    def reaches(self, _kind: VolumeKind, _source: Place, _destination: Place) -> str:
        return self.why_not

    def _files(self, handle: Place) -> MutableMapping[str, bytes]:
        if isinstance(handle, InProcess) and handle.key.startswith(KEPT):
            return self._vault.content(handle.key.removeprefix(KEPT))
        return super()._files(handle)


class Scene:
    """A pool, a store, and the mover between them, which outlive cores."""

    def __init__(self, folder: Path) -> None:
        self.pool = Lasting("memory")
        self.stores = Stores()
        self.mover = VaultMover(self.pool, self.stores.kept)
        self.core: Core
        self._folder = folder

    @asynccontextmanager
    async def running(self, fault: FaultHook = no_fault) -> AsyncIterator[Core]:
        pools = [Configured("memory", self.pool)]
        async with core_on(self._folder, pools, mover=self.mover, fault=fault) as core:
            self.core = msgspec.structs.replace(core, stores=self.stores)
            yield self.core

    async def begun(self, **more: Any) -> tuple[Volume, Credential]:
        """Give a volume with content, and a credential."""
        volume = await make(self.core, "v", **more)
        self.pool.write(volume.id, "f", b"content")
        return volume, await credentials.create(self.core, "c", ACCOUNT, secret=Secret("secret"))

    async def start(self, volume: Volume, credential: Credential, **more: Any) -> Task:
        task = await backups.drawn_up(self.core, NewBackup(volume_id=volume.id, credential=credential, **more))
        backing.carry(self.core, task)
        return task

    async def back_up(self, volume: Volume, credential: Credential, **more: Any) -> Task:
        return await self.ended(await self.start(volume, credential, **more))

    async def restore(self, credential: Credential, found: Backup, *, task_id: str = "") -> Task:
        tenant, pool = await tenant_and_pool(self.core)
        new = volumes.NewVolume(
            name="restored", tenant_id=tenant.id, pool_id=pool.id, size=found.size, kind=found.kind, replica=True
        )
        return await backing.restore(self.core, credential, found, new, task_id=task_id, description="test")

    async def ended(self, task: Task) -> Task:
        """Give a task as it is when this process carries it no more."""
        running = self.core.changes.context.carried.task(backing.key_of(task.id))
        if running is not None:
            await asyncio.wait({running})
        return await backups.task(self.core, task.id)

    async def passed(self, now: datetime = NOW) -> int:
        """Make a pass, and wait for what it began."""
        begun = await backup_schedules.Backups(self.core, SilentObserver()).run(now)
        for task in await backups.tasks(self.core):
            await self.ended(task)
        return begun

    async def snapshots(self) -> int:
        return len((await self.core.catalog.page(Snapshot, Query())).records)

    async def kept(self) -> list[UUID]:
        """Give the backups that the store has."""
        return [seen.id async for seen in self.stores.kept.scan_snapshots() if seen.id is not None]


@pytest.fixture
def scene(tmp_path: Path) -> Scene:
    return Scene(tmp_path)


@pytest.fixture
async def core(scene: Scene) -> AsyncIterator[Core]:
    async with scene.running() as core:
        yield core


@pytest.mark.parametrize("point", FAULTS)
async def test_a_backup_that_a_crash_interrupts_is_made_once(scene: Scene, point: str) -> None:
    async with scene.running(Dying(point)):
        volume, credential = await scene.begun()
        task = await scene.ended(await scene.start(volume, credential))
        assert task.state is TaskState.ACTIVE
    async with scene.running() as core:
        assert await scene.passed() == 0
        assert (await scene.ended(task)).state is TaskState.DONE
        (found,) = await backups.backups(core, credential)
        assert await scene.kept() == [found.id]
        assert await scene.snapshots() == 0
        assert dict(scene.stores.kept.content(f"{volume.id}/{found.id}")) == {"f": b"content"}


@pytest.mark.parametrize("point", RESTORE_FAULTS)
async def test_a_restore_that_a_crash_interrupts_goes_on(scene: Scene, point: str) -> None:
    async with scene.running():
        volume, credential = await scene.begun()
        await scene.back_up(volume, credential)
    async with scene.running(Dying(point)) as core:
        (found,) = await backups.backups(core, credential)
        task = await scene.ended(await scene.restore(credential, found))
        assert task.state is TaskState.ACTIVE
    async with scene.running() as core:
        await scene.passed()
        assert (await scene.ended(task)).state is TaskState.DONE
        assert (await core.get(Volume, task.volume_id)).replica_of is None
        assert dict(scene.pool.files(task.volume_id)) == {"f": b"content"}


async def grouped(scene: Scene) -> tuple[list[Task], list[Volume], Credential]:
    """Give the tasks of two volumes that are to be backed up as they are at one instant."""
    core = scene.core
    first, credential = await scene.begun()
    second = await make(core, "w")
    scene.pool.write(second.id, "f", b"others")
    members = [NewBackup(volume_id=each.id, credential=credential) for each in (first, second)]
    return await backups.drawn_up_together(core, members), [first, second], credential


@pytest.mark.parametrize("point", FAULTS)
async def test_a_group_that_a_crash_interrupts_is_of_one_instant(scene: Scene, point: str) -> None:
    async with scene.running(Dying(point)) as core:
        tasks, pair, credential = await grouped(scene)
        for task in tasks:
            backing.carry(core, task)
        for task in tasks:
            await scene.ended(task)
    # What clients write now is in a backup only when no snapshot was taken before.
    taken = point != "backup.begun"
    for each in pair:
        scene.pool.write(each.id, "late", b"!")
    async with scene.running() as core:
        await scene.passed()
        assert [(await scene.ended(task)).state for task in tasks] == [TaskState.DONE, TaskState.DONE]
        found = {each.volume_id: each for each in await backups.backups(core, credential)}
        late = {"late" in scene.stores.kept.content(f"{each.id}/{found[each.id].id}") for each in pair}
        assert late == {False} if taken else len(late) == 1
        assert found[pair[0].id].created == found[pair[1].id].created
        assert await scene.snapshots() == 0


async def test_of_a_group_nothing_is_kept_when_one_cannot_be_backed_up(scene: Scene, core: Core) -> None:
    volume, credential = await scene.begun()
    other = await make(core, "w")
    new = [NewBackup(volume_id=each.id, credential=credential) for each in (volume, other)]
    going = await scene.start(other, credential)
    with pytest.raises(errors.Busy):
        await backups.drawn_up_together(core, new)
    await scene.ended(going)
    with pytest.raises(errors.InvalidArgument):
        await backups.drawn_up_together(core, [new[0], new[0]])
    with pytest.raises(errors.LimitExceeded):
        await backups.drawn_up_together(core, [])
    assert [one.id for one in await backups.tasks(core)] == [going.id]


async def test_a_group_of_which_one_was_stopped_before_its_instant_has_none(scene: Scene, core: Core) -> None:
    tasks, _, credential = await grouped(scene)
    ended = await backups.amend(core, tasks[0].id, lambda one: msgspec.structs.replace(one, state=TaskState.STOPPED))
    backing.carry(core, tasks[1])
    assert (ended.state, (await scene.ended(tasks[1])).state) == (TaskState.STOPPED, TaskState.FAILED)
    assert await backups.backups(core, credential) == []
    assert await scene.snapshots() == 0


async def test_only_what_changed_is_moved(scene: Scene, core: Core) -> None:
    volume, credential = await scene.begun()
    await scene.back_up(volume, credential)
    scene.pool.write(volume.id, "g", b"new")
    ended = await scene.back_up(volume, credential)
    first, second = await backups.backups(core, credential)
    assert (ended.done, first.moved, second.moved, second.stored) == (3, 7, 3, 10)
    assert [job.full for job in scene.mover.jobs] == [False, False]


async def test_a_full_one_comes_after_so_many(scene: Scene, core: Core) -> None:
    volume, credential = await scene.begun()
    for _ in range(4):
        await scene.back_up(volume, credential, full_every=2)
    assert [each.full for each in await backups.backups(core, credential)] == [False, False, True, False]


async def test_one_at_a_time_is_made_of_a_volume(scene: Scene, core: Core) -> None:
    volume, credential = await scene.begun()
    going = await scene.start(volume, credential)
    with pytest.raises(errors.Busy):
        await scene.start(volume, credential)
    await scene.ended(going)
    await scene.back_up(volume, credential)


async def test_a_paused_backup_goes_on(scene: Scene, core: Core) -> None:
    volume, credential = await scene.begun()
    reached = asyncio.Event()

    async def wait(_path: str) -> None:
        reached.set()
        await asyncio.Event().wait()

    scene.mover.before_file = wait
    task = await scene.start(volume, credential)
    await reached.wait()
    await backing.pause(core, task)
    paused = await backups.task(core, task.id)
    assert (paused.state, await scene.snapshots()) == (TaskState.PAUSED, 1)
    assert await scene.passed() == 0
    assert (await backups.task(core, task.id)).state is TaskState.PAUSED
    scene.mover.before_file = None
    await backing.resume(core, paused)
    assert (await scene.ended(task)).state is TaskState.DONE
    assert await scene.snapshots() == 0


@pytest.mark.parametrize("paused", [False, True])
async def test_a_stopped_backup_leaves_nothing(scene: Scene, core: Core, *, paused: bool) -> None:
    volume, credential = await scene.begun()
    reached = asyncio.Event()

    async def wait(_path: str) -> None:
        reached.set()
        await asyncio.Event().wait()

    scene.mover.before_file = wait
    task = await scene.start(volume, credential)
    await reached.wait()
    if paused:
        await backing.pause(core, task)
    await backing.stop(core, await backups.task(core, task.id))
    assert (await backups.task(core, task.id)).state is TaskState.STOPPED
    assert await scene.snapshots() == 0
    assert await scene.stores.kept.inspect(volume.id) is None
    with pytest.raises(errors.InvalidState):
        await backing.resume(core, await backups.task(core, task.id))


async def test_a_snapshot_that_could_not_go_goes_later(scene: Scene, core: Core) -> None:
    volume, credential = await scene.begun()
    reached, go = asyncio.Event(), asyncio.Event()

    async def wait(_path: str) -> None:
        reached.set()
        await go.wait()

    scene.mover.before_file = wait
    task = await scene.start(volume, credential)
    await reached.wait()
    clone = await clone_of(core, volume, "clone", await core.get(Snapshot, task.snapshot_id))
    go.set()
    assert (await scene.ended(task)).state is TaskState.DONE
    assert await scene.snapshots() == 1
    await (await volumes.delete(core, clone.id, description="test")).result()
    await scene.passed()
    assert await scene.snapshots() == 0


async def test_a_restore_that_fails_leaves_no_volume(scene: Scene, core: Core) -> None:
    volume, credential = await scene.begun()
    await scene.back_up(volume, credential)
    (found,) = await backups.backups(core, credential)
    scene.stores.error = errors.Unavailable(what="store", reason="gone")
    task = await scene.ended(await scene.restore(credential, found))
    assert (task.state, task.error is None) == (TaskState.FAILED, False)
    assert await core.catalog.get(Volume, task.volume_id) is None


async def test_a_restore_under_the_name_of_another_task_makes_nothing(scene: Scene, core: Core) -> None:
    volume, credential = await scene.begun()
    await scene.back_up(volume, credential, task_id="taken")
    (found,) = await backups.backups(core, credential)
    with pytest.raises(errors.AlreadyExists):
        await scene.restore(credential, found, task_id="taken")
    assert [one.id for one in (await core.catalog.page(Volume, Query())).records] == [volume.id]


async def test_nobody_writes_to_a_volume_that_is_being_restored(scene: Scene, core: Core) -> None:
    volume, credential = await scene.begun()
    await scene.back_up(volume, credential)
    (found,) = await backups.backups(core, credential)
    reached, go = asyncio.Event(), asyncio.Event()

    async def wait(_path: str) -> None:
        reached.set()
        await go.wait()

    scene.mover.before_file = wait
    task = await scene.restore(credential, found)
    await reached.wait()
    change = volumes.VolumeChange(size=40 << 20)
    with pytest.raises(errors.InvalidState):
        await (await volumes.update(core, task.volume_id, change, description="test")).result()
    with pytest.raises(errors.InUse):
        await backups.delete(core, credential, found)
    go.set()
    assert (await scene.ended(task)).state is TaskState.DONE


async def test_two_credentials_for_a_bucket_reach_the_same_backups(scene: Scene, core: Core) -> None:
    volume, credential = await scene.begun()
    other = await credentials.create(core, "other", ACCOUNT, secret=Secret("secret"))
    await scene.back_up(volume, credential)
    await scene.back_up(volume, other)
    first, second = await backups.backups(core, credential)
    assert await backups.backups(core, other) == [first, second]
    await backups.delete(core, other, first)
    assert await scene.kept() == [second.id]
    await backups.delete(core, credential, second)
    assert await scene.stores.kept.inspect(volume.id) is None


async def test_a_volume_that_nothing_moves_is_refused(scene: Scene, core: Core) -> None:
    volume, credential = await scene.begun()
    scene.mover.why_not = "no way"
    with pytest.raises(errors.Unsupported):
        await scene.start(volume, credential)
    bare = await credentials.create(core, "bare", msgspec.structs.replace(ACCOUNT, bucket=""), secret=Secret("secret"))
    with pytest.raises(errors.InvalidArgument):
        await scene.start(volume, bare)


async def test_backups_have_the_rights_of_their_volume(scene: Scene, core: Core) -> None:
    ownership = Ownership(owner="anna", collaborators={"carl": Access.READ})
    volume, credential = await scene.begun(ownership=ownership)
    task = await scene.back_up(volume, credential)
    (found,) = await backups.backups(core, credential)
    schedule = await backup_schedules.create(core, volume, credential, [Interval(Daily(12, 0), 1)])
    bob, carl = (core.acting_for(Principal(name=name, roles=())) for name in ("bob", "carl"))
    assert await backups.backups(bob, credential) == await backups.all_backups(bob, volume.id) == []
    assert await backups.readable_tasks(bob) == await backup_schedules.schedules(bob) == []
    for refused in (
        backups.backup(bob, credential, str(found.id)),
        backups.backup(carl, credential, str(found.id), access=Access.ADMIN),
        backups.task(bob, task.id),
        backups.task(carl, task.id, access=Access.WRITE),
        backups.drawn_up(bob, NewBackup(volume_id=volume.id, credential=credential)),
        backup_schedules.create(carl, volume, credential, schedule.intervals),
        backup_schedules.delete(carl, str(schedule.id)),
    ):
        with pytest.raises(errors.PermissionDenied):
            await refused
    assert await backups.backup(carl, credential, str(found.id)) == found


class TestSchedules:
    async def test_make_what_is_due_once_and_keep_so_many(self, scene: Scene, core: Core) -> None:
        volume, credential = await scene.begun()
        await snap(core, volume, "own")
        noon = Interval(Daily(12, 0), 2)
        made = await backup_schedules.create(core, volume, credential, [noon], labels={"a": "b"})
        assert await scene.passed(made.since) == 0
        for day in range(1, 5):
            now = made.since + timedelta(days=day)
            assert [await scene.passed(now), await scene.passed(now)] == [1, 0]
        found = await backups.backups(core, credential)
        assert [(each.schedule_id, each.labels) for each in found] == [(made.id, {"a": "b"})] * 2
        assert await scene.snapshots() == 1

    async def test_what_is_too_old_goes_but_for_the_newest(self, scene: Scene, core: Core) -> None:
        volume, credential = await scene.begun()
        made = await backup_schedules.create(core, volume, credential, [Interval(Daily(12, 0), 9)], days=3)
        for day in (1, 2):
            await scene.passed(made.since + timedelta(days=day))
        by_hand = await scene.back_up(volume, credential)
        assert len(await backups.backups(core, credential)) == 3
        changed = msgspec.structs.replace(made, labels={"changed": "yes"})
        await backup_schedules.update(core, str(made.id), changed)
        await scene.passed(made.since + timedelta(days=30))
        left = await backups.backups(core, credential)
        assert by_hand.backup_id in [each.id for each in left]
        assert [each.labels for each in left] == [{}, {}, {"changed": "yes"}]

    async def test_end_with_their_volume(self, scene: Scene, core: Core) -> None:
        volume, credential = await scene.begun()
        await backup_schedules.create(core, volume, credential, [Interval(Daily(12, 0), 1)])
        with pytest.raises(errors.InUse):
            await backup_schedules.require_unused(core, credential)
        await (await volumes.delete(core, volume.id, description="test")).result()
        await scene.passed()
        assert await backup_schedules.schedules(core) == []
        await backup_schedules.require_unused(core, credential)
