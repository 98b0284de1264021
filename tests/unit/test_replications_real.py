"""Volumes that follow others from one real pool to the next: what is in them after every step."""

from __future__ import annotations

import os
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, ExitStack
from pathlib import Path

import pytest
from core_scene import make, snap

from gateway.backends.btrfs import BtrfsBackend, BtrfsOptions
from gateway.backends.qcow2 import Qcow2Backend, Qcow2Options
from gateway.core import replication_policies, replications, transfers, volumes
from gateway.core.context import Core
from gateway.core.handles import LocalPath
from gateway.core.model import Snapshot, Volume, VolumeKind
from gateway.core.observer import SilentObserver
from gateway.core.pools import Configured
from gateway.core.reconcile import Reconciler
from gateway.core.replication_model import Replication, Transfer, TransferMethod
from gateway.mover.client import ProcessMover
from gateway.testing.btrfs_pool import btrfs_pool
from gateway.testing.cores import core_on
from gateway.testing.loop_pool import loop_pool

pytestmark = pytest.mark.root

MIB = 1 << 20
NAMES = ("memory", "there")


class Scene:
    """Two pools, `old` and `new`."""

    def __init__(self, core: Core) -> None:
        self.core = core

    async def folder(self, volume: Volume, snapshot: Snapshot | None = None) -> Path:
        backend = self.core.pools.get(volume.pool_id).backend
        handle = await backend.access(volume.id, None if snapshot is None else snapshot.id)
        assert isinstance(handle, LocalPath)
        return Path(handle.path)

    async def write(self, volume: Volume, **files: bytes) -> None:
        for name, data in files.items():
            (await self.folder(volume) / name).write_bytes(data)

    async def read(self, volume: Volume, snapshot: Snapshot | None = None) -> dict[str, bytes]:
        folder = await self.folder(volume, snapshot)
        return {path.name: path.read_bytes() for path in sorted(folder.iterdir())}

    async def ended(self, begun: Transfer) -> Transfer:
        ended = await transfers.wait(self.core, begun.id)
        assert ended.error is None
        return ended

    async def transferred(self, replication: Replication) -> Transfer:
        return await self.ended(await transfers.transfer(self.core, replication.id, description="t"))


@pytest.fixture(scope="module")
def mounts(tmp_path_factory: pytest.TempPathFactory):
    with ExitStack() as stack:
        folder = tmp_path_factory.mktemp("pools")
        yield [stack.enter_context(btrfs_pool(folder / name, "512M")) for name in ("old", "new")]


@pytest.fixture
async def scene(mounts: list[Path], tmp_path: Path) -> AsyncIterator[Scene]:
    async with AsyncExitStack() as stack:
        backends = []
        for name, mount in zip(NAMES, mounts, strict=True):
            backends.append(BtrfsBackend(name, BtrfsOptions(path=mount)))
            stack.push_async_callback(backends[-1].close)
        pools = [Configured(name, one) for name, one in zip(NAMES, backends, strict=True)]
        core = await stack.enter_async_context(core_on(tmp_path, pools))
        yield Scene(core)


