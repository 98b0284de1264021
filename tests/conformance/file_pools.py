"""The instances of the conformance suite that lie in files: directories of several file systems, and a file server."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from functools import partial
from pathlib import Path, PurePosixPath

from gateway.backends.directory import DirectoryBackend, DirectoryOptions
from gateway.backends.nfs import NfsBackend, NfsPoolOptions
from gateway.core.backend import VolumeBackend
from gateway.core.handles import AccessHandle, LocalPath, NfsExport
from gateway.core.model import VolumeKind
from gateway.testing.backends import BlockContent, Content, Harness, LocalContent
from gateway.testing.loop_pool import loop_pool
from gateway.testing.mirror import mirror


@asynccontextmanager
async def _harness(
    make: Callable[[], VolumeBackend], content: Callable[[AccessHandle], Content], kind: VolumeKind
) -> AsyncIterator[Harness]:
    async def opened() -> VolumeBackend:
        backend = make()
        await backend.open()
        return backend

    async def reopen() -> VolumeBackend:
        await harness.opened.close()
        return await opened()

    harness = Harness(opened=await opened(), content=content, reopen=reopen, kind=kind)
    try:
        yield harness
    finally:
        await harness.opened.close()


@asynccontextmanager
async def _directory(folder: Path, filesystem: str, kind: VolumeKind) -> AsyncIterator[Harness]:
    content = BlockContent if kind is VolumeKind.BLOCK else LocalContent
    with loop_pool(folder, filesystem) as mount:
        options = DirectoryOptions(path=mount)
        async with _harness(lambda: DirectoryBackend("conformance", options), content, kind) as harness:
            yield harness


@asynccontextmanager
async def _nfs(folder: Path, kind: VolumeKind) -> AsyncIterator[Harness]:
    """Open a fresh pool on a stand-in for a mounted server; bytes are read and written on the server's side."""
    of_kind = BlockContent if kind is VolumeKind.BLOCK else LocalContent
    with loop_pool(folder / "disk", "ext4") as disk, mirror(folder, disk) as server:
        options = NfsPoolOptions(path=server.mount, server="192.0.2.1", export="/export")

        def content(handle: AccessHandle) -> Content:
            assert isinstance(handle, NfsExport)
            below = PurePosixPath(handle.place).relative_to("/export")
            return of_kind(LocalPath(path=str(server.server / below), read_only=handle.read_only))

        make = lambda: NfsBackend("conformance", options)
        async with _harness(make, content, kind) as harness:
            yield harness


nfs = partial(_nfs, kind=VolumeKind.FILESYSTEM)
nfs_block = partial(_nfs, kind=VolumeKind.BLOCK)
ext4 = partial(_directory, filesystem="ext4", kind=VolumeKind.FILESYSTEM)
ext4_block = partial(_directory, filesystem="ext4", kind=VolumeKind.BLOCK)
xfs = partial(_directory, filesystem="xfs", kind=VolumeKind.FILESYSTEM)
xfs_block = partial(_directory, filesystem="xfs", kind=VolumeKind.BLOCK)
btrfs_block = partial(_directory, filesystem="btrfs", kind=VolumeKind.BLOCK)
