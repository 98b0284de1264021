"""Two gateways agree, and volumes of one follow those of the other."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any
from uuid import UUID

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
    replications,
    snapshots,
    tenants,
    transfers,
    volumes,
)
from gateway.core.context import Core
from gateway.core.follower_model import all_followers
from gateway.core.model import utc_now
from gateway.core.peer_tenants import TenantState
from gateway.core.peers import NewOffer
from gateway.core.query import ALL
from gateway.core.replicas import snapshots_at
from gateway.core.replication_model import Replication, ReplicationState, TransferMethod, TransferState
from gateway.core.secret import Secret
from gateway.peering.contexts import meeting
from gateway.peering.wire import ANSWER_MAX
from gateway.testing.cores import CATALOG

Answer = Callable[[str], Awaitable[web.StreamResponse | None]]


async def replication_count(core: Core) -> int:
    return await core.catalog.count(Replication, ALL)


@pytest.fixture
async def scene(tmp_path: Path) -> AsyncIterator[Scene]:
    scene = Scene(tmp_path)
    async with scene.running():
        yield scene


async def test_a_volume_follows_one_at_a_peer(scene: Scene) -> None:
    await scene.joined()
    source, destination, replication = await scene.pair()
    ended = await scene.transferred(replication)
    assert (ended.error, ended.method, ended.state) == (None, TransferMethod.MOVER, TransferState.SUCCESS)
    assert scene.here.files(destination) == {"f": b"content", "g": b"more"}

    scene.there.write(source, f=b"changed", g=None)
    ended = await scene.transferred(replication)
    assert ended.error is None
    assert scene.here.files(destination) == {"f": b"changed"}
    assert (await scene.there.names(source), await scene.here.names(destination)) == (["snapmirror"], ["snapmirror"])

    broken = await replications.break_(scene.here.core, replication.id, description="test")
    assert broken.state is ReplicationState.BROKEN
    scene.here.write(destination, mine=b"written here")
    await transfers.wait(
        scene.here.core, (await replications.resync(scene.here.core, replication.id, description="test")).id
    )
    assert (await scene.now(replication)).reason == ""
    assert scene.here.files(destination) == {"f": b"changed"}

    await replications.delete(scene.here.core, replication.id, description="test")
    assert (await scene.there.names(source), await scene.here.names(destination)) == ([], [])
    await (await volumes.delete(scene.there.core, source.id, description="test")).result()


async def test_a_wrong_passphrase_agrees_on_nothing(scene: Scene) -> None:
    await peers.offer(scene.there.core, NewOffer(passphrase=PASSPHRASE))
    wrong = NewOffer(passphrase=Secret("battery staple"), addresses=(scene.there.address,))
    made, _ = await peers.offer(scene.here.core, wrong)
    with pytest.raises(errors.Unauthenticated):
        await peers.agree(scene.here.core, made, name="here")
    assert await peers.everyone(scene.here.core) == await peers.everyone(scene.there.core) == []
    (waiting,), (counted,) = await peers.offers(scene.here.core), await peers.offers(scene.there.core)
    assert (waiting.refused, counted.wrong, counted.stands) == (True, 1, True)
    for _ in range(peers.WRONG_MAX - 1):
        with pytest.raises(errors.Unauthenticated):
            await peers.agree(scene.here.core, made, name="here")
    (counted,) = await peers.offers(scene.there.core)
    assert not counted.stands
    with pytest.raises(errors.Unavailable):
        await scene.agree_with_what_stands()


async def test_an_expired_offer_is_none(scene: Scene) -> None:
    core = scene.there.core
    made, _ = await peers.offer(core, NewOffer(passphrase=PASSPHRASE))
    past = msgspec.structs.replace(made, expires=utc_now() - timedelta(seconds=1))
    await documents.put_named(core, peers.OFFER, str(made.id), msgspec.json.encode(past).decode())
    with pytest.raises(errors.Unavailable):
        await scene.agree_with_what_stands()


@pytest.mark.parametrize(
    ("fields", "error"),
    [
        ({"passphrase": Secret("short")}, errors.InvalidArgument),
        ({"addresses": ("not an address",)}, errors.InvalidArgument),
        ({"addresses": ("host:0",)}, errors.InvalidArgument),
        ({"addresses": ("host:70000",)}, errors.InvalidArgument),
        ({"addresses": ("host",) * 17}, errors.LimitExceeded),
        ({"expires": datetime(2000, 1, 1, tzinfo=UTC)}, errors.InvalidArgument),
        ({"allowed": (UUID(int=1),)}, errors.NotFound),
        ({"name": "a/b"}, errors.InvalidArgument),
    ],
)
async def test_offers_that_cannot_be(scene: Scene, fields: dict[str, Any], error: type[Exception]) -> None:
    with pytest.raises(error):
        await peers.offer(scene.here.core, NewOffer(**fields))
    assert await peers.offers(scene.here.core) == []


async def test_a_gateway_is_no_peer_of_itself(scene: Scene) -> None:
    made, _ = await peers.offer(scene.here.core, NewOffer(passphrase=PASSPHRASE, addresses=(scene.here.address,)))
    with pytest.raises(errors.InvalidArgument):
        await peers.agree(scene.here.core, made, name="here")


async def test_strangers_are_told_nothing(scene: Scene) -> None:
    await scene.joined()
    context = meeting()
    async with httpx.AsyncClient(verify=context, trust_env=False) as stranger:
        url = f"https://{scene.there.address}/peer/v1/"
        assert (await stranger.post(f"{url}hello")).json() == {"versions": [1]}
        for call in ("find", "snapshots", "nothing"):
            answer = await stranger.post(f"{url}{call}", content=b"{}")
            assert (answer.status_code, answer.json()["error"]["type"]) == (401, "Unauthenticated")
        assert (await stranger.get(f"{url}hello")).status_code == 404
        assert (await stranger.post(f"{url}join", content=b"{")).status_code == 400
    other = scene.stranger()
    context.load_cert_chain(other.certificate, other.key)
    async with httpx.AsyncClient(verify=context, trust_env=False) as stranger:
        with pytest.raises(httpx.HTTPError):
            await stranger.post(f"https://{scene.there.address}/peer/v1/find", content=b"{}")


async def test_a_tenant_reads_nothing_before_it_is_let_in(scene: Scene) -> None:
    await scene.agree()
    here, there = await scene.here.tenant(), await scene.there.tenant()
    await make(scene.there.core, "source")
    peer = await scene.here.peer()
    with pytest.raises(errors.PermissionDenied):
        await scene.here.links.find(peer.id, tenant=there.name, volume="source", reader_id=here.id)
    asked = await peer_tenants.propose(scene.here.core, here.id, peer.id, remote=there.name)
    assert asked.state is TenantState.INITIATED
    with pytest.raises(errors.PermissionDenied):
        await peer_tenants.reading(scene.here.core, peer.id, here.id, there.name)
    (waiting,) = await peer_tenants.everyone(scene.there.core)
    with pytest.raises(errors.InvalidState):
        await peer_tenants.turn(scene.here.core, asked.id, TenantState.PEERED)
    await peer_tenants.turn(scene.there.core, waiting.id, TenantState.PEERED)
    assert (await peer_tenants.get(scene.here.core, asked.id)).state is TenantState.PEERED
    found = await scene.here.links.find(peer.id, tenant=there.name, volume="source", reader_id=here.id)
    assert (found.name, found.peer_id, found.pool_id) == ("source", peer.id, None)
    with pytest.raises(errors.NotFound):
        await scene.here.links.find(peer.id, tenant=there.name, volume="none", reader_id=here.id)


async def test_an_answer_that_got_lost_is_asked_for_again(scene: Scene) -> None:
    await scene.agree()
    here, there, peer = await scene.here.tenant(), await scene.there.tenant(), await scene.here.peer()
    await peer_tenants.propose(scene.here.core, here.id, peer.id, remote=there.name)
    (waiting,) = await peer_tenants.everyone(scene.there.core)
    scene.here.instead = html
    await peer_tenants.turn(scene.there.core, waiting.id, TenantState.PEERED)
    assert (await peer_tenants.reading(scene.here.core, peer.id, here.id, there.name)).state is TenantState.PEERED


async def test_what_a_peer_follows_stays(scene: Scene) -> None:
    await scene.joined()
    source, _, replication = await scene.pair()
    await scene.transferred(replication)
    core = scene.there.core
    (kept,) = await snapshots_at(core, source.id)
    for going in (
        snapshots.delete(core, kept.id, description="test"),
        volumes.delete(core, source.id, description="t"),
    ):
        with pytest.raises(errors.InUse, match="replication"):
            await going
    other = await snap(core, source, "other")
    await (await snapshots.delete(core, other.id, description="test")).result()
    (follower,) = await all_followers(core)
    assert (follower.id, follower.tenant, follower.volume) == (replication.id, "svm1", "destination")
    with pytest.raises(errors.InUse):
        await peer_tenants.part(core, (await scene.there.peer()).id)
    await followers.let_go(core, source.id, follower.id, description="test")
    assert await snapshots_at(core, source.id) == ()
    await (await volumes.delete(core, source.id, description="test")).result()


async def test_a_peer_cannot_remove_what_is_not_its_own(scene: Scene) -> None:
    await scene.joined()
    source, _, replication = await scene.pair()
    await scene.transferred(replication)
    mine = await snap(scene.there.core, source, "mine")
    far = scene.here.links.source((await scene.here.peer()).id, replication)
    await far.remove(await far.snapshots(), description="test")
    assert await scene.there.names(source) == ["snapmirror", "mine"]
    await far.keep(())
    await far.remove(await far.snapshots(), description="test")
    assert await snapshots_at(scene.there.core, source.id) == (mine,)


@pytest.mark.parametrize("how", ["suspended", "withdrawn"])
async def test_a_peer_that_is_let_in_no_more(scene: Scene, how: str) -> None:
    await scene.joined()
    _, destination, replication = await scene.pair()
    await scene.transferred(replication)
    if how == "suspended":
        (peering,) = await peer_tenants.everyone(scene.there.core)
        await peer_tenants.turn(scene.there.core, peering.id, TenantState.SUSPENDED)
        expected: type[Exception] = errors.PermissionDenied
    else:
        await peers.withdrawn(scene.there.core, await scene.there.peer())
        expected = errors.Unavailable
    with pytest.raises(expected):
        await scene.transferred(replication)
    assert scene.here.files(destination) == {"f": b"content", "g": b"more"}
    await replications.break_(scene.here.core, replication.id, description="test")
    await replications.delete(scene.here.core, replication.id, description="test")
    scene.here.write(destination, mine=b"written")
    assert await replication_count(scene.here.core) == 0


async def html(_call: str) -> web.StreamResponse:
    return web.Response(text="<html>proxy</html>", content_type="text/html")


async def nonsense(call: str) -> web.StreamResponse | None:
    if call != "snapshots":
        return None
    told = {"id": str(UUID(int=1)), "volume_id": str(UUID(int=2)), "name": "x", "created": utc_now().isoformat()}
    return web.json_response({"snapshots": [told]})


async def too_long(call: str) -> web.StreamResponse | None:
    return None if call != "snapshots" else web.Response(body=b" " * (ANSWER_MAX + 1))


async def broken(_call: str) -> web.StreamResponse:
    raise RuntimeError("on purpose")


@pytest.mark.parametrize("answer", [html, nonsense, too_long, broken])
async def test_a_peer_that_answers_wrongly(scene: Scene, answer: Answer) -> None:
    await scene.joined()
    source, destination, replication = await scene.pair()
    assert (await scene.transferred(replication)).error is None
    scene.there.write(source, f=b"changed")
    scene.there.instead = answer
    with pytest.raises(errors.Unavailable):
        await scene.transferred(replication)
    assert scene.here.files(destination)["f"] == b"content"
    scene.there.instead = None
    assert (await scene.transferred(replication)).error is None
    assert scene.here.files(destination)["f"] == b"changed"


async def test_a_peer_that_answers_too_late(tmp_path: Path) -> None:
    scene, released = Scene(tmp_path), asyncio.Event()

    async def late(_call: str) -> None:
        await released.wait()

    async with scene.running():
        await scene.joined()
        _, _, replication = await scene.pair()
        scene.there.instead, scene.here.links.answer_s = late, 0.01
        with pytest.raises(errors.Unavailable):
            await scene.transferred(replication)
        released.set()
        scene.here.links.answer_s = 60.0
        assert (await scene.transferred(replication)).error is None


@pytest.mark.parametrize("call", ["follow", "keep", "take", "send", "withdraw", "remove"])
async def test_a_call_that_fails_in_the_middle(scene: Scene, call: str) -> None:
    await scene.joined()
    source, destination, replication = await scene.pair()
    await scene.transferred(replication)
    base = (await scene.now(replication)).base_id
    scene.there.write(source, f=b"changed")

    async def failing(asked: str) -> web.StreamResponse | None:
        return await html(asked) if asked == call else None

    scene.there.instead = failing
    ended = await scene.transferred(replication)
    harmless = call in {"withdraw", "remove"}
    assert (ended.error is None) == harmless
    if not harmless and call != "keep":
        assert (await scene.now(replication)).base_id == base
    scene.there.instead = None
    assert (await scene.transferred(replication)).error is None
    assert scene.here.files(destination)["f"] == b"changed"
    assert (await scene.there.names(source), await scene.here.names(destination)) == (["snapmirror"], ["snapmirror"])


async def test_a_sender_that_dies_in_the_middle(scene: Scene) -> None:
    await scene.joined()
    source, destination, replication = await scene.pair()
    await scene.transferred(replication)
    scene.there.write(source, f=b"changed", h=b"new")

    async def dying(path: str) -> None:
        if path == "h":
            raise errors.Unavailable(what="source", reason="it is gone")

    scene.mover.before_file = dying
    ended = await scene.transferred(replication)
    assert ended.error is not None
    now = await scene.now(replication)
    assert (now.torn, now.healthy) == (True, False)
    scene.mover.before_file = None
    await replications.break_(scene.here.core, replication.id, description="test")
    assert scene.here.files(destination) == {"f": b"content", "g": b"more"}
    begun = await replications.resync(scene.here.core, replication.id, description="test")
    assert (await transfers.wait(scene.here.core, begun.id)).error is None
    assert scene.here.files(destination) == {"f": b"changed", "g": b"more", "h": b"new"}


async def test_a_peer_with_another_certificate_is_none(tmp_path: Path) -> None:
    scene = Scene(tmp_path)
    async with scene.running():
        await scene.joined()
        _, destination, replication = await scene.pair()
        await scene.transferred(replication)
    scene.there.renew()
    async with scene.running():
        with pytest.raises(errors.Unavailable):
            await scene.transferred(replication)
        peer = await scene.here.peer()
        heard = scene.here.links.heard(peer.id)
        assert heard is not None
        assert heard.answers is False
        # They agree anew: it is the same peer, and everything goes on.
        there = await scene.there.peer()
        await peers.offer(scene.there.core, NewOffer(passphrase=PASSPHRASE, peer_id=there.id))
        again = NewOffer(passphrase=PASSPHRASE, peer_id=peer.id)
        await peers.agree(scene.here.core, (await peers.offer(scene.here.core, again))[0], name="here")
        assert (await scene.transferred(replication)).error is None
        assert scene.here.files(destination) == {"f": b"content", "g": b"more"}


async def test_reversed_by_a_replication_at_the_other_side(scene: Scene) -> None:
    await scene.joined()
    source, destination, replication = await scene.pair()
    await scene.transferred(replication)
    await replications.break_(scene.here.core, replication.id, description="test")
    scene.here.write(destination, f=b"of the other side")
    with pytest.raises(errors.InvalidState):
        await replications.reverse(scene.here.core, replication.id, description="test")
    back = await scene.replication(destination, source, "Asynchronous", at=scene.there)
    assert back.state is ReplicationState.BROKEN
    begun = await replications.resync(scene.there.core, back.id, description="test")
    assert (await transfers.wait(scene.there.core, begun.id)).error is None
    assert scene.there.files(source) == {"f": b"of the other side", "g": b"more"}


async def test_what_is_rebuilt_keeps_everything_until_it_is_told(tmp_path: Path) -> None:
    scene = Scene(tmp_path)
    async with scene.running():
        await scene.joined()
        source, destination, replication = await scene.pair()
        await scene.transferred(replication)
        await snap(scene.there.core, source, "mine")
    for site in (scene.there, scene.here):
        (site.folder / CATALOG).unlink()
    async with scene.running(rebuilding=True):
        (mine,) = [one for one in await snapshots_at(scene.there.core, source.id) if one.name == "mine"]
        with pytest.raises(errors.InUse):
            await snapshots.delete(scene.there.core, mine.id, description="test")
        (copy,) = await snapshots_at(scene.here.core, destination.id)
        with pytest.raises(errors.InUse):
            await snapshots.delete(scene.here.core, copy.id, description="test")
        scene.there.write(source, f=b"changed")
        assert (await scene.transferred(replication)).error is None
        assert scene.here.files(destination)["f"] == b"changed"
        await (await snapshots.delete(scene.there.core, mine.id, description="test")).result()


async def test_a_gateway_that_is_known_already(scene: Scene) -> None:
    await scene.agree()
    await peers.offer(scene.there.core, NewOffer(passphrase=PASSPHRASE, name="twice"))
    with pytest.raises(errors.AlreadyExists):
        await scene.agree_with_what_stands()
    assert await peers.offers(scene.here.core) == []
    assert [peer.name for peer in await peers.everyone(scene.there.core)] == ["here"]


async def test_tenants_that_are_gone_keep_no_peer(scene: Scene) -> None:
    await scene.joined()
    core, peer = scene.here.core, await scene.here.peer()
    with pytest.raises(errors.InUse):
        await peer_tenants.part(core, peer.id)
    made = await tenants.create(core, "other")
    await peers.change(core, peer.id, peers.PeerChange(allowed=(made.id,)))
    (asked,) = await peer_tenants.everyone(core)
    await peer_tenants.forget(core, asked.id)
    await peer_tenants.propose(core, made.id, peer.id, remote="svm1")
    await tenants.delete(core, made.id)
    await peers.change(core, peer.id, peers.PeerChange(name="renamed"))
    await peer_tenants.part(core, peer.id)
    assert await peers.everyone(core) == await peer_tenants.everyone(core) == []
    (left,) = await peers.everyone(scene.there.core)
    assert left.certificate == ""


async def test_both_know_where_the_other_is(scene: Scene) -> None:
    """Whoever is told first waits; the second one finds him, and nothing is wrong in between."""
    first, _ = await peers.offer(scene.there.core, NewOffer(passphrase=PASSPHRASE, addresses=(scene.here.address,)))
    with pytest.raises(errors.Unavailable):
        await peers.agree(scene.there.core, first, name="there")
    (waiting,) = await peers.offers(scene.there.core)
    assert (waiting.refused, waiting.stands) == (False, True)
    await scene.agree_with_what_stands()
    assert ((await scene.here.peer()).name, (await scene.there.peer()).name) == ("there", "here")
    with pytest.raises(errors.Unavailable):
        await peers.agree(scene.there.core, first, name="there")
    assert (await scene.there.peer()).id == first.id
