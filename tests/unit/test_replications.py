"""Replications between two memory pools, by streams and by a mover: what follows what, and what is kept from whom."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from core_scene import MIB, PaperExporter, clone_of, make, snap
from replication_scene import METHODS, Scene

from gateway.core import errors, moves, policies, replication_policies, replications, retired, snapshots, transfers
from gateway.core import volumes as volume_cases
from gateway.core.context import Core
from gateway.core.model import ExportPolicy, ExportRule, Snapshot, Volume, VolumeKind
from gateway.core.query import ALL
from gateway.core.replication_model import Replication, ReplicationState, TransferKind, TransferState


@pytest.fixture(params=METHODS)
async def scene(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[Scene]:
    made = Scene(tmp_path, request.param)
    async with made.running():
        yield made


async def test_the_destination_follows(scene: Scene) -> None:
    source, destination, replication = await scene.pair()
    assert replication.state is ReplicationState.UNINITIALIZED
    assert (await scene.core.get(Volume, destination.id)).replica_of == replication.id
    first = await scene.transferred(replication)
    assert (first.kind, first.state, first.method) == (TransferKind.INITIALIZE, TransferState.SUCCESS, scene.method)
    assert first.bytes_transferred > 0
    assert scene.files(destination) == {"f": b"content", "g": b"more"}
    scene.write(source, f=b"changed", g=None, h=b"new")
    assert scene.files(destination) == {"f": b"content", "g": b"more"}
    second = await scene.transferred(replication)
    assert (second.kind, second.state) == (TransferKind.UPDATE, TransferState.SUCCESS)
    assert scene.files(destination) == {"f": b"changed", "h": b"new"}
    now = await scene.now(replication)
    assert (now.state, now.healthy, now.torn, now.transfer_id) == (ReplicationState.MIRRORED, True, False, second.id)
    assert now.total_bytes == first.bytes_transferred + second.bytes_transferred
    assert await scene.names(source) == await scene.names(destination) == ["snapmirror"]
    assert now.base_id is not None
    base = await scene.core.get(Snapshot, now.base_id)
    assert (base.volume_id, base.lineage) == (destination.id, second.snapshot_id)
    await scene.assert_whole()


async def test_break_write_resync(scene: Scene) -> None:
    source, destination, replication = await scene.mirrored()
    broken = await replications.break_(scene.core, replication.id, description="t")
    assert broken.state is ReplicationState.BROKEN
    assert (await scene.core.get(Volume, destination.id)).replica_of is None
    assert await replications.break_(scene.core, replication.id, description="t") == broken
    scene.write(destination, f=b"written here", mine=b"x")
    scene.write(source, g=b"there")
    ended = await scene.ended(await replications.resync(scene.core, replication.id, description="t"))
    assert (ended.kind, ended.error) == (TransferKind.RESYNC, None)
    assert scene.files(destination) == {"f": b"content", "g": b"there"}
    assert (await scene.core.get(Volume, destination.id)).replica_of == replication.id
    assert (await scene.now(replication)).state is ReplicationState.MIRRORED
    await scene.assert_whole()


async def test_reverse_and_back(scene: Scene) -> None:
    source, destination, replication = await scene.mirrored()
    await replications.break_(scene.core, replication.id, description="t")
    scene.write(destination, f=b"written here")
    scene.write(source, g=b"lost")
    ended = await scene.ended(await replications.reverse(scene.core, replication.id, description="t"))
    assert ended.error is None
    assert scene.files(source) == {"f": b"written here", "g": b"more"}
    turned = await scene.now(replication)
    assert (turned.volume_id, turned.source.volume_id) == (source.id, destination.id)
    assert (turned.source.volume, turned.state) == ("destination", ReplicationState.MIRRORED)
    scene.write(destination, new=b"1")
    assert (await scene.transferred(replication)).error is None
    assert scene.files(source) == {"f": b"written here", "g": b"more", "new": b"1"}
    await replications.break_(scene.core, replication.id, description="t")
    scene.write(source, new=b"2")
    ended = await scene.ended(await replications.reverse(scene.core, replication.id, description="t"))
    assert ended.error is None
    assert scene.files(destination) == {"f": b"written here", "g": b"more", "new": b"2"}
    assert await scene.names(source) == await scene.names(destination) == ["snapmirror"]
    await scene.assert_whole()


async def test_delete_lets_go_of_both_ends(scene: Scene) -> None:
    source, destination, replication = await scene.mirrored()
    for volume in (source, destination):
        with pytest.raises(errors.InUse, match="replication"):
            await volume_cases.delete(scene.core, volume.id, description="t")
        with pytest.raises(errors.InUse, match="replication"):
            await retired.remove(scene.core, volume.id, description="t")
    await replications.delete(scene.core, replication.id, description="t")
    assert await scene.core.catalog.count(Replication, ALL) == 0
    assert await scene.names(source) == await scene.names(destination) == []
    assert (await scene.core.get(Volume, destination.id)).replica_of is None
    scene.write(destination, f=b"free")
    for volume in (source, destination):
        await (await volume_cases.delete(scene.core, volume.id, description="t")).result()
    await scene.assert_whole()


async def test_what_is_kept_is_where_another_replication_goes_on(scene: Scene) -> None:
    source, destination, replication = await scene.mirrored()
    await replications.delete(scene.core, replication.id, keep_source=True, description="t")
    assert await scene.names(source) == await scene.names(destination) == ["snapmirror"]
    scene.write(destination, f=b"written here")
    new = replications.NewReplication(
        source_id=destination.id, destination_id=source.id, policy_id=replication.policy_id
    )
    turned = await replications.create(scene.core, new, description="t")
    assert (turned.state, turned.base_id is not None) == (ReplicationState.BROKEN, True)
    assert (await scene.core.get(Volume, source.id)).replica_of is None
    ended = await scene.ended(await replications.resync(scene.core, turned.id, description="t"))
    assert ended.error is None
    assert scene.files(source) == {"f": b"written here", "g": b"more"}
    assert (await scene.transferred(turned)).error is None
    assert len(await scene.names(source)) == len(await scene.names(destination)) == 1
    await replications.delete(scene.core, turned.id, description="t")
    assert await scene.names(source) == await scene.names(destination) == []
    await scene.assert_whole()


async def test_nobody_else_writes_to_a_destination(scene: Scene) -> None:
    _, destination, replication = await scene.mirrored()
    core, key = scene.core, destination.id
    other = (await scene.core.get(Volume, replication.source.volume_id)).pool_id
    change = volume_cases.VolumeChange(size=40 * MIB)
    with pytest.raises(errors.InvalidState, match="replica"):
        await volume_cases.update(core, key, change, description="t")
    own = await snap(core, await core.get(Volume, key), "own")
    with pytest.raises(errors.InvalidState, match="replica"):
        await volume_cases.restore(core, key, own.id, description="t", discard_newer=True)
    handles = await volume_cases.access(core, key)
    assert all(handle.read_only for handle in handles)
    with pytest.raises(errors.InUse, match="replication"):
        await moves.move(core, key, other, description="t")
    await (await volume_cases.update(core, key, volume_cases.VolumeChange(comment="c"), description="t")).result()
    await replications.break_(core, replication.id, description="t")
    await (await volume_cases.update(core, key, change, description="t")).result()
    assert not any(handle.read_only for handle in await volume_cases.access(core, key))


async def test_a_base_goes_only_with_its_replication(scene: Scene) -> None:
    source, _, replication = await scene.mirrored()
    core = scene.core
    base = await core.get(Snapshot, replication.base_id)
    for key in (base.id, base.lineage):
        for remove in (snapshots.delete, retired.remove_snapshot):
            with pytest.raises(errors.InUse, match="replication"):
                await remove(core, key, description="t")
    older = await snap(core, source, "s")
    await (await snapshots.delete(core, older.id, description="t")).result()


async def test_a_restore_of_the_source_must_not_take_the_base(scene: Scene) -> None:
    source, _, replication = await scene.pair()
    old = await snap(scene.core, source, "old")
    await scene.transferred(replication)
    with pytest.raises(errors.InUse, match="replication"):
        await volume_cases.restore(scene.core, source.id, old.id, description="t", discard_newer=True)
    await (await volume_cases.restore(scene.core, source.id, old.id, description="t", discard_newer=False)).result()
    assert (await scene.transferred(replication)).error is None


async def test_pause_and_resume(scene: Scene) -> None:
    _, _, replication = await scene.pair()
    with pytest.raises(errors.InvalidState):
        await replications.pause(scene.core, replication.id)
    await scene.transferred(replication)
    assert (await replications.pause(scene.core, replication.id)).state is ReplicationState.PAUSED
    with pytest.raises(errors.InvalidState, match="paused"):
        await transfers.transfer(scene.core, replication.id, description="t")
    assert (await replications.resume(scene.core, replication.id)).state is ReplicationState.MIRRORED
    assert (await scene.transferred(replication)).error is None


async def test_the_destination_grows_with_the_source(scene: Scene) -> None:
    source, destination, replication = await scene.mirrored()
    change = volume_cases.VolumeChange(size=50 * MIB)
    await (await volume_cases.update(scene.core, source.id, change, description="t")).result()
    assert (await scene.transferred(replication)).error is None
    assert (await scene.core.get(Volume, destination.id)).size == 50 * MIB


async def test_what_cannot_follow(scene: Scene) -> None:
    source, destination, replication = await scene.pair()
    core = scene.core
    policy = await replication_policies.named(core, "MirrorLatest")

    async def refused(kind: type[errors.GatewayError], match: str, destination_id: object) -> None:
        new = replications.NewReplication(
            source_id=source.id,
            destination_id=destination_id,  # type: ignore[arg-type]
            policy_id=policy.id,
        )
        with pytest.raises(kind, match=match):
            await replications.create(core, new, description="t")

    await refused(errors.InvalidArgument, "source", source.id)
    await refused(errors.AlreadyExists, "volume_id", destination.id)
    await refused(errors.LimitExceeded, "size", (await make(core, "small", size=MIB)).id)
    await refused(errors.InvalidArgument, "holds", (await make(core, "blocks", kind="block")).id)
    used = await make(core, "used")
    await snap(core, used, "s")
    await refused(errors.InUse, "snapshots", used.id)
    await refused(errors.InUse, "clone", (await clone_of(core, used, "clone")).id)
    assert await core.catalog.count(Replication, ALL) == 1
    assert replication.volume_id == destination.id


async def test_without_a_mover_only_one_driver_is_reached(tmp_path: Path) -> None:
    scene = Scene(tmp_path, METHODS[1])
    async with scene.running():
        scene.mover.why_not = "it is on strike"
        with pytest.raises(errors.Unsupported, match="strike"):
            await scene.pair()


async def test_a_clone_of_a_destination_is_a_volume_of_its_own(scene: Scene) -> None:
    _, destination, replication = await scene.mirrored()
    assert replication.base_id is not None
    base = await scene.core.get(Snapshot, replication.base_id)
    for number, of in enumerate((base, None)):
        made = await clone_of(scene.core, await scene.core.get(Volume, destination.id), f"clone{number}", of)
        assert made.replica_of is None
        scene.write(made, f=b"own")
    scene.write(await scene.core.get(Volume, replication.source.volume_id), f=b"later")
    assert (await scene.transferred(replication)).error is None
    assert (await scene.core.get(Snapshot, base.id)).clone_count == 1


async def test_exports_of_a_destination_are_read_only(tmp_path: Path) -> None:
    scene, exporter = Scene(tmp_path, METHODS[0]), PaperExporter()
    async with scene.running(exporter=exporter) as core:
        scene.here.local = scene.there.local = True
        _, destination, replication = await scene.mirrored()
        policy = await core.find(ExportPolicy, name="default")
        assert policy is not None
        await policies.add_rule(core, policy.id, ExportRule(index=0, clients=("192.0.2.0/24",)))
        publish = volume_cases.VolumeChange(junction_path="/d", export_policy_id=policy.id)
        await (await volume_cases.update(core, destination.id, publish, description="t")).result()
        assert [rule.write for rule in exporter.exports[destination.id].rules] == [False]
        generation = exporter.exports[destination.id].generation
        await scene.transferred(replication)
        assert exporter.exports[destination.id].generation == generation + 1
        await replications.break_(core, replication.id, description="t")
        assert [rule.write for rule in exporter.exports[destination.id].rules] == [True]


async def test_blocks_follow_blocks(scene: Scene) -> None:
    source, destination, replication = await scene.pair(kind=VolumeKind.BLOCK)
    assert (await scene.transferred(replication)).error is None
    scene.write(source, f=b"changed")
    assert (await scene.transferred(replication)).error is None
    await replications.break_(scene.core, replication.id, description="t")
    assert scene.files(destination) == {"f": b"changed", "g": b"more"}


async def test_a_destination_is_a_source_itself(scene: Scene) -> None:
    """Content goes on to a third volume, and an older snapshot of it back into a new one."""
    core = scene.core
    first, second, replication = await scene.mirrored()
    kept = await snap(core, first, "kept", label="kept")
    scene.write(first, f=b"later")
    policy = await replication_policies.named(core, "MirrorAllSnapshots")
    change = replications.ReplicationChange(policy_id=policy.id)
    await replications.change(core, replication.id, change)
    await snap(core, first, "newest")
    assert (await scene.transferred(replication)).error is None
    third, restored = await make(core, "third"), await make(core, "restored")
    for destination, snapshot_id in ((third, None), (restored, (await copy_of(core, kept)).id)):
        new = replications.NewReplication(source_id=second.id, destination_id=destination.id, policy_id=policy.id)
        made = await replications.create(core, new, description="t")
        assert (await scene.transferred(made, snapshot_id=snapshot_id)).error is None
    assert scene.files(third)["f"] == b"later"
    assert scene.files(restored)["f"] == b"content"
    await replications.delete(core, made.id, description="t")
    scene.write(restored, f=b"free")
    assert "kept" in await scene.names(restored)
    assert (await scene.transferred(replication)).error is None
    await scene.assert_whole()


async def copy_of(core: Core, snapshot: Snapshot) -> Snapshot:
    found = await core.find(Snapshot, lineage=snapshot.id)
    assert found is not None
    return found
