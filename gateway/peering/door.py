"""Answers peers: every call of `wire`, for whoever shows a certificate that was agreed on."""

from __future__ import annotations

import asyncio
import ssl
from collections.abc import Awaitable, Callable, Mapping
from typing import Any
from uuid import UUID

import msgspec
from aiohttp import web

from gateway.core import errors, followers, peer_tenants, peers
from gateway.core.context import Core
from gateway.core.door import Trace
from gateway.core.follower_model import Follower
from gateway.core.manifest import CLUSTER_ID
from gateway.core.model import utc_now
from gateway.core.mover import Senders
from gateway.core.peers import Offer, Peer
from gateway.frontends.receive import NotReceived, receive
from gateway.peering import wire
from gateway.peering.contexts import shown, usable
from gateway.peering.links import PeerLinks
from gateway.peering.proof import answered, asked, fingerprint, same

STATUS: Mapping[type[errors.GatewayError], int] = {
    errors.InvalidArgument: 400,
    errors.Unauthenticated: 401,
    errors.PermissionDenied: 403,
    errors.NotFound: 404,
    errors.Internal: 500,
    errors.Busy: 503,
    errors.Unavailable: 503,
    errors.Timeout: 504,
}
"""Errors that are not 409."""

FAULTS = ("peer.join", "peer.follow", "peer.take", "peer.send", "peer.keep", "peer.release")
"""Points that are passed when a call has done what it does, and nobody knows yet."""

_METHOD = "POST"
_OFFERED_MAX = 1024


