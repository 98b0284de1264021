"""The handle of a volume on a bare file server, followed by a real client to a real server."""

from __future__ import annotations

import asyncio
import os
import socket
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from uuid import uuid4

import pytest
from nfs_scene import Nfs

from gateway.backends.nfs import NfsBackend, NfsPoolOptions
from gateway.core.backend import Note, VolumeSpec
from gateway.core.errors import OutOfSpace
from gateway.core.exporter import Export, ExportAccess
from gateway.core.handles import LocalPath
from gateway.core.model import RootDirectory, VolumeKind
from gateway.exports.nfs import NfsExporter, NfsOptions
from gateway.testing.backends import BlockContent
from gateway.testing.loop_pool import loop_pool
from gateway.testing.mirror import mirror
from gateway.testing.wire import NfsDevice

pytestmark = pytest.mark.root

MIB = 2**20


class Filer:
    """A file server that has nothing to do with the gateway, and a pool on it. `directory`: what it serves."""

    def __init__(self, backend: NfsBackend, client: Nfs, directory: Path, port: int) -> None:
        self.backend = backend
        self.client = client
        self.directory = directory
        self.port = port

    async def make(self, kind: VolumeKind) -> VolumeSpec:
        spec = VolumeSpec(
            id=uuid4(),
            kind=kind,
            size=MIB,
            root=RootDirectory(mode=0o777) if kind is VolumeKind.FILESYSTEM else None,
            note=Note(name="volume", tenant="tenant", document=b"{}"),
        )
        await self.backend.create(spec)
        return spec


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


@asynccontextmanager
async def served(directory: Path, state: Path, port: int) -> AsyncIterator[None]:
    """Serve a directory as /export."""
    exporter = NfsExporter(NfsOptions(port=port), state)
    rules = (ExportAccess(clients=("127.0.0.1",), write=True),)
    await exporter.open()
    try:
        await exporter.publish(Export(id=uuid4(), path="/export", source=LocalPath(path=str(directory)), rules=rules))
        yield
    finally:
        await exporter.close()


@pytest.fixture
async def filer(tmp_path: Path) -> AsyncIterator[Filer]:
    port = free_port()
    with loop_pool(tmp_path / "disk", "ext4", "64M") as directory, mirror(tmp_path, directory) as mirrored:
        async with served(directory, tmp_path / "state", port):
            options = NfsPoolOptions(path=mirrored.mount, server="127.0.0.1", export="/export", port=port)
            backend = NfsBackend("pool", options)
            await backend.open()
            try:
                yield Filer(backend, Nfs(port, tmp_path), directory, port)
            finally:
                await backend.close()


async def test_a_client_reads_and_writes_a_volume_at_its_handle(filer: Filer) -> None:
    made, client = await filer.make(VolumeKind.FILESYSTEM), filer.client
    handle = await filer.backend.access(made.id)
    assert (handle.address, handle.port, handle.file) == ("127.0.0.1", filer.port, "")

    content = os.urandom(1500)
    await asyncio.to_thread(client.write, f"{handle.path}/written", content)
    assert (filer.directory / "volumes" / str(made.id) / "data" / "written").read_bytes() == content
    assert await asyncio.to_thread(client.read, f"{handle.path}/written") == content
    assert "written" in await asyncio.to_thread(client.names, handle.path)

    seen = await filer.backend.inspect(made.id)
    assert seen is not None
    assert seen.used >= len(content)

    await filer.backend.delete(made.id)
    assert not await asyncio.to_thread(client.reaches, handle.path)


async def test_a_client_reads_and_writes_blocks_in_the_file_of_their_handle(filer: Filer) -> None:
    made, other = await filer.make(VolumeKind.BLOCK), await filer.make(VolumeKind.BLOCK)
    handle = await filer.backend.access(made.id)
    assert (handle.address, handle.port, handle.path) == ("127.0.0.1", filer.port, "/export")
    assert handle.path == (await filer.backend.access(other.id)).path, "one mount for all"

    content, device = os.urandom(5000), BlockContent(handle, NfsDevice)
    await device.write("written", content)
    assert await device.read("written") == content
    here = await filer.backend.here(made.id)
    assert await BlockContent(here).read("written") == content
    assert await BlockContent(LocalPath(path=str(filer.directory / handle.file))).read("written") == content

    with pytest.raises(OutOfSpace):
        await device.write("larger", bytes(MIB))
    await filer.backend.resize(made.id, 3 * MIB)
    await device.write("larger", os.urandom(MIB // 4) + bytes(MIB))
    assert await device.paths() == {"written", "larger"}
    seen = await filer.backend.inspect(made.id)
    assert seen is not None
    assert (seen.size, len(content) <= seen.used <= 2 * MIB) == (3 * MIB, True)
    assert await BlockContent(await filer.backend.access(other.id), NfsDevice).paths() == set()

    await filer.backend.delete(made.id)
    with pytest.raises(KeyError):
        await device.paths()
