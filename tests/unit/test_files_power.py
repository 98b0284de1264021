"""The power goes off between any two steps, and under load: what was acknowledged is there, nothing is half made."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from threading import Thread
from uuid import UUID, uuid4

import pytest
from btrfs_scene import Died, command, note
from files_changes import CHANGES, COPIES, EMPTY, IMAGES, TREES, Change, prepared, without
from files_scene import BLOCK, TREE, Scene, scene, spec

from gateway.backends.files.faults import STEPS
from gateway.backends.files.names import flush
from gateway.core.errors import GatewayError, NotFound, Unavailable
from gateway.core.model import VolumeKind
from gateway.testing.loop_pool import attach, cut_power, detach, loop_pool

pytestmark = pytest.mark.root

TYPES: Mapping[str, Mapping[str, Change]] = {"ext4": {**TREES, **IMAGES}, "xfs": {**TREES, **IMAGES, **COPIES}}
RETURNED = "returned"


class Disk:
    """A file system whose power can be cut."""

    def __init__(self, mount: Path) -> None:
        self.mount = mount
        self._image = mount.with_name(f"{mount.name}.img")
        self._copies = 0

    def cut(self) -> None:
        cut_power(self.mount)

    def restart(self) -> None:
        """Mount what is on the disk."""
        detach(self.mount)
        self.attach()

    def attach(self) -> None:
        """Mount a copy of the disk: whoever else holds on to the dead file system would keep it on the old one."""
        self._copies += 1
        copy = self.mount.with_name(f"{self._copies}.img")
        command("cp", "--sparse=always", self._image, copy)
        if self._copies > 1:
            self._image.unlink()
        self._image = copy
        attach(copy, self.mount)


@contextmanager
def disk(folder: Path, filesystem: str) -> Iterator[Disk]:
    with loop_pool(folder, filesystem, "320M") as mount:
        yield Disk(mount)


@pytest.fixture(scope="module", params=TYPES)
def turned(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[str, Disk]]:
    with disk(tmp_path_factory.mktemp(request.param), request.param) as made:
        yield request.param, made


def cutting(at: Scene, disk: Disk, point: str) -> Callable[[str], None]:
    """Give a watcher that cuts the power at a point, and ends the process, which would have nothing to do any more."""

    def watch(passed: str) -> None:
        if passed == point:
            disk.cut()
            raise Died(point)

    return watch


@pytest.mark.parametrize("name", CHANGES)
async def test_a_change_survives_once_it_returned_and_is_whole_before(turned: tuple[str, Disk], name: str) -> None:
    filesystem, disk = turned
    if name not in TYPES[filesystem]:
        return
    operation, prepare, act = CHANGES[name]
    async with scene(disk.mount) as at:
        before = await prepared(at, prepare)
        await act(at)
        after = await at.picture()
    stages = [before, without(before, EMPTY), after] if operation == "convert" else [before, after]
    reached = []
    for step in (*STEPS[operation], RETURNED):
        at = Scene(disk.mount / uuid4().hex)
        await at.backend.open()
        await prepared(at, prepare)
        command("sync", "-f", disk.mount)
        at.faults.watch = cutting(at, disk, f"directory.{operation}.{step}")
        if step == RETURNED:
            await act(at)
            disk.cut()
        else:
            with pytest.raises(Died):
                await act(at)
        await at.backend.close()
        disk.restart()
        at.faults.watch = None
        await at.reopen()
        await at.assert_tidy()
        found = await at.picture()
        await at.backend.close()
        assert found in stages, step
        reached.append(stages.index(found))
    assert reached == sorted(reached)
    assert stages[reached[-1]] == after, "it returned, and was lost"


async def test_without_barriers_a_change_is_lost(turned: tuple[str, Disk]) -> None:
    _, disk = turned
    at = Scene(disk.mount / uuid4().hex, durable=False)
    await at.backend.open()
    command("sync", "-f", disk.mount)
    volume = await at.volume()
    disk.cut()
    await at.backend.close()
    disk.restart()
    await at.reopen()
    assert await at.backend.inspect(volume) is None
    await at.backend.close()


class Load:
    """Makes, copies and removes volumes until the pool fails, and knows what was acknowledged."""

    def __init__(self, at: Scene) -> None:
        self.at = at
        self.copies = at.backend.describe().kinds[BLOCK].split
        self.volumes: set[UUID] = set()
        self.snapshots: set[UUID] = set()
        self.removed: set[UUID] = set()
        self.begun = asyncio.Event()

    async def run(self) -> None:
        while True:
            for kind in (BLOCK, TREE):
                await self._create(kind)
            doomed = await self._create(TREE)
            self.volumes.discard(doomed)
            await self.at.backend.delete(doomed)
            self.removed.add(doomed)
            if len(self.removed) > 20:
                self.begun.set()

    async def _create(self, kind: VolumeKind) -> UUID:
        made = spec(kind=kind)
        await self.at.backend.create(made)
        self.volumes.add(made.id)
        if kind is BLOCK and self.copies:
            snapshot, clone = uuid4(), spec(kind=BLOCK)
            await self.at.backend.snapshot(made.id, snapshot, note("snapshot"))
            self.snapshots.add(snapshot)
            await self.at.backend.clone(made.id, snapshot, clone)
            self.volumes.add(clone.id)
        return made.id


@pytest.mark.parametrize("filesystem", TYPES)
async def test_an_open_pool_recovers_by_itself_and_has_lost_nothing(tmp_path: Path, filesystem: str) -> None:
    with disk(tmp_path, filesystem) as turned:
        async with scene(turned.mount) as at:
            load = Load(at)
            tasks = [asyncio.create_task(load.run()) for _ in range(4)]
            await load.begun.wait()
            turned.cut()
            for failure in await asyncio.gather(*tasks, return_exceptions=True):
                assert isinstance(failure, Unavailable)
            with pytest.raises(Unavailable):
                await at.backend.create(spec())
            # The pool lets go of a file system that failed: else it could not be unmounted.
            turned.restart()
            assert (await at.backend.capacity()).size > 0
            seen = {found.id: found async for found in at.backend.scan()}
            taken = {found.id: found async for found in at.backend.scan_snapshots()}
            assert None not in seen
            assert None not in taken
            assert load.volumes <= set(seen)
            assert load.snapshots <= set(taken)
            assert load.removed.isdisjoint(seen)
            await at.backend.create(spec())
            await at.reopen()
            await at.assert_tidy()


def test_what_is_on_disk_while_the_power_goes_is_there_afterwards(tmp_path: Path) -> None:
    """XFS that fails in the middle of putting names on disk reports a success that is none, in two of three runs."""
    with disk(tmp_path, "xfs") as turned:
        for turn in range(6):
            source, target = (turned.mount / f"{name} {turn}" for name in ("from", "to"))
            source.mkdir()
            target.mkdir()
            command("sync", "-f", turned.mount)
            kept: list[str] = []
            workers = [Thread(target=move_until_it_fails, args=(source, target, kept)) for _ in range(4)]
            for worker in workers:
                worker.start()
            while len(kept) < 20 and workers[0].is_alive():
                workers[0].join(0.001)
            turned.cut()
            for worker in workers:
                worker.join()
            turned.restart()
            assert set(kept) <= {path.name for path in target.iterdir()}


def move_until_it_fails(source: Path, target: Path, kept: list[str]) -> None:
    with contextlib.suppress(OSError):
        while True:
            name = str(uuid4())
            (source / name).mkdir()
            (source / name).rename(target / name)
            flush(source)
            kept.append(name)


async def test_while_another_file_system_is_at_the_path_the_pool_is_unavailable(tmp_path: Path) -> None:
    with disk(tmp_path, "ext4") as turned:
        at = Scene(turned.mount / uuid4().hex)
        await at.backend.open()
        volume = await at.volume()
        turned.cut()
        with pytest.raises(Unavailable):
            await at.backend.create(spec())
        detach(turned.mount)
        for impostor in (False, True):
            if impostor:
                at.path.mkdir()
                (at.path / "volumes").mkdir()
            for call in (at.backend.inspect(volume), at.backend.create(spec()), at.backend.delete(volume)):
                with pytest.raises(Unavailable, match="another file system"):
                    await call
        (at.path / "volumes").rmdir()
        at.path.rmdir()
        turned.attach()
        assert await at.backend.inspect(volume) is not None
        await at.backend.close()


async def test_a_pool_that_became_read_only_serves_reads_and_recovers(tmp_path: Path) -> None:
    with disk(tmp_path, "xfs") as turned:
        async with scene(turned.mount) as at:
            volume = await at.volume(BLOCK)
            snapshot = await at.snapshot(volume)
            command("mount", "-o", "remount,ro", turned.mount)
            changes: list[Callable[[], object]] = [
                lambda: at.backend.create(spec()),
                lambda: at.backend.annotate(volume, note("changed")),
                lambda: at.backend.delete(volume),
                lambda: at.backend.snapshot(volume, uuid4(), note("next")),
                lambda: at.backend.restore(volume, snapshot, uuid4()),
            ]
            for change in changes:
                with pytest.raises(Unavailable, match="read-only"):
                    await change()
            assert await at.backend.inspect(volume) is not None
            assert (await at.backend.capacity()).size > 0
            command("mount", "-o", "remount,rw", turned.mount)
            for change in (changes[0], changes[1], changes[3], changes[4], changes[2]):
                await change()
            with pytest.raises(NotFound):
                await at.backend.access(volume)
            await at.reopen()
            await at.assert_tidy()


async def test_errors_are_of_the_core_whatever_is_asked_of_a_dead_pool(tmp_path: Path) -> None:
    with disk(tmp_path, "xfs") as turned:
        async with scene(turned.mount) as at:
            volume = await at.volume(BLOCK)
            turned.cut()
            for call in (
                at.backend.inspect(volume),
                at.backend.access(volume),
                at.backend.annotate(volume, note("x")),
                at.backend.resize(volume, 2**30),
                at.backend.delete(volume),
                at.backend.put_manifest(b""),
                at.backend.settle_restore(volume, uuid4()),
                at.backend.convert(spec(volume, kind=BLOCK)),
            ):
                with pytest.raises(GatewayError) as caught:
                    await call
                assert isinstance(caught.value, Unavailable)