class PeerDoor:
    """Serves `/peer/v1/`. `host` is where what is sent is to be fetched, which is where this listens."""

    def __init__(self, core: Core, links: PeerLinks, senders: Senders, *, host: str, receive_timeout_s: float) -> None:
        # Peers act within what their tenants may; accounts of here have nothing to do with them.
        self._core = core
        self._links = links
        self._senders = senders
        self._host = host
        self._receive_timeout_s = receive_timeout_s
        self._offered: dict[UUID, _Offered] = {}
        self._joining = asyncio.Lock()
        self._fault = core.changes.context.fault
        self._calls: dict[str, tuple[wire.Call[Any, Any], Callable[[Peer, Any], Awaitable[Any]]]] = {
            wire.LEAVE.name: (wire.LEAVE, self._leave),
            wire.HOW.name: (wire.HOW, self._how),
            wire.PROPOSE.name: (wire.PROPOSE, self._propose),
            wire.TELL.name: (wire.TELL, self._tell),
            wire.FIND.name: (wire.FIND, self._find),
            wire.VOLUME.name: (wire.VOLUME, self._volume),
            wire.SNAPSHOTS.name: (wire.SNAPSHOTS, self._snapshots),
            wire.FOLLOW.name: (wire.FOLLOW, self._follow),
            wire.KEEP.name: (wire.KEEP, self._keep),
            wire.RELEASE.name: (wire.RELEASE, self._release),
            wire.TAKE.name: (wire.TAKE, self._take),
            wire.REMOVE.name: (wire.REMOVE, self._remove),
            wire.SEND.name: (wire.SEND, self._send),
            wire.WITHDRAW.name: (wire.WITHDRAW, self._withdraw),
        }

    async def handle(self, request: web.BaseRequest, trace: Trace) -> web.StreamResponse:
        """Answer one call. Never raises for anything a peer can do."""
        try:
            return web.Response(body=msgspec.json.encode(await self._answer(request, trace)), headers=_JSON)
        except errors.GatewayError as error:
            trace.outcome = type(error).__name__
            return _refusal(error)
        except NotReceived as error:
            trace.outcome = error.reason
            response = self.refuse(error.status, error.reason)
            response.force_close()
            return response

    def refuse(self, status: int, reason: str) -> web.Response:
        """Give the answer to what could not be read as a request."""
        return _refusal(errors.InvalidArgument(field="request", reason=reason), status=status)

    async def _answer(self, request: web.BaseRequest, trace: Trace) -> msgspec.Struct:
        name = request.path.removeprefix(wire.PREFIX)
        open_to_all = {call.name: call for call in (wire.HELLO, wire.JOIN)}
        if request.method != _METHOD or not request.path.startswith(wire.PREFIX):
            raise errors.NotFound(kind="call", ref=request.path[:200])
        if name in open_to_all:
            trace.route = request.path
            body = await self._body(request, open_to_all[name])
            if not isinstance(body, wire.Join):
                return _WELCOME
            async with self._joining:  # who tries many at once is counted before the next one
                return await self._join(request, body, trace)
        peer = await self._peer(request)
        trace.who = f"peer {peer.name}"
        self._links.met(peer.id)
        if name not in self._calls:
            raise errors.NotFound(kind="call", ref=name[:200])
        call, act = self._calls[name]
        trace.route = call.path
        body = await self._body(request, call)
        answer = await act(peer, body)
        if f"peer.{name}" in FAULTS:
            trace.operation, trace.target, trace.outcome = f"peer.{name}", _target(body), "success"
            self._fault(f"peer.{name}")
        return answer if isinstance(answer, msgspec.Struct) else wire.Nothing()

    async def _body(self, request: web.BaseRequest, call: wire.Call[Any, Any]) -> Any:
        raw = await receive(request, max_bytes=wire.REQUEST_MAX, timeout_s=self._receive_timeout_s)
        try:
            return msgspec.json.decode(raw or b"{}", type=call.question)
        except (msgspec.MsgspecError, UnicodeDecodeError) as error:
            raise errors.InvalidArgument(field="request", reason=f"cannot be read: {error}") from None

    async def _peer(self, request: web.BaseRequest) -> Peer:
        """Give whose certificate the connection shows. TLS has seen to it that he has the key."""
        certificate = shown(request.transport)
        if certificate is not None:
            for peer in await peers.everyone(self._core):
                if peer.certificate and fingerprint(_der(peer.certificate)) == fingerprint(certificate):
                    return peer
        raise errors.Unauthenticated(reason="no agreement with who has this certificate")

    async def _join(self, request: web.BaseRequest, join: wire.Join, trace: Trace) -> wire.Joined:
        trace.operation, trace.target = "peer.join", str(join.cluster_id)
        standing = [offer for offer in await peers.offers(self._core) if offer.stands]
        if not standing:
            raise errors.Unavailable(what="offer", reason="none stands")
        mine, theirs = self._links.identity.der(), _der(join.certificate)
        for offer in standing:
            if same(join.proof, asked(offer.key, join, mine=theirs, theirs=mine)):
                return await self._joined(request, join, offer, trace)
        for offer in standing:
            await peers.failed(self._core, offer, wrong=True)
        raise errors.Unauthenticated(reason="no offer stands that this passphrase belongs to")

    async def _joined(self, request: web.BaseRequest, join: wire.Join, offer: Offer, trace: Trace) -> wire.Joined:
        if not usable(join.certificate):
            raise errors.InvalidArgument(field="certificate", reason="cannot be used")
        cluster_id = UUID(await self._core.catalog.setting(CLUSTER_ID) or str(UUID(int=0)))
        if join.cluster_id == cluster_id:
            raise errors.InvalidArgument(field="cluster_id", reason="is our own")
        peer = Peer(
            id=offer.id,
            name=join.cluster,
            cluster_id=join.cluster_id,
            cluster=join.cluster,
            certificate=ssl.DER_cert_to_PEM_cert(_der(join.certificate)),
            created=utc_now(),
            addresses=_reached(join.addresses, request.remote),
            version=join.version,
        )
        kept = await peers.agreed(self._core, offer, peer, name=self._links.name)
        self._links.trusted(kept.certificate)
        trace.who, trace.outcome = f"peer {kept.name}", "success"
        joined = wire.Joined(cluster_id=cluster_id, cluster=self._links.name, proof="", version=self._links.version)
        mine, theirs = self._links.identity.der(), _der(join.certificate)
        self._fault("peer.join")
        return msgspec.structs.replace(joined, proof=answered(offer.key, joined, join, mine=mine, theirs=theirs))

    async def review(self) -> None:
        """Take back what is offered to who may not have it any more: agreements and followers end while it is read."""
        for offer_id, offered in tuple(self._offered.items()):
            peer = await peers.known(self._core, offered.peer_id)
            if peer is None or not await self._may_have(peer, offered):
                await self._take_back(offer_id)

    async def _may_have(self, peer: Peer, offered: _Offered) -> bool:
        try:
            await followers.entitled(self._core, peer, volume_id=offered.volume_id, follower_id=offered.follower_id)
        except (errors.NotFound, errors.PermissionDenied):
            return False
        return bool(peer.certificate)

    async def _leave(self, peer: Peer, _question: wire.Nothing) -> None:
        await peers.withdrawn(self._core, peer)
        await self.review()

    async def _how(self, _peer: Peer, _question: wire.Nothing) -> wire.Welcome:
        return _WELCOME

    async def _propose(self, peer: Peer, question: wire.Propose) -> peer_tenants.TenantAnswer:
        return await peer_tenants.proposed(
            self._core, peer, remote_id=question.tenant_id, remote=question.tenant, wanted=question.wanted
        )

    async def _tell(self, peer: Peer, question: wire.Tell) -> None:
        await peer_tenants.told(
            self._core, peer, tenant_id=question.tenant_id, remote_id=question.remote_id, state=question.state
        )

    async def _find(self, peer: Peer, question: wire.Named) -> wire.FarVolume:
        found = await followers.named(
            self._core, peer, tenant=question.tenant, volume=question.volume, reader_id=question.reader_id
        )
        return wire.FarVolume.of(found)

    async def _volume(self, peer: Peer, question: wire.Of) -> wire.FarVolume:
        return wire.FarVolume.of(
            await followers.read(self._core, peer, volume_id=question.volume_id, reader_id=question.reader_id)
        )

    async def _snapshots(self, peer: Peer, question: wire.Of) -> wire.FarSnapshots:
        found = await followers.snapshots_of(
            self._core, peer, volume_id=question.volume_id, reader_id=question.reader_id
        )
        return wire.FarSnapshots(tuple(map(wire.FarSnapshot.of, found)))

    async def _follow(self, peer: Peer, question: wire.Follow) -> None:
        wanted = Follower(
            id=question.follower_id,
            peer_id=peer.id,
            volume_id=question.volume_id,
            reader_id=question.reader_id,
            tenant=question.tenant,
            volume=question.volume,
            created=utc_now(),
        )
        await followers.follow(self._core, peer, wanted)

    async def _keep(self, peer: Peer, question: wire.Keep) -> None:
        await followers.keep(
            self._core, peer, volume_id=question.volume_id, follower_id=question.follower_id, wanted=question.snapshots
        )

    async def _release(self, peer: Peer, question: wire.Release) -> None:
        await followers.release(self._core, peer, volume_id=question.volume_id, follower_id=question.follower_id)
        await self.review()

    async def _take(self, peer: Peer, question: wire.About) -> wire.FarSnapshot:
        taken = await followers.take(
            self._core,
            peer,
            volume_id=question.volume_id,
            follower_id=question.follower_id,
            snapshot_id=question.snapshot_id,
        )
        return wire.FarSnapshot.of(taken)

    async def _remove(self, peer: Peer, question: wire.Remove) -> None:
        await followers.remove(
            self._core,
            peer,
            volume_id=question.volume_id,
            reader_id=question.reader_id,
            follower_id=question.follower_id,
            surplus=question.snapshots,
        )

    async def _send(self, peer: Peer, question: wire.About) -> wire.Offering:
        volume, place = await followers.sent(
            self._core,
            peer,
            volume_id=question.volume_id,
            follower_id=question.follower_id,
            snapshot_id=question.snapshot_id,
        )
        to = _Offered(peer.id, question.volume_id, question.follower_id)
        for offer_id in [key for key, present in self._offered.items() if present == to]:
            await self._take_back(offer_id)  # nobody comes for that any more: a follower fetches one after the other
        offered = await self._senders.offer(
            kind=volume.kind, path=place.path, listen_host=self._host, peer_certificate=peer.certificate
        )
        self._offered[offered.id] = to
        while len(self._offered) > _OFFERED_MAX:  # what was not withdrawn has ended by itself
            del self._offered[next(iter(self._offered))]
        return wire.Offering(offer_id=offered.id, kind=volume.kind, port=offered.port, token=offered.token.reveal())

    async def _withdraw(self, peer: Peer, question: wire.Withdraw) -> None:
        offered = self._offered.get(question.offer_id)
        if offered is not None and offered.peer_id == peer.id:
            await self._take_back(question.offer_id)

    async def _take_back(self, offer_id: UUID) -> None:
        await self._senders.withdraw(offer_id)
        self._offered.pop(offer_id, None)


class _Offered(msgspec.Struct, frozen=True):
    """To whom something was offered."""

    peer_id: UUID
    volume_id: UUID
    follower_id: UUID


_JSON = {"Content-Type": "application/json", "Cache-Control": "no-store"}
_WELCOME = wire.Welcome((wire.VERSION,))


def _refusal(error: errors.GatewayError, *, status: int = 0) -> web.Response:
    body = msgspec.json.encode(wire.Refusal(error.to_record()))
    return web.Response(status=status or STATUS.get(type(error), 409), body=body, headers=_JSON)


def _der(certificate: str) -> bytes:
    """Give a certificate in DER; InvalidArgument for what is none."""
    try:
        return ssl.PEM_cert_to_DER_cert(certificate)
    except ValueError:
        raise errors.InvalidArgument(field="certificate", reason="is none") from None


def _reached(addresses: tuple[str, ...], remote: str | None) -> tuple[str, ...]:
    """Give where a peer listens: where it says, or at the port that it says of the host that it called from."""
    host = f"[{remote}]" if remote and ":" in remote else remote
    return peers.check_addresses([f"{host}{text}" if text.startswith(":") else text for text in addresses])


def _target(body: msgspec.Struct) -> str:
    return str(getattr(body, "follower_id", ""))
