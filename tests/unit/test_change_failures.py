"""Changes that fail half way, whose caller goes away, or whose substrate or catalog does not answer."""

from __future__ import annotations

import asyncio
from pathlib import Path
from uuid import UUID

import pytest
from core_scene import LocalMemory, PaperExporter, Script, clone_of, everything, make, scripted_pool, snap

from gateway.core import clones, errors, snapshots, volumes
from gateway.core.context import Core
from gateway.core.model import (
    ExportPolicy,
    Intent,
    Job,
    JobState,
    Snapshot,
    SnapshotState,
    Volume,
    VolumeKind,
    VolumeState,
)
from gateway.core.observer import SilentObserver
from gateway.core.query import Query
from gateway.core.reconcile import Reconciler
from gateway.testing.cores import core_on, memory_pool

BUSY = errors.Busy(what="disk", retry_after=1)


class Counting(SilentObserver):
    """Counts the intents that are open, as the gauge does."""

    def __init__(self) -> None:
        self.open = 0

    def intent_opened(self, intent: Intent) -> None:
        del intent
        self.open += 1

    def intent_closed(self, intent: Intent, job: Job) -> None:
        del intent, job
        self.open -= 1


async def agree(core: Core) -> bool:
    """Tell whether catalog and substrate hold the same and no intent is open."""
    found = await everything(core)
    return (
        found["Intent"] == []
        and sorted(v.id for v in found["Volume"]) == found["substrate"]
        and sorted(s.id for s in found["Snapshot"]) == found["snapshots"]
    )


async def test_a_block_volume_that_has_grown_stays_grown(tmp_path: Path) -> None:
    """There is no way back: what failed after that tells the truth, what a crash left goes on."""
    script = Script()
    async with core_on(tmp_path, [scripted_pool(script)], fault=script) as core:
        volume = await make(core, "v", kind=VolumeKind.BLOCK)
        bigger = volumes.VolumeChange(name="renamed", size=40 << 20)
        script.steps = {"memory.annotate.begin": BUSY}
        with pytest.raises(errors.Busy):
            await (await volumes.update(core, volume.id, bigger, description="t")).result()
        failed = await core.get(Volume, volume.id)
        assert (failed.name, failed.size) == ("v", 40 << 20)
        (pool,) = core.pools
        assert await Reconciler(core, pool, SilentObserver()).run() == []
        assert await agree(core)


async def test_what_became_a_block_volume_is_one_although_the_change_failed(tmp_path: Path) -> None:
    script = Script()
    async with core_on(tmp_path, [scripted_pool(script)], fault=script) as core:
        volume = await make(core, "v")
        script.steps = {"memory.convert.done": BUSY}
        started = await volumes.convert(core, volume.id, size=40 << 20, annotations={"door": "1"}, description="t")
        with pytest.raises(errors.Busy):
            await started.result()
        found = await core.get(Volume, volume.id)
        assert (found.kind, found.size, found.annotations) == (VolumeKind.BLOCK, 40 << 20, {"door": "1"})
        assert await agree(core)
        await (await volumes.delete(core, volume.id, description="t")).result()


async def test_a_caller_that_goes_away_while_its_change_is_journalled_leaves_nothing_locked(tmp_path: Path) -> None:
    async with core_on(tmp_path, [memory_pool()]) as core:
        volume = await make(core, "v")
        for pause in range(12):
            new = snapshots.NewSnapshot(name=f"s{pause}", volume_id=volume.id)
            waiting = asyncio.ensure_future(snapshots.create(core, new, description="t"))
            for _ in range(pause):
                await asyncio.sleep(0)
            waiting.cancel()
            await asyncio.wait({waiting})
        await snap(core, volume, "last")
        await core.changes.close()
        assert not core.changes.locks.held(volume.id)
        assert await agree(core)
        count = (await core.get(Volume, volume.id)).snapshot_count
        assert count == len(await volumes.snapshots_of(core, volume.id))
        for job in (await core.catalog.page(Job, Query())).records:
            assert job.state is JobState.SUCCESS


