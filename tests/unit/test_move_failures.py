"""Moves that fail or are interrupted, at every single step, and what is found meanwhile by those who compare."""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime
from pathlib import Path
from uuid import uuid4

import msgspec
import pytest
from core_scene import Script, snap, tenant_and_pool
from move_scene import Nth, assert_whole, compared, furnished, held, memory, moved, rows, start, two_pools

from gateway.core import errors, volumes
from gateway.core.backend import no_fault
from gateway.core.change import Changes
from gateway.core.model import Intent, Job, JobState, Snapshot, Volume, VolumeState
from gateway.core.notes import note as noted
from gateway.core.observer import SilentObserver
from gateway.core.operation import Context
from gateway.core.pools import Configured
from gateway.core.query import Query
from gateway.core.rebuild import rebuild
from gateway.core.reconcile import Reconciler
from gateway.core.recover import Recovery
from gateway.server.assembly import House
from gateway.testing.cores import core_on, memory_pool
from gateway.testing.faults import RaiseAt

NOW = datetime.now(tz=UTC)
BUSY = errors.Busy(what="disk", retry_after=1)


class Crash(BaseException):
    """Stands for the end of the process: nothing of ours may catch it."""


class Log(SilentObserver):
    """Keeps which operations wait for a pool."""

    def __init__(self) -> None:
        self.waits: list[str | int] = []

    def event(self, name: str, **fields: str | int) -> None:
        if name == "recovery_waits":
            self.waits.append(fields["operation"])


async def points(folder: Path) -> list[str]:
    """Give every point that a move passes."""
    folder.mkdir()
    fault = Nth()
    async with core_on(folder, two_pools(fault), fault=fault) as core:
        volume = await furnished(core)
        fault.arm()
        await moved(core, volume)
    return fault.points


async def test_a_move_that_ends_anywhere_has_happened_or_has_not(tmp_path: Path) -> None:
    passed = await points(tmp_path / "whole")
    assert "volume.move.arrived" in passed
    outcomes = set()
    for number, point in enumerate(passed, start=1):
        folder = tmp_path / str(number)
        folder.mkdir()
        fault = Nth()
        pools = two_pools(fault)
        async with core_on(folder, pools, fault=fault) as core:
            volume = await furnished(core)
            fault.arm(number, Crash())
            with pytest.raises((Crash, asyncio.CancelledError, errors.GatewayError)):
                await moved(core, volume)
            assert fault.points[-1] == point
        fault.arm()
        async with core_on(folder, pools) as core:
            jobs = [j for j in (await core.catalog.page(Job, Query())).records if j.operation == "volume.move"]
            happened = [job.state for job in jobs] == [JobState.SUCCESS]
            assert all(job.ended is not None for job in jobs)
            await assert_whole(core, at="new" if happened else "old")
            outcomes.add(happened)
    assert outcomes == {True, False}


@pytest.mark.parametrize("point", ["volume.move.cleared", "volume.move.arrived"])
async def test_a_settlement_that_ends_anywhere_is_gone_on_with(tmp_path: Path, point: str) -> None:
    """A second process dies, too, at each step of what it does about the move that the first one left."""
    number, ended = 0, 0
    while ended == number:
        number += 1
        folder = tmp_path / str(number)
        folder.mkdir()
        fault = Nth()
        pools = two_pools(fault)
        await interrupted(folder, pools, point)
        fault.arm(number, Crash())
        try:
            async with core_on(folder, pools, fault=fault):
                pass
        except (Crash, asyncio.CancelledError):
            ended += 1
        fault.arm()
        async with core_on(folder, pools) as core:
            await assert_whole(core, at="new" if point == "volume.move.arrived" else "old")
    assert ended > 5


async def test_a_move_that_fails_anywhere_leaves_the_volume_in_one_pool(tmp_path: Path) -> None:
    passed = await points(tmp_path / "whole")
    for number, point in enumerate(passed, start=1):
        if point.startswith("catalog.") or point.endswith((".journalled", ".committed")):
            continue
        folder = tmp_path / str(number)
        folder.mkdir()
        fault = Nth()
        async with core_on(folder, two_pools(fault), fault=fault) as core:
            volume = await furnished(core)
            fault.arm(number, BUSY)
            job = await (await start(core, volume)).wait()
            _, new = await tenant_and_pool(core, "new")
            at_new = (await core.get(Volume, volume.id)).pool_id == new.id
            # What has moved has done so whatever fails after that; a delete that fails after the deed has not failed.
            assert at_new or job.state is JobState.FAILURE
            await assert_whole(core, at="new" if at_new else "old")
            if not at_new:
                assert (await moved(core, volume)).pool_id == new.id
                await assert_whole(core, at="new")


