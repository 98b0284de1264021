"""Two gateways in one process that talk over loopback, each with a pool in memory; bytes go by a mover in memory."""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable, MutableMapping
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path
from typing import Any
from uuid import UUID, uuid4

import msgspec
from aiohttp import web
from core_scene import make

from gateway.backends.memory import MemoryBackend, MemoryOptions
from gateway.config import Address, LimitSettings
from gateway.core import peer_tenants, peers, replication_policies, replications, transfers
from gateway.core.backend import FaultHook, Substrate, no_fault
from gateway.core.catalog import Catalog
from gateway.core.context import Core
from gateway.core.door import Trace
from gateway.core.handles import InProcess, LocalPath
from gateway.core.manifest import CLUSTER_ID
from gateway.core.model import Snapshot, Tenant, Volume, VolumeKind, utc_now
from gateway.core.mover import FarPlace, Offered, Place
from gateway.core.observer import SilentObserver
from gateway.core.peer_tenants import TenantPeer
from gateway.core.peers import NewOffer, Peer, PeerChange
from gateway.core.pools import Configured
from gateway.core.query import Query
from gateway.core.rebuild import rebuild
from gateway.core.replication_model import Replication, Transfer
from gateway.core.secret import Secret
from gateway.peering.contexts import Identity, listening, trust
from gateway.peering.door import PeerDoor
from gateway.peering.links import PeerLinks
from gateway.server.certificate import BOTH_ENDS, write_self_signed
from gateway.server.http import Listener
from gateway.testing.cores import core_on
from gateway.testing.memory_mover import MemoryMover

PASSPHRASE = Secret("correct horse")


class Pool(MemoryBackend):
    """A pool in memory whose volumes claim to be directories of this host, and to last."""

    def __init__(self, name: str) -> None:
        super().__init__(name, MemoryOptions(), fault=no_fault)

    def describe(self) -> Substrate:
        return msgspec.structs.replace(super().describe(), handles=("local_path",), volatile=False)

    async def access(self, volume: UUID, snapshot: UUID | None = None) -> LocalPath:  # type: ignore[override]
        found = await super().access(volume, snapshot)
        return LocalPath(path=f"/{found.key}", read_only=found.read_only)


class MemorySenders:
    """Offers what lies in memory; whoever has the token knows where."""

    def __init__(self) -> None:
        self.paths: dict[str, str] = {}
        self._tokens: dict[UUID, str] = {}

    async def offer(self, *, kind: VolumeKind, path: str, listen_host: str, peer_certificate: str) -> Offered:
        del kind, peer_certificate
        offer, token = uuid4(), uuid4().hex
        self.paths[token], self._tokens[offer] = path, token
        return Offered(id=offer, address=listen_host, port=1, token=Secret(token))

    async def withdraw(self, offer: UUID) -> None:
        self.paths.pop(self._tokens.pop(offer, ""), None)


class Between(MemoryMover):
    """Moves from what a gateway offers into a volume of the other one's."""

    def __init__(self, senders: list[MemorySenders], pools: list[MemoryBackend]) -> None:
        super().__init__(pools)
        self._senders = senders

    def reaches(self, _kind: VolumeKind, source: Place, destination: Place) -> str:
        return "" if isinstance(source, FarPlace) and isinstance(destination, LocalPath) else self.why_not or "no way"

    def _files(self, handle: Place) -> MutableMapping[str, bytes]:
        if isinstance(handle, FarPlace):
            (path,) = [
                each.paths[handle.token.reveal()] for each in self._senders if handle.token.reveal() in each.paths
            ]
        else:
            assert isinstance(handle, LocalPath)
            path = handle.path
        return super()._files(InProcess(key=path[1:]))


class Site:
    """What of a gateway outlives its core: its pool, its catalog, its certificate.

    `asked` are the calls that came. `instead`: what is answered to one, None for what it would say itself.
    """

    def __init__(self, folder: Path, name: str, senders: MemorySenders, mover: Between) -> None:
        self.name = name
        self.folder = folder / name
        self.folder.mkdir()
        self.pool = Pool("memory")
        self.senders = senders
        self.mover = mover
        self.identity = Identity(certificate=self.folder / "cert.pem", key=self.folder / "key.pem")
        self.renew()
        self.core: Core
        self.links: PeerLinks
        self.address = ""
        self.review: Callable[[], Awaitable[None]]
        self.asked: list[str] = []
        self.instead: Callable[[str], Awaitable[web.StreamResponse | None]] | None = None

    def renew(self) -> None:
        """Make its certificate anew."""
        write_self_signed(
            certificate=self.identity.certificate,
            key=self.identity.key,
            names=["127.0.0.1"],
            now=utc_now(),
            overwrite=True,
            purposes=BOTH_ENDS,
        )

    @asynccontextmanager
    async def running(
        self, fault: FaultHook = no_fault, *, rebuilding: bool = False, **more: Any
    ) -> AsyncIterator[Core]:
        """Run it on a port of its own. `rebuilding`: its catalog is lost."""

        def linked(catalog: Catalog) -> PeerLinks:
            self.links = PeerLinks(catalog, self.identity, name=self.name, **more)
            return self.links

        pools = [Configured("memory", self.pool)]
        tenants = () if rebuilding else ("svm1",)
        async with core_on(self.folder, pools, mover=self.mover, peers=linked, fault=fault, tenants=tenants) as core:
            if rebuilding:
                await rebuild(core, SilentObserver())
            self.core = core
            if await core.catalog.setting(CLUSTER_ID) is None:
                await core.catalog.put_setting(CLUSTER_ID, str(uuid4()))
            async with self._listening(core):
                yield core
            await self.links.close()

    @asynccontextmanager
    async def _listening(self, core: Core) -> AsyncIterator[None]:
        context = listening(self.identity)
        self.links.trusted = lambda pem: trust(context, pem)
        for peer in await peers.everyone(core):
            trust(context, peer.certificate)
        door = PeerDoor(core, self.links, self.senders, host="127.0.0.1", receive_timeout_s=5)
        self.review = door.review

        async def handle(request: web.BaseRequest) -> web.StreamResponse:
            call = request.path.rpartition("/")[2]
            self.asked.append(call)
            said = None if self.instead is None else await self.instead(call)
            return await door.handle(request, Trace()) if said is None else said

        listener = Listener(handle, Address("127.0.0.1", 0), limits=LimitSettings(), refuse=door.refuse, tls=context)
        await listener.start()
        try:
            self.address = str(listener.address)
            self.links.addresses = (self.address,)
            yield
        finally:
            await listener.stop()

    async def tenant(self) -> Tenant:
        found = await self.core.find(Tenant, name="svm1")
        assert found is not None
        return found

    async def peer(self) -> Peer:
        (found,) = await peers.everyone(self.core)
        return found

    async def names(self, volume: Volume) -> list[str]:
        """Give the names of a volume's snapshots, those of transfers without their numbers."""
        found = (await self.core.catalog.page(Snapshot, Query())).records
        own = sorted((one for one in found if one.volume_id == volume.id), key=lambda one: one.created)
        return [one.name.partition(".")[0] if one.name.startswith("snapmirror") else one.name for one in own]

    def write(self, volume: Volume, **files: bytes | None) -> None:
        for path, data in files.items():
            self.pool.write(volume.id, path, data)

    def files(self, volume: Volume) -> dict[str, bytes]:
        return dict(self.pool.files(volume.id))


