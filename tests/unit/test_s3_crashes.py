"""The process dies between any two steps: afterwards a change has happened or has not, and nothing is left over."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from uuid import UUID

import pytest
from s3_scene import Died, Scene, note, scene, spec

from gateway.backends.s3 import FAULT_POINTS
from gateway.backends.s3.faults import STEPS
from gateway.core.errors import GatewayError
from gateway.testing.object_store import S3Server

pytestmark = pytest.mark.root

VOLUME, OTHER, CLONE = (UUID(int=number, version=4) for number in range(1, 4))
FIRST, SECOND, NEXT, OF_CLONE = (UUID(int=number, version=4) for number in range(11, 15))
TOKEN = UUID(int=21, version=4)

Act = Callable[[Scene], Awaitable[object]]


async def nothing(_scene: Scene) -> None:
    """Prepare nothing more."""


async def slight(_scene: Scene) -> None:
    """Have less of everything: for changes of one document."""


async def cloned(at: Scene) -> None:
    """Make a clone that has its own of everything: an object, a change, and something removed."""
    await at.backend.clone(VOLUME, FIRST, spec(CLONE))
    at.write(CLONE, a=b"clone", own=b"own")
    at.remove(CLONE, "gone")
    await at.backend.snapshot(CLONE, OF_CLONE, note("of the clone"))


async def alone(at: Scene) -> None:
    """Leave a clone the only one that needs its base."""
    await at.backend.clone(VOLUME, FIRST, spec(CLONE))
    for snapshot in (FIRST, SECOND):
        await at.backend.delete_snapshot(VOLUME, snapshot)
    await at.backend.delete(VOLUME)


async def bare(at: Scene) -> None:
    """Leave a volume without snapshots."""
    for snapshot in (FIRST, SECOND):
        await at.backend.delete_snapshot(VOLUME, snapshot)


CHANGES: dict[str, tuple[str, Act, Act]] = {
    "create": ("create", slight, lambda at: at.backend.create(spec(OTHER))),
    "clone": ("clone", nothing, lambda at: at.backend.clone(VOLUME, FIRST, spec(CLONE, size=2 << 20))),
    "delete": ("delete", bare, lambda at: at.backend.delete(VOLUME)),
    "delete what clones need": ("delete", cloned, lambda at: at.backend.delete(VOLUME)),
    "delete the last clone": ("delete", alone, lambda at: at.backend.delete(CLONE)),
    "annotate": ("annotate", slight, lambda at: at.backend.annotate(VOLUME, note("changed"))),
    "split": ("split", cloned, lambda at: at.backend.split(CLONE)),
    "split the last clone": ("split", alone, lambda at: at.backend.split(CLONE)),
    "resize": ("resize", slight, lambda at: at.backend.resize(VOLUME, 3 << 20)),
    "snapshot": ("snapshot", nothing, lambda at: at.backend.snapshot(VOLUME, NEXT, note("next"))),
    "snapshot of a clone": ("snapshot", cloned, lambda at: at.backend.snapshot(CLONE, NEXT, note("next"))),
    "delete_snapshot": ("delete_snapshot", nothing, lambda at: at.backend.delete_snapshot(VOLUME, FIRST)),
    "delete_snapshot of a clone": ("delete_snapshot", cloned, lambda at: at.backend.delete_snapshot(CLONE, OF_CLONE)),
    "annotate_snapshot": (
        "annotate_snapshot",
        slight,
        lambda at: at.backend.annotate_snapshot(VOLUME, FIRST, note("changed")),
    ),
    "restore": ("restore", nothing, lambda at: at.backend.restore(VOLUME, FIRST, TOKEN)),
    "restore of a clone": ("restore", cloned, lambda at: at.backend.restore(CLONE, OF_CLONE, TOKEN)),
    "put_manifest": ("put_manifest", slight, lambda at: at.backend.put_manifest(b"new")),
}


async def prepared(at: Scene, prepare: Act) -> dict[str, object]:
    """Make a volume with two snapshots and newer objects, and give the picture of the pool."""
    await at.backend.put_manifest(b"old")
    await at.backend.create(spec(VOLUME))
    at.write(VOLUME, a=b"first", same=b"same", gone=b"gone", later=b"later")
    await at.backend.snapshot(VOLUME, FIRST, note("taken"))
    if prepare is slight:
        at.faults.points.clear()
        return await at.picture()
    at.write(VOLUME, a=b"second", new=b"new")
    at.remove(VOLUME, "gone")
    await at.backend.snapshot(VOLUME, SECOND, note("taken"))
    at.write(VOLUME, a=b"newest", newer=b"newer")
    at.remove(VOLUME, "later")
    await prepare(at)
    if prepare is cloned:
        at.write(CLONE, same=b"changed", since=b"since")
        at.remove(CLONE, "own", "a")
    before = await at.picture()
    at.faults.points.clear()
    return before


def test_every_operation_is_here() -> None:
    assert {operation for operation, _, _ in CHANGES.values()} == set(STEPS)
    assert len(set(FAULT_POINTS)) == len(FAULT_POINTS)


@pytest.mark.parametrize("change", CHANGES)
async def test_death_at_any_point_leaves_all_or_nothing(ceph: S3Server, change: str) -> None:
    operation, prepare, act = CHANGES[change]
    async with scene(ceph) as at:
        before = await prepared(at, prepare)
        await act(at)
        assert at.faults.points == [f"s3.{operation}.{step}" for step in STEPS[operation]]
        after = await at.picture()
    assert before != after
    happened: list[bool] = []
    while len(happened) < len(STEPS[operation]):
        async with scene(ceph) as at:
            assert await prepared(at, prepare) == before
            for step in STEPS[operation][len(happened) :]:
                at.faults.armed = f"s3.{operation}.{step}"
                with pytest.raises(Died):
                    await act(at)
                await at.killed()
                found = await at.picture()
                assert found in (before, after), step
                happened.append(found == after)
                if found == after:
                    break
                # Not yet: the next step is tried with what this one left.
            at.assert_tidy()
            await act(at)
            assert await at.picture() == after
            at.assert_tidy()
    assert happened == sorted(happened), "a later step undid an earlier one"
    assert happened[-1]
    assert not happened[0]


async def test_a_change_cut_short_is_repeated_without_opening_anew(ceph: S3Server) -> None:
    for change in ("snapshot", "delete", "split"):
        operation, prepare, act = CHANGES[change]
        async with scene(ceph) as at:
            await prepared(at, prepare)
            await act(at)
            after = await at.picture()
        async with scene(ceph) as at:
            await prepared(at, prepare)
            at.faults.armed = f"s3.{operation}.{STEPS[operation][-2]}"
            with pytest.raises(Died):
                await act(at)
            await act(at)
            assert await at.picture() == after, change
            at.assert_tidy()


async def test_what_failed_leaves_nothing(ceph: S3Server) -> None:
    async with scene(ceph) as at:
        before = await prepared(at, nothing)
        with pytest.raises(GatewayError):
            await at.backend.clone(VOLUME, NEXT, spec(CLONE))
        with pytest.raises(GatewayError):
            await at.backend.clone(VOLUME, None, spec(CLONE))
        with pytest.raises(GatewayError):
            await at.backend.restore(VOLUME, NEXT, TOKEN)
        with pytest.raises(GatewayError):
            await at.backend.snapshot(OTHER, NEXT, note("of nothing"))
        assert await at.picture() == before
