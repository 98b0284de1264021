"""Volumes of real pools, mounted by a core on this host; the process killed at every step of it."""

from __future__ import annotations

import asyncio
import os
import signal
import subprocess
import sys
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest
from mounts_scene import MIB, Bed, held_up, working_in

from gateway.backends.btrfs import BtrfsBackend, BtrfsOptions
from gateway.backends.directory import DirectoryBackend, DirectoryOptions
from gateway.backends.nfs import NfsBackend, NfsPoolOptions
from gateway.backends.qcow2 import Qcow2Backend
from gateway.backends.qcow2.pool import Qcow2Options
from gateway.core import errors, mounts, quiesce, snapshots, volumes
from gateway.core.backend import VolumeBackend
from gateway.core.context import Core
from gateway.core.exporter import Held
from gateway.core.model import FILES_AND_BLOCKS, Intent, Pool, Snapshot, Tenant, Volume, VolumeKind
from gateway.core.mounts import NewMount
from gateway.core.pools import Configured
from gateway.core.query import Query
from gateway.exports.mounts import FAULT_POINTS
from gateway.testing.btrfs_pool import btrfs_pool
from gateway.testing.cores import core_on
from gateway.testing.loop_pool import loop_pool
from gateway.testing.mirror import mirror

pytestmark = pytest.mark.root

BACKENDS = {
    VolumeKind.FILESYSTEM: lambda path: BtrfsBackend("pool", BtrfsOptions(path=path)),
    VolumeKind.BLOCK: lambda path: DirectoryBackend("pool", DirectoryOptions(path=path)),
}

VICTIM = """
import asyncio, sys
from pathlib import Path
sys.path.insert(0, sys.argv[1])
from test_mounted_volumes import MOUNT_OR_NOT, Place
from gateway.core.model import VolumeKind
from gateway.testing.faults import KillAt

async def main(folder, kind, act, point):
    place = Place(Path(folder), VolumeKind(kind))
    async with place.core(fault=KillAt(point)) as core:
        await MOUNT_OR_NOT[act](place, core)

asyncio.run(main(*sys.argv[2:]))
"""


class Place:
    """A pool in a folder, and a core with a mounter on it, as often as wanted."""

    def __init__(self, folder: Path, kind: VolumeKind, *, backend: Callable[[], VolumeBackend] | None = None) -> None:
        self.bed = Bed(folder / "mounts")
        self.kind = kind
        self.format = ""
        self.size = 64 * MIB
        self.pool = folder / ("btrfs" if kind is VolumeKind.FILESYSTEM else "xfs")
        self.backend = backend or (lambda: BACKENDS[self.kind](self.pool))

    @asynccontextmanager
    async def core(self, *, fault=lambda _point: None) -> AsyncIterator[Core]:
        backend = self.backend()
        mounter = self.bed.mounter(fault=fault)
        await mounter.open()
        try:
            pools = [Configured("pool", backend)]
            async with core_on(self.bed.folder, pools, mounter=mounter, fault=fault) as core:
                # As `House.converge_exports` does.
                for volume_id in [*await core.publisher.stale(), *[one async for one in core.publisher.wished()]]:
                    await core.publisher.converge(volume_id, force=True)
                yield core
        finally:
            await backend.close()
            await mounter.close()

    @property
    def path(self) -> Path:
        return self.bed.root / "pod/v"

    async def make(self, core: Core) -> Volume:
        tenant, pool = await core.find(Tenant, name="svm1"), await core.find(Pool, name="pool")
        new = volumes.NewVolume(name="v", tenant_id=tenant.id, pool_id=pool.id, size=self.size, kind=self.kind)
        await (await volumes.create(core, new, description="t")).result()
        return await self.volume(core)

    async def volume(self, core: Core) -> Volume:
        found = await core.find(Volume, name="v")
        assert found is not None
        return found

    async def mount(self, core: Core, user: str = "") -> None:
        volume = await self.volume(core)
        new = NewMount(path=str(self.path), format=self.format, user=user)
        await (await mounts.mount(core, volume.id, new, description="t")).result()

    async def unmount(self, core: Core, user: str = "") -> None:
        volume = await self.volume(core)
        started = await mounts.unmount(core, volume.id, str(self.path), user=user, description="t", delete_path=True)
        await started.result()

    async def join(self, core: Core) -> None:
        await self.mount(core, "second")

    async def leave(self, core: Core) -> None:
        await self.unmount(core, "second")

    async def delete(self, core: Core) -> None:
        volume = await self.volume(core)
        await (await volumes.delete(core, volume.id, description="t", force=True)).result()


