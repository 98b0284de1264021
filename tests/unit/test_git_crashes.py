"""The process dies between any two steps: afterwards a change has happened or has not, and nothing is left over."""

from __future__ import annotations

import asyncio
import shutil
from collections.abc import Awaitable, Callable, Iterator
from pathlib import Path
from uuid import UUID

import pytest
from git_scene import SIZE, Died, Scene, note, scene, spec

from gateway.backends.git_lfs import FAULT_POINTS
from gateway.backends.git_lfs.faults import STEPS
from gateway.backends.git_lfs.layout import Tree
from gateway.core.backend import GroupMember
from gateway.core.errors import GatewayError

VOLUME, OTHER, CLONE, KID, REPLICA = (UUID(int=number, version=4) for number in range(1, 6))
FIRST, SECOND, NEXT = (UUID(int=number, version=4) for number in range(11, 14))
TOKEN = UUID(int=21, version=4)

BOTH = (VOLUME, KID)

Act = Callable[[Scene], Awaitable[object]]


async def received(at: Scene, snapshot: UUID, base: UUID | None, *, of: UUID = OTHER) -> None:
    """Take a snapshot of the volume into another."""
    stream = at.backend.send(VOLUME, snapshot, base)
    await at.backend.receive(spec(of), UUID(int=of.int + snapshot.int), note("arrived"), stream)


CHANGES: dict[str, tuple[str, Act]] = {
    "create": ("create", lambda at: at.backend.create(spec(OTHER))),
    "clone of a snapshot": ("clone", lambda at: at.backend.clone(VOLUME, FIRST, spec(CLONE, size=2 * SIZE))),
    "clone of a volume": ("clone", lambda at: at.backend.clone(VOLUME, None, spec(CLONE))),
    "delete": ("delete", lambda at: at.backend.delete(VOLUME)),
    "annotate": ("annotate", lambda at: at.backend.annotate(VOLUME, note("changed"))),
    "split": ("split", lambda at: at.backend.split(KID)),
    "resize": ("resize", lambda at: at.backend.resize(VOLUME, 3 * SIZE)),
    "snapshot": ("snapshot", lambda at: at.backend.snapshot(VOLUME, NEXT, note("next"))),
    "snapshot_group": (
        "snapshot_group",
        lambda at: at.backend.snapshot_group(
            [GroupMember(volume=one, snapshot=UUID(int=30 + one.int % 9, version=4), note=note("g")) for one in BOTH]
        ),
    ),
    "delete_snapshot": ("delete_snapshot", lambda at: at.backend.delete_snapshot(VOLUME, FIRST)),
    "annotate_snapshot": ("annotate_snapshot", lambda at: at.backend.annotate_snapshot(VOLUME, FIRST, note("new"))),
    "restore": ("restore", lambda at: at.backend.restore(VOLUME, FIRST, TOKEN)),
    "receive the first": ("receive", lambda at: received(at, FIRST, None)),
    "receive the next": ("receive", lambda at: received(at, SECOND, FIRST, of=REPLICA)),
    "put_manifest": ("put_manifest", lambda at: at.backend.put_manifest(b"new")),
}


