"""What gateways that follow each other do not lose, and do not let each other do."""

from __future__ import annotations

import asyncio
import gzip
import ssl
from collections.abc import AsyncIterator
from datetime import timedelta
from pathlib import Path
from uuid import UUID, uuid4

import httpx
import msgspec
import pytest
from aiohttp import web
from core_scene import make, snap
from peers_scene import PASSPHRASE, Scene

from gateway.core import (
    documents,
    errors,
    followers,
    peer_tenants,
    peers,
    replication_policies,
    replications,
    snapshots,
    transfers,
)
from gateway.core.catalog import put
from gateway.core.follower_model import Follower, kept_for_followers
from gateway.core.model import Snapshot, utc_now
from gateway.core.observer import SilentObserver
from gateway.core.peer_tenants import TenantPeer, TenantState
from gateway.core.peers import WRONG_MAX, NewOffer
from gateway.core.replicas import own_mark, snapshots_at
from gateway.core.replication_model import ReplicationState, Transfer
from gateway.core.replicator import Replicator
from gateway.core.secret import Secret
from gateway.core.sources import taken
from gateway.peering import wire
from gateway.peering.contexts import meeting
from gateway.peering.proof import asked


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


async def test_a_silent_peer_does_not_keep_a_gateway_from_stopping(scene: Scene) -> None:
    await scene.joined()
    _, _, replication = await scene.pair()
    asked, released = asyncio.Event(), asyncio.Event()

    async def silent(call: str) -> None:
        if call == "take":
            asked.set()
            await released.wait()

    scene.there.instead = silent
    begun = await transfers.transfer(scene.here.core, replication.id, description="test")
    await asked.wait()
    scene.here.links.answer_s = 0.01
    try:
        async with asyncio.timeout(10):
            await scene.here.core.changes.close()
    finally:
        released.set()
    # It is carried on by the next start.
    assert (await scene.here.core.get(Transfer, begun.id)).ended is None


async def test_a_silent_peer_keeps_nobody_from_breaking_off(scene: Scene) -> None:
    await scene.joined()
    _, _, replication = await scene.pair()
    await scene.transferred(replication)
    asked, released = asyncio.Event(), asyncio.Event()

    async def silent(_call: str) -> None:
        asked.set()
        await released.wait()

    scene.there.instead = silent
    beginning = asyncio.ensure_future(transfers.transfer(scene.here.core, replication.id, description="test"))
    await asked.wait()
    try:
        async with asyncio.timeout(10):
            broken = await replications.break_(scene.here.core, replication.id, description="test")
    finally:
        released.set()
    assert broken.state is ReplicationState.BROKEN
    with pytest.raises(errors.InvalidState):
        await beginning


@pytest.mark.parametrize("fields", [{"name": "../../x"}, {"created": "2026-01-01T00:00:00"}])
async def test_snapshots_that_cannot_be(scene: Scene, fields: dict[str, str]) -> None:
    await scene.joined()
    source, _, replication = await scene.pair()
    told = {"id": str(uuid4()), "volume_id": str(source.id), "name": "x", "created": utc_now().isoformat(), **fields}

    async def strange(call: str) -> web.StreamResponse | None:
        return web.json_response({"snapshots": [told, told]}) if call == "snapshots" else None

    scene.there.instead = strange
    with pytest.raises(errors.Unavailable):
        await scene.here.links.source((await scene.here.peer()).id, replication).snapshots()


async def test_an_answer_that_is_compressed_is_none(scene: Scene) -> None:
    await scene.agree()

    async def compressed(_call: str) -> web.StreamResponse:
        return web.Response(body=gzip.compress(b'{"versions": [1]}'), headers={"Content-Encoding": "gzip"})

    scene.there.instead = compressed
    with pytest.raises(errors.Unavailable):
        await scene.here.links.call((await scene.here.peer()).id, wire.HOW, wire.Nothing())