MOUNT_OR_NOT = {
    "mount": Place.mount,
    "unmount": Place.unmount,
    "delete": Place.delete,
    "join": Place.join,
    "leave": Place.leave,
}

CORE_POINTS = [
    "volume.update.journalled",
    "volume.update.remounted",
    "volume.update.applied",
    "volume.update.committed",
]
CASES = [
    (kind, act, point)
    for kind in FILES_AND_BLOCKS
    for act in ("mount", "unmount", "delete")
    for point in (
        *(point for point in FAULT_POINTS if f".{act}." in point),
        *([] if act == "delete" else CORE_POINTS),
        *(["volume.delete.withdrawn", "mounts.unmount.unmounted"] if act == "delete" else []),
    )
    if not (kind is VolumeKind.FILESYSTEM and "format" in point)
]


@pytest.fixture
def pools(tmp_path: Path) -> Iterator[Path]:
    with btrfs_pool(tmp_path), loop_pool(tmp_path, "xfs"):
        try:
            yield tmp_path
        finally:
            Bed(tmp_path / "mounts").clean()


@pytest.mark.parametrize("kind", FILES_AND_BLOCKS)
async def test_a_volume_is_used_on_this_host(pools: Path, kind: VolumeKind) -> None:
    place = Place(pools, kind)
    if kind is VolumeKind.BLOCK:
        # Not every root may grow an ext4.
        place.format, place.size = "btrfs", 128 * MIB
    async with place.core() as core:
        volume = await place.make(core)
        await place.mount(core)
        room = os.statvfs(place.path).f_blocks
        (place.path / "f").write_text("1")
        held = await quiesce.quiesce(core, volume.id, timeout_s=30)
        assert held.how is (Held.SYNCED if kind is VolumeKind.FILESYSTEM else Held.FROZEN)
        new = snapshots.NewSnapshot(name="s", volume_id=volume.id)
        if kind is VolumeKind.BLOCK:
            with held_up(place.path):
                await (await snapshots.create(core, new, description="t")).result()
                await quiesce.unquiesce(core, volume.id)
        else:
            await (await snapshots.create(core, new, description="t")).result()
            await quiesce.unquiesce(core, volume.id)
        (place.path / "f").write_text("2")
        snapshot = await core.find(Snapshot, name="s")
        with pytest.raises(errors.InUse):
            await volumes.restore(core, volume.id, snapshot.id, description="t", discard_newer=True)
        with working_in(place.path), pytest.raises(errors.InUse):
            await place.unmount(core)
        grow = volumes.VolumeChange(size=2 * place.size)
        await (await volumes.update(core, volume.id, grow, description="t")).result()
        assert kind is VolumeKind.FILESYSTEM or os.statvfs(place.path).f_blocks == 2 * room
    assert (place.path / "f").read_text() == "2"
    async with place.core() as core:
        volume = await place.volume(core)
        assert volume.format == ("" if kind is VolumeKind.FILESYSTEM else "btrfs")
        await place.unmount(core)
        restored = await volumes.restore(core, volume.id, snapshot.id, description="t", discard_newer=True)
        await restored.result()
        await place.mount(core)
        assert (place.path / "f").read_text() == "1"
        with pytest.raises(errors.InUse):
            await volumes.delete(core, volume.id, description="t")
        await place.delete(core)
    assert place.bed.tree() == set()
    assert place.bed.records() == set()


@pytest.mark.parametrize("kind", ["ext4", "xfs"])
async def test_what_was_made_before_a_snapshot_is_mounted_after_it(pools: Path, kind: str) -> None:
    place = Place(pools, VolumeKind.BLOCK)
    # Of this size an ext4 has blocks of 1 KiB.
    place.format, place.size = kind, {"ext4": 64, "xfs": 320}[kind] * MIB
    async with place.core() as core:
        volume = await place.make(core)
        await place.mount(core)
        (place.path / "f").write_text("1")
        await place.unmount(core)
        new = snapshots.NewSnapshot(name="s", volume_id=volume.id)
        await (await snapshots.create(core, new, description="t")).result()
        await place.mount(core)
        assert (place.path / "f").read_text() == "1"
        await place.delete(core)


async def test_a_volume_that_grew_while_it_was_not_mounted_has_room_when_it_is(pools: Path) -> None:
    place = Place(pools, VolumeKind.BLOCK)
    # Not every root may grow an ext4.
    place.format, place.size = "btrfs", 128 * MIB
    async with place.core() as core:
        volume = await place.make(core)
        await place.mount(core)
        room = os.statvfs(place.path).f_blocks
        await place.unmount(core)
        grow = volumes.VolumeChange(size=2 * place.size)
        await (await volumes.update(core, volume.id, grow, description="t")).result()
        await place.mount(core)
        assert os.statvfs(place.path).f_blocks == 2 * room
        await place.delete(core)


