"""ZFS against the shipped conformance suite: both engines, both kinds of volumes."""

from __future__ import annotations

from collections.abc import AsyncIterator

import pytest
from zfs_scene import BLOCK, FILESYSTEM, SIZE, scene

from gateway.core.backend import VolumeBackend
from gateway.core.model import VolumeKind
from gateway.testing.backends import BackendConformance, BlockContent, Harness, LocalContent


@pytest.mark.parametrize("kind", [FILESYSTEM, BLOCK], ids=str)
@pytest.mark.parametrize("engine", ["cli", "lzc"])
class TestZfs(BackendConformance):
    @pytest.fixture
    async def harness(self, zpool: str, engine: str, kind: VolumeKind) -> AsyncIterator[Harness]:
        async with scene(zpool, engine=engine, kind=kind) as at:
            assert at.backend.engine == engine

            async def reopen() -> VolumeBackend:
                return await at.reopen()

            content = LocalContent if kind is FILESYSTEM else BlockContent
            yield Harness(opened=at.backend, content=content, reopen=reopen, kind=kind, size=SIZE)
