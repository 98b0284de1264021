"""The process dies between any two steps: afterwards a change has happened or has not, and nothing is left over."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest
from btrfs_scene import Died
from files_changes import BLOCK_VOLUME, CHANGES, EMPTY, FIRST, SERVED, TOKEN, Change, nothing, prepared, without
from files_scene import Scene, scene

from gateway.backends.directory import FAULT_POINTS
from gateway.backends.files.faults import STEPS
from gateway.backends.nfs import FAULT_POINTS as NFS_FAULT_POINTS
from gateway.testing.loop_pool import loop_pool
from gateway.testing.mirror import mirror

pytestmark = pytest.mark.root

CASES = [
    *(pytest.param("directory", change, id=f"directory-{name}") for name, change in CHANGES.items()),
    *(pytest.param("nfs", change, id=f"nfs-{name}") for name, change in SERVED.items()),
]


@pytest.fixture(scope="module")
def xfs(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    with loop_pool(tmp_path_factory.mktemp("xfs"), "xfs") as path:
        yield path


@pytest.fixture
def places(xfs: Path, tmp_path: Path) -> Iterator[Places]:
    with ExitStack() as stack:
        yield Places(xfs, tmp_path, stack)


class Places:
    """Gives a place for each pool: a directory on XFS, or a file server of its own."""

    def __init__(self, xfs: Path, folder: Path, stack: ExitStack) -> None:
        self._xfs = xfs
        self._folder = folder
        self._stack = stack
        self._count = 0

    def new(self, driver: str) -> Path:
        if driver == "directory":
            return self._xfs
        self._count += 1
        return self._stack.enter_context(mirror(self._folder / str(self._count))).mount


def test_every_operation_is_here() -> None:
    assert {operation for operation, _, _ in CHANGES.values()} == set(STEPS)
    for points in (FAULT_POINTS, NFS_FAULT_POINTS):
        assert len(set(points)) == len(points)


@pytest.mark.parametrize(("driver", "change"), CASES)
async def test_a_change_passes_exactly_its_points(places: Places, driver: str, change: Change) -> None:
    operation, prepare, act = change
    async with scene(places.new(driver), driver) as at:
        await prepared(at, prepare)
        await act(at)
        assert at.faults.points == [f"{driver}.{operation}.{step}" for step in STEPS[operation]]
        await at.assert_tidy()


@pytest.mark.parametrize(("driver", "change"), CASES)
async def test_death_at_any_point_leaves_all_or_nothing(places: Places, driver: str, change: Change) -> None:
    operation, prepare, act = change
    async with scene(places.new(driver), driver) as at:
        before = await prepared(at, prepare)
        await act(at)
        after = await at.picture()
    assert (before == after) == (operation == "settle_restore")
    stages = [before, without(before, EMPTY), after] if operation == "convert" else [before, after]
    reached = []
    for step in STEPS[operation]:
        async with scene(places.new(driver), driver) as at:
            assert await prepared(at, prepare) == before
            await die(at, change, step)
            await at.reopen()
            await at.assert_tidy()
            found = await at.picture()
            assert found in stages, step
            reached.append(stages.index(found))
            await act(at)
            assert await at.picture() == after, step
            await at.assert_tidy()
    assert reached == sorted(reached), "a later step undid an earlier one"
    assert stages[reached[-1]] == after


@pytest.mark.parametrize(("driver", "change"), [case for case in CASES if case.values[1][0] != "settle_restore"])
async def test_a_change_can_be_repeated_without_opening_anew(places: Places, driver: str, change: Change) -> None:
    operation, prepare, act = change
    async with scene(places.new(driver), driver) as at:
        await prepared(at, prepare)
        await act(at)
        after = await at.picture()
    for step in STEPS[operation]:
        async with scene(places.new(driver), driver) as at:
            await prepared(at, prepare)
            await die(at, change, step)
            await act(at)
            assert await at.picture() == after, step
            await at.reopen()
            await at.assert_tidy()
            assert await at.picture() == after, step


async def die(at: Scene, change: Change, step: str) -> None:
    operation, _, act = change
    at.faults.armed = f"{at.driver}.{operation}.{step}"
    with pytest.raises(Died):
        await act(at)


@pytest.mark.parametrize("step", STEPS["restore"])
async def test_a_restore_tells_whether_it_happened_and_never_happens_twice(xfs: Path, step: str) -> None:
    async with scene(xfs) as at:
        await prepared(at, nothing)
        await die(at, CHANGES["restore"], step)
        happened = at.held(BLOCK_VOLUME)[0] == b"first"
        await at.reopen()
        at.write(BLOCK_VOLUME, b"since!")
        assert await at.backend.settle_restore(BLOCK_VOLUME, TOKEN) is happened
        assert at.held(BLOCK_VOLUME)[0] == b"since!"
        await at.backend.restore(BLOCK_VOLUME, FIRST, TOKEN)
        assert at.held(BLOCK_VOLUME)[0] == (b"since!" if happened else b"first")
        assert await at.backend.settle_restore(BLOCK_VOLUME, TOKEN)
        await at.assert_tidy()