class Scene:
    """Both sites: `here` is where the destinations are."""

    def __init__(self, folder: Path) -> None:
        senders = [MemorySenders(), MemorySenders()]
        self.mover = Between(senders, [])
        self.there = Site(folder, "there", senders[0], self.mover)
        self.here = Site(folder, "here", senders[1], self.mover)
        self.mover.pools += [self.there.pool, self.here.pool]

    @asynccontextmanager
    async def running(self, *, rebuilding: bool = False, **more: Any) -> AsyncIterator[None]:
        """Run both, and let each find the other where it is now. `more`: how `here` asks, see `PeerLinks`."""
        async with AsyncExitStack() as stack:
            await stack.enter_async_context(self.there.running(rebuilding=rebuilding))
            await stack.enter_async_context(self.here.running(rebuilding=rebuilding, **more))
            await self.found()
            yield

    async def found(self) -> None:
        """Tell each where the other listens."""
        for site, other in ((self.there, self.here), (self.here, self.there)):
            for peer in await peers.everyone(site.core):
                await peers.change(site.core, peer.id, PeerChange(addresses=(other.address,)))

    async def agree(self) -> None:
        """Let both gateways agree."""
        await peers.offer(self.there.core, NewOffer(passphrase=PASSPHRASE))
        await self.agree_with_what_stands()

    async def agree_with_what_stands(self) -> None:
        """Let the gateway here agree with what the other one offers."""
        made, _ = await peers.offer(self.here.core, NewOffer(passphrase=PASSPHRASE, addresses=(self.there.address,)))
        await peers.agree(self.here.core, made, name=self.here.name)

    def stranger(self) -> Identity:
        """Give a certificate that nobody knows."""
        folder = self.there.folder
        other = Identity(certificate=folder / "other.pem", key=folder / "other.key")
        write_self_signed(certificate=other.certificate, key=other.key, names=["x"], now=utc_now(), purposes=BOTH_ENDS)
        return other

    async def joined(self) -> TenantPeer:
        """Let both gateways, and their tenants, agree."""
        await self.agree()
        here, there = await self.here.tenant(), await self.there.tenant()
        asked = await peer_tenants.propose(self.here.core, here.id, (await self.here.peer()).id, remote=there.name)
        (waiting,) = await peer_tenants.everyone(self.there.core)
        await peer_tenants.turn(self.there.core, waiting.id, peer_tenants.TenantState.PEERED)
        return await peer_tenants.get(self.here.core, asked.id)

    async def pair(self, policy: str = "Asynchronous", **more: Any) -> tuple[Volume, Volume, Replication]:
        """Make a source with files in it, an empty destination, and the replication between them."""
        source = await make(self.there.core, "source")
        self.there.write(source, f=b"content", g=b"more")
        destination = await make(self.here.core, "destination")
        return source, destination, await self.replication(source, destination, policy, **more)

    async def replication(
        self,
        source: Volume,
        destination: Volume,
        policy: str = "Asynchronous",
        *,
        at: Site | None = None,
        **more: Any,
    ) -> Replication:
        """Let a volume here (or at another site) follow one there."""
        here = at or self.here
        core, tenant = here.core, await here.tenant()
        far = await here.links.find((await here.peer()).id, tenant="svm1", volume=source.name, reader_id=tenant.id)
        found = await replication_policies.named(core, policy)
        new = replications.NewReplication(
            source_id=far.id, destination_id=destination.id, policy_id=found.id, far=far, **more
        )
        return await replications.create(core, new, description="test")

    async def transferred(self, replication: Replication, **more: Any) -> Transfer:
        begun = await transfers.transfer(self.here.core, replication.id, description="test", **more)
        return await transfers.wait(self.here.core, begun.id)

    async def now(self, replication: Replication) -> Replication:
        return await self.here.core.get(Replication, replication.id)
