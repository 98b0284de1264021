"""A second gateway as the cluster of an ONTAP pool: its ONTAP door over a memory pool, in this process.

The pool under test is given nothing but an address and an account; what it
made is looked at from behind.
"""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path, PurePosixPath

from gateway.backends.memory import MemoryBackend, MemoryOptions
from gateway.backends.ontap import OntapOptions
from gateway.config import Address, LimitSettings
from gateway.core.context import Core
from gateway.core.door import Trace
from gateway.core.errors import Unauthenticated
from gateway.core.handles import AccessHandle, NfsExport
from gateway.core.model import Snapshot, Volume
from gateway.core.observer import SilentObserver
from gateway.core.pools import Configured
from gateway.core.principal import Principal
from gateway.core.query import Compare, Op, Query
from gateway.core.secret import Secret
from gateway.frontends.ontap_rest.door import OntapDoor
from gateway.server.http import Listener
from gateway.testing.backends import MemoryContent
from gateway.testing.cores import core_on

PASSWORD = "correct horse"
_BASIC = "Basic YWRtaW46Y29ycmVjdCBob3JzZQ=="


class _OneAccount:
    async def authenticate(self, authorization: str | None, *, peer: str = "") -> Principal:
        del peer
        if authorization != _BASIC:
            raise Unauthenticated(reason="wrong")
        return Principal(name="admin", roles=("system.admin",), groups=("*",))


class FarGateway:
    """A gateway that listens at `url`, and what is behind it."""

    def __init__(self, core: Core, backend: MemoryBackend, url: str) -> None:
        self.core = core
        self.backend = backend
        self.url = url

    def options(self, **changes: object) -> OntapOptions:
        """Give the options of a pool on it."""
        usual = {
            "url": self.url,
            "user": "admin",
            "password": Secret(PASSWORD),
            "svm": "svm1",
            "address": "192.0.2.1",
            "rate_per_s": 0.0,
            "leftovers_after_s": -5.0,  # its times are whole seconds
        }
        return OntapOptions(**{**usual, **changes})

    async def volumes(self) -> dict[str, Volume]:
        """Give its volumes by name."""
        return {volume.name: volume for volume in (await self.core.catalog.page(Volume, Query(limit=1000))).records}

    async def snapshots(self, volume: Volume) -> dict[str, Snapshot]:
        """Give the snapshots of a volume by name."""
        of_it = Query(where=Compare("volume.id", Op.EQ, volume.id), limit=1000)
        return {snapshot.name: snapshot for snapshot in (await self.core.catalog.page(Snapshot, of_it)).records}

    @asynccontextmanager
    async def content(self, handle: AccessHandle) -> AsyncIterator[MemoryContent]:
        """Give what a client of its NFS server would find."""
        assert isinstance(handle, NfsExport)
        path = PurePosixPath(handle.path)
        name = path.name if path.parent.name == ".snapshot" else ""
        junction = str(path.parent.parent if name else path)
        volume = next(one for one in (await self.volumes()).values() if one.junction_path == junction)
        yield await self.held(volume, name)

    async def held(self, volume: Volume, snapshot: str = "") -> MemoryContent:
        """Give what is in a volume, or in a snapshot of it by name."""
        taken = (await self.snapshots(volume))[snapshot].id if snapshot else None
        return MemoryContent(self.backend, await self.backend.access(volume.id, taken))


@asynccontextmanager
async def far_gateway(folder: Path) -> AsyncIterator[FarGateway]:
    """Give a gateway with the SVM `svm1` and the aggregate `aggr1`."""
    folder.mkdir()
    backend = MemoryBackend("aggr1", MemoryOptions())
    async with core_on(folder, [Configured("aggr1", backend)]) as core:
        door = OntapDoor(
            core,
            _OneAccount(),
            name="far",
            addresses=(),
            max_body_bytes=1 << 20,
            receive_timeout_s=30,
            observer=SilentObserver(),
        )
        await door.open()
        listener = Listener(
            lambda request: door.handle(request, Trace()),
            Address("127.0.0.1", 0),
            limits=LimitSettings(),
            refuse=door.refuse,
        )
        await listener.start()
        try:
            yield FarGateway(core, backend, f"http://{listener.address}")
        finally:
            await listener.stop()
            await backend.close()
