"""Replications that fail, are interrupted or ended early, at every step: both ends stay whole, the base stays."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from datetime import UTC, datetime
from pathlib import Path

import pytest
from core_scene import Script, clone_of, snap
from move_scene import Nth
from replication_scene import METHODS, Lasting, Scene

from gateway.core import errors, replications, snapshots, transfers, volumes
from gateway.core.catalog import drop, walk
from gateway.core.model import Snapshot, Volume
from gateway.core.observer import SilentObserver
from gateway.core.query import ALL, Order, Query
from gateway.core.receiving import Meter
from gateway.core.reconcile import Reconciler
from gateway.core.replication_model import (
    Replication,
    ReplicationState,
    Transfer,
    TransferKind,
    TransferMethod,
    TransferState,
)
from gateway.core.replicator import Replicator

BUSY = errors.Busy(what="disk", retry_after=1)
OLD = {"f": b"content", "g": b"more"}
NEW = {"f": b"changed", "h": b"new"}
WRITTEN = {**OLD, "f": b"written here"}


class Crash(BaseException):
    """Stands for the end of the process: nothing of ours may catch it."""


async def update(scene: Scene, replication: Replication) -> None:
    await scene.transferred(replication)


async def break_(scene: Scene, replication: Replication) -> None:
    await replications.break_(scene.core, replication.id, description="t")


async def reverse(scene: Scene, replication: Replication) -> None:
    await scene.ended(await replications.reverse(scene.core, replication.id, description="t"))


async def delete(scene: Scene, replication: Replication) -> None:
    await replications.delete(scene.core, replication.id, description="t")


async def prepared(scene: Scene, act: object) -> tuple[Volume, Volume, Replication]:
    """Bring a pair to where the act begins."""
    source, destination, replication = await scene.pair()
    if act is not initialize:
        await scene.transferred(replication)
    if act is reverse:
        await replications.break_(scene.core, replication.id, description="t")
        scene.write(destination, f=b"written here")
    if act is not reverse:
        scene.write(source, f=b"changed", g=None, h=b"new")
    return source, destination, replication


async def initialize(scene: Scene, replication: Replication) -> None:
    await scene.transferred(replication)


Act = Callable[[Scene, Replication], Awaitable[None]]
ACTS: list[Act] = [initialize, update, break_, reverse, delete]


def deadly(point: str) -> bool:
    """Tell whether to end at a point: those of commits, and around them, are every change's, a pool's are its own."""
    return not point.startswith(("catalog.", "memory.")) and not point.endswith((".journalled", ".committed"))


def may_fail(point: str) -> bool:
    """Tell whether something can fail at a point: not where all is over, nor behind a deletion, which is not undone."""
    if point in {"transfer.ended", "snapshot.delete.applied"}:
        return False
    return deadly(point) or point.startswith("memory.")


async def served(scene: Scene) -> None:
    """Make a pass, and wait for the transfers that it took over or started."""
    await Replicator(scene.core, SilentObserver()).run(datetime.now(tz=UTC))
    async for transfer in walk(scene.core.catalog, Transfer, Query(order=(Order("id"),))):
        await scene.ended(transfer)


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("act", ACTS)
async def test_what_ends_anywhere_is_gone_on_with(tmp_path: Path, act: Act, method: TransferMethod) -> None:
    number, ended = 0, True
    while ended:
        number += 1
        folder = tmp_path / str(number)
        folder.mkdir()
        fault = Nth()
        scene = Scene(folder, method, fault=lambda point, fault=fault: fault(point) if deadly(point) else None)
        async with scene.running() as core:
            source, destination, replication = await prepared(scene, act)
            fault.arm(number, Crash())
            try:
                await act(scene, replication)
                ended = False
            except (Crash, asyncio.CancelledError):
                pass
        fault.arm()
        async with scene.running() as core:
            await served(scene)
            await scene.assert_whole()
            left = await core.catalog.get(Replication, replication.id)
            if left is not None:
                await assert_consistent(scene, left, source, destination, act)
    assert number > 1


async def assert_consistent(scene: Scene, left: Replication, source: Volume, destination: Volume, act: Act) -> None:
    """Fail unless what is left after a crash is one thing or the other, and works on."""
    ends = {False: (source, destination), True: (destination, source)}[left.volume_id == source.id]
    content = scene.files(ends[1])
    follows = (await scene.core.get(Volume, ends[1].id)).replica_of == left.id
    assert follows == (left.state is not ReplicationState.BROKEN)
    assert content in ([{}, NEW] if act is initialize else [OLD, NEW, WRITTEN])
    if act is delete:
        await finish_delete(scene, left, source, destination)
        return
    if left.state is not ReplicationState.BROKEN:
        ended = await scene.transferred(left)
    else:
        ended = await scene.ended(await replications.resync(scene.core, left.id, description="t"))
    assert ended.error is None
    assert scene.files(ends[1]) == scene.files(ends[0])
    assert await scene.names(source) == await scene.names(destination) == ["snapmirror"]
    await scene.assert_whole()


async def finish_delete(scene: Scene, left: Replication, source: Volume, destination: Volume) -> None:
    await replications.delete(scene.core, left.id, description="t")
    assert await scene.names(source) == await scene.names(destination) == []
    await scene.assert_whole()


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("act", [initialize, update])
async def test_what_fails_anywhere_leaves_the_base(tmp_path: Path, act: Act, method: TransferMethod) -> None:
    number, failed = 0, True
    while failed:
        number += 1
        folder = tmp_path / str(number)
        folder.mkdir()
        fault = Nth()
        scene = Scene(folder, method, fault=lambda point, fault=fault: fault(point) if may_fail(point) else None)
        async with scene.running():
            source, destination, replication = await prepared(scene, act)
            fault.arm(number, BUSY)
            await act(scene, replication)
            failed = len(fault.points) >= number
            fault.arm()
            left = await scene.now(replication)
            await scene.assert_whole()
            if left.state is ReplicationState.MIRRORED:
                await replications.break_(scene.core, left.id, description="t")
                assert scene.files(destination) in (OLD, NEW)
                await scene.ended(await replications.resync(scene.core, left.id, description="t"))
                assert scene.files(destination) == NEW
            else:
                await assert_consistent(scene, left, source, destination, act)
    assert number > 3


async def test_a_break_brings_back_what_a_mover_has_torn(tmp_path: Path) -> None:
    scene = Scene(tmp_path, TransferMethod.MOVER)
    async with scene.running():
        source, destination, replication = await scene.mirrored()
        scene.write(source, f=b"changed", g=b"changed")

        async def fail(path: str) -> None:
            if path == "g":
                raise BUSY

        scene.mover.before_file = fail
        ended = await scene.transferred(replication)
        assert (ended.state, ended.error) == (TransferState.FAILED, BUSY.to_record())
        torn = await scene.now(replication)
        assert (torn.torn, torn.healthy, torn.reason) == (True, False, str(BUSY))
        assert scene.files(destination) == {"f": b"changed", "g": b"more"}
        torn_volume = await scene.core.get(Volume, destination.id)
        with pytest.raises(errors.InvalidState, match="between"):
            await snap(scene.core, torn_volume, "s")
        with pytest.raises(errors.InvalidState, match="between"):
            await clone_of(scene.core, torn_volume, "c")
        await replications.break_(scene.core, replication.id, description="t")
        assert scene.files(destination) == OLD
        assert not (await scene.now(replication)).torn
        assert await scene.names(destination) == ["snapmirror"]


@pytest.fixture(params=METHODS)
async def slow(request: pytest.FixtureRequest, tmp_path: Path) -> Scene:
    """Give a pair of pools; `hold` lets what moves between them stop."""
    return Scene(tmp_path, request.param)


def hold(scene: Scene, reached: asyncio.Event, go: asyncio.Event) -> None:
    """Let what moves stop in the middle."""

    async def wait(_path: str = "") -> None:
        reached.set()
        await go.wait()

    scene.mover.before_file = wait
    scene.here.before_send = wait


async def test_an_abort_ends_a_transfer_and_keeps_the_base(slow: Scene) -> None:
    async with slow.running() as core:
        source, destination, replication = await slow.mirrored()
        slow.write(source, f=b"changed")
        reached, go = asyncio.Event(), asyncio.Event()
        hold(slow, reached, go)
        begun = await transfers.transfer(core, replication.id, description="t")
        await reached.wait()
        with pytest.raises(errors.Conflict, match="transfer"):
            await transfers.transfer(core, replication.id, description="t")
        with pytest.raises(errors.Conflict, match="transfer"):
            await replications.break_(core, replication.id, description="t")
        with pytest.raises(errors.Conflict, match="transfer"):
            await replications.delete(core, replication.id, description="t")
        with pytest.raises(errors.InUse, match="replication"):
            await transfers_source_delete(slow, begun)
        aborting = asyncio.ensure_future(transfers.abort(core, begun.id))
        await asyncio.sleep(0)
        if slow.method is TransferMethod.NATIVE:
            go.set()  # a mover is ended in the middle of whatever it does
        ended = await aborting
        assert ended.state is TransferState.ABORTED
        with pytest.raises(errors.InvalidState):
            await transfers.abort(core, begun.id)
        slow.mover.before_file = slow.here.before_send = None
        assert (await slow.now(replication)).base_id == replication.base_id
        await replications.break_(core, replication.id, description="t")
        assert slow.files(destination) == OLD
        ended = await slow.ended(await replications.resync(core, replication.id, description="t"))
        assert ended.error is None
        assert await slow.names(source) == await slow.names(destination) == ["snapmirror"]


async def transfers_source_delete(scene: Scene, begun: Transfer) -> None:
    assert begun.snapshot_id is not None
    await snapshots.delete(scene.core, begun.snapshot_id, description="t")


async def test_a_stop_of_the_gateway_interrupts_and_the_next_one_goes_on(slow: Scene) -> None:
    async with slow.running() as core:
        source, destination, replication = await slow.mirrored()
        slow.write(source, f=b"changed")
        reached, go = asyncio.Event(), asyncio.Event()
        hold(slow, reached, go)
        begun = await transfers.transfer(core, replication.id, description="t")
        await reached.wait()
        core.changes.context.stopping.set()
        if slow.method is TransferMethod.NATIVE:
            go.set()
    slow.mover.before_file = slow.here.before_send = None
    async with slow.running() as core:
        left = await core.get(Transfer, begun.id)
        assert left.ended is None
        await served(slow)
        ended = await core.get(Transfer, begun.id)
        assert (ended.state, ended.snapshot_id) == (TransferState.SUCCESS, left.snapshot_id)
        assert slow.files(destination)["f"] == b"changed"
        assert await slow.names(source) == await slow.names(destination) == ["snapmirror"]


async def test_a_source_snapshot_that_goes_meanwhile(slow: Scene) -> None:
    """Somebody deletes it behind the gateway's back: the transfer fails, the base stays."""
    script = Script()
    async with slow.running(script) as core:
        source, destination, replication = await slow.mirrored()
        slow.write(source, f=b"changed")

        def lose() -> None:
            slow.here.forget_newest(source.id)

        script.steps["snapshot.receive.journalled"] = lose
        ended = await slow.transferred(replication)
        assert ended.state is TransferState.FAILED
        assert ended.error is not None
        assert ended.error.type == "NotFound"
        await replications.break_(core, replication.id, description="t")
        assert slow.files(destination) == OLD
        ended = await slow.ended(await replications.resync(core, replication.id, description="t"))
        assert ended.error is None