async def test_what_is_the_only_half_left_stays(tmp_path: Path) -> None:
    """Somebody removes the volume behind the gateway's back while it moves, and then the move fails."""
    async with core_on(tmp_path, two_pools()) as core:
        volume = await furnished(core)
        old, new = memory(core, "old"), memory(core, "new")

        async def lose() -> None:
            new.before_annotate = None
            for snapshot in [one.id async for one in old.scan_snapshots() if one.id]:
                await old.delete_snapshot(volume.id, snapshot)
            await old.delete(volume.id)
            raise BUSY

        new.before_annotate = lose
        with pytest.raises(errors.Busy):
            await moved(core, volume)
        await assert_whole(core, at="new")


async def test_both_halves_are_known_to_who_compares_meanwhile(tmp_path: Path) -> None:
    pools = two_pools()
    async with core_on(tmp_path, pools) as core, core_on(tmp_path, pools) as other:
        volume = await furnished(core)
        found: list[object] = []

        async def compare() -> None:
            memory(core, "new").before_annotate = None
            assert set(await held(core)) == {"old", "new", "snapshots of old"}
            found.extend([*await compared(core), *await compared(other)])
            found.append("compared")

        memory(core, "new").before_annotate = compare
        await moved(core, volume)
        assert found == ["compared"]
        await assert_whole(other, at="new")


async def test_a_difference_in_what_moves_is_for_the_next_comparison(tmp_path: Path) -> None:
    async with core_on(tmp_path, two_pools()) as core:
        volume = await furnished(core)
        old = memory(core, "old")
        taken = Snapshot(
            id=uuid4(), name="s", volume_id=volume.id, tenant_id=volume.tenant_id, pool_id=volume.pool_id, created=NOW
        )

        async def compare() -> None:
            memory(core, "new").before_annotate = None
            await old.resize(volume.id, volume.size * 2)
            await old.snapshot(volume.id, taken.id, noted(taken, "svm1"))
            assert await compared(core) == []
            await old.delete_snapshot(volume.id, taken.id)

        memory(core, "new").before_annotate = compare
        await asyncio.wait_for(moved(core, volume), 30)
        await assert_whole(core, at="new")


async def test_what_fails_when_the_old_half_is_gone_tells_what_is_true(tmp_path: Path) -> None:
    script = Script()
    pools = two_pools()
    async with core_on(tmp_path, pools, fault=script) as core, core_on(tmp_path, pools) as other:
        volume = await furnished(core)
        script.steps["volume.move.applied"] = BUSY
        job = await (await start(core, volume)).wait()
        assert job.state is JobState.FAILURE
        await assert_whole(other, at="new")
        assert (await other.get(Volume, volume.id)).state is VolumeState.ONLINE


async def test_nobody_waits_for_the_end_of_a_move(tmp_path: Path) -> None:
    async with core_on(tmp_path, two_pools()) as made:
        context = Context(made.catalog, made.pools, made.publisher, no_fault)
        quiet = SilentObserver()
        changes = Changes(made.catalog, context, quiet, no_fault, patience_s=0.01)
        core = msgspec.structs.replace(made, changes=changes)
        volume = await furnished(core)
        reached, go_on = asyncio.Event(), asyncio.Event()

        async def pause() -> None:
            reached.set()
            await go_on.wait()

        memory(core, "new").before_annotate = pause
        move = await start(core, volume)
        # One comes before it is known what lasts, the other one while it lasts.
        early = asyncio.ensure_future(volumes.delete(core, volume.id, description="t"))
        await reached.wait()
        late = asyncio.ensure_future(snap(core, volume, "s"))
        for refused in await asyncio.gather(early, late, return_exceptions=True):
            assert isinstance(refused, errors.Conflict)
            assert (refused.holder, refused.ref) == ("volume.move", str(volume.id))
        await asyncio.wait_for(House(core, Recovery(core, quiet), None, quiet).converge_volume(volume.id), 5)
        given_up = asyncio.ensure_future(snap(core, volume, "s"))
        await asyncio.sleep(0)
        given_up.cancel()
        go_on.set()
        await move.result()
        await assert_whole(core, at="new")
        assert not changes.locks.held(volume.id)
        memory(core, "new").before_annotate = None
        await snap(core, volume, "s")
        await changes.close()


