"""The instances of the conformance suite that lie in files: directories on ext4 and on XFS, of both kinds."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from functools import partial
from pathlib import Path

from gateway.backends.directory import DirectoryBackend, DirectoryOptions
from gateway.core.backend import VolumeBackend
from gateway.core.model import VolumeKind
from gateway.testing.backends import BlockContent, Harness, LocalContent
from gateway.testing.loop_pool import loop_pool


@asynccontextmanager
async def _directory(folder: Path, filesystem: str, kind: VolumeKind) -> AsyncIterator[Harness]:
    """Open a fresh pool on a file system of its own."""
    with loop_pool(folder, filesystem) as mount:

        async def opened() -> DirectoryBackend:
            backend = DirectoryBackend("conformance", DirectoryOptions(path=mount))
            await backend.open()
            return backend

        async def reopen() -> VolumeBackend:
            await harness.opened.close()
            return await opened()

        content = BlockContent if kind is VolumeKind.BLOCK else LocalContent
        harness = Harness(opened=await opened(), content=content, reopen=reopen, kind=kind)
        try:
            yield harness
        finally:
            await harness.opened.close()


ext4 = partial(_directory, filesystem="ext4", kind=VolumeKind.FILESYSTEM)
ext4_block = partial(_directory, filesystem="ext4", kind=VolumeKind.BLOCK)
xfs = partial(_directory, filesystem="xfs", kind=VolumeKind.FILESYSTEM)
xfs_block = partial(_directory, filesystem="xfs", kind=VolumeKind.BLOCK)
btrfs_block = partial(_directory, filesystem="btrfs", kind=VolumeKind.BLOCK)
