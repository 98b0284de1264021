"""What the policies of replications say: which snapshots go, when, and which stay; and who may, and a rebuild."""

from __future__ import annotations

from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any
from uuid import UUID, uuid4

import pytest
from core_scene import snap
from replication_scene import METHODS, Scene, policy_of

from gateway.core import errors, replication_policies, replications, schedules, snapshots, tenants, transfers, volumes
from gateway.core.model import Snapshot, Volume
from gateway.core.observer import SilentObserver
from gateway.core.ownership import Ownership
from gateway.core.principal import Principal
from gateway.core.query import ALL, Query
from gateway.core.rebuild import rebuild
from gateway.core.recurrence import Periodic
from gateway.core.replication_model import (
    Replication,
    ReplicationPolicy,
    ReplicationRule,
    ReplicationState,
    SnapshotChoice,
    Transfer,
    TransferMethod,
    TransferState,
)
from gateway.core.replicator import Replicator

DAILY = ReplicationRule(label="daily", count=2)


@pytest.fixture(params=METHODS)
async def scene(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[Scene]:
    made = Scene(tmp_path, request.param)
    async with made.running():
        yield made


@pytest.fixture
async def one(tmp_path: Path) -> AsyncIterator[Scene]:
    made = Scene(tmp_path, TransferMethod.NATIVE)
    async with made.running():
        yield made


async def test_labelled_snapshots_go_along_and_stay_as_their_rule_says(scene: Scene) -> None:
    await policy_of(scene.core, rules=(DAILY, ReplicationRule(label="sm_created", count=1)))
    source, destination, replication = await scene.mirrored("p")
    for name in ("d1", "d2", "d3"):
        scene.write(source, f=name.encode())
        await snap(scene.core, source, name, label="daily")
    await snap(scene.core, source, "other", label="weekly")
    assert (await scene.transferred(replication)).error is None
    assert await scene.names(destination) == ["d2", "d3", "snapmirror"]
    assert await scene.names(source) == ["d1", "d2", "d3", "other", "snapmirror"]
    held = {}
    for name in ("d2", "d3"):
        found = await scene.core.find(Snapshot, name=name, volume__id=destination.id)
        assert found is not None
        handle = await scene.core.pools.get(destination.pool_id).backend.access(destination.id, found.id)
        held[name] = scene.there.content(handle.key)["f"]  # type: ignore[union-attr]
    assert held == {"d2": b"d2", "d3": b"d3"}
    await scene.assert_whole()


async def test_a_vault_only_takes_what_its_rules_name(scene: Scene) -> None:
    source, destination, replication = await scene.mirrored("XDPDefault")
    assert await scene.names(destination) == ["snapmirror"]
    await snap(scene.core, source, "d1", label="daily")
    await snap(scene.core, source, "x")
    scene.write(source, f=b"later")
    ended = await scene.transferred(replication)
    assert ended.error is None
    assert scene.files(destination)["f"] == b"content"
    assert (await scene.names(source), await scene.names(destination)) == (["d1", "x"], ["d1"])
    again = await scene.transferred(replication)
    assert (again.state, again.bytes_transferred) == (TransferState.SUCCESS, 0)


async def test_all_snapshots_are_mirrored_and_go_as_at_the_source(scene: Scene) -> None:
    source, destination, replication = await scene.mirrored("MirrorAllSnapshots")
    for name in ("a", "b", "c"):
        await snap(scene.core, source, name)
    assert (await scene.transferred(replication)).error is None
    assert await scene.names(destination) == ["a", "b", "c"]
    found = await scene.core.find(Snapshot, name="a", volume__id=source.id)
    assert found is not None
    await (await snapshots.delete(scene.core, found.id, description="t")).result()
    await snap(scene.core, source, "d")
    assert (await scene.transferred(replication)).error is None
    assert await scene.names(destination) == ["b", "c", "d"]


async def test_the_latest_snapshot_is_mirrored(scene: Scene) -> None:
    source, destination, replication = await scene.pair("MirrorLatest")
    await snap(scene.core, source, "a")
    scene.write(source, f=b"not in it")
    assert (await scene.transferred(replication)).error is None
    assert (await scene.names(destination), scene.files(destination)["f"]) == (["a"], b"content")
    await snap(scene.core, source, "b")
    await snap(scene.core, source, "c")
    assert (await scene.transferred(replication)).error is None
    assert (await scene.names(destination), scene.files(destination)["f"]) == (["c"], b"not in it")


async def test_one_snapshot_by_its_name(scene: Scene) -> None:
    source, destination, replication = await scene.mirrored()
    scene.write(source, f=b"1")
    chosen = await snap(scene.core, source, "s")
    scene.write(source, f=b"2")
    ended = await scene.transferred(replication, snapshot_id=chosen.id)
    assert (ended.error, ended.snapshot_id) == (None, chosen.id)
    assert scene.files(destination)["f"] == b"1"
    for wrong in (uuid4(), replication.base_id):
        with pytest.raises(errors.NotFound):
            await transfers.transfer(scene.core, replication.id, snapshot_id=wrong, description="t")


async def test_a_name_that_the_destination_has_already(scene: Scene) -> None:
    source, destination, replication = await scene.mirrored("MirrorLatest")
    await snap(scene.core, await scene.core.get(Volume, destination.id), "s")
    taken = await snap(scene.core, source, "s")
    assert (await scene.transferred(replication)).error is None
    copy = await scene.core.find(Snapshot, lineage=taken.id)
    assert copy is not None
    assert copy.name == f"s.{copy.id.hex[:8]}"


async def passed(scene: Scene, now: datetime) -> int:
    """Make a pass, wait for what it started, and give how many transfers that were."""
    outcome = await Replicator(scene.core, SilentObserver()).run(now)
    for transfer in (await scene.core.catalog.page(Transfer, Query())).records:
        await scene.ended(transfer)
    return outcome.started


async def test_schedules_start_transfers(one: Scene) -> None:
    await schedules.create(one.core, "often", Periodic(3600))
    await policy_of(one.core, schedule="often")
    source, destination, replication = await one.mirrored("p")
    one.write(source, f=b"changed")
    now = datetime.now(tz=UTC)
    begun = (await one.core.catalog.page(Transfer, Query())).records[-1].created
    due = begun.replace(minute=0, second=0, microsecond=0) + timedelta(hours=1)
    assert await passed(one, due - timedelta(seconds=1)) == 0
    assert await passed(one, due) == 1
    assert one.files(destination)["f"] == b"changed"
    await replications.change(one.core, replication.id, replications.ReplicationChange(schedule=""))
    assert await passed(one, now + timedelta(hours=9)) == 0
    change = replications.ReplicationChange(schedule="often")
    await replications.change(one.core, replication.id, change)
    await replications.pause(one.core, replication.id)
    assert await passed(one, now + timedelta(hours=9)) == 0
    await replications.resume(one.core, replication.id)
    assert await passed(one, now + timedelta(hours=9)) == 1
    found = await schedules.named(one.core, ["often"])
    with pytest.raises(errors.InUse):
        await schedules.delete(one.core, found["often"].id)


async def test_destinations_take_snapshots_of_their_own(one: Scene) -> None:
    await schedules.create(one.core, "often", Periodic(60))
    rule = ReplicationRule(label="kept", count=2, prefix="own", schedule="often")
    await policy_of(one.core, rules=(rule,))
    _, destination, _ = await one.mirrored("p")
    start = datetime.now(tz=UTC) + timedelta(days=1)
    for minute in range(4):
        await passed(one, start + timedelta(minutes=minute))
        await passed(one, start + timedelta(minutes=minute))
    found = [name.partition(".")[0] for name in await one.names(destination)]
    assert found == ["snapmirror", "own", "own"]


@pytest.mark.parametrize(
    ("wrong", "error"),
    [
        ({"name": ""}, errors.InvalidArgument),
        ({"rules": (DAILY, DAILY)}, errors.InvalidArgument),
        ({"rules": (ReplicationRule(label="", count=1),)}, errors.InvalidArgument),
        ({"rules": (ReplicationRule(label="x", count=0),)}, errors.InvalidArgument),
        ({"rules": tuple(ReplicationRule(label=str(n), count=1) for n in range(11))}, errors.LimitExceeded),
        ({"rules": (ReplicationRule(label="x", count=1, schedule="never"),)}, errors.NotFound),
        ({"schedule": "never"}, errors.NotFound),
        ({"throttle": -1}, errors.InvalidArgument),
        ({"tenant_id": UUID(int=7)}, errors.NotFound),
        ({"name": "Asynchronous"}, errors.AlreadyExists),
    ],
    ids=lambda value: next(iter(value)) if isinstance(value, dict) else value.__name__,
)
async def test_what_no_policy_can_say(one: Scene, wrong: dict[str, Any], error: type[Exception]) -> None:
    with pytest.raises(error):
        await policy_of(one.core, **wrong)


async def test_policies_change_and_go(one: Scene) -> None:
    core = one.core
    policy = await policy_of(core, comment="c")
    change = replication_policies.PolicyChange(comment="d", rules=(DAILY,), throttle=5, choice=SnapshotChoice.ALL)
    after = await replication_policies.update(core, policy.id, change)
    assert (after.comment, after.rules, after.throttle, after.choice) == ("d", (DAILY,), 5, SnapshotChoice.ALL)
    builtin = await replication_policies.named(core, "Asynchronous")
    with pytest.raises(errors.InUse, match="builtin"):
        await replication_policies.update(core, builtin.id, replication_policies.PolicyChange(comment="x"))
    with pytest.raises(errors.InUse, match="builtin"):
        await replication_policies.delete(core, builtin.id)
    _, _, replication = await one.pair("p")
    with pytest.raises(errors.InUse, match="replications"):
        await replication_policies.delete(core, policy.id)
    changed = await replications.change(
        core, replication.id, replications.ReplicationChange(policy_id=builtin.id, throttle=7)
    )
    assert (changed.policy_id, changed.throttle) == (builtin.id, 7)
    await replication_policies.delete(core, policy.id)
    with pytest.raises(errors.NotFound):
        await replication_policies.named(core, "p")


async def test_a_policy_of_a_tenant_is_only_its_own(one: Scene) -> None:
    core = one.core
    other = await tenants.create(core, "other")
    policy = await policy_of(core, tenant_id=other.id)
    with pytest.raises(errors.NotFound):
        await one.pair("p")
    assert (await replication_policies.named(core, "p", tenant_id=other.id)).id == policy.id
    await tenants.delete(core, other.id)
    assert await core.find(ReplicationPolicy, name="p") is None


async def test_only_who_may_change_the_destination(one: Scene) -> None:
    source, destination, replication = await one.mirrored()
    ownership = Ownership(owner="alice")
    for volume in (source, destination):
        change = volumes.VolumeChange(ownership=ownership)
        await (await volumes.update(one.core, volume.id, change, description="t")).result()
    bob = one.core.acting_for(Principal(name="bob", roles=()))
    for act in (
        lambda: transfers.transfer(bob, replication.id, description="t"),
        lambda: replications.break_(bob, replication.id, description="t"),
        lambda: replications.delete(bob, replication.id, description="t"),
        lambda: replications.change(bob, replication.id, replications.ReplicationChange(throttle=1)),
        lambda: replications.reverse(bob, replication.id, description="t"),
    ):
        with pytest.raises(errors.PermissionDenied):
            await act()
    alice = one.core.acting_for(Principal(name="alice", roles=()))
    begun = await transfers.transfer(alice, replication.id, description="t")
    assert (await one.ended(begun)).error is None


async def test_a_rebuilt_catalog_knows_what_followed_what(scene: Scene, tmp_path: Path) -> None:
    policy = await policy_of(scene.core, rules=(DAILY,))
    source, destination, replication = await scene.mirrored("p")
    again = tmp_path / "again"
    again.mkdir()
    second = Scene(again, scene.method)
    second.here, second.there, second.mover = scene.here, scene.there, scene.mover
    async with second.running(tenants=()) as core:
        await rebuild(core, SilentObserver())
        assert (await core.get(ReplicationPolicy, policy.id)).rules == (DAILY,)
        found = await core.get(Replication, replication.id)
        assert (found.state, found.source, found.base_id) == (ReplicationState.MIRRORED, replication.source, None)
        assert (await core.get(Volume, destination.id)).replica_of == replication.id
        assert await passed(second, datetime.now(tz=UTC)) == 0
        assert (await second.now(replication)).base_id == replication.base_id
        second.write(source, f=b"changed")
        assert (await second.transferred(replication)).error is None
        assert second.files(destination)["f"] == b"changed"
        assert await core.catalog.count(Replication, ALL) == 1
