"""The process dies between any two steps: afterwards a change has happened or has not, and nothing is left over.

Each change is made twice: on volumes that nobody has open, and on open ones,
whose daemon goes on while the process is dead.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from pathlib import Path
from uuid import UUID

import pytest
from qcow2_scene import SIZE, Died, Scene, note, parts, scene, spec

from gateway.backends.qcow2 import FAULT_POINTS
from gateway.backends.qcow2.faults import STEPS
from gateway.core.errors import GatewayError

pytestmark = pytest.mark.root

VOLUME, OTHER, CLONE, REPLICA = (UUID(int=number, version=4) for number in range(1, 5))
FIRST, SECOND, ARRIVED, NEXT = (UUID(int=number, version=4) for number in range(11, 15))
TOKEN = UUID(int=21, version=4)

Act = Callable[[Scene], Awaitable[object]]


async def nothing(_scene: Scene) -> None:
    """Prepare nothing more."""


async def receive(at: Scene, snapshot: UUID, base: UUID | None) -> None:
    data = await at.stream(VOLUME, SECOND if base else FIRST, base)
    await at.backend.receive(spec(REPLICA), snapshot, note("arrived"), parts(data))


async def cloned(at: Scene) -> None:
    await at.backend.clone(VOLUME, FIRST, spec(CLONE))


CHANGES: dict[str, tuple[str, Act, Act]] = {
    "create": ("create", nothing, lambda at: at.backend.create(spec(OTHER))),
    "clone of a snapshot": ("clone", nothing, lambda at: at.backend.clone(VOLUME, FIRST, spec(CLONE, size=2 * SIZE))),
    "clone of a volume": ("clone", nothing, lambda at: at.backend.clone(VOLUME, None, spec(CLONE))),
    "freeze for a clone": ("freeze", nothing, lambda at: at.backend.clone(VOLUME, None, spec(CLONE))),
    "delete": ("delete", nothing, lambda at: at.backend.delete(VOLUME)),
    "annotate": ("annotate", nothing, lambda at: at.backend.annotate(VOLUME, note("changed"))),
    "split": ("split", cloned, lambda at: at.backend.split(CLONE)),
    "resize": ("resize", nothing, lambda at: at.backend.resize(VOLUME, 3 * SIZE)),
    "snapshot": ("snapshot", nothing, lambda at: at.backend.snapshot(VOLUME, NEXT, note("next"))),
    "delete_snapshot": ("delete_snapshot", nothing, lambda at: at.backend.delete_snapshot(VOLUME, FIRST)),
    "delete the newest": ("delete_snapshot", nothing, lambda at: at.backend.delete_snapshot(VOLUME, SECOND)),
    "merge": ("merge", nothing, lambda at: at.backend.delete_snapshot(VOLUME, FIRST)),
    "annotate_snapshot": (
        "annotate_snapshot",
        nothing,
        lambda at: at.backend.annotate_snapshot(VOLUME, SECOND, note("changed")),
    ),
    "restore": ("restore", nothing, lambda at: at.backend.restore(VOLUME, FIRST, TOKEN)),
    "receive the first": ("receive", nothing, lambda at: receive(at, ARRIVED, None)),
    "receive the next": (
        "receive",
        lambda at: receive(at, ARRIVED, None),
        lambda at: receive(at, NEXT, FIRST),
    ),
    "put_manifest": ("put_manifest", nothing, lambda at: at.backend.put_manifest(b"new")),
}
BEFORE, AFTER = {"freeze"}, {"merge"}
"""Operations that end before their change has happened, and that begin only then."""

live_or_not = pytest.mark.parametrize("live", [False, True], ids=["closed", "open"])


async def prepared(at: Scene, prepare: Act, *, live: bool) -> dict[str, object]:
    """Make a volume with two snapshots and newer bytes, and give the picture of the pool."""
    await at.backend.put_manifest(b"old")
    await at.backend.create(spec(VOLUME))
    for snapshot, data in ((FIRST, b"first"), (SECOND, b"second")):
        await at.write(VOLUME, a=data * 1000)
        await at.backend.snapshot(VOLUME, snapshot, note("taken"))
    await at.write(VOLUME, a=b"newest", b=b"new")
    await prepare(at)
    before = await at.picture()
    if not live:
        await at.reopen()
    at.faults.points.clear()
    return before


def test_every_operation_is_here() -> None:
    assert {operation for operation, _, _ in CHANGES.values()} | {"access"} == set(STEPS)
    assert len(set(FAULT_POINTS)) == len(FAULT_POINTS)


@live_or_not
@pytest.mark.parametrize("change", CHANGES)
async def test_a_change_passes_exactly_its_points(tmp_path: Path, change: str, live: bool) -> None:
    operation, prepare, act = CHANGES[change]
    async with scene(tmp_path) as at:
        await prepared(at, prepare, live=live)
        await act(at)
        passed = [point for point in at.faults.points if point.startswith(f"qcow2.{operation}.")]
        assert passed == [f"qcow2.{operation}.{step}" for step in STEPS[operation]]
        at.assert_tidy()


@live_or_not
@pytest.mark.parametrize("change", CHANGES)
async def test_death_at_any_point_leaves_all_or_nothing(tmp_path: Path, change: str, live: bool) -> None:
    operation, prepare, act = CHANGES[change]
    async with scene(tmp_path) as at:
        before = await prepared(at, prepare, live=live)
        await act(at)
        after = await at.picture()
    assert before != after
    happened = []
    for step in STEPS[operation]:
        async with scene(tmp_path) as at:
            assert await prepared(at, prepare, live=live) == before
            at.faults.armed = f"qcow2.{operation}.{step}"
            with pytest.raises(Died):
                await act(at)
            await at.killed()
            at.assert_tidy()
            found = await at.picture()
            assert found in (before, after), step
            happened.append(found == after)
            await act(at)
            assert await at.picture() == after, step
            at.assert_tidy()
    assert happened == sorted(happened), "a later step undid an earlier one"
    assert happened[-1] == (operation not in BEFORE)
    assert happened[0] == (operation in AFTER)


@pytest.mark.parametrize("change", CHANGES)
async def test_a_change_can_be_repeated_without_opening_anew(tmp_path: Path, change: str) -> None:
    operation, prepare, act = CHANGES[change]
    async with scene(tmp_path) as at:
        await prepared(at, prepare, live=True)
        await act(at)
        after = await at.picture()
    for step in STEPS[operation]:
        async with scene(tmp_path) as at:
            await prepared(at, prepare, live=True)
            at.faults.armed = f"qcow2.{operation}.{step}"
            with pytest.raises(Died):
                await act(at)
            await act(at)
            assert await at.picture() == after, step
            await at.killed()
            at.assert_tidy()
            assert await at.picture() == after, step


@live_or_not
@pytest.mark.parametrize("step", STEPS["restore"])
async def test_a_restore_tells_whether_it_happened_and_never_happens_twice(
    tmp_path: Path, step: str, live: bool
) -> None:
    async with scene(tmp_path) as at:
        await prepared(at, nothing, live=live)
        at.faults.armed = f"qcow2.restore.{step}"
        with pytest.raises(Died):
            await at.backend.restore(VOLUME, FIRST, TOKEN)
        await at.killed()
        happened = await at.files(VOLUME) == {"a": b"first" * 1000}
        await at.write(VOLUME, c=b"written since")
        written = await at.files(VOLUME)
        assert await at.backend.settle_restore(VOLUME, TOKEN) is happened
        assert await at.files(VOLUME) == written
        await at.backend.restore(VOLUME, FIRST, TOKEN)
        assert await at.files(VOLUME) == (written if happened else {"a": b"first" * 1000})
        assert await at.backend.settle_restore(VOLUME, TOKEN)
        at.assert_tidy()


@pytest.mark.parametrize("step", STEPS["access"])
async def test_an_opening_cut_short_is_completed(tmp_path: Path, step: str) -> None:
    async with scene(tmp_path) as at:
        before = await prepared(at, nothing, live=False)
        for volume, snapshot in ((VOLUME, FIRST), (VOLUME, None)):
            at.faults.armed = f"qcow2.access.{step}"
            with pytest.raises(Died):
                await at.backend.access(volume, snapshot)
            await at.killed()
            at.assert_tidy()
        assert await at.picture() == before


async def test_what_failed_leaves_nothing_even_before_the_next_opening(tmp_path: Path) -> None:
    async with scene(tmp_path) as at:
        before = await prepared(at, nothing, live=True)
        data = await at.stream(VOLUME, FIRST)
        with pytest.raises(GatewayError):
            await at.backend.receive(spec(REPLICA), ARRIVED, note("arrived"), parts(data[:-1]))
        with pytest.raises(GatewayError):
            await at.backend.clone(VOLUME, NEXT, spec(CLONE))
        with pytest.raises(GatewayError):
            await at.backend.clone(VOLUME, FIRST, spec(CLONE, size=SIZE // 2))
        with pytest.raises(GatewayError):
            await at.backend.restore(VOLUME, NEXT, TOKEN)
        assert await at.picture() == before
        at.assert_tidy()
