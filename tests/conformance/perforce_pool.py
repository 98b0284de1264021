"""The Perforce instance of the conformance suite: on a stand-in, because no real server can be had."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from functools import partial
from pathlib import Path

from gateway.backends.perforce import PerforceBackend, PerforceOptions
from gateway.core.backend import VolumeBackend
from gateway.core.model import VolumeKind
from gateway.core.secret import Secret
from gateway.testing.backends import Harness
from gateway.testing.perforce import DEPOT, USER, StandIn, StreamContent, on_wire

SIZE = 1024**2


@asynccontextmanager
async def perforce(_folder: Path) -> AsyncIterator[Harness]:
    """Open a fresh pool in a depot of a fresh stand-in, reached by Perforce's own library."""
    server = StandIn()
    with on_wire(server) as port:
        options = PerforceOptions(port=port, depot=DEPOT, user=USER, password=Secret(server.password))

        async def opened() -> PerforceBackend:
            backend = PerforceBackend("conformance", options)
            await backend.open()
            return backend

        async def reopen() -> VolumeBackend:
            await harness.opened.close()
            return await opened()

        harness = Harness(
            opened=await opened(),
            content=partial(StreamContent, server),
            reopen=reopen,
            size=SIZE,
            kind=VolumeKind.TREE,
        )
        try:
            yield harness
        finally:
            await harness.opened.close()