@pytest.fixture(scope="module")
def prepared(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """Make a pool with a volume, two snapshots, newer revisions and a clone, and keep it closed."""
    folder = tmp_path_factory.mktemp("prepared")
    asyncio.run(_prepare(folder))
    yield folder / "kept"
    shutil.rmtree(folder)


async def _prepare(folder: Path) -> None:
    async with scene(folder) as at:
        await at.backend.put_manifest(b"old")
        await at.backend.create(spec(VOLUME))
        for snapshot, data in ((FIRST, b"first"), (SECOND, b"second")):
            at.commit(VOLUME, a=data * 1000)
            at.commit(VOLUME, branch=f"side/{data.decode()}", b=data)
            await at.backend.snapshot(VOLUME, snapshot, note("taken"))
        at.commit(VOLUME, a=b"newest", b=b"new")
        await at.backend.clone(VOLUME, SECOND, spec(KID))
        await received(at, FIRST, None, of=REPLICA)
        await at.backend.close()
        shutil.copytree(at.path, folder / "kept", symlinks=True)


def test_every_operation_is_here() -> None:
    assert {operation for operation, _ in CHANGES.values()} | {"settle_restore"} == set(STEPS)
    assert len(set(FAULT_POINTS)) == len(FAULT_POINTS)


@pytest.mark.parametrize("change", CHANGES)
async def test_death_at_any_point_leaves_all_or_nothing(tmp_path: Path, prepared: Path, change: str) -> None:
    operation, act = CHANGES[change]
    async with scene(tmp_path, of=prepared) as at:
        before = await at.picture()
        at.faults.points.clear()
        await act(at)
        passed = [point for point in at.faults.points if point.startswith(f"git-lfs.{operation}.")]
        assert passed == [f"git-lfs.{operation}.{step}" for step in STEPS[operation]]
        at.assert_tidy()
        after = await at.picture()
    assert before != after
    happened = []
    for step in STEPS[operation]:
        async with scene(tmp_path, of=prepared) as at:
            at.faults.armed = f"git-lfs.{operation}.{step}"
            with pytest.raises(Died):
                await act(at)
            await at.reopen()
            at.assert_tidy()
            found = await at.picture()
            assert found in (before, after), step
            happened.append(found == after)
            await act(at)
            assert await at.picture() == after, step
            at.assert_tidy()
    assert happened == sorted(happened), "a later step undid an earlier one"
    assert happened[-1]
    assert not happened[0]


@pytest.mark.parametrize("change", ["clone of a snapshot", "snapshot", "restore"])
async def test_a_change_can_be_repeated_without_opening_anew(tmp_path: Path, prepared: Path, change: str) -> None:
    operation, act = CHANGES[change]
    async with scene(tmp_path, of=prepared) as at:
        await act(at)
        after = await at.picture()
    for step in ("copied", "written"):
        async with scene(tmp_path, of=prepared) as at:
            at.faults.armed = f"git-lfs.{operation}.{step}"
            with pytest.raises(Died):
                await act(at)
            await act(at)
            assert await at.picture() == after, step
            await at.reopen()
            at.assert_tidy()


@pytest.mark.parametrize("step", ["copied", "noted"])
async def test_a_restore_tells_whether_it_happened_and_never_happens_twice(
    tmp_path: Path, prepared: Path, step: str
) -> None:
    async with scene(tmp_path, of=prepared) as at:
        first = at.refs()[Tree(VOLUME, FIRST)]
        at.faults.armed = f"git-lfs.restore.{step}"
        with pytest.raises(Died):
            await at.backend.restore(VOLUME, FIRST, TOKEN)
        at.faults.points.clear()
        assert await at.backend.settle_restore(VOLUME, TOKEN) is (step == "noted")
        assert at.faults.points == [f"git-lfs.settle_restore.{each}" for each in STEPS["settle_restore"]]
        at.assert_tidy()
        written = at.commit(VOLUME, c=b"written since")
        await at.backend.restore(VOLUME, FIRST, TOKEN)
        found = at.refs()[at.tree(VOLUME)]
        assert (found == first) is (step == "copied")
        assert (written in found.values()) is (step == "noted")
        assert await at.backend.settle_restore(VOLUME, TOKEN)


async def test_what_failed_leaves_nothing_even_before_the_next_opening(tmp_path: Path, prepared: Path) -> None:
    async with scene(tmp_path, of=prepared) as at:
        before = await at.picture()
        for failing in (
            at.backend.clone(VOLUME, NEXT, spec(CLONE)),
            at.backend.restore(VOLUME, NEXT, TOKEN),
            at.backend.snapshot(OTHER, NEXT, note("none")),
        ):
            with pytest.raises(GatewayError):
                await failing
        at.assert_tidy()
        assert await at.picture() == before
