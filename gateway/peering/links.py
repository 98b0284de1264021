"""Asks peers: see `gateway.core.peering.Peers`."""

from __future__ import annotations

import asyncio
import secrets
import ssl
from collections.abc import AsyncIterator, Awaitable, Callable, Collection, Sequence
from contextlib import asynccontextmanager, suppress
from typing import TypeVar
from uuid import UUID

import httpx
import msgspec

from gateway.core import errors
from gateway.core.catalog import Catalog
from gateway.core.manifest import CLUSTER_ID
from gateway.core.model import Document, Snapshot, Tenant, Volume, VolumeKind, utc_now
from gateway.core.mover import FarPlace
from gateway.core.peer_tenants import TenantAnswer, TenantPeer
from gateway.core.peering import Heard, Sending, SourceVolume
from gateway.core.peers import PEER, Offer, Peer, host_and_port
from gateway.core.query import And, Compare, Op, Query
from gateway.core.replicas import sound_mark
from gateway.core.replication_model import Replication
from gateway.core.secret import Secret
from gateway.core.volumes import check_name
from gateway.peering import wire
from gateway.peering.contexts import Identity, asking, meeting, shown
from gateway.peering.proof import answered, asked, same

_CONNECT_S = 5.0
_ANSWER_S = 60.0
_HURRIED_S = 2.0
_WITHDRAWN_S = 5.0
_NONCE = 24
_OK = 200
_PASSED_ON = (
    errors.AlreadyExists,
    errors.Busy,
    errors.Conflict,
    errors.InUse,
    errors.InvalidState,
    errors.LimitExceeded,
    errors.NotFound,
    errors.OutOfSpace,
    errors.PermissionDenied,
    errors.Unsupported,
)
"""What a peer says is so of what it was asked for. All else says only that it is of no use just now."""

Q = TypeVar("Q", bound=msgspec.Struct)
A = TypeVar("A")


