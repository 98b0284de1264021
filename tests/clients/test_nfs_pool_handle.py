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
from gateway.core.exporter import Export, ExportAccess
from gateway.core.model import LocalPath, RootDirectory, VolumeKind
from gateway.exports.nfs import NfsExporter, NfsOptions
from gateway.testing.loop_pool import loop_pool
from gateway.testing.mirror import Mirror

pytestmark = pytest.mark.root


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


@asynccontextmanager
async def filer(directory: Path, state: Path, port: int) -> AsyncIterator[None]:
    """Serve a directory as /export, as a file server that has nothing to do with the gateway would."""
    exporter = NfsExporter(NfsOptions(port=port), state)
    rules = (ExportAccess(clients=("127.0.0.1",), write=True),)
    await exporter.open()
    try:
        await exporter.publish(Export(id=uuid4(), path="/export", source=LocalPath(path=str(directory)), rules=rules))
        yield
    finally:
        await exporter.close()


async def test_a_client_reads_and_writes_a_volume_at_its_handle(tmp_path: Path) -> None:
    port, mount = free_port(), tmp_path / "mount"
    mount.mkdir()
    with loop_pool(tmp_path / "disk", "ext4", "64M") as directory:
        mirror = Mirror(directory, mount)
        try:
            mirror.start()
            async with filer(directory, tmp_path / "state", port):
                await follow(mirror, port, tmp_path)
        finally:
            mirror.end()


async def follow(mirror: Mirror, port: int, folder: Path) -> None:
    client = Nfs(port, folder)
    options = NfsPoolOptions(path=mirror.mount, server="127.0.0.1", export="/export", port=port)
    backend = NfsBackend("pool", options)
    await backend.open()
    try:
        made = VolumeSpec(
            id=uuid4(),
            kind=VolumeKind.FILESYSTEM,
            size=2**20,
            root=RootDirectory(mode=0o777),
            note=Note(name="volume", tenant="tenant", document=b"{}"),
        )
        await backend.create(made)
        handle = await backend.access(made.id)
        assert (handle.address, handle.port) == ("127.0.0.1", port)

        content = os.urandom(1500)
        await asyncio.to_thread(client.write, f"{handle.path}/written", content)
        assert (Path(mirror.server) / "volumes" / str(made.id) / "data" / "written").read_bytes() == content
        assert await asyncio.to_thread(client.read, f"{handle.path}/written") == content
        assert "written" in await asyncio.to_thread(client.names, handle.path)

        seen = await backend.inspect(made.id)
        assert seen is not None
        assert seen.used >= len(content)

        await backend.delete(made.id)
        assert not await asyncio.to_thread(client.reaches, handle.path)
    finally:
        await backend.close()
