"""A gateway for the model test: core, door and listener on a loop in a thread, asked over HTTP by the test."""

from __future__ import annotations

import asyncio
import http.client
import json
import threading
from collections.abc import Awaitable, Callable, Coroutine
from contextlib import AsyncExitStack
from pathlib import Path
from types import TracebackType
from typing import Any, Self, TypeVar
from uuid import UUID

from gateway.backends.btrfs import BtrfsBackend, BtrfsOptions
from gateway.backends.memory import MemoryBackend, MemoryOptions
from gateway.config import Address, LimitSettings
from gateway.core.backend import SnapshotBackend, VolumeBackend
from gateway.core.context import Core
from gateway.core.door import Trace
from gateway.core.handles import InProcess
from gateway.core.observer import SilentObserver
from gateway.core.pools import Configured
from gateway.core.principal import Principal
from gateway.core.reconcile import Finding, Reconciler
from gateway.frontends.ontap_rest.door import OntapDoor
from gateway.frontends.ontap_rest.release import Release
from gateway.server.http import Listener
from gateway.testing.backends import Content, LocalContent, MemoryContent
from gateway.testing.cores import core_on

T = TypeVar("T")
POOL = "pool"


class Everyone:
    """Lets everybody in: who may do what is not what the model is about."""

    async def authenticate(self, authorization: str | None, *, peer: str = "") -> Principal:
        del authorization, peer
        return Principal(name="tester", roles=("system.admin",), groups=("*",))


class World:
    """One gateway with one pool. `ask` and the rest are for the test's own thread."""

    def __init__(self, folder: Path, backend: Callable[[], VolumeBackend]) -> None:
        self._folder = folder
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, name="gateway")
        self._backend = backend()
        self._stack = AsyncExitStack()
        self._client: http.client.HTTPConnection | None = None
        self.core: Core

    def __enter__(self) -> Self:
        self._thread.start()
        try:
            self._do(self._start())
        except BaseException:
            self._end()
            raise
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, tb: TracebackType | None) -> None:
        self._do(self._stop())
        self._do(self._backend.close())
        self._end()

    def ask(self, method: str, path: str, body: object = None) -> tuple[int, Any]:
        """Ask the door; give status and decoded body."""
        if self._client is None:
            address = self._address
            self._client = http.client.HTTPConnection(address.host, address.port, timeout=60)
        sent = None if body is None else json.dumps(body).encode()
        self._client.request(method, path, sent)
        reply = self._client.getresponse()
        return reply.status, json.loads(reply.read())

    def restart(self) -> None:
        """End the gateway in order and start another one on the same catalog and substrate."""
        self._do(self._stop())
        self._do(self._start())

    def reconcile(self) -> list[Finding]:
        """Compare catalog and substrate; give the differences."""
        return self._do(self._reconcile())

    def write(self, volume: str, name: str, data: bytes) -> None:
        """Write a file through the volume's access handle."""
        self._do(self._write(volume, name, data))

    def files(self, volume: str, snapshot: str | None = None) -> dict[str, bytes]:
        """Read all files through the access handle of a volume or of one of its snapshots."""
        return self._do(self._files(volume, snapshot))

    def inventory(self) -> tuple[set[str], set[str]]:
        """Give the ids of volumes and of snapshots that the substrate holds."""
        return self._do(self._inventory())

    async def _start(self) -> None:
        stack = self._stack = AsyncExitStack()
        self.core = await stack.enter_async_context(core_on(self._folder, [Configured(POOL, self._backend, ())]))
        door = OntapDoor(
            self.core,
            Everyone(),
            name="model",
            addresses=(),
            max_body_bytes=1 << 20,
            receive_timeout_s=30,
            observer=SilentObserver(),
            release=Release(9, 16, 1),  # the first that tells of clones at their parents
        )
        await door.open()
        listener = Listener(
            lambda request: door.handle(request, Trace()),
            Address("127.0.0.1", 0),
            limits=LimitSettings(),
            refuse=door.refuse,
        )
        await listener.start()
        stack.push_async_callback(listener.stop)
        self._address = listener.address

    async def _stop(self) -> None:
        if self._client is not None:
            self._client.close()
            self._client = None
        await self._stack.aclose()

    async def _reconcile(self) -> list[Finding]:
        return [
            finding for pool in self.core.pools for finding in await Reconciler(self.core, pool, SilentObserver()).run()
        ]

    async def _content(self, volume: str, snapshot: str | None = None) -> Content:
        handle = await self._backend.access(UUID(volume), UUID(snapshot) if snapshot else None)
        if isinstance(handle, InProcess) and isinstance(self._backend, MemoryBackend):
            return MemoryContent(self._backend, handle)
        return LocalContent(handle)

    async def _write(self, volume: str, name: str, data: bytes) -> None:
        await (await self._content(volume)).write(name, data)

    async def _files(self, volume: str, snapshot: str | None) -> dict[str, bytes]:
        content = await self._content(volume, snapshot)
        return {path: await content.read(path) for path in await content.paths()}

    async def _inventory(self) -> tuple[set[str], set[str]]:
        volumes = {str(seen.id) async for seen in self._backend.scan()}
        if not isinstance(self._backend, SnapshotBackend):
            return volumes, set()
        return volumes, {str(seen.id) async for seen in self._backend.scan_snapshots()}

    def _do(self, work: Coroutine[Any, Any, T] | Awaitable[T]) -> T:
        async def awaited() -> T:
            return await work

        return asyncio.run_coroutine_threadsafe(awaited(), self._loop).result(60)

    def _end(self) -> None:
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()
        self._loop.close()


def memory_backend() -> VolumeBackend:
    return MemoryBackend(POOL, MemoryOptions())


def btrfs_backend(mount: Path) -> VolumeBackend:
    return BtrfsBackend(POOL, BtrfsOptions(path=mount))
