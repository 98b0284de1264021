"""The ONTAP instance of the conformance suite: the cluster is a second gateway."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

from far_gateway import far_gateway

from gateway.backends.ontap import OntapBackend
from gateway.core.backend import VolumeBackend
from gateway.testing.backends import Harness

SIZE = 40 * 1024**2
"""Half of it is still a volume to ONTAP."""


@asynccontextmanager
async def ontap(folder: Path) -> AsyncIterator[Harness]:
    """Open a fresh pool on a gateway of its own."""
    async with far_gateway(folder / "far") as far:

        async def opened() -> OntapBackend:
            backend = OntapBackend("conformance", far.options())
            await backend.open()
            return backend

        async def reopen() -> VolumeBackend:
            await harness.opened.close()
            return await opened()

        harness = Harness(opened=await opened(), content=far.content, reopen=reopen, size=SIZE)
        try:
            yield harness
        finally:
            await harness.opened.close()
