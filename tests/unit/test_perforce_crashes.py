"""The process dies between any two steps: afterwards a change has happened or has not, and nothing is left over."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from uuid import UUID

import pytest
from perforce_scene import SIZE, Died, Scene, note, scene, spec

from gateway.backends.perforce import FAULT_POINTS
from gateway.backends.perforce.faults import STEPS

VOLUME, OTHER, CLONE = (UUID(int=number, version=4) for number in range(1, 4))
FIRST, SECOND, NEXT = (UUID(int=number, version=4) for number in range(11, 14))
TOKEN = UUID(int=21, version=4)

Act = Callable[[Scene], Awaitable[object]]


async def without_snapshots(at: Scene) -> None:
    for snapshot in (FIRST, SECOND):
        await at.backend.delete_snapshot(VOLUME, snapshot)


async def cloned(at: Scene) -> None:
    await at.backend.clone(VOLUME, FIRST, spec(CLONE))


async def nothing(_scene: Scene) -> None:
    """Prepare nothing more."""


CHANGES: dict[str, tuple[Act, Act]] = {
    "create": (nothing, lambda at: at.backend.create(spec(OTHER))),
    "clone": (nothing, lambda at: at.backend.clone(VOLUME, FIRST, spec(CLONE))),
    "delete": (without_snapshots, lambda at: at.backend.delete(VOLUME)),
    "annotate": (nothing, lambda at: at.backend.annotate(VOLUME, note("changed"))),
    "resize": (nothing, lambda at: at.backend.resize(VOLUME, 3 * SIZE)),
    "split": (cloned, lambda at: at.backend.split(CLONE)),
    "snapshot": (nothing, lambda at: at.backend.snapshot(VOLUME, NEXT, note("next"))),
    "delete_snapshot": (nothing, lambda at: at.backend.delete_snapshot(VOLUME, FIRST)),
    "annotate_snapshot": (nothing, lambda at: at.backend.annotate_snapshot(VOLUME, SECOND, note("changed"))),
    "restore": (nothing, lambda at: at.backend.restore(VOLUME, FIRST, TOKEN)),
    "put_manifest": (nothing, lambda at: at.backend.put_manifest(b"new")),
}


async def prepared(at: Scene, prepare: Act) -> dict[str, object]:
    """Make a volume with two snapshots and newer bytes, and give the picture of the pool."""
    await at.backend.put_manifest(b"old")
    await at.backend.create(spec(VOLUME))
    for snapshot, data in ((FIRST, b"first"), (SECOND, b"second")):
        await at.write(VOLUME, a=data)
        await at.backend.snapshot(VOLUME, snapshot, note("taken"))
    await at.write(VOLUME, a=b"newest", b=b"new")
    await prepare(at)
    at.faults.points.clear()
    return await at.picture()


def test_every_operation_is_here() -> None:
    assert CHANGES.keys() == STEPS.keys()
    assert len(set(FAULT_POINTS)) == len(FAULT_POINTS)


@pytest.mark.parametrize("operation", CHANGES)
async def test_a_change_passes_exactly_its_points(operation: str) -> None:
    prepare, act = CHANGES[operation]
    async with scene() as at:
        await prepared(at, prepare)
        await act(at)
        assert at.faults.points == [f"perforce.{operation}.{step}" for step in STEPS[operation]]
        await at.assert_tidy()
        at.faults.points.clear()
        await act(at)
        again = {"annotate", "annotate_snapshot", "put_manifest"}
        assert bool(at.faults.points) == (operation in again), "what is done is not done again"


@pytest.mark.parametrize("operation", CHANGES)
async def test_death_at_any_point_leaves_all_or_nothing(operation: str) -> None:
    prepare, act = CHANGES[operation]
    async with scene() as at:
        before = await prepared(at, prepare)
        await act(at)
        after = await at.picture()
    assert before != after
    happened = []
    for step in STEPS[operation]:
        async with scene() as at:
            assert await prepared(at, prepare) == before
            at.faults.armed = f"perforce.{operation}.{step}"
            with pytest.raises(Died):
                await act(at)
            await at.killed()
            await at.assert_tidy()
            found = await at.picture()
            assert found in (before, after), step
            happened.append(found == after)
            await act(at)
            assert await at.picture() == after, step
            await at.assert_tidy()
    assert happened == sorted(happened), "a later step undid an earlier one"
    assert happened[-1]
    assert not happened[0]


@pytest.mark.parametrize("operation", CHANGES)
async def test_a_change_can_be_repeated_without_opening_anew(operation: str) -> None:
    prepare, act = CHANGES[operation]
    async with scene() as at:
        await prepared(at, prepare)
        await act(at)
        after = await at.picture()
    for step in STEPS[operation]:
        async with scene() as at:
            await prepared(at, prepare)
            at.faults.armed = f"perforce.{operation}.{step}"
            with pytest.raises(Died):
                await act(at)
            await act(at)
            assert await at.picture() == after, step
            await at.assert_tidy()


@pytest.mark.parametrize("step", STEPS["restore"])
async def test_a_restore_tells_whether_it_happened_and_never_happens_twice(step: str) -> None:
    async with scene() as at:
        await prepared(at, nothing)
        at.faults.armed = f"perforce.restore.{step}"
        with pytest.raises(Died):
            await at.backend.restore(VOLUME, FIRST, TOKEN)
        await at.killed()
        happened = await at.files(VOLUME) == {"a": b"first"}
        await at.write(VOLUME, c=b"written since")
        written = await at.files(VOLUME)
        assert await at.backend.settle_restore(VOLUME, TOKEN) is happened
        assert await at.files(VOLUME) == written
        await at.backend.restore(VOLUME, FIRST, TOKEN)
        assert await at.files(VOLUME) == (written if happened else {"a": b"first"})
        assert await at.backend.settle_restore(VOLUME, TOKEN)
        await at.assert_tidy()