async def test_a_change_that_waits_for_a_lock_is_refused_when_the_gateway_stops(tmp_path: Path) -> None:
    async with core_on(tmp_path, [memory_pool()]) as core:
        volume = await make(core, "v")
        async with core.changes.locks.holding(volume.id):
            new = snapshots.NewSnapshot(name="s", volume_id=volume.id)
            waiting = asyncio.ensure_future(snapshots.create(core, new, description="t"))
            await asyncio.sleep(0)
            closing = asyncio.ensure_future(core.changes.close())
            await asyncio.sleep(0)
        with pytest.raises(errors.Unavailable, match="stopping"):
            await waiting
        await closing
        assert await volumes.snapshots_of(core, volume.id) == ()


async def test_a_change_of_a_closed_pool_is_refused_at_once(tmp_path: Path) -> None:
    async with core_on(tmp_path, [memory_pool()]) as core:
        volume = await make(core, "v")
        snapshot = await snap(core, volume, "s")
        before = await rows(core)
        await core.pools.close()
        for change in (
            volumes.delete(core, volume.id, description="t"),
            snapshots.delete(core, snapshot.id, description="t"),
            snapshots.update(core, snapshot.id, snapshots.SnapshotChange(name="x"), description="t"),
            volumes.update(core, volume.id, volumes.VolumeChange(), description="t"),
        ):
            with pytest.raises(errors.Unavailable, match="substrate"):
                await change
        assert await rows(core) == before


async def rows(core: Core) -> list[object]:
    return [r for kind in (Volume, Snapshot, Job, Intent) for r in (await core.catalog.page(kind, Query())).records]


async def test_a_change_that_could_not_be_settled_is_settled_later_and_counted_once(tmp_path: Path) -> None:
    script, seen = Script(), Counting()
    async with core_on(tmp_path, [scripted_pool(script)], observer=seen) as core:
        script.forever = True
        script.steps = {"memory.create.begin": errors.OutOfSpace(pool="memory"), "memory.delete.begin": BUSY}
        with pytest.raises(errors.OutOfSpace):
            await make(core, "v")
        for _ in range(2):
            await core.changes.resettle()
        assert seen.open == 1
        script.steps = {}
        await core.changes.resettle()
        assert seen.open == 0
        assert await agree(core)
        (job,) = (await core.catalog.page(Job, Query())).records
        assert (job.state, job.error.type) == (JobState.FAILURE, "OutOfSpace")


async def test_a_change_that_was_committed_is_not_done_again(tmp_path: Path) -> None:
    """Its job's end could not be written; meanwhile the volume went on changing."""
    script, exporter, seen = Script(), PaperExporter(), Counting()
    pool = scripted_pool(script)
    async with core_on(tmp_path, [pool], exporter=exporter, fault=script, observer=seen) as core:
        volume = await make(core, "v", export_policy_id=await default_policy(core))

        def committed() -> None:
            script.steps["catalog.commit.begun"] = errors.Unavailable(what="catalog")

        script.steps["volume.update.committed"] = committed
        change = volumes.VolumeChange(junction_path="/v", comment="old")
        started = await volumes.update(core, volume.id, change, description="t")
        with pytest.raises(errors.Unavailable):
            await started.result()
        newer = volumes.VolumeChange(comment="new")
        await (await volumes.update(core, volume.id, newer, description="t")).result()
        await core.changes.resettle()
        assert (await core.get(Job, started.job.id)).state is JobState.SUCCESS
        assert seen.open == 0
        assert (await core.get(Volume, volume.id)).comment == "new"
        backend = pool.backend
        assert isinstance(backend, LocalMemory)
        observed = await backend.inspect(volume.id)
        assert b'"new"' in observed.note.document
        (opened,) = core.pools
        assert await Reconciler(core, opened, SilentObserver()).run() == []


