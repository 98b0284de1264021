"""The qcow2 instance of the conformance suite: on a plain ext4 of its own for each case."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

from gateway.backends.qcow2 import Qcow2Backend, Qcow2Options
from gateway.core.backend import VolumeBackend
from gateway.core.model import VolumeKind
from gateway.testing.backends import BlockContent, Harness
from gateway.testing.loop_pool import loop_pool


@asynccontextmanager
async def qcow2(folder: Path) -> AsyncIterator[Harness]:
    """Open a fresh pool on an ext4 made in `folder`."""
    with loop_pool(folder, "ext4") as mount:

        async def opened() -> Qcow2Backend:
            backend = Qcow2Backend("conformance", Qcow2Options(path=mount))
            await backend.open()
            return backend

        async def reopen() -> VolumeBackend:
            await harness.opened.close()
            return await opened()

        harness = Harness(opened=await opened(), content=BlockContent, reopen=reopen, kind=VolumeKind.BLOCK)
        try:
            yield harness
        finally:
            await harness.opened.close()
