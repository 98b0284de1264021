"""The instances of the conformance suite whose bytes go over the wire: real servers, and clients of their protocols."""

from __future__ import annotations

import socket
from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from functools import partial
from pathlib import Path

from btrfs_pool import btrfs
from file_pools import ext4_block, xfs, xfs_block
from qcow2_pool import qcow2

from gateway.core.exporter import BlockExporter
from gateway.exports.iscsi import IscsiExporter, IscsiOptions
from gateway.exports.local import LocalExporter, LocalOptions
from gateway.exports.nbd import NbdExporter, NbdOptions
from gateway.exports.nfs import NfsExporter, NfsOptions
from gateway.testing.backends import FileDevice, Harness
from gateway.testing.backends.blocks import Connect
from gateway.testing.wire import IscsiDevice, NbdDevice, over_blocks, over_nfs

MIB = 1024**2
NFS_SIZE = 16 * MIB
"""libnfs writes three kilobytes at a time, and cases write volumes full."""

Opener = Callable[[Path], AbstractAsyncContextManager[Harness]]


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


@asynccontextmanager
async def _over_nfs(folder: Path, pool: Opener) -> AsyncIterator[Harness]:
    exporter = NfsExporter(NfsOptions(port=_free_port()), folder / "export")
    await exporter.open()
    try:
        async with pool(folder) as harness:
            harness.content = partial(over_nfs, exporter)
            harness.size = NFS_SIZE
            yield harness
    finally:
        await exporter.close()


@asynccontextmanager
async def _over(folder: Path, pool: Opener, exporter: BlockExporter, connect: Connect) -> AsyncIterator[Harness]:
    await exporter.open()
    try:
        async with pool(folder) as harness:
            harness.content = partial(over_blocks, exporter, connect)
            yield harness
    finally:
        await exporter.close()


def xfs_block_over_iscsi(folder: Path) -> AbstractAsyncContextManager[Harness]:
    exporter = IscsiExporter(IscsiOptions(port=_free_port()), folder / "export")
    return _over(folder, xfs_block, exporter, IscsiDevice)


def qcow2_over_nbd(folder: Path) -> AbstractAsyncContextManager[Harness]:
    exporter = NbdExporter(NbdOptions(port=_free_port()), folder / "export")
    return _over(folder, qcow2, exporter, NbdDevice)


def ext4_block_as_device(folder: Path) -> AbstractAsyncContextManager[Harness]:
    return _over(folder, ext4_block, LocalExporter(LocalOptions(), folder / "export"), FileDevice)


btrfs_over_nfs = partial(_over_nfs, pool=btrfs)
xfs_over_nfs = partial(_over_nfs, pool=xfs)