async def test_the_whole_life_of_a_mirror(scene: Scene) -> None:
    core = scene.core
    source, destination = await make(core, "source"), await make(core, "destination", pool="there")
    policy = await replication_policies.named(core, "MirrorAllSnapshots")
    new = replications.NewReplication(source_id=source.id, destination_id=destination.id, policy_id=policy.id)
    replication = await replications.create(core, new, description="t")

    big = os.urandom(4 * MIB)
    await scene.write(source, big=big, a=b"1")
    await snap(core, source, "one", label="l")
    first = await scene.transferred(replication)
    assert first.method is TransferMethod.NATIVE
    assert first.bytes_transferred >= len(big)
    assert await scene.read(destination) == {"a": b"1", "big": big}

    await scene.write(source, a=b"2", small=b"x" * 4096)
    await snap(core, source, "two")
    await scene.write(source, a=b"not sent")
    second = await scene.transferred(replication)
    assert second.bytes_transferred < first.bytes_transferred // 20
    assert await scene.read(destination) == {"a": b"2", "big": big, "small": b"x" * 4096}
    kept = await core.find(Snapshot, name="one", volume__id=destination.id)
    assert kept is not None
    assert (kept.label, await scene.read(destination, kept)) == ("l", {"a": b"1", "big": big})

    await replications.break_(core, replication.id, description="t")
    await scene.write(destination, a=b"at the destination", mine=b"")
    await scene.ended(await replications.resync(core, replication.id, description="t"))
    assert (await scene.read(destination))["a"] == b"2"

    await replications.break_(core, replication.id, description="t")
    await scene.write(destination, a=b"at the destination")
    asynchronous = await replication_policies.named(core, "Asynchronous")
    change = replications.ReplicationChange(policy_id=asynchronous.id)
    await replications.change(core, replication.id, change)
    back = await scene.ended(await replications.reverse(core, replication.id, description="t"))
    assert back.bytes_transferred < MIB
    assert await scene.read(source) == {"a": b"at the destination", "big": big, "small": b"x" * 4096}

    await replications.delete(core, replication.id, description="t")
    for volume in (source, destination):
        await scene.write(volume, a=b"free")
    for pool in core.pools:
        assert await Reconciler(core, pool, SilentObserver()).run() == []
    for volume in (source, destination):
        await (await volumes.delete(core, volume.id, description="t")).result()


@pytest.fixture(scope="module")
def disks(tmp_path_factory: pytest.TempPathFactory):
    with ExitStack() as stack:
        folder = tmp_path_factory.mktemp("disks")
        yield [stack.enter_context(loop_pool(folder / name, "ext4", "256M")) for name in ("old", "new")]


@pytest.mark.parametrize("method", TransferMethod)
async def test_devices_follow_devices(disks: list[Path], tmp_path: Path, method: TransferMethod) -> None:
    """Blocks go as streams, and by the mover where these are disabled."""
    disabled = () if method is TransferMethod.NATIVE else ("replicate",)
    async with AsyncExitStack() as stack:
        backends = {name: Qcow2Backend(name, Qcow2Options(path=disk)) for name, disk in zip(NAMES, disks, strict=True)}
        for backend in backends.values():
            stack.push_async_callback(backend.close)
        mover = ProcessMover()
        stack.push_async_callback(mover.close)
        pools = [Configured(name, one, disabled) for name, one in backends.items()]
        core = await stack.enter_async_context(core_on(tmp_path, pools, mover=mover))
        scene = Scene(core)
        source, destination = [
            await make(core, name, pool=pool, kind=VolumeKind.BLOCK, size=32 * MIB)
            for name, pool in zip(("source", "destination"), NAMES, strict=True)
        ]
        policy = await replication_policies.named(core, "Asynchronous")
        new = replications.NewReplication(source_id=source.id, destination_id=destination.id, policy_id=policy.id)
        replication = await replications.create(core, new, description="t")
        first = os.urandom(2 * MIB)
        await put_blocks(scene, source, 5 * MIB, first)
        assert (await scene.transferred(replication)).method is method
        await put_blocks(scene, source, 6 * MIB, b"changed" * 100)
        second = await scene.transferred(replication)
        assert second.bytes_transferred <= MIB
        wanted = first[:MIB] + b"changed" * 100 + first[MIB + 700 :]
        await replications.break_(core, replication.id, description="t")
        assert await get_blocks(scene, destination, 5 * MIB, 2 * MIB) == wanted
        await put_blocks(scene, destination, 0, b"written here")
        await scene.ended(await replications.reverse(core, replication.id, description="t"))
        assert await get_blocks(scene, source, 0, 12) == b"written here"
        assert await get_blocks(scene, source, 5 * MIB, 2 * MIB) == wanted
        await replications.delete(core, replication.id, description="t")
        for volume in (source, destination):
            await (await volumes.delete(core, volume.id, description="t")).result()


async def put_blocks(scene: Scene, volume: Volume, start: int, data: bytes) -> None:
    fd = os.open(await scene.folder(volume), os.O_RDWR)
    try:
        os.pwrite(fd, data, start)
        os.fsync(fd)
    finally:
        os.close(fd)


async def get_blocks(scene: Scene, volume: Volume, start: int, length: int) -> bytes:
    fd = os.open(await scene.folder(volume), os.O_RDONLY)
    try:
        return os.pread(fd, length, start)
    finally:
        os.close(fd)