async def _joined(scene: Scene, key: str, *, certificate: str, times: int = 1) -> list[int]:
    """Let somebody who makes `key` of a passphrase join so many times at once; give what the answers are."""
    nonce = wire.Join(
        cluster_id=uuid4(), cluster="x", certificate=certificate, addresses=(":1",), nonce="n", proof="", version=""
    )
    theirs = scene.there.identity.der()
    try:
        mine = ssl.PEM_cert_to_DER_cert(certificate)
    except ValueError:  # where two follow each other it depends on their lengths; nor does the other side get further
        mine = b""
    join = msgspec.structs.replace(nonce, proof=asked(key, nonce, mine=mine, theirs=theirs))
    url, body = f"https://{scene.there.address}{wire.JOIN.path}", msgspec.json.encode(join)
    async with httpx.AsyncClient(verify=meeting(), trust_env=False, timeout=60) as stranger:
        hello = f"https://{scene.there.address}{wire.HELLO.path}"
        await asyncio.gather(
            *(stranger.post(hello, content=b"{}") for _ in range(times))
        )  # connected, all come at once
        said = await asyncio.gather(*(stranger.post(url, content=body) for _ in range(times)))
    return [one.status_code for one in said]


async def test_who_guesses_at_once_guesses_no_more_often(scene: Scene) -> None:
    await peers.offer(scene.there.core, NewOffer(passphrase=PASSPHRASE))
    answers = await _joined(
        scene, peers.key_of(Secret("battery staple")), certificate=scene.stranger().pem(), times=WRONG_MAX + 10
    )
    assert (answers.count(401), answers.count(503)) == (WRONG_MAX, 10)
    (counted,) = await peers.offers(scene.there.core)
    assert counted.wrong == WRONG_MAX


async def test_a_certificate_that_cannot_be_used_agrees_on_nothing(scene: Scene) -> None:
    """Kept, it would keep the gateway from starting."""
    await peers.offer(scene.there.core, NewOffer(passphrase=PASSPHRASE))
    for certificate in (ssl.DER_cert_to_PEM_cert(b"nothing"), scene.stranger().pem() + scene.here.identity.pem()):
        assert await _joined(scene, peers.key_of(PASSPHRASE), certificate=certificate) == [400]
    assert await peers.everyone(scene.there.core) == []


@pytest.mark.parametrize("how", ["released", "released by the peer", "suspended", "withdrawn"])
async def test_what_is_offered_goes_with_the_right_to_it(scene: Scene, how: str) -> None:
    await scene.joined()
    source, _, replication = await scene.pair()
    await scene.transferred(replication)
    (kept,), core, peer = await snapshots_at(scene.there.core, source.id), scene.there.core, await scene.here.peer()
    question = wire.About(volume_id=source.id, follower_id=replication.id, snapshot_id=kept.id)
    for _ in range(2):
        await scene.here.links.call(peer.id, wire.SEND, question)
        assert len(scene.there.senders.paths) == 1
    await scene.there.review()
    assert len(scene.there.senders.paths) == 1
    match how:
        case "released":
            await followers.let_go(core, source.id, replication.id, description="test")
        case "released by the peer":
            await scene.here.links.source(peer.id, replication).release()
        case "suspended":
            (peering,) = await peer_tenants.everyone(core)
            await peer_tenants.turn(core, peering.id, TenantState.SUSPENDED)
        case "withdrawn":
            await scene.here.links.leave(peer)
    if "peer" not in how and how != "withdrawn":
        await scene.there.review()
    assert scene.there.senders.paths == {}


async def test_a_silent_peer_keeps_no_other_replication_waiting(scene: Scene) -> None:
    await scene.joined()
    core, asked_it, released = scene.here.core, asyncio.Event(), asyncio.Event()
    _, _, far = await scene.pair(schedule="hourly")
    await scene.transferred(far)
    own = [await make(core, name) for name in ("a", "b")]
    policy = await replication_policies.named(core, "Asynchronous")
    new = replications.NewReplication(
        source_id=own[0].id, destination_id=own[1].id, policy_id=policy.id, schedule="hourly"
    )
    near = await replications.create(core, new, description="test")
    begun = await transfers.transfer(core, near.id, description="test")
    await transfers.wait(core, begun.id)

    async def silent(_call: str) -> None:
        asked_it.set()
        await released.wait()

    scene.there.instead = silent
    passing = asyncio.ensure_future(Replicator(core, SilentObserver()).run(utc_now() + timedelta(hours=2)))
    await asked_it.wait()
    try:
        assert (await scene.now(near)).transfer_id != begun.id
    finally:
        released.set()
        await passing
        for one in (near, far):
            await transfers.wait(core, (await scene.now(one)).transfer_id or begun.id)


