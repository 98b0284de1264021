"""Replications where one thing goes wrong beside another: what is lost then is neither the base nor the way out."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from datetime import timedelta
from pathlib import Path
from uuid import uuid4

import msgspec
import pytest
from core_scene import PaperExporter, Script, make, snap
from replication_scene import METHODS, Scene, policy_of

from gateway.core import errors, policies, replication_policies, replications, snapshots, transfers
from gateway.core import volumes as volume_cases
from gateway.core.catalog import drop, put
from gateway.core.model import ExportPolicy, ExportRule, Intent, Snapshot, SnapshotPolicy, Volume, utc_now
from gateway.core.observer import SilentObserver
from gateway.core.query import ALL
from gateway.core.rebuild import rebuild
from gateway.core.replicas import both_halves
from gateway.core.replication_model import Replication, ReplicationRule, Transfer, TransferMethod, TransferState
from gateway.core.replicator import Replicator
from gateway.core.scheduler import Scheduler

BUSY = errors.Busy(what="disk", retry_after=1)


class Crash(BaseException):
    """Stands for the end of the process: nothing of ours may catch it."""


def die() -> None:
    raise Crash


@pytest.fixture(params=METHODS)
async def scene(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[Scene]:
    made = Scene(tmp_path, request.param)
    async with made.running():
        yield made


async def test_a_transfer_back_to_the_base_mends_what_a_mover_has_torn(tmp_path: Path) -> None:
    scene = Scene(tmp_path, TransferMethod.MOVER)
    async with scene.running() as core:
        source, destination, replication = await scene.pair("MirrorLatest")
        await snap(core, source, "one")
        await scene.transferred(replication)
        scene.write(source, f=b"changed", g=b"changed")
        await snap(core, source, "two")

        async def fail(path: str) -> None:
            if path == "g":
                raise BUSY

        scene.mover.before_file = fail
        assert (await scene.transferred(replication)).state is TransferState.FAILED
        scene.mover.before_file = None
        two = await core.find(Snapshot, name="two", volume__id=source.id)
        assert two is not None
        await (await snapshots.delete(core, two.id, description="t")).result()
        assert (await scene.transferred(replication)).error is None
        assert not (await scene.now(replication)).torn
        assert scene.files(destination) == {"f": b"content", "g": b"more"}


async def test_failures_leave_no_heap_of_snapshots(scene: Scene) -> None:
    source, _, replication = await scene.mirrored()

    async def fail(_path: str = "") -> None:
        raise BUSY

    scene.mover.before_file = scene.here.before_send = fail
    for number in range(4):
        scene.write(source, f=b"%d" % number)
        assert (await scene.transferred(replication)).state is TransferState.FAILED
    assert len(await scene.names(source)) <= 2


async def test_it_ends_although_the_source_is_out_of_reach(scene: Scene) -> None:
    source, destination, replication = await scene.mirrored()
    core = scene.core
    await replications.break_(core, replication.id, description="t")
    core.pools._open.pop(source.pool_id)
    await replications.delete(core, replication.id, description="t")
    assert await core.catalog.count(Replication, ALL) == 0
    await (await volume_cases.delete(core, destination.id, description="t")).result()


async def test_what_a_kill_interrupted_is_settled_without_the_source(tmp_path: Path) -> None:
    script = Script()
    scene = Scene(tmp_path, TransferMethod.MOVER)
    async with scene.running(script) as core:
        source, destination, replication = await scene.mirrored()
        scene.write(source, f=b"changed")
        script.steps["snapshot.receive.moved"] = die
        begun = await transfers.transfer(core, replication.id, description="t")
        with pytest.raises(Crash):
            await transfers.wait(core, begun.id)
        assert await core.catalog.count(Intent, ALL) == 1
    async with scene.running(only="there") as core:
        await Replicator(core, SilentObserver()).run(utc_now())
        assert (await transfers.wait(core, begun.id)).state is TransferState.FAILED
        await replications.break_(core, replication.id, description="t")
        assert scene.files(destination) == {"f": b"content", "g": b"more"}
        assert (await core.get(Volume, destination.id)).replica_of is None


async def test_a_schedule_called_transfer(scene: Scene) -> None:
    """Snapshots of a policy of snapshots are not taken for those of a replication that is gone."""
    core = scene.core
    source, _, replication = await scene.pair("MirrorAllSnapshots")
    new = snapshots.NewSnapshot(name="s", volume_id=source.id, taken_by=f"{uuid4()}/transfer")
    await (await snapshots.create(core, new, description="t")).result()
    await scene.transferred(replication)
    await snap(core, source, "t")
    await scene.transferred(replication)
    assert await scene.names(source) == ["s", "t"]


async def test_an_unknown_policy_stops_no_other_replication(scene: Scene) -> None:
    core = scene.core
    *_, replication = await scene.mirrored()
    ends = [await make(core, "other"), await make(core, "another", pool="there")]
    policy = await replication_policies.named(core, "Asynchronous")
    new = replications.NewReplication(source_id=ends[0].id, destination_id=ends[1].id, policy_id=policy.id)
    other = await replications.create(core, new, description="t")
    assert (await scene.transferred(other)).error is None
    lost = msgspec.structs.replace(await scene.now(replication), policy_id=uuid4())
    due = msgspec.structs.replace(await scene.now(other), schedule="5min")
    await core.catalog.commit(put(lost, due))
    passed = await Replicator(core, SilentObserver()).run(utc_now() + timedelta(minutes=6))
    assert passed.started == 1


async def test_a_rebuild_finds_usual_policies_that_were_made_elsewhere(scene: Scene, tmp_path: Path) -> None:
    """Pools of two gateways bring two of each: the second ones are not there, but are the same."""
    again = tmp_path / "again"
    again.mkdir()
    *_, replication = await scene.mirrored()
    second = Scene(again, scene.method)
    second.here, second.there, second.mover = scene.here, scene.there, scene.mover
    async with second.running(tenants=()) as core:
        await replication_policies.ensure_builtin(core)
        await rebuild(core, SilentObserver())
        found = await core.get(Replication, replication.id)
        assert found.policy_id == (await replication_policies.named(core, "Asynchronous")).id


async def test_a_volume_of_an_unknown_replication_is_no_destination(scene: Scene, tmp_path: Path) -> None:
    again = tmp_path / "again"
    again.mkdir()
    _, destination, replication = await scene.mirrored()
    await scene.core.catalog.commit(drop(await scene.now(replication)))
    await scene.core.manifest.write()
    second = Scene(again, scene.method)
    second.here, second.there, second.mover = scene.here, scene.there, scene.mover
    async with second.running(tenants=()) as core:
        await rebuild(core, SilentObserver())
        assert (await core.get(Volume, destination.id)).replica_of is None


async def test_a_base_is_kept_from_the_rebuild_on(scene: Scene) -> None:
    source, _, replication = await scene.mirrored()
    await scene.core.catalog.commit(put(msgspec.structs.replace(replication, base_id=None, base_created=None)))
    for key in await both_halves(scene.core, replication, replication.base_id or uuid4()):
        with pytest.raises(errors.InUse, match="replication"):
            await snapshots.delete(scene.core, key, description="t")
    scene.write(source, f=b"changed")
    assert (await scene.transferred(replication)).error is None


async def test_an_update_discards_nothing_that_was_written_after_a_break(scene: Scene) -> None:
    _, destination, replication = await scene.mirrored()
    await replications.break_(scene.core, replication.id, description="t")
    scene.write(destination, f=b"written here")
    with pytest.raises(errors.InvalidState):
        await scene.transferred(replication)
    assert scene.files(destination)["f"] == b"written here"


async def test_what_is_refused_a_publication_is_no_destination(tmp_path: Path) -> None:
    scene, exporter = Scene(tmp_path, METHODS[0]), PaperExporter()
    async with scene.running(exporter=exporter) as core:
        scene.here.local = scene.there.local = True
        source = await make(core, "source")
        destination = await make(core, "destination", pool="there")
        policy = await core.find(ExportPolicy, name="default")
        assert policy is not None
        await policies.add_rule(core, policy.id, ExportRule(index=0, clients=("192.0.2.0/24",)))
        publish = volume_cases.VolumeChange(junction_path="/d", export_policy_id=policy.id)
        await (await volume_cases.update(core, destination.id, publish, description="t")).result()
        exporter.broken.add(destination.id)
        found = await replication_policies.named(core, "Asynchronous")
        new = replications.NewReplication(source_id=source.id, destination_id=destination.id, policy_id=found.id)
        with pytest.raises(errors.Unavailable):
            await replications.create(core, new, description="t")
        assert await core.catalog.count(Replication, ALL) == 0
        assert (await core.get(Volume, destination.id)).replica_of is None


async def test_a_snapshot_that_is_passed_stays_while_it_is_sent(scene: Scene) -> None:
    core = scene.core
    source, _, replication = await scene.pair("MirrorAllSnapshots")
    await scene.transferred(replication)
    scene.write(source, f=b"1")
    one = await snap(core, source, "one")
    scene.write(source, f=b"2")
    await snap(core, source, "two")
    refused: list[int] = []

    async def remove(_path: str = "") -> None:
        if not refused:
            refused.append(1)
            with pytest.raises(errors.InUse):
                await snapshots.delete(core, one.id, description="t")

    scene.mover.before_file = scene.here.before_send = remove
    ended = await scene.transferred(replication)
    assert (refused, ended.error) == ([1], None)


async def test_a_reverse_that_does_not_begin_has_swapped_nothing(scene: Scene) -> None:
    source, destination, replication = await scene.mirrored()
    core = scene.core
    broken = await replications.break_(core, replication.id, description="t")
    scene.write(destination, f=b"written here")
    with pytest.raises(errors.InvalidArgument, match="throttle"):
        await replications.reverse(core, replication.id, throttle=-1, description="t")
    assert await scene.now(replication) == broken
    assert (await scene.ended(await replications.reverse(core, replication.id, description="t"))).error is None
    assert scene.files(source)["f"] == scene.files(destination)["f"] == b"written here"


async def test_a_pass_leaves_alone_what_just_begins(scene: Scene) -> None:
    """The commit of a transfer can be seen before whoever made it goes on."""
    _, _, replication = await scene.mirrored()
    core = scene.core
    last = await core.get(Transfer, replication.transfer_id or uuid4())
    new = msgspec.structs.replace(last, id=uuid4(), state=TransferState.TRANSFERRING, ended=None, revision=0)
    async with core.changes.locks.holding(replication.id):
        stored = await core.catalog.commit(put(new, msgspec.structs.replace(replication, transfer_id=new.id)))
        passing = asyncio.ensure_future(transfers.take_over(core))
        await core.catalog.count(Transfer, ALL)
        await core.catalog.count(Transfer, ALL)
    begun = transfers.carry(core, stored[new.id], description="t")  # type: ignore[arg-type]
    assert await passing == 0
    assert (await scene.ended(begun)).error is None


async def test_what_keeps_the_destination_from_snapshots_keeps_no_transfer_from_it(tmp_path: Path) -> None:
    scene = Scene(tmp_path, TransferMethod.MOVER)
    async with scene.running() as core:
        rule = ReplicationRule(label="own", count=2, schedule="hourly")
        await policy_of(core, rules=(rule,), schedule="hourly")
        source, destination, replication = await scene.mirrored("p")

        async def fail(_path: str) -> None:
            raise BUSY

        scene.write(source, f=b"changed")
        scene.mover.before_file = fail
        assert (await scene.transferred(replication)).state is TransferState.FAILED
        scene.mover.before_file = None
        passed = await Replicator(core, SilentObserver()).run(utc_now() + timedelta(hours=1))
        assert (passed.started, passed.snapshots, passed.failed) == (1, 0, 1)
        last = (await scene.now(replication)).transfer_id
        assert (await transfers.wait(core, last or uuid4())).error is None
        assert scene.files(destination)["f"] == b"changed"


@pytest.mark.parametrize(("without", "expected"), [((), 1), (("restore_keeps_newer",), 0)])
async def test_destinations_where_streams_need_the_newest_snapshot_get_no_others(
    tmp_path: Path, without: tuple[str, ...], expected: int
) -> None:
    scene = Scene(tmp_path, TransferMethod.NATIVE)
    async with scene.running(without=without) as core:
        _, destination, _ = await scene.mirrored()
        policy = await core.find(SnapshotPolicy, name="default")
        assert policy is not None
        change = volume_cases.VolumeChange(snapshot_policy_id=policy.id)
        await (await volume_cases.update(core, destination.id, change, description="t")).result()
        scheduler = Scheduler(core, SilentObserver())
        await scheduler.run(utc_now())
        await scheduler.run(utc_now() + timedelta(hours=1))
        assert (await core.get(Volume, destination.id)).snapshot_count == 1 + expected
