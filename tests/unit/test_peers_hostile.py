"""What gateways that follow each other do not lose, and do not let each other do."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path
from uuid import UUID, uuid4

import msgspec
import pytest
from core_scene import snap
from peers_scene import Scene

from gateway.core import errors, followers, peer_tenants, peers, replications, snapshots
from gateway.core.follower_model import Follower, kept_for_followers
from gateway.core.model import utc_now
from gateway.core.peer_tenants import TenantState
from gateway.core.replicas import own_mark, snapshots_at
from gateway.core.replication_model import ReplicationState
from gateway.core.sources import taken


@pytest.fixture
async def scene(tmp_path: Path) -> AsyncIterator[Scene]:
    scene = Scene(tmp_path)
    async with scene.running():
        yield scene


@pytest.mark.parametrize("how", ["released", "suspended"])
async def test_what_is_taken_away_while_it_is_sent_is_no_copy(scene: Scene, how: str) -> None:
    await scene.joined()
    source, destination, replication = await scene.pair()
    core = scene.there.core

    async def taking_away(path: str) -> None:
        if path == "g" and how == "released":
            await followers.let_go(core, source.id, replication.id, description="test")
        elif path == "g":
            (peering,) = await peer_tenants.everyone(core)
            await peer_tenants.turn(core, peering.id, TenantState.SUSPENDED)

    scene.mover.before_file = taking_away
    assert (await scene.transferred(replication)).error is not None
    assert await snapshots_at(scene.here.core, destination.id) == ()
    assert (await scene.now(replication)).base_id is None


async def test_a_common_snapshot_stays_from_the_beginning(scene: Scene) -> None:
    await scene.joined()
    source, destination, replication = await scene.pair()
    await scene.transferred(replication)
    await replications.break_(scene.here.core, replication.id, description="test")
    await replications.delete(scene.here.core, replication.id, keep_source=True, description="test")
    await followers.let_go(scene.there.core, source.id, replication.id, snapshots_too=False, description="test")
    again = await scene.replication(source, destination)
    assert again.state is ReplicationState.BROKEN
    (base,) = await snapshots_at(scene.there.core, source.id)
    with pytest.raises(errors.InUse):
        await snapshots.delete(scene.there.core, base.id, description="test")


async def test_what_a_transfer_is_about_stays_until_it_has_come(scene: Scene) -> None:
    await scene.joined()
    source, _, replication = await scene.pair("MirrorAllSnapshots")
    await snap(scene.there.core, source, "first")
    await scene.transferred(replication)
    await snap(scene.there.core, source, "second")
    third = await snap(scene.there.core, source, "third")
    kept: list[frozenset[UUID]] = []

    async def looking(call: str) -> None:
        if call == "send":
            kept.append(await kept_for_followers(scene.there.core, source.id))

    scene.there.instead = looking
    assert (await scene.transferred(replication)).error is None
    assert third.id in kept[0]
    assert third.id in kept[1]


async def test_a_peer_does_not_remove_what_was_taken_for_another_one(scene: Scene) -> None:
    await scene.joined()
    source, _, _ = await scene.pair()
    core, peer, reader = scene.there.core, await scene.there.peer(), await scene.here.tenant()
    other = msgspec.structs.replace(peer, id=uuid4())
    follower = Follower(
        id=uuid4(),
        peer_id=peer.id,
        volume_id=source.id,
        reader_id=reader.id,
        tenant="svm1",
        volume="destination",
        created=utc_now(),
    )
    await followers.follow(core, peer, follower)
    await followers.keep(core, peer, volume_id=source.id, follower_id=follower.id, wanted=())
    theirs = await taken(core, source.id, follower.id, snapshot_id=uuid4(), description="test")
    assert theirs.taken_by == own_mark(follower.id)
    (tenancy,) = await peer_tenants.everyone(core)
    await peer_tenants.proposed(core, other, remote_id=uuid4(), remote="svm9", wanted="svm1")
    for one in await peer_tenants.everyone(core):
        await peer_tenants.turn(core, one.id, TenantState.PEERED)
    (strange,) = [one for one in await peer_tenants.everyone(core) if one.id != tenancy.id]
    assert strange.remote_id is not None
    await followers.remove(
        core, other, volume_id=source.id, reader_id=strange.remote_id, follower_id=follower.id, surplus=[theirs.id]
    )
    assert await snapshots_at(core, source.id) == (theirs,)


async def test_a_peer_that_is_silent_is_let_in_no_more_at_once(scene: Scene) -> None:
    await scene.agree()
    peer, found = await scene.here.peer(), []

    async def looking(call: str) -> None:
        if call == "leave":
            found.append(await peers.known(scene.here.core, peer.id))

    scene.there.instead = looking
    await peer_tenants.part(scene.here.core, peer.id)
    assert found == [None]
