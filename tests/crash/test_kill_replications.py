"""A process is killed at every step of a transfer between real pools: the next one goes on, and both ends are whole."""

from __future__ import annotations

import random
import signal
from collections import Counter
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from uuid import UUID

import pytest
from following_scene import ENDS, SIZE, Order, die, doomed, folder_of, furnish, go_on, held, opened, perform, taken

from gateway.client import Client, ClientError, Flow, native
from gateway.client.wire import Pause
from gateway.core import replications, transfers, volumes
from gateway.core.context import Core
from gateway.core.model import Intent, Volume
from gateway.core.observer import SilentObserver
from gateway.core.query import Query
from gateway.core.reconcile import Reconciler
from gateway.core.replication_model import Replication, ReplicationState, TransferMethod, TransferState
from gateway.core.transferring import FAULTS
from gateway.testing.btrfs_pool import btrfs_pool
from gateway.testing.faults import Recorder
from gateway.testing.forks import ForkServer
from gateway.testing.live import ACCOUNT, PASSWORD, LiveGateway

pytestmark = [pytest.mark.root, pytest.mark.slow, pytest.mark.timeout(300)]

STEPS = {TransferMethod.NATIVE: {"snapshot.receive.received"}, TransferMethod.MOVER: {"snapshot.receive.moved"}}
OTHERS = 15
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
    """At each step of ours once, and at some of all the others: those of the pools and of the catalog."""
    recorder = Recorder()
    async with opened(folder, method, recorder) as core:
        key = await furnish(core)
        await change(core, "first")
        assert (await perform(core, key)).error is None
        before = await change(core, "second")
        recorder.points.clear()
        assert (await perform(core, key)).error is None
        assert await held(core, "destination") == before
    counts = Counter(recorder.points)
    steps = {(point, 1) for point in counts if point.startswith(OURS)}
    assert {*FAULTS} - {"transfer.rebased"} | STEPS[method] <= {point for point, _ in steps}
    # How often progress is written depends on the time that it takes, so not all passes come each time.
    every = {(point, number) for point, count in counts.items() for number in (1, (count + 1) // 2)}
    others = random.Random(7).sample(sorted(every - steps), OTHERS)
    for point, count in [*sorted(steps), *others]:
        async with opened(folder, method) as core:
            wanted = await change(core, f"{point}.{count}")
        die(Order(folder=str(folder), method=method, replication=key, point=point, count=count), forks)
        async with opened(folder, method) as core:
            await go_on(core)
            if await held(core, "destination") == before:
                # It died before the transfer was durable.
                assert (await perform(core, key)).error is None
            assert await held(core, "destination") == wanted, f"killed at {point} {count}"
            await assert_settled(core, point)
            assert await taken(core, key) == [1, 1], f"killed at {point} {count}"
            replication = await core.get(Replication, key)
            assert (replication.state, replication.torn) == (ReplicationState.MIRRORED, False)
            before = wanted
    async with opened(folder, method) as core:
        await dismantle(core, key)


@pytest.mark.parametrize("point", ["mover.file.written", "mover.file.placed", "mover.batch.flushed"])
async def test_death_of_the_mover_leaves_the_base(folder: Path, point: str) -> None:
    method = TransferMethod.MOVER
    async with opened(folder, method) as core:
        key = await furnish(core)
        before = await change(core, "first")
        assert (await perform(core, key)).error is None
        wanted = await change(core, "second")
    async with opened(folder, method, mover=doomed(point)) as core:
        ended = await perform(core, key)
        assert ended.state is TransferState.FAILED
        assert ended.error is not None
        assert (await core.get(Replication, key)).torn
        await replications.break_(core, key, description="t")
        assert await held(core, "destination") == before
    async with opened(folder, method) as core:
        begun = await replications.resync(core, key, description="t")
        assert (await transfers.wait(core, begun.id)).error is None
        assert await held(core, "destination") == wanted
        assert await taken(core, key) == [1, 1]
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


def until_ended(replication_id: str) -> Flow[native.Replication]:
    """Give a replication once its last transfer has ended."""
    while True:
        seen = yield from native.replication(replication_id)
        if seen.transfer is not None and seen.transfer.ended is not None:
            return seen
        yield Pause(0.1)


@pytest.mark.parametrize("point", ["transfer.taken", "snapshot.receive.moved"])
def test_a_gateway_that_starts_again_goes_on(folder: Path, forks: ForkServer, tmp_path: Path, point: str) -> None:
    """The whole program, with its mover: it dies while somebody transfers, and is started again."""
    pools = "".join(
        f'[backend.{name}]\ndriver = "btrfs"\npath = "{folder / name}"\ndisable = ["replicate"]\n' for name in ENDS
    )
    gateway = LiveGateway(tmp_path, pools=pools, forks=forks)
    try:
        with Client(gateway.start(), user=ACCOUNT, password=PASSWORD, verify=False) as client:
            made = [client.run(native.create_volume(wanted(name))) for name in ENDS]
            new = native.NewReplication(source=made[0].id, volume=made[1].id)
            key = client.run(native.create_replication(new)).id
            (tree, copy) = (path_of(client, one) for one in made)
            (tree / "f").write_bytes(b"content" * 10_000)
            gateway.arm(point)
            with pytest.raises(ClientError):
                client.run(native.transfer(key))
        assert gateway.wait() == -signal.SIGKILL
        with Client(gateway.start(), user=ACCOUNT, password=PASSWORD, verify=False) as client:
            seen = client.run(until_ended(key))
            assert seen.transfer is not None
            assert (seen.state, seen.transfer.state, seen.transfer.method) == ("mirrored", "success", "mover")
            assert (copy / "f").read_bytes() == b"content" * 10_000
            client.run(native.delete_replication(key))
            for one in made:
                client.run(native.delete_volume(one.id))
    finally:
        gateway.kill()


def wanted(name: str) -> native.NewVolume:
    return native.NewVolume(name=name, tenant="svm1", pool=name, size=SIZE)


def path_of(client: Client, volume: native.Volume) -> Path:
    (handle,) = client.run(native.handles(volume.id))
    return Path(handle.path)