@pytest.mark.parametrize("kind", FILES_AND_BLOCKS)
async def test_volumes_of_a_file_server_are_mounted_from_where_their_pool_is(tmp_path: Path, kind: VolumeKind) -> None:
    with mirror(tmp_path) as server:
        options = NfsPoolOptions(path=server.mount, server="192.0.2.1", export="/export")
        place = Place(tmp_path, kind, backend=lambda: NfsBackend("pool", options))
        async with place.core() as core:
            await place.make(core)
            await place.mount(core)
            (place.path / "f").write_text("1")
            if kind is VolumeKind.FILESYSTEM:
                assert [file.read_text() for file in server.server.rglob("f")] == ["1"]
            await place.unmount(core)
            await place.mount(core)
            assert (place.path / "f").read_text() == "1"
            await place.unmount(core)
            await place.delete(core)
        assert place.bed.records() == set()


@pytest.mark.parametrize("kind", ["ext4", "xfs", "btrfs"])
async def test_images_hold_file_systems(tmp_path: Path, kind: str) -> None:
    (tmp_path / "images").mkdir()
    options = Qcow2Options(path=tmp_path / "images")
    place = Place(tmp_path, VolumeKind.BLOCK, backend=lambda: Qcow2Backend("pool", options))
    place.format, place.size = kind, 320 * MIB
    async with place.core() as core:
        await place.make(core)
        await place.mount(core)
        (place.path / "f").write_bytes(b"1" * MIB)
        await place.unmount(core)
        await place.mount(core)
        assert (place.path / "f").read_bytes() == b"1" * MIB
        await place.unmount(core)
        await place.delete(core)


async def killed(place: Place, folder: Path, act: str, point: str) -> None:
    """Do it in a process of its own that dies at the point."""
    argv = [sys.executable, "-c", VICTIM, str(Path(__file__).parent), str(folder), place.kind.value, act, point]
    done = await asyncio.to_thread(subprocess.run, argv, capture_output=True, text=True, check=False, timeout=100)
    assert done.returncode == -signal.SIGKILL, done.stderr


@pytest.mark.parametrize(("kind", "act", "point"), CASES)
async def test_killed_at_any_point_it_happened_or_did_not(pools: Path, kind: VolumeKind, act: str, point: str) -> None:
    place = Place(pools, kind)
    async with place.core() as core:
        await place.make(core)
        if act != "mount":
            await place.mount(core)
            (place.path / "f").write_text("kept")
    await killed(place, pools, act, point)
    async with place.core() as core:
        assert (await core.catalog.page(Intent, Query())).records == ()
        volume = await core.find(Volume, name="v")
        wished = [] if volume is None else [mount.path for mount in volume.mounts]
        assert [entry.point for entry in place.bed.mounts() if entry.point.startswith(str(place.bed.root))] == wished
        assert len(place.bed.records()) == len(wished)
        if not wished:
            assert place.bed.tree() == set()
        if volume is None:
            assert act == "delete"
            return
        await place.mount(core)
        assert act == "mount" or (place.path / "f").read_text() == "kept"
        (place.path / "g").write_text("written")
        await place.unmount(core)
        await place.delete(core)
    assert place.bed.tree() == set()


@pytest.mark.parametrize("act", ["join", "leave"])
@pytest.mark.parametrize("point", CORE_POINTS)
async def test_a_mount_outlives_the_process_that_dies_while_its_users_change(pools: Path, act: str, point: str) -> None:
    place = Place(pools, VolumeKind.FILESYSTEM)
    async with place.core() as core:
        await place.make(core)
        await place.mount(core, "first")
        if act == "leave":
            await place.join(core)
    (place.path / "f").write_text("kept")
    with working_in(place.path):
        await killed(place, pools, act, point)
        async with place.core() as core:
            assert (await core.catalog.page(Intent, Query())).records == ()
            (mount,) = (await place.volume(core)).mounts
            assert mount.users in (("first",), ("first", "second"))
            assert (place.path / "f").read_text() == "kept"
            if "second" in mount.users:
                await place.leave(core)
            with pytest.raises(errors.InUse):
                await place.unmount(core, "first")
    async with place.core() as core:
        await place.unmount(core, "first")
        assert (await place.volume(core)).mounts == ()
    assert place.bed.tree() == set()


def test_every_point_of_mounting_is_visited() -> None:
    visited = {point for _, _, point in CASES}
    assert {point for point in FAULT_POINTS if "quiesce" not in point} <= visited
