"""The libStorage door on a core in this process, asked over HTTP: pools in memory, an exporter of files on paper."""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any
from urllib.parse import urlencode
from uuid import UUID

import msgspec
from aiohttp import ClientSession, web
from aiohttp.test_utils import RawTestServer
from multidict import CIMultiDict

from gateway.backends.memory import MemoryBackend, MemoryOptions
from gateway.core import errors, volumes
from gateway.core.backend import Substrate
from gateway.core.context import Core
from gateway.core.door import Trace
from gateway.core.exporter import BlockAccess, BlockExport, Export
from gateway.core.handles import AccessHandle, LocalPath, NbdExport, NfsExport
from gateway.core.model import Transport, Volume
from gateway.core.observer import SilentObserver
from gateway.core.pools import Configured
from gateway.frontends.kinds import KindChoice
from gateway.frontends.libstorage.auth import Auth
from gateway.frontends.libstorage.door import LibstorageDoor
from gateway.frontends.libstorage.settings import LibstorageOptions, ServiceOptions
from gateway.frontends.libstorage.site import Site
from gateway.testing.cores import core_on

MIB, GIB = 1 << 20, 1 << 30
VFS, OTHER = "vfs=host-a", "vfs=host-b"
"""Two instances."""

NAS, OTHER_NAS = "isilon=192.0.2.1", "isilon=192.0.2.2"
NFS_ADDRESS = "198.51.100.7"

OPTIONS = LibstorageOptions(
    service={
        "blocks": ServiceOptions(pool="fast", kind=KindChoice.BLOCK, driver="vfs"),
        "files": ServiceOptions(pools=("slow", "fast"), kind=KindChoice.FILESYSTEM, driver="isilon"),
        "other": ServiceOptions(pool="other", kind=KindChoice.BLOCK, driver="vfs", transport=Transport.NBD),
    }
)
"""A service of blocks, one of files over a pool more, and one of blocks over NBD in a pool of its own."""


class LocalMemory(MemoryBackend):
    """A memory pool whose volumes claim to be on this host, so that they can be published.

    `away`: it does not answer.
    """

    away = False

    def describe(self) -> Substrate:
        return msgspec.structs.replace(super().describe(), handles=("local_path",))

    async def access(self, volume: UUID, snapshot: UUID | None = None) -> AccessHandle:  # type: ignore[override]
        if self.away:
            raise errors.Unavailable(what="disk")
        await super().access(volume, snapshot)
        return LocalPath(path=f"/volumes/{volume}")


class PaperFiles:
    """An exporter of files that writes down what it publishes."""

    def __init__(self) -> None:
        self.exports: dict[UUID, Export] = {}

    async def open(self) -> None:
        pass

    async def publish(self, export: Export) -> None:
        self.exports[export.id] = export

    async def withdraw(self, export_id: UUID) -> None:
        self.exports.pop(export_id, None)

    async def published(self) -> Mapping[UUID, Export | None]:
        return dict(self.exports)

    def handle(self, export: Export) -> NfsExport:
        return NfsExport(address=NFS_ADDRESS, port=2049, path=export.path)

    async def close(self) -> None:
        pass

    def clients(self, volume_id: str) -> list[str]:
        """Give who may reach a volume."""
        export = self.exports.get(UUID(volume_id))
        return [] if export is None else [client for rule in export.rules for client in rule.clients]


class PaperBlocks:
    """An exporter of blocks that publishes nothing. Volumes in `connected` have a client, who is cut off by force."""

    def __init__(self) -> None:
        self.connected: set[UUID] = set()

    async def open(self) -> None:
        pass

    async def publish(self, export: BlockExport, *, force: bool = False) -> None:
        pass

    async def withdraw(self, export_id: UUID, *, force: bool = False) -> None:
        if export_id in self.connected and not force:
            raise errors.InUse(kind="volume", ref=str(export_id), by="sessions", action="detach")
        self.connected.discard(export_id)

    async def published(self) -> frozenset[UUID]:
        return frozenset()

    def handle(self, export: BlockExport, access: BlockAccess) -> NbdExport:
        return NbdExport(address="2001:db8::7", port=10809, name=str(export.id), read_only=not access.write)

    async def close(self) -> None:
        pass


class Answered(msgspec.Struct, frozen=True):
    """An answer: its status, and what its body has as JSON, None where there is none."""

    status: int
    json: Any


