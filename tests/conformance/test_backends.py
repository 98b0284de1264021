"""Every configured backend against the shipped conformance suite.

To add an instance: write an async context manager `(folder: Path) -> Harness`
that opens a fresh, empty pool and closes it and all that it started, also when
the case failed, and add one line to `INSTANCES`:

    @asynccontextmanager
    async def btrfs(folder: Path) -> AsyncIterator[Harness]:
        ...                                     # make the substrate under `folder`
        async def reopen() -> VolumeBackend:
            await harness.opened.close()
            backend = BtrfsBackend("pool", options)
            await backend.open()
            return backend
        harness = Harness(opened=..., content=LocalContent, reopen=reopen)   # block: BlockContent, kind=...
        try:
            yield harness
        finally:
            await harness.opened.close()

    INSTANCES = [pytest.param(memory, id="memory"), pytest.param(btrfs, id="btrfs", marks=pytest.mark.root)]

The same pool may serve several cases (a substrate that is slow to make) as long
as each case gets an empty part of it.

`OVER_THE_WIRE` has pools once more whose content is published by the gateway's
exporters and reached as clients elsewhere reach it. They go through the cases
that look at content only (`content_cases`): to the others it is the same pool.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from functools import partial
from pathlib import Path

import pytest
from btrfs_pool import btrfs
from file_pools import btrfs_block, ext4, ext4_block, nfs, nfs_block, xfs, xfs_block
from git_pool import git_lfs
from ontap_pool import ontap
from perforce_pool import perforce
from qcow2_pool import qcow2
from wire_pools import btrfs_over_nfs, ext4_block_as_device, qcow2_over_nbd, xfs_block_over_iscsi, xfs_over_nfs

from gateway.backends.memory import MemoryBackend, MemoryOptions
from gateway.core.capability import FLAGS, OPERATIONS
from gateway.core.model import VolumeKind
from gateway.testing.backends import BackendConformance, Harness, MemoryContent, content_cases, needed

Opener = Callable[[Path], AbstractAsyncContextManager[Harness]]


@asynccontextmanager
async def memory(_folder: Path) -> AsyncIterator[Harness]:
    backend = MemoryBackend("conformance", MemoryOptions())
    await backend.open()
    try:
        yield Harness(opened=backend, content=partial(MemoryContent, backend))
    finally:
        await backend.close()


@asynccontextmanager
async def memory_block(folder: Path) -> AsyncIterator[Harness]:
    async with memory(folder) as harness:
        harness.kind = VolumeKind.BLOCK
        yield harness


INSTANCES = [
    pytest.param(memory, id="memory"),
    pytest.param(memory_block, id="memory-block"),
    pytest.param(btrfs, id="btrfs", marks=pytest.mark.root),
    pytest.param(ext4, id="directory-ext4", marks=pytest.mark.root),
    pytest.param(ext4_block, id="directory-ext4-block", marks=pytest.mark.root),
    pytest.param(xfs, id="directory-xfs", marks=pytest.mark.root),
    pytest.param(xfs_block, id="directory-xfs-block", marks=pytest.mark.root),
    pytest.param(btrfs_block, id="directory-btrfs-block", marks=pytest.mark.root),
    pytest.param(nfs, id="nfs", marks=pytest.mark.root),
    pytest.param(nfs_block, id="nfs-block", marks=pytest.mark.root),
    pytest.param(qcow2, id="qcow2", marks=pytest.mark.root),
    pytest.param(perforce, id="perforce"),
    pytest.param(git_lfs, id="git-lfs", marks=pytest.mark.root),
    pytest.param(ontap, id="ontap"),
]


@pytest.mark.parametrize("opener", INSTANCES)
class TestBackends(BackendConformance):
    @pytest.fixture
    async def harness(self, opener: Opener, tmp_path: Path) -> AsyncIterator[Harness]:
        async with opener(tmp_path) as harness:
            yield harness


OVER_THE_WIRE = [
    pytest.param(btrfs_over_nfs, id="btrfs-over-nfs"),
    pytest.param(xfs_over_nfs, id="directory-xfs-over-nfs"),
    pytest.param(xfs_block_over_iscsi, id="directory-xfs-block-over-iscsi"),
    pytest.param(qcow2_over_nbd, id="qcow2-over-nbd"),
    pytest.param(ext4_block_as_device, id="directory-ext4-block-as-device"),
]


@pytest.mark.root
@pytest.mark.parametrize("opener", OVER_THE_WIRE)
@content_cases
class TestContentOverTheWire(BackendConformance):
    @pytest.fixture
    async def harness(self, opener: Opener, tmp_path: Path) -> AsyncIterator[Harness]:
        async with opener(tmp_path) as harness:
            yield harness


@pytest.mark.parametrize("name", [*OPERATIONS, *FLAGS])
def test_every_capability_has_a_case(name: str) -> None:
    assert name in needed(BackendConformance)