class PeerLinks:
    """See `gateway.core.peering.Peers`.

    name: what this gateway calls itself. addresses: where its peers find it.
    trusted: is given each certificate that was agreed on. review: ends what is offered to who lost the right to it.
    connect_s, answer_s: how long a peer may take to be reached, and to answer.
    """

    def __init__(
        self,
        catalog: Catalog,
        identity: Identity,
        *,
        name: str,
        version: str = "",
        connect_s: float = _CONNECT_S,
        answer_s: float = _ANSWER_S,
    ) -> None:
        self.identity = identity
        self.name = name
        self.version = version
        self.addresses: tuple[str, ...] = ()
        self.trusted: Callable[[str], object] = lambda _certificate: None
        self.review: Callable[[], Awaitable[None]] | None = None
        self._catalog = catalog
        self._timeout = httpx.Timeout(answer_s, connect=connect_s)
        self.answer_s = answer_s
        self._clients: dict[str, httpx.AsyncClient] = {}
        self._heard: dict[UUID, Heard] = {}
        self._used: dict[UUID, str] = {}
        self._waiting: set[asyncio.Timeout] = set()

    async def close(self) -> None:
        """Close the connections. Idempotent."""
        clients, self._clients = self._clients, {}
        for client in clients.values():
            await client.aclose()

    def hurry(self) -> None:
        """See `gateway.core.peering.Peers`."""
        self.answer_s = min(self.answer_s, _HURRIED_S)
        soon = asyncio.get_running_loop().time() + self.answer_s
        for limit in self._waiting:
            limit.reschedule(min(soon, limit.when() or soon))

    def source(self, peer_id: UUID, replication: Replication) -> PeerSource:
        """See `gateway.core.peering.Peers`."""
        return PeerSource(self, peer_id, replication)

    async def find(self, peer_id: UUID, *, tenant: str, volume: str, reader_id: UUID) -> SourceVolume:
        """See `gateway.core.peering.Peers`."""
        question = wire.Named(tenant=tenant, volume=volume, reader_id=reader_id)
        return (await self.call(peer_id, wire.FIND, question)).read(peer_id)

    async def join(self, offer: Offer) -> Peer:
        """See `gateway.core.peering.Peers`."""
        failure: errors.GatewayError = errors.Unavailable(what=f"peer {offer.name}", reason="no address is known")
        for address in offer.addresses:
            try:
                return await self._join(offer, address)
            except errors.Unavailable as error:
                failure = error
        raise failure

    async def leave(self, peer: Peer) -> None:
        """See `gateway.core.peering.Peers`."""
        if peer.certificate:
            await self._ask(peer, wire.LEAVE, wire.Nothing())

    async def propose(self, peer_id: UUID, tenant: TenantPeer, *, called: str) -> TenantAnswer:
        """See `gateway.core.peering.Peers`."""
        question = wire.Propose(tenant_id=tenant.tenant_id, tenant=called, wanted=tenant.remote)
        return await self.call(peer_id, wire.PROPOSE, question)

    async def tell(self, peer_id: UUID, tenant: TenantPeer) -> None:
        """See `gateway.core.peering.Peers`."""
        if tenant.remote_id is not None:
            told = wire.Tell(tenant_id=tenant.remote_id, remote_id=tenant.tenant_id, state=tenant.state)
            await self.call(peer_id, wire.TELL, told)

    def heard(self, peer_id: UUID) -> Heard | None:
        """See `gateway.core.peering.Peers`."""
        return self._heard.get(peer_id)

    def met(self, peer_id: UUID) -> None:
        """Note that a peer called us, for who was not asked itself yet."""
        self._heard.setdefault(peer_id, Heard(answers=True, when=utc_now()))

    async def ask(self, peer_id: UUID) -> None:
        """See `gateway.core.peering.Peers`."""
        with suppress(errors.GatewayError):
            await self.call(peer_id, wire.HOW, wire.Nothing())

    async def peer(self, peer_id: UUID) -> Peer:
        """Give a peer that can be asked; Unavailable for one that is not known, or has withdrawn."""
        where = And((Compare("kind", Op.EQ, PEER), Compare("name", Op.EQ, str(peer_id))))
        found = (await self._catalog.page(Document, Query(where=where, limit=1))).records
        peer = msgspec.json.decode(found[0].body, type=Peer) if found else None
        if peer is None or not peer.certificate:
            reason = "it is not known" if peer is None else "it has ended the agreement"
            raise errors.Unavailable(what=f"peer {peer.name if peer is not None else peer_id}", reason=reason)
        return peer

    async def call(self, peer_id: UUID, call: wire.Call[Q, A], question: Q) -> A:
        """Ask a peer; raises what it says, or Unavailable."""
        return await self._ask(await self.peer(peer_id), call, question)

    def host_of(self, peer: Peer) -> str:
        """Give the host at which a peer answered last."""
        return host_and_port(self._used.get(peer.id) or peer.addresses[0])[0]

    async def names_of(self, replication: Replication) -> tuple[str, str]:
        """Give the names of a replication's destination."""
        volume = await self._catalog.get(Volume, replication.volume_id)
        tenant = await self._catalog.get(Tenant, replication.tenant_id)
        return (tenant.name if tenant is not None else "", volume.name if volume is not None else "")

    async def _ask(self, peer: Peer, call: wire.Call[Q, A], question: Q) -> A:
        client = self._client(peer)
        failure: errors.GatewayError = errors.Unavailable(what=f"peer {peer.name}", reason="no address is known")
        for address in peer.addresses:
            try:
                answer, _ = await self._said(client, address, call, question, what=f"peer {peer.name}", known=peer)
            except errors.Unavailable as error:
                failure = error
                continue
            except errors.GatewayError:
                self._hears(peer, address)
                raise
            self._hears(peer, address)
            return answer
        self._heard[peer.id] = Heard(answers=False, when=utc_now())
        raise failure

    @asynccontextmanager
    async def _limited(self) -> AsyncIterator[None]:
        """Wait for an answer as long as one may take, or less when there is hurry."""
        async with asyncio.timeout(self.answer_s) as limit:
            self._waiting.add(limit)
            try:
                yield
            finally:
                self._waiting.discard(limit)

    def _hears(self, peer: Peer, address: str) -> None:
        self._heard[peer.id] = Heard(answers=True, when=utc_now())
        self._used[peer.id] = address

    def _client(self, peer: Peer) -> httpx.AsyncClient:
        found = self._clients.get(peer.certificate)
        if found is None:
            try:
                context = asking(self.identity, peer.certificate)
            except (OSError, ssl.SSLError) as error:
                raise errors.Unavailable(what="peers", reason="the certificate cannot be used") from error
            found = self._clients[peer.certificate] = self._made(context)
        return found

    def _made(self, context: ssl.SSLContext) -> httpx.AsyncClient:
        return httpx.AsyncClient(
            verify=context,
            trust_env=False,
            timeout=self._timeout,
            follow_redirects=False,
            headers={"Accept-Encoding": "identity"},
        )

    async def _said(
        self,
        client: httpx.AsyncClient,
        address: str,
        call: wire.Call[Q, A],
        question: Q,
        *,
        what: str,
        known: Peer | None = None,
    ) -> tuple[A, bytes]:
        """Give the answer of who is at an address, with the certificate that it has shown.

        `known`: who that has to be; not one, either, whose certificate is signed with the known one.
        """
        host, port = host_and_port(address)
        url = f"https://{f'[{host}]' if ':' in host else host}:{port}{call.path}"
        body = msgspec.json.encode(question)
        try:
            async with self._limited(), client.stream("POST", url, content=body) as response:
                certificate = shown(response.extensions.get("network_stream")) or b""
                if known is not None and certificate != ssl.PEM_cert_to_DER_cert(known.certificate):
                    raise errors.Unavailable(what=what, reason="it shows another certificate")
                text = await _text(response)
        except (httpx.HTTPError, httpx.InvalidURL, OSError, TimeoutError) as error:
            raise errors.Unavailable(what=what, reason="it does not answer") from error
        try:
            if response.status_code == _OK:
                return msgspec.json.decode(text, type=call.answer), certificate
            refusal = errors.from_record(msgspec.json.decode(text, type=wire.Refusal).error)
        except (msgspec.MsgspecError, UnicodeDecodeError, TypeError) as error:
            raise errors.Unavailable(what=what, reason="it does not answer as a gateway does") from error
        if isinstance(refusal, _PASSED_ON) or (not call.known and isinstance(refusal, errors.Unauthenticated)):
            raise refusal
        raise errors.Unavailable(what=what, reason=f"it failed ({type(refusal).__name__})")

    async def _join(self, offer: Offer, address: str) -> Peer:
        what = f"peer {offer.name}"
        async with self._made(meeting()) as client:
            welcome, theirs = await self._said(client, address, wire.HELLO, wire.Nothing(), what=what)
            if wire.VERSION not in welcome.versions:
                raise errors.Unavailable(what=what, reason="it speaks another version")
            mine = self.identity.der()
            if mine == theirs:
                raise errors.InvalidArgument(field="cluster_id", reason="is our own")
            join = await self._join_words()
            join = msgspec.structs.replace(join, proof=asked(offer.key, join, mine=mine, theirs=theirs))
            joined, again = await self._said(client, address, wire.JOIN, join, what=what)
        expected = answered(offer.key, joined, join, mine=theirs, theirs=mine)
        if again != theirs or not same(joined.proof, expected):
            raise errors.Unauthenticated(reason="the gateway there does not have the passphrase")
        certificate = ssl.DER_cert_to_PEM_cert(theirs)
        self.trusted(certificate)
        return Peer(
            id=offer.id,
            name=joined.cluster,
            cluster_id=joined.cluster_id,
            cluster=joined.cluster,
            certificate=certificate,
            created=utc_now(),
            addresses=offer.addresses,
            version=joined.version,
        )

    async def _join_words(self) -> wire.Join:
        found = await self._catalog.setting(CLUSTER_ID)
        return wire.Join(
            cluster_id=UUID(found or str(UUID(int=0))),
            cluster=self.name,
            certificate=self.identity.pem(),
            addresses=self.addresses,
            nonce=secrets.token_urlsafe(_NONCE),
            proof="",
            version=self.version,
        )