async def default_policy(core: Core) -> UUID:
    found = await core.find(ExportPolicy, name="default")
    assert found is not None
    return found.id


@pytest.mark.parametrize("kind", ["volume", "snapshot"])
async def test_a_delete_that_fails_after_the_deed_leaves_no_ghost(tmp_path: Path, kind: str) -> None:
    script = Script()
    async with core_on(tmp_path, [scripted_pool(script)]) as core:
        volume = await make(core, "v")
        snapshot = await snap(core, volume, "s")
        if kind == "volume":
            script.steps["memory.delete.done"] = BUSY
            started = await volumes.delete(core, volume.id, description="t")
        else:
            script.steps["memory.delete_snapshot.done"] = BUSY
            started = await snapshots.delete(core, snapshot.id, description="t")
        await started.result()
        assert await agree(core)
        if kind == "snapshot":
            assert (await core.get(Volume, volume.id)).snapshot_count == 0


async def test_a_delete_that_fails_brings_the_volume_back_with_what_is_left(tmp_path: Path) -> None:
    script = Script()
    async with core_on(tmp_path, [scripted_pool(script)]) as core:
        volume = await make(core, "v")
        await snap(core, volume, "s1")
        await snap(core, volume, "s2")
        script.steps["memory.delete.begin"] = BUSY
        with pytest.raises(errors.Busy):
            await (await volumes.delete(core, volume.id, description="t")).result()
        assert await agree(core)
        kept = await core.get(Volume, volume.id)
        assert (kept.state, kept.snapshot_count) == (VolumeState.ONLINE, 0)


async def test_a_restore_that_fails_after_the_content_came_back_tells_what_is_true(tmp_path: Path) -> None:
    script, exporter = Script(), PaperExporter()
    async with core_on(tmp_path, [scripted_pool(script)], exporter=exporter) as core:
        volume = await make(core, "v", junction_path="/v", export_policy_id=await default_policy(core))
        first = await snap(core, volume, "first")
        for name in ("second", "third"):
            await snap(core, volume, name)
        script.steps["memory.delete_snapshot.done"] = lambda: script.steps.update(
            {"memory.delete_snapshot.begin": BUSY}
        )
        with pytest.raises(errors.Busy):
            await (await volumes.restore(core, volume.id, first.id, description="t", discard_newer=True)).result()
        assert await agree(core)
        restored = await core.get(Volume, volume.id)
        assert (restored.generation, restored.snapshot_count) == (1, 2)
        assert exporter.exports[volume.id].generation == 1
        (opened,) = core.pools
        assert await Reconciler(core, opened, SilentObserver()).run() == []


async def test_a_broken_snapshot_cannot_be_restored(tmp_path: Path) -> None:
    async with core_on(tmp_path, [memory_pool()]) as core:
        volume = await make(core, "v")
        snapshot = await snap(core, volume, "s")
        (opened,) = core.pools
        await opened.backend.delete_snapshot(volume.id, snapshot.id)
        await Reconciler(core, opened, SilentObserver()).run()
        assert (await core.get(Snapshot, snapshot.id)).state is SnapshotState.ERROR
        with pytest.raises(errors.InvalidState):
            await volumes.restore(core, volume.id, snapshot.id, description="t", discard_newer=True)


async def test_a_split_of_a_volume_that_is_gone_ends(tmp_path: Path) -> None:
    script = Script()
    async with core_on(tmp_path, [scripted_pool(script)]) as core:
        clone = await clone_of(core, await make(core, "v"), "c")
        (opened,) = core.pools
        await opened.backend.delete(clone.id)
        job = await (await clones.split(core, clone.id, description="t")).wait()
        assert (job.state, job.error.type) == (JobState.FAILURE, "NotFound")
        assert (await everything(core))["Intent"] == []
