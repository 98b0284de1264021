"""Volumes that move between real pools: what is in them, and what a pool without room does."""

from __future__ import annotations

import os
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, ExitStack
from pathlib import Path

import pytest
from core_scene import make, tenant_and_pool

from gateway.backends.btrfs import BtrfsBackend, BtrfsOptions
from gateway.backends.qcow2 import Qcow2Backend, Qcow2Options
from gateway.core import errors, moves
from gateway.core.context import Core
from gateway.core.handles import LocalPath
from gateway.core.model import Volume, VolumeKind
from gateway.core.observer import SilentObserver
from gateway.core.pools import Configured
from gateway.core.reconcile import Reconciler
from gateway.testing.btrfs_pool import btrfs_pool
from gateway.testing.cores import core_on
from gateway.testing.loop_pool import loop_pool

pytestmark = pytest.mark.root

MIB = 1 << 20
SMALL = {"btrfs": "128M", "qcow2": "32M"}
MUCH = {"btrfs": 150 * MIB, "qcow2": 40 * MIB}
"""Size of the small pool's file system, and what it has no room for."""


class Scene:
    """Three pools of one driver: `old`, `new`, and `small`, which has little room."""

    def __init__(self, core: Core, driver: str, mounts: dict[str, Path]) -> None:
        self.core = core
        self.driver = driver
        self.mounts = mounts

    async def volume(self) -> Volume:
        kind = VolumeKind.BLOCK if self.driver == "qcow2" else VolumeKind.FILESYSTEM
        return await make(self.core, "v", pool="old", kind=kind, size=256 * MIB)

    async def file(self, volume: Volume) -> Path:
        """Give a file to write to: one in the volume, or the device that it is."""
        handle = await self.core.pools.get(volume.pool_id).backend.access(volume.id)
        assert isinstance(handle, LocalPath)
        return Path(handle.path) / "data" if self.driver == "btrfs" else Path(handle.path)

    async def write(self, volume: Volume, data: bytes) -> None:
        file = await self.file(volume)
        fd = os.open(file, os.O_RDWR | (os.O_CREAT if self.driver == "btrfs" else 0))
        try:
            os.write(fd, data)
            os.fsync(fd)
        finally:
            os.close(fd)

    async def read(self, volume: Volume, length: int) -> bytes:
        with (await self.file(volume)).open("rb") as file:
            return file.read(length)

    async def move(self, volume: Volume, pool: str) -> Volume:
        _, found = await tenant_and_pool(self.core, pool)
        await (await moves.move(self.core, volume.id, found.id, description="t")).result()
        return await self.core.get(Volume, volume.id)

    def listing(self, pool: str) -> list[str]:
        """Give all that is below a pool's folder but the clock of its changes and the sockets of its daemon."""
        root = self.mounts[pool]
        found = (str(path.relative_to(root)) for path in root.rglob("*"))
        return sorted(path for path in found if not path.startswith((".gateway/changes", ".gateway/run")))

    async def assert_equal(self) -> None:
        for pool in self.core.pools:
            assert await Reconciler(self.core, pool, SilentObserver()).run() == []


@pytest.fixture(params=["btrfs", "qcow2"])
async def scene(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[Scene]:
    driver: str = request.param
    with ExitStack() as stack:
        mounts = {}
        for name in ("old", "new", "small"):
            size = SMALL[driver] if name == "small" else "1G"
            made = btrfs_pool(tmp_path / name, size) if driver == "btrfs" else loop_pool(tmp_path / name, "ext4", size)
            mounts[name] = stack.enter_context(made)
        async with AsyncExitStack() as later:
            configured = []
            for name, mount in mounts.items():
                backend = (
                    BtrfsBackend(name, BtrfsOptions(path=mount))
                    if driver == "btrfs"
                    else Qcow2Backend(name, Qcow2Options(path=mount))
                )
                later.push_async_callback(backend.close)
                configured.append(Configured(name, backend))
            core = await later.enter_async_context(core_on(tmp_path, configured))
            yield Scene(core, driver, mounts)


async def test_the_bytes_move(scene: Scene) -> None:
    volume = await scene.volume()
    data = os.urandom(3 * MIB + 512)
    empty = scene.listing("new")
    await scene.write(volume, data)
    at_new = await scene.move(volume, "new")
    assert await scene.read(at_new, len(data)) == data
    await scene.assert_equal()
    await scene.write(at_new, data[::-1])
    back = await scene.move(at_new, "old")
    assert await scene.read(back, len(data)) == data[::-1]
    assert scene.listing("new") == empty
    await scene.assert_equal()


async def test_a_pool_without_room_is_left_as_it_was(scene: Scene) -> None:
    volume = await scene.volume()
    data = os.urandom(MUCH[scene.driver])
    await scene.write(volume, data)
    before = scene.listing("small")
    with pytest.raises(errors.OutOfSpace):
        await scene.move(volume, "small")
    assert scene.listing("small") == before
    kept = await scene.core.get(Volume, volume.id)
    assert kept.pool_id == volume.pool_id
    assert await scene.read(kept, len(data)) == data
    await scene.assert_equal()
    assert await scene.read(await scene.move(kept, "new"), len(data)) == data