Exporters = tuple[PaperFiles, PaperBlocks]
Served = tuple[ClientSession, str]


class Scene:
    """A door, and what is behind it."""

    def __init__(self, core: Core, backend: LocalMemory, exporters: Exporters, at: Served) -> None:
        self.core = core
        self.backend = backend
        self.files, self.blocks = exporters
        self.session, self.url = at

    async def ask(
        self, method: str, path: str, body: object = None, *, who: str = "", devices: str | None = None
    ) -> Answered:
        """Give the answer to a request of an instance, or of one with several ids (`a|b`); it may tell its devices."""
        headers = CIMultiDict(("Libstorage-Instanceid", each) for each in who.split("|") if each)
        if devices is not None:
            headers["Libstorage-Localdevices"] = devices
        data = None if body is None else msgspec.json.encode(body)
        async with self.session.request(method, self.url + path, data=data, headers=headers) as answer:
            text = await answer.read()
            is_json = answer.headers.get("Content-Type") == "application/json"
            return Answered(answer.status, msgspec.json.decode(text) if is_json else None)

    async def get(self, path: str, *, who: str = "", devices: str | None = None, **params: str) -> Any:
        """Give what a GET that succeeds gives."""
        query = f"?{urlencode(params)}" if params else ""
        answer = await self.ask("GET", path + query, who=who, devices=devices)
        assert answer.status == 200, answer
        return answer.json

    async def post(self, path: str, body: object = None, *, who: str = "", status: int = 201) -> Any:
        """Give what a POST that succeeds gives."""
        answer = await self.ask("POST", path, body, who=who)
        assert answer.status == status, answer
        return answer.json

    async def refused(self, method: str, path: str, body: object = None, *, who: str = "") -> tuple[int, str, Any]:
        """Give the status, the message and the context of a refusal."""
        answer = await self.ask(method, path, body, who=who)
        assert answer.status > 299, answer
        assert answer.json["status"] == answer.status
        return answer.status, answer.json["message"], answer.json["error"]

    async def make(self, name: str, service: str = "blocks", **more: object) -> Any:
        """Give a new volume."""
        return await self.post(f"/volumes/{service}", {"name": name, "size": 1, **more})

    async def attach(self, volume: Any, who: str, service: str = "blocks", **more: object) -> Any:
        """Give the answer to an attach that succeeds."""
        return await self.post(f"/volumes/{service}/{volume['id']}?attach", more, who=who, status=200)

    async def resize(self, volume: Volume, size: int) -> None:
        """Give a volume another size, as another door would."""
        change = volumes.VolumeChange(size=size)
        await (await volumes.update(self.core, volume.id, change, description="test")).result()

    async def record(self, volume: Any) -> Volume:
        """Give a volume as the core has it."""
        return await self.core.get(Volume, UUID(volume["id"]))


@asynccontextmanager
async def open_scene(
    directory: Path, options: LibstorageOptions = OPTIONS, *, nfs: bool = True, disabled: tuple[str, ...] = ()
) -> AsyncIterator[Scene]:
    """Give a scene with the pools fast, slow and other, whose tenant is svm1. `nfs`: there is an exporter of files."""
    backends = {name: LocalMemory(name, MemoryOptions()) for name in ("fast", "slow", "other")}
    configured = [Configured(name, backend, disabled) for name, backend in backends.items()]
    files, blocks = PaperFiles(), PaperBlocks()
    async with core_on(
        directory,
        configured,
        exporter=files if nfs else None,
        block={Transport.NBD: blocks},
        tenants=("svm1", "svm2"),
    ) as core:
        kinds = {pool.name: tuple(pool.capabilities) for pool in core.pools}
        site = Site.of(options, name="gw", tenant="svm1", pools=kinds, nfs=kinds if nfs else ())
        door = LibstorageDoor(
            core, site, Auth(options), max_body_bytes=1 << 20, receive_timeout_s=10, observer=SilentObserver()
        )

        async def handle(request: web.BaseRequest) -> web.StreamResponse:
            return await door.handle(request, Trace())

        async with RawTestServer(handle) as server, ClientSession() as session:
            url = str(server.make_url("")).rstrip("/")
            yield Scene(core, backends["fast"], (files, blocks), (session, url))
        await door.close()