async def test_the_only_common_snapshot_is_lost(slow: Scene) -> None:
    async with slow.running() as core:
        _, _, replication = await slow.mirrored()
        await replications.break_(core, replication.id, description="t")
        base = await core.get(Snapshot, replication.base_id)
        await core.catalog.commit(drop(base))
        with pytest.raises(errors.InvalidState, match="common"):
            await replications.resync(core, replication.id, description="t")


async def test_the_throttle_is_kept_by_the_clock(tmp_path: Path) -> None:
    now = 0.0
    scene = Scene(tmp_path, TransferMethod.NATIVE)
    async with scene.running() as core:
        _, _, replication = await scene.mirrored()
        transfer = await scene.transferred(replication, throttle=1000)
        assert transfer.throttle == 1000
        meter = Meter(core.catalog, transfer, clock=lambda: now)
        assert meter.moved(500) == 0.5
        now = 0.5
        assert meter.moved(0) == 0
        assert meter.moved(1500) == 1.5
        free = Meter(core.catalog, None, clock=lambda: now)
        assert free.moved(1 << 40) == 0
        with pytest.raises(errors.InvalidArgument, match="throttle"):
            await transfers.transfer(core, replication.id, throttle=-1, description="t")
        assert transfer.kind is TransferKind.UPDATE


