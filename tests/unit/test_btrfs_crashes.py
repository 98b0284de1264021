"""The process dies between any two steps: afterwards a change has happened or has not, and nothing is left over."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterator
from pathlib import Path
from uuid import UUID

import pytest
from btrfs_scene import SIZE, Died, Scene, note, parts, scene, spec

from gateway.backends.btrfs import FAULT_POINTS
from gateway.backends.btrfs.faults import STEPS
from gateway.core.errors import GatewayError
from gateway.core.model import RootDirectory
from gateway.testing.btrfs_pool import btrfs_pool

pytestmark = pytest.mark.root

VOLUME, OTHER, CLONE, REPLICA = (UUID(int=number, version=4) for number in range(1, 5))
FIRST, SECOND, ARRIVED, NEXT = (UUID(int=number, version=4) for number in range(11, 15))
TOKEN = UUID(int=21, version=4)
ROOT = RootDirectory(mode=0o2770, uid=7, gid=8)

Act = Callable[[Scene], Awaitable[object]]


@pytest.fixture(scope="module")
def mount(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    with btrfs_pool(tmp_path_factory.mktemp("btrfs")) as path:
        yield path


async def nothing(_scene: Scene) -> None:
    """Prepare nothing more."""


async def receive(at: Scene, snapshot: UUID, base: UUID | None) -> None:
    data = await at.stream(VOLUME, SECOND if base else FIRST, base)
    await at.backend.receive(spec(REPLICA, root=ROOT), snapshot, note("arrived"), parts(data))


async def half_restored(at: Scene) -> None:
    at.faults.armed = "btrfs.restore.durable"
    with pytest.raises(Died):
        await at.backend.restore(VOLUME, FIRST, TOKEN)


CHANGES: dict[str, tuple[str, Act, Act]] = {
    "create": ("create", nothing, lambda at: at.backend.create(spec(OTHER, root=ROOT))),
    "clone of a snapshot": ("clone", nothing, lambda at: at.backend.clone(VOLUME, FIRST, spec(CLONE, size=2 * SIZE))),
    "clone of a volume": ("clone", nothing, lambda at: at.backend.clone(VOLUME, None, spec(CLONE, root=ROOT))),
    "delete": ("delete", nothing, lambda at: at.backend.delete(VOLUME)),
    "annotate": ("annotate", nothing, lambda at: at.backend.annotate(VOLUME, note("changed"))),
    "split": (
        "split",
        lambda at: at.backend.clone(VOLUME, FIRST, spec(CLONE)),
        lambda at: at.backend.split(CLONE),
    ),
    "resize": ("resize", nothing, lambda at: at.backend.resize(VOLUME, 3 * SIZE)),
    "set_root": ("set_root", nothing, lambda at: at.backend.set_root(VOLUME, ROOT)),
    "snapshot": ("snapshot", nothing, lambda at: at.backend.snapshot(VOLUME, NEXT, note("next"))),
    "delete_snapshot": ("delete_snapshot", nothing, lambda at: at.backend.delete_snapshot(VOLUME, FIRST)),
    "annotate_snapshot": (
        "annotate_snapshot",
        nothing,
        lambda at: at.backend.annotate_snapshot(VOLUME, FIRST, note("changed")),
    ),
    "restore": ("restore", nothing, lambda at: at.backend.restore(VOLUME, FIRST, TOKEN)),
    "settle_restore": ("settle_restore", half_restored, lambda at: at.backend.settle_restore(VOLUME, TOKEN)),
    "receive the first": ("receive", nothing, lambda at: receive(at, ARRIVED, None)),
    "receive the next": (
        "receive",
        lambda at: receive(at, ARRIVED, None),
        lambda at: receive(at, NEXT, FIRST),
    ),
    "put_manifest": ("put_manifest", nothing, lambda at: at.backend.put_manifest(b"new")),
}


async def prepared(at: Scene, prepare: Act) -> dict[str, object]:
    """Make a volume with two snapshots and newer bytes, and give the picture of the pool."""
    await at.backend.put_manifest(b"old")
    await at.backend.create(spec(VOLUME))
    for snapshot, data in ((FIRST, b"first"), (SECOND, b"second")):
        at.write(VOLUME, a=data * 1000)
        await at.backend.snapshot(VOLUME, snapshot, note("taken"))
    at.write(VOLUME, a=b"newest", b=b"new")
    await prepare(at)
    before = await at.picture()
    at.faults.points.clear()
    return before


def test_every_operation_is_here() -> None:
    assert {operation for operation, _, _ in CHANGES.values()} == set(STEPS)
    assert len(set(FAULT_POINTS)) == len(FAULT_POINTS)


@pytest.mark.parametrize("change", CHANGES)
async def test_a_change_passes_exactly_its_points(mount: Path, change: str) -> None:
    operation, prepare, act = CHANGES[change]
    async with scene(mount) as at:
        await prepared(at, prepare)
        await act(at)
        assert at.faults.points == [f"btrfs.{operation}.{step}" for step in STEPS[operation]]
        at.assert_tidy()


@pytest.mark.parametrize("change", CHANGES)
async def test_death_at_any_point_leaves_all_or_nothing(mount: Path, change: str) -> None:
    operation, prepare, act = CHANGES[change]
    async with scene(mount) as at:
        before = await prepared(at, prepare)
        await act(at)
        after = await at.picture()
    assert (before == after) == (operation == "settle_restore")
    happened = []
    for step in STEPS[operation]:
        async with scene(mount) as at:
            assert await prepared(at, prepare) == before
            at.faults.armed = f"btrfs.{operation}.{step}"
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


@pytest.mark.parametrize(
    "change", [name for name, (operation, _, _) in CHANGES.items() if operation != "settle_restore"]
)
async def test_a_change_can_be_repeated_without_opening_anew(mount: Path, change: str) -> None:
    operation, prepare, act = CHANGES[change]
    async with scene(mount) as at:
        await prepared(at, prepare)
        await act(at)
        after = await at.picture()
    for step in STEPS[operation]:
        async with scene(mount) as at:
            await prepared(at, prepare)
            at.faults.armed = f"btrfs.{operation}.{step}"
            with pytest.raises(Died):
                await act(at)
            await act(at)
            assert await at.picture() == after, step
            await at.reopen()
            at.assert_tidy()
            assert await at.picture() == after, step


@pytest.mark.parametrize("step", STEPS["restore"])
async def test_a_restore_tells_whether_it_happened_and_never_happens_twice(mount: Path, step: str) -> None:
    async with scene(mount) as at:
        await prepared(at, nothing)
        at.faults.armed = f"btrfs.restore.{step}"
        with pytest.raises(Died):
            await at.backend.restore(VOLUME, FIRST, TOKEN)
        happened = at.files(VOLUME) == {"a": b"first" * 1000}
        await at.reopen()
        at.write(VOLUME, c=b"written since")
        written = at.files(VOLUME)
        assert await at.backend.settle_restore(VOLUME, TOKEN) is happened
        assert at.files(VOLUME) == written
        await at.backend.restore(VOLUME, FIRST, TOKEN)
        assert at.files(VOLUME) == (written if happened else {"a": b"first" * 1000})
        assert await at.backend.settle_restore(VOLUME, TOKEN)
        at.assert_tidy()


async def test_what_failed_leaves_nothing_even_before_the_next_opening(mount: Path) -> None:
    async with scene(mount) as at:
        before = await prepared(at, nothing)
        data = await at.stream(VOLUME, FIRST)
        with pytest.raises(GatewayError):
            await at.backend.receive(spec(REPLICA), ARRIVED, note("arrived"), parts(data[:-1]))
        with pytest.raises(GatewayError):
            await at.backend.clone(VOLUME, NEXT, spec(CLONE))
        with pytest.raises(GatewayError):
            await at.backend.restore(VOLUME, NEXT, TOKEN)
        assert await at.picture() == before
        at.assert_tidy()