async def test_a_peer_does_not_take_the_name_of_another_ones_tenant(scene: Scene) -> None:
    asked_for = await scene.joined()
    core, mine = scene.here.core, await scene.here.tenant()
    other = msgspec.structs.replace(await scene.here.peer(), id=UUID(int=1), allowed=(mine.id,))
    answer = await peer_tenants.proposed(core, other, remote_id=uuid4(), remote="svm1", wanted="svm1")
    assert answer.state is TenantState.PEERED
    everyone = await peer_tenants.everyone(core)
    assert len({one.name for one in everyone}) == len(everyone) == 2
    for those in (everyone, everyone[::-1]):
        found = peer_tenants.so_called(those, "svm1")
        assert found is not None
        assert found.peer_id == asked_for.peer_id


async def test_a_peer_does_not_fill_the_catalog(scene: Scene) -> None:
    await scene.agree()
    core, peer = scene.there.core, await scene.there.peer()
    waiting = TenantPeer(
        id=uuid4(),
        tenant_id=(await scene.there.tenant()).id,
        peer_id=peer.id,
        remote="x",
        name="x",
        state=TenantState.PENDING,
        created=utc_now(),
    )
    made = [msgspec.structs.replace(waiting, id=uuid4()) for _ in range(peer_tenants.WAITING_MAX)]
    records = [
        documents.drawn_up(peer_tenants.KIND, str(one.id), msgspec.json.encode(one).decode(), passing=True)
        for one in made
    ]
    await core.catalog.commit(put(*records))
    with pytest.raises(errors.LimitExceeded):
        await peer_tenants.proposed(core, peer, remote_id=uuid4(), remote="one more", wanted="svm1")


async def test_what_was_turned_around_twice_comes_back_to_the_base(scene: Scene) -> None:
    """The base is one that was taken here then; copies of the first time are older."""
    await scene.joined()
    source, destination, first = await scene.pair("MirrorAllSnapshots")
    here, there = scene.here.core, scene.there.core
    await snap(there, source, "mine")
    await scene.transferred(first)
    await replications.break_(here, first.id, description="test")
    scene.here.write(destination, f=b"written here")
    back = await scene.replication(destination, source, at=scene.there)
    begun = await replications.resync(there, back.id, description="test")
    assert (await transfers.wait(there, begun.id)).error is None
    await replications.break_(there, back.id, description="test")
    await replications.delete(here, first.id, keep_source=True, description="test")
    await replications.delete(there, back.id, keep_source=True, description="test")
    again = await scene.replication(source, destination, "MirrorAllSnapshots")
    base = await here.get(Snapshot, again.base_id or UUID(int=0))
    assert (again.state, base.lineage) == (ReplicationState.BROKEN, None)
    scene.there.write(source, f=b"written there")
    await snap(there, source, "later")

    async def dying(_path: str) -> None:
        raise errors.Unavailable(what="source", reason="it is gone")

    scene.mover.before_file = dying
    begun = await replications.resync(here, again.id, description="test")
    assert (await transfers.wait(here, begun.id)).error is not None
    await replications.break_(here, again.id, description="test")
    assert scene.here.files(destination)["f"] == b"written here"


async def test_nobody_joins_with_the_certificate_of_another_one(scene: Scene) -> None:
    await scene.agree()
    await peers.offer(scene.there.core, NewOffer(passphrase=PASSPHRASE, name="twice"))
    answers = await _joined(scene, peers.key_of(PASSPHRASE), certificate=scene.here.identity.pem())
    assert answers == [409]
    assert [peer.name for peer in await peers.everyone(scene.there.core)] == ["here"]


async def test_an_end_that_comes_late_ends_nothing_else(scene: Scene) -> None:
    await scene.agree()
    core, before = scene.there.core, await scene.there.peer()
    anew = msgspec.structs.replace(before, certificate=scene.stranger().pem())
    await documents.put_named(core, peers.PEER, str(before.id), msgspec.json.encode(anew).decode())
    await peers.withdrawn(core, before)
    assert await peers.everyone(core) == [anew]
    await peer_tenants.part(core, before.id)
    await peers.withdrawn(core, anew)
    assert await peers.everyone(core) == []
