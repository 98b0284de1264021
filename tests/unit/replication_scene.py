"""Two memory pools, a volume in the one and one that follows it in the other, by streams or by a mover."""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any
from uuid import UUID, uuid4

import msgspec
from core_scene import make

from gateway.backends.memory import MemoryBackend, MemoryOptions
from gateway.core import replication_policies, replications, transfers
from gateway.core.backend import FaultHook, Substrate, no_fault
from gateway.core.context import Core
from gateway.core.handles import AccessHandle, LocalPath
from gateway.core.model import Intent, Snapshot, Volume, VolumeKind, utc_now
from gateway.core.observer import SilentObserver
from gateway.core.pools import Configured
from gateway.core.query import Query
from gateway.core.reconcile import Reconciler
from gateway.core.replication_model import Replication, ReplicationPolicy, Transfer, TransferMethod
from gateway.testing.cores import core_on
from gateway.testing.memory_mover import MemoryMover

METHODS = [*TransferMethod]


class Lasting(MemoryBackend):
    """A memory pool that several cores of a test may have, one after the other; of another driver if it says so.

    `before_send` comes before each part that it sends. `local`: its volumes claim to be directories of this host.
    `fleeting`: it does not claim to last.
    """

    def __init__(self, name: str, *, driver: str = "memory", fault: FaultHook = no_fault) -> None:
        super().__init__(name, MemoryOptions(), fault=fault)
        self._driver = driver
        self.local = self.fleeting = False
        self.before_send: Callable[[], Awaitable[object]] | None = None

    def describe(self) -> Substrate:
        return msgspec.structs.replace(
            super().describe(), driver=self._driver, handles=("local_path",), volatile=self.fleeting
        )

    async def access(self, volume: UUID, snapshot: UUID | None = None) -> AccessHandle:  # type: ignore[override]
        found = await super().access(volume, snapshot)
        return LocalPath(path=f"/volumes/{volume}") if self.local else found

    async def send(self, volume: UUID, snapshot: UUID, base: UUID | None) -> AsyncIterator[bytes]:
        if self.before_send is not None:
            await self.before_send()
        async for part in super().send(volume, snapshot, base):
            yield part

    def forget_newest(self, volume: UUID) -> None:
        """Lose a volume's newest snapshot, as when somebody deletes it behind the gateway's back."""
        self._drop([*self._snapshots[volume].values()][-1])


class Scene:
    """Everything that outlives a core: the pools and the mover between them."""

    def __init__(self, folder: Path, method: TransferMethod, *, fault: FaultHook = no_fault) -> None:
        self.method = method
        self.here = Lasting("memory", fault=fault)
        self.there = Lasting("there", driver="memory" if method is TransferMethod.NATIVE else "other", fault=fault)
        self.mover = MemoryMover([self.here, self.there])
        self.fault = fault
        self.core: Core
        self._folder = folder

    @asynccontextmanager
    async def running(
        self, fault: FaultHook | None = None, *, only: str = "", without: tuple[str, ...] = (), **more: Any
    ) -> AsyncIterator[Core]:
        """Give a core on the pools (on one of them), with what a predecessor left settled.

        `without`: what the second pool cannot do.
        """
        pools = [Configured("memory", self.here), Configured("there", self.there, without)]
        pools = [pool for pool in pools if only in {"", pool.name}]
        async with core_on(self._folder, pools, mover=self.mover, fault=fault or self.fault, **more) as core:
            self.core = core
            yield core

    def write(self, volume: Volume, **files: bytes | None) -> None:
        """Write files of a volume; None removes one."""
        for path, data in files.items():
            self._pool(volume).write(volume.id, path, data)

    def files(self, volume: Volume) -> dict[str, bytes]:
        """Give the files of a volume."""
        return dict(self._pool(volume).files(volume.id))

    def _pool(self, volume: Volume) -> MemoryBackend:
        return next(pool.backend for pool in self.core.pools if pool.id == volume.pool_id)  # type: ignore[return-value]

    async def pair(self, policy: str = "Asynchronous", **more: Any) -> tuple[Volume, Volume, Replication]:
        """Make a source with a file in it, an empty destination, and the replication between them."""
        kind = more.pop("kind", VolumeKind.FILESYSTEM)
        source = await make(self.core, "source", kind=kind)
        self.write(source, f=b"content", g=b"more")
        destination = await make(self.core, "destination", pool="there", kind=kind)
        found = await replication_policies.named(self.core, policy)
        new = replications.NewReplication(
            source_id=source.id, destination_id=destination.id, policy_id=found.id, **more
        )
        return source, destination, await replications.create(self.core, new, description="test")

    async def transferred(self, replication: Replication, **more: Any) -> Transfer:
        """Transfer, and give the transfer as it ended."""
        begun = await transfers.transfer(self.core, replication.id, description="test", **more)
        return await self.ended(begun)

    async def ended(self, begun: Transfer) -> Transfer:
        ended = await transfers.wait(self.core, begun.id)
        assert ended.ended is not None
        return ended

    async def mirrored(self, policy: str = "Asynchronous", **more: Any) -> tuple[Volume, Volume, Replication]:
        """Make a pair of which the second has the first one's content."""
        source, destination, replication = await self.pair(policy, **more)
        ended = await self.transferred(replication)
        assert ended.error is None
        return source, destination, await self.now(replication)

    async def now(self, replication: Replication) -> Replication:
        return await self.core.get(Replication, replication.id)

    async def names(self, volume: Volume) -> list[str]:
        """Give the names of a volume's snapshots, those of transfers without their numbers."""
        found = (await self.core.catalog.page(Snapshot, Query())).records
        own = sorted((one for one in found if one.volume_id == volume.id), key=lambda one: one.created)
        return [one.name.partition(".")[0] if one.name.startswith("snapmirror") else one.name for one in own]

    async def assert_whole(self) -> None:
        """Fail unless nothing is under way, and the catalog says what the pools hold."""
        assert (await self.core.catalog.page(Intent, Query())).records == ()
        for pool in self.core.pools:
            found = await Reconciler(self.core, pool, SilentObserver()).run()
            assert found == [], found
        for volume in (await self.core.catalog.page(Volume, Query())).records:
            own = [
                one for one in (await self.core.catalog.page(Snapshot, Query())).records if one.volume_id == volume.id
            ]
            assert volume.snapshot_count == len(own)


async def policy_of(core: Core, **more: Any) -> ReplicationPolicy:
    """Make a policy called `p`."""
    return await replication_policies.create(
        core, ReplicationPolicy(**{"id": uuid4(), "name": "p", "created": utc_now(), **more})
    )
