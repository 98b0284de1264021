"""The process dies between any two steps: afterwards a change has happened or has not, and nothing is left over."""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path
from uuid import UUID

import pytest
from cluster_scene import LONG, LONGER, SIZE, Died, Scene, far, note, scene, spec
from far_gateway import FarGateway

from gateway.backends.ontap import FAULT_POINTS
from gateway.backends.ontap.faults import STEPS
from gateway.core.model import RootDirectory

VOLUME, OTHER, CLONE = (UUID(int=number, version=4) for number in range(1, 4))
FIRST, SECOND, NEXT = (UUID(int=number, version=4) for number in range(11, 14))
TOKEN = UUID(int=21, version=4)

Act = Callable[[Scene], Awaitable[object]]


async def nothing(_scene: Scene) -> None:
    """Prepare nothing more."""


async def cloned(at: Scene) -> None:
    await at.backend.clone(VOLUME, FIRST, spec(CLONE))


CHANGES: dict[str, tuple[Act, Act]] = {
    "create": (nothing, lambda at: at.backend.create(spec(OTHER))),
    "clone": (nothing, lambda at: at.backend.clone(VOLUME, FIRST, spec(CLONE, size=2 * SIZE))),
    "delete": (cloned, lambda at: at.backend.delete(CLONE)),
    "annotate": (nothing, lambda at: at.backend.annotate(VOLUME, note("changed", LONG[::-1]))),
    "split": (cloned, lambda at: at.backend.split(CLONE)),
    "resize": (nothing, lambda at: at.backend.resize(VOLUME, 3 * SIZE)),
    "set_root": (nothing, lambda at: at.backend.set_root(VOLUME, RootDirectory(mode=0o700, uid=5, gid=6))),
    "snapshot": (nothing, lambda at: at.backend.snapshot(VOLUME, NEXT, note("next", LONGER))),
    "delete_snapshot": (nothing, lambda at: at.backend.delete_snapshot(VOLUME, FIRST)),
    "annotate_snapshot": (nothing, lambda at: at.backend.annotate_snapshot(VOLUME, FIRST, note("new", LONGER[::-1]))),
    "restore": (nothing, lambda at: at.backend.restore(VOLUME, FIRST, TOKEN)),
    "put_manifest": (nothing, lambda at: at.backend.put_manifest(LONG[::-1])),
}


@pytest.fixture
async def cluster(tmp_path: Path) -> AsyncIterator[FarGateway]:
    async with far(tmp_path) as gateway:
        yield gateway


CARRIED = {"annotate", "restore"}
"""Changes of a volume whose description needs carriers; elsewhere it would only take time."""


async def prepared(at: Scene, change: str = "restore") -> dict[str, object]:
    """Make a volume with two snapshots and newer bytes, and give the picture of the pool."""
    prepare, _ = CHANGES[change]
    if change == "put_manifest":
        await at.backend.put_manifest(LONG)
    await at.backend.create(spec(VOLUME, document=LONG if change in CARRIED else b"{}"))
    for snapshot, data, document in ((FIRST, b"first", LONGER), (SECOND, b"second", b"{}")):
        await at.write(VOLUME, a=data)
        await at.backend.snapshot(VOLUME, snapshot, note("taken", document))
    await at.write(VOLUME, a=b"newest", b=b"new")
    await prepare(at)
    at.faults.points.clear()
    return await at.picture()


async def died(at: Scene, act: Act, point: str) -> None:
    at.faults.armed = point
    with pytest.raises(Died):
        await act(at)
    await at.killed()
    if ".restore." in point:
        await at.backend.settle_restore(VOLUME, TOKEN)


def test_every_operation_is_here() -> None:
    assert CHANGES.keys() == STEPS.keys()
    assert len(set(FAULT_POINTS)) == len(FAULT_POINTS)


@pytest.mark.parametrize("change", CHANGES)
async def test_death_at_any_point_leaves_all_or_nothing(cluster: FarGateway, change: str) -> None:
    _, act = CHANGES[change]
    async with scene(cluster) as at:
        before = await prepared(at, change)
        await act(at)
        passed = [point for point in at.faults.points if point.startswith(f"ontap.{change}.")]
        assert passed == [f"ontap.{change}.{step}" for step in STEPS[change]]
        await at.assert_tidy()
        after = await at.picture()
    assert before != after
    happened = []
    for point in passed:
        async with scene(cluster) as at:
            assert await prepared(at, change) == before
            await died(at, act, point)
            await at.assert_tidy()
            found = await at.picture()
            assert found in (before, after), point
            happened.append(found == after)
            await act(at)
            assert await at.picture() == after, point
            await at.assert_tidy()
    assert happened == sorted(happened), "a later step undid an earlier one"
    assert (happened[0], happened[-1]) == (False, True)


@pytest.mark.parametrize("step", STEPS["restore"])
async def test_a_restore_tells_whether_it_happened_and_never_happens_twice(cluster: FarGateway, step: str) -> None:
    async with scene(cluster) as at:
        await prepared(at)
        at.faults.armed = f"ontap.restore.{step}"
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
        await at.killed()
        await at.assert_tidy()


async def test_what_is_young_may_be_the_work_of_another_process(cluster: FarGateway) -> None:
    async with scene(cluster, leftovers_after_s=600) as at:
        await prepared(at)
        at.faults.armed = "ontap.clone.described"
        with pytest.raises(Died):
            await at.backend.clone(VOLUME, FIRST, spec(CLONE))
        await at.killed()
        assert at.names.staged(CLONE) in await cluster.volumes()
        await at.backend.delete(CLONE)
        await at.killed()
        await at.assert_tidy()