class PeerSource:
    """See `gateway.core.peering.FarSource`."""

    def __init__(self, links: PeerLinks, peer_id: UUID, replication: Replication) -> None:
        self._links = links
        self._peer_id = peer_id
        self._replication = replication
        self._volume_id = replication.source.volume_id

    async def volume(self) -> SourceVolume:
        """See `gateway.core.peering.Source`."""
        found = (await self._call(wire.VOLUME, self._of())).read(self._peer_id)
        if found.id != self._volume_id:
            raise self._nonsense()
        return found

    async def snapshots(self) -> tuple[Snapshot, ...]:
        """See `gateway.core.peering.Source`."""
        found = (await self._call(wire.SNAPSHOTS, self._of())).snapshots
        return tuple(sorted(map(self._read, found), key=lambda one: (one.created, one.id)))

    async def follow(self) -> None:
        """See `gateway.core.peering.Source`."""
        tenant, volume = await self._links.names_of(self._replication)
        question = wire.Follow(
            volume_id=self._volume_id,
            follower_id=self._replication.id,
            reader_id=self._replication.tenant_id,
            tenant=tenant,
            volume=volume,
        )
        await self._call(wire.FOLLOW, question)

    async def keep(self, wanted: Collection[UUID]) -> None:
        """See `gateway.core.peering.Source`."""
        question = wire.Keep(
            volume_id=self._volume_id, follower_id=self._replication.id, snapshots=tuple(sorted(wanted))
        )
        await self._call(wire.KEEP, question)

    async def release(self) -> None:
        """See `gateway.core.peering.Source`."""
        await self._call(wire.RELEASE, wire.Release(volume_id=self._volume_id, follower_id=self._replication.id))

    async def take(self, snapshot_id: UUID, *, description: str) -> Snapshot:
        """See `gateway.core.peering.Source`."""
        del description
        taken = self._read(await self._call(wire.TAKE, self._about(snapshot_id)))
        if taken.id != snapshot_id:
            raise self._nonsense()
        return taken

    async def remove(self, surplus: Sequence[Snapshot], *, description: str) -> None:
        """See `gateway.core.peering.Source`."""
        del description
        if surplus:
            question = wire.Remove(
                volume_id=self._volume_id,
                follower_id=self._replication.id,
                reader_id=self._replication.tenant_id,
                snapshots=tuple(one.id for one in surplus),
            )
            await self._call(wire.REMOVE, question)

    @asynccontextmanager
    async def sending(self, snapshot: Snapshot) -> AsyncIterator[Sending]:
        """See `gateway.core.peering.FarSource`."""
        peer = await self._links.peer(self._peer_id)
        offered = await self._call(wire.SEND, self._about(snapshot.id))
        try:
            yield Sending(offered.kind, self._place(peer, port=offered.port, token=offered.token))
        finally:
            # It ends by itself as well, so nobody is waited for who does not answer.
            with suppress(errors.GatewayError, TimeoutError):
                async with asyncio.timeout(_WITHDRAWN_S):
                    await self._call(wire.WITHDRAW, wire.Withdraw(offer_id=offered.offer_id))

    def sample(self, kind: VolumeKind) -> Sending:
        """See `gateway.core.peering.FarSource`."""
        return Sending(
            kind, FarPlace(address="", port=0, token=Secret(""), certificate="", key="", peer_certificate="")
        )

    def _place(self, peer: Peer, *, port: int, token: str) -> FarPlace:
        return FarPlace(
            address=self._links.host_of(peer),
            port=port,
            token=Secret(token),
            certificate=str(self._links.identity.certificate),
            key=str(self._links.identity.key),
            peer_certificate=peer.certificate,
        )

    def _read(self, told: wire.FarSnapshot) -> Snapshot:
        """Give a snapshot as told; Unavailable for one that cannot be of this volume."""
        found = told.read()
        try:
            check_name("name", found.name)
        except errors.InvalidArgument:
            raise self._nonsense() from None
        if found.volume_id != self._volume_id or not sound_mark(found.taken_by):
            raise self._nonsense()
        return found

    def _nonsense(self) -> errors.GatewayError:
        return errors.Unavailable(what=f"peer {self._peer_id}", reason="what it tells cannot be")

    def _of(self) -> wire.Of:
        return wire.Of(volume_id=self._volume_id, reader_id=self._replication.tenant_id)

    def _about(self, snapshot_id: UUID) -> wire.About:
        return wire.About(volume_id=self._volume_id, follower_id=self._replication.id, snapshot_id=snapshot_id)

    def _call(self, call: wire.Call[Q, A], question: Q) -> Awaitable[A]:
        return self._links.call(self._peer_id, call, question)


async def _text(response: httpx.Response) -> bytes:
    """Give a body of reasonable length."""
    body = bytearray()
    async for part in response.aiter_raw():  # what is compressed may be of any length
        body += part
        if len(body) > wire.ANSWER_MAX:
            raise httpx.ReadError("the answer is too long")
    return bytes(body)
