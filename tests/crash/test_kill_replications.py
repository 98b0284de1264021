"""A process is killed at every step of a transfer between real pools: the next one goes on, and both ends are whole."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from uuid import UUID

import pytest
from mirror_scene import ENDS, Order, die, folder_of, furnish, go_on, held, opened, perform, taken

from gateway.core import replications, volumes
from gateway.core.context import Core
from gateway.core.model import Intent, Replication, ReplicationState, TransferMethod, Volume
from gateway.core.observer import SilentObserver
from gateway.core.query import Query
from gateway.core.reconcile import Reconciler
from gateway.core.transferring import FAULTS
from gateway.testing.btrfs_pool import btrfs_pool
from gateway.testing.faults import Recorder
from gateway.testing.forks import ForkServer

pytestmark = [pytest.mark.root, pytest.mark.slow, pytest.mark.timeout(300)]

STEPS = {TransferMethod.NATIVE: {"snapshot.receive.received"}, TransferMethod.MOVER: {"snapshot.receive.moved"}}
OURS = ("transfer.", "snapshot.receive.", "volume.update.")


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    with ExitStack() as stack:
        made = tmp_path_factory.mktemp("mirror")
        for name in ENDS:
            mount = stack.enter_context(btrfs_pool(made / f"{name}.disk", "256M"))
            (made / name).symlink_to(mount)
        yield made


async def change(core: Core, word: str) -> dict[str, bytes]:
    """Change, add and remove a file of the source; give what it holds then."""
    at = await folder_of(core, "source")
    (at / "all").write_bytes(word.encode() * 5000)
    for old in at.glob("only.*"):
        old.unlink()
    (at / f"only.{word}").write_bytes(word.encode())
    return await held(core, "source")


@pytest.mark.parametrize("method", TransferMethod)
async def test_death_at_any_step_of_a_transfer(folder: Path, forks: ForkServer, method: TransferMethod) -> None:
    recorder = Recorder()
    async with opened(folder, method, recorder) as core:
        key = await furnish(core)
        await change(core, "first")
        assert (await perform(core, key)).error is None
        before = await change(core, "second")
        recorder.points.clear()
        assert (await perform(core, key)).error is None
        assert await held(core, "destination") == before
    points = {point for point in recorder.points if point.startswith(OURS)}
    assert {*FAULTS} - {"transfer.rebased"} | STEPS[method] <= points
    for point in sorted(points):
        async with opened(folder, method) as core:
            wanted = await change(core, point)
        die(Order(folder=str(folder), method=method, replication=key, point=point), forks)
        async with opened(folder, method) as core:
            await go_on(core)
            assert await held(core, "destination") == wanted, f"killed at {point}"
            await assert_settled(core, point)
            assert await taken(core, key) == [1, 1], f"killed at {point}"
            replication = await core.get(Replication, key)
            assert (replication.state, replication.torn) == (ReplicationState.MIRRORED, False)
    async with opened(folder, method) as core:
        await dismantle(core, key)


async def assert_settled(core: Core, point: str) -> None:
    assert (await core.catalog.page(Intent, Query())).records == ()
    for pool in core.pools:
        assert await Reconciler(core, pool, SilentObserver()).run() == [], f"killed at {point}"


async def dismantle(core: Core, key: UUID) -> None:
    """Leave the pools empty, for the other method."""
    await replications.delete(core, key, description="t")
    for name in ENDS:
        volume = await core.find(Volume, name=name)
        assert volume is not None
        await (await volumes.delete(core, volume.id, description="t")).result()
