"""The btrfs instance of the conformance suite: a file system of its own for each case."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

from gateway.backends.btrfs import BtrfsBackend, BtrfsOptions
from gateway.core.backend import VolumeBackend
from gateway.testing.backends import Harness, LocalContent
from gateway.testing.btrfs_pool import btrfs_pool


@asynccontextmanager
async def btrfs(folder: Path) -> AsyncIterator[Harness]:
    """Open a fresh pool on a btrfs made in `folder`."""
    with btrfs_pool(folder) as mount:
        options = BtrfsOptions(path=mount)

        async def opened() -> BtrfsBackend:
            backend = BtrfsBackend("conformance", options)
            await backend.open()
            return backend

        async def reopen() -> VolumeBackend:
            await harness.opened.close()
            return await opened()

        harness = Harness(opened=await opened(), content=LocalContent, reopen=reopen)
        try:
            yield harness
        finally:
            await harness.opened.close()