async def test_a_gateway_takes_over_from_another_that_died(slow: Scene) -> None:
    """Two gateways share the catalog: the other one's transfer is left alone while that lives."""
    async with slow.running() as core:
        _, destination, replication = await slow.mirrored()
        slow.write(await core.get(Volume, replication.source.volume_id), f=b"changed")
        reached, go = asyncio.Event(), asyncio.Event()
        hold(slow, reached, go)
        async with slow.running() as other:
            begun = await transfers.transfer(other, replication.id, description="t")
            await reached.wait()
            assert await transfers.take_over(core) == 0
            assert (await transfers.wait(core, begun.id)).ended is None
            with pytest.raises(errors.Conflict):
                await transfers.abort(core, begun.id)
            other.changes.context.stopping.set()
            if slow.method is TransferMethod.NATIVE:
                go.set()
        slow.core = core
        slow.mover.before_file = slow.here.before_send = None
        await served(slow)
        assert (await core.get(Transfer, begun.id)).state is TransferState.SUCCESS
        assert slow.files(destination)["f"] == b"changed"
        await slow.assert_whole()


async def test_comparing_meanwhile_finds_nothing(slow: Scene) -> None:
    async with slow.running() as core:
        _, destination, replication = await slow.pair()
        reached, go = asyncio.Event(), asyncio.Event()
        hold(slow, reached, go)
        begun = await transfers.transfer(core, replication.id, description="t")
        await reached.wait()
        for pool in core.pools:
            assert await Reconciler(core, pool, SilentObserver()).run() == []
        go.set()
        assert (await slow.ended(begun)).error is None
        assert slow.files(destination) == OLD
        await slow.assert_whole()


async def test_a_destination_in_memory_goes_with_its_process(tmp_path: Path) -> None:
    scene = Scene(tmp_path, TransferMethod.NATIVE)
    async with scene.running() as core:
        source, destination, replication = await scene.mirrored()
        await scene.transferred(replication)
    lost = Lasting("there")
    lost.fleeting = True
    scene.there = lost
    async with scene.running() as core:
        (pool,) = [one for one in core.pools if one.name == "there"]
        await Reconciler(core, pool, SilentObserver()).run(at_start=True)
        assert await core.catalog.get(Volume, destination.id) is None
        assert await core.catalog.count(Replication, ALL) == await core.catalog.count(Transfer, ALL) == 0
        await (await volumes.delete(core, source.id, description="t")).result()