async def test_a_gateway_that_stops_does_not_wait_for_the_end_of_a_move(tmp_path: Path) -> None:
    pools = two_pools()
    async with core_on(tmp_path, pools) as core:
        volume = await furnished(core)
        closing: list[asyncio.Task[None]] = []

        async def close() -> None:
            closing.append(asyncio.ensure_future(core.changes.close()))

        memory(core, "old").before_send = close
        job = await (await start(core, volume)).wait()
        assert (job.state, job.error and job.error.type) == (JobState.FAILURE, "Unavailable")
        await asyncio.gather(*closing)
    async with core_on(tmp_path, pools) as core:
        await assert_whole(core, at="old")
        memory(core, "old").before_send = None
        await moved(core, volume)
        await assert_whole(core, at="new")


async def interrupted(folder: Path, pools: list[Configured], point: str) -> Volume:
    """Let the process of a move end at a point."""
    async with core_on(folder, pools, fault=RaiseAt(point, Crash())) as core:
        volume = await furnished(core)
        with pytest.raises((Crash, asyncio.CancelledError)):
            await moved(core, volume)
        return volume


@pytest.mark.parametrize(("point", "at"), [("volume.move.applied", "new"), ("volume.move.cleared", "old")])
@pytest.mark.parametrize("first", ["old", "new"])
async def test_a_move_is_settled_when_both_pools_are_open(tmp_path: Path, point: str, at: str, first: str) -> None:
    pools = two_pools()
    volume = await interrupted(tmp_path, pools, point)
    only = [pool for pool in pools if pool.name == first]
    log = Log()
    async with core_on(tmp_path, only, observer=log) as core:
        assert log.waits == ["volume.move"]
        assert [intent.keys for intent in (await core.catalog.page(Intent, Query())).records] == [(volume.id,)]
        assert await compared(core) == []
        assert (await core.get(Volume, volume.id)).state is VolumeState.ONLINE
    async with core_on(tmp_path, pools) as core:
        await assert_whole(core, at=at)


async def test_a_catalog_that_is_lost_in_the_middle_has_the_volume_once(tmp_path: Path) -> None:
    for order in (1, -1):
        pools = two_pools()[::order]
        lost, fresh = tmp_path / f"lost{order}", tmp_path / f"fresh{order}"
        lost.mkdir()
        fresh.mkdir()
        await interrupted(lost, pools, "volume.move.arrived")
        async with core_on(fresh, pools, tenants=()) as core:
            findings = await rebuild(core, SilentObserver())
            names = [volume.name for volume in (await core.catalog.page(Volume, Query())).records]
            assert sorted(names) == ["stays", "there", "v"]
            flagged = [(found.kind, found.why) for found in findings if found.did == "flagged"]
            assert ("volume", "the catalog has it in another pool") in flagged
            (volume,) = [v for v in (await core.catalog.page(Volume, Query())).records if v.name == "v"]
            for snapshot in (await rows(core))["Snapshot"]:
                assert snapshot.pool_id == volume.pool_id


async def test_a_volatile_pool_loses_what_was_on_its_way(tmp_path: Path) -> None:
    await interrupted(tmp_path, two_pools(), "volume.move.arrived")
    pools = [memory_pool("old"), memory_pool("new")]
    async with core_on(tmp_path, pools) as core:
        for pool in core.pools:
            await Reconciler(core, pool, SilentObserver()).run(at_start=True)
        found = await rows(core)
        assert found == {"Volume": [], "Snapshot": [], "Intent": []}
        (job,) = [j for j in (await core.catalog.page(Job, Query())).records if j.operation == "volume.move"]
        assert job.state is JobState.FAILURE
