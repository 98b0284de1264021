"""Moves between real file systems: power cuts, no room, blocks that files share; and through the core, pool to pool."""

from __future__ import annotations

import os
from collections.abc import AsyncIterator
from contextlib import ExitStack, asynccontextmanager
from pathlib import Path

import pytest
from core_scene import make
from mover_scene import job, moved, picture, same

from gateway.backends.btrfs import BtrfsBackend, BtrfsOptions
from gateway.backends.directory import DirectoryBackend, DirectoryOptions
from gateway.backends.qcow2 import Qcow2Backend, Qcow2Options
from gateway.backends.s3 import S3Backend
from gateway.core import replication_policies, replications, transfers
from gateway.core.context import Core
from gateway.core.errors import OutOfSpace
from gateway.core.handles import LocalPath
from gateway.core.model import Volume, VolumeKind
from gateway.core.pools import Configured
from gateway.core.replication_model import Replication, Transfer, TransferMethod
from gateway.mover.client import ProcessMover
from gateway.testing.btrfs_pool import btrfs_pool
from gateway.testing.cores import core_on
from gateway.testing.faults import RaiseAt
from gateway.testing.loop_pool import attach, cut_power, detach, loop_pool, run
from gateway.testing.object_store import fresh_options, make_bucket

pytestmark = pytest.mark.root

MIB = 1 << 20
PAGE = 4096


class PowerCutError(Exception):
    """The power is off."""


@pytest.fixture
def source(tmp_path):
    made = tmp_path / "source"
    made.mkdir()
    return made


def change_page(path: Path, page: int) -> None:
    with path.open("r+b") as file:
        file.seek(page * PAGE)
        file.write(os.urandom(PAGE))


@pytest.mark.parametrize("filesystem", ["xfs", "btrfs", "ext4"])
def test_a_large_file_gets_the_pages_that_changed(tmp_path, source, filesystem):
    """By sharing blocks with what it was, or in place where that cannot be."""
    (source / "large").write_bytes(os.urandom(17 * MIB))
    (source / "small").write_bytes(os.urandom(100_000))
    with loop_pool(tmp_path, filesystem, "320M") as mount:
        destination = mount / "destination"
        destination.mkdir()
        assert moved(job(source, destination)).bytes_transferred == 17 * MIB + 100_000
        for name in ("large", "small"):
            change_page(source / name, 3)
        shared = filesystem != "ext4"
        assert moved(job(source, destination)).bytes_transferred == PAGE + (PAGE if shared else 100_000)
        same(source, destination)
        os.truncate(source / "large", 16 * MIB + 5)
        assert moved(job(source, destination)).bytes_transferred == 0
        same(source, destination)


def test_what_has_to_go_makes_room(tmp_path, source):
    """Where it lies behind what comes in the order of the names, too."""
    for name in ("a", "m"):
        (source / name).mkdir()
    (source / "a/new").write_bytes(os.urandom(20 * MIB))
    with loop_pool(tmp_path, "ext4", "48M") as mount:
        destination = mount / "destination"
        (destination / "m").mkdir(parents=True)
        (destination / "m/old").write_bytes(os.urandom(20 * MIB))
        moved(job(source, destination))
        same(source, destination)
        (source / "b").write_bytes(os.urandom(30 * MIB))
        with pytest.raises(OutOfSpace) as raised:
            moved(job(source, destination))
        assert raised.value.pool == "destination"
        (source / "b").unlink()
        moved(job(source, destination))
        same(source, destination)


@pytest.mark.parametrize(
    ("point", "count"), [("mover.file.placed", 15), ("mover.batch.flushed", 1), ("mover.batch.marked", 15)]
)
def test_the_power_goes_off_in_a_move(tmp_path, source, point, count):
    for number in range(20):
        (source / f"f{number}").write_bytes(os.urandom(5000))
    with loop_pool(tmp_path, "xfs", "320M") as mount:
        destination = mount / "destination"
        destination.mkdir()
        run("sync", "--file-system", str(mount))
        with pytest.raises(PowerCutError):
            moved(job(source, destination), fault=RaiseAt(point, PowerCutError(), count))
        power_cut(mount)
        moved(job(source, destination))
        same(source, destination)
        before = picture(source)
        power_cut(mount)
        assert picture(destination) == before, "it returned, and was lost"


def power_cut(mount: Path) -> None:
    cut_power(mount)
    detach(mount)
    attach(mount.with_name(f"{mount.name}.img"), mount)


# --- through the core ---


class Pair:
    """A volume in one pool and its copy in another, which the mover makes."""

    def __init__(self, core: Core, source: Volume, destination: Volume, replication: Replication) -> None:
        self.core = core
        self.source = source
        self.destination = destination
        self.replication = replication

    async def path(self, volume: Volume) -> Path:
        handle = await self.core.pools.get(volume.pool_id).backend.access(volume.id)
        assert isinstance(handle, LocalPath)
        return Path(handle.path)

    async def transferred(self) -> Transfer:
        return await self.ended(await transfers.transfer(self.core, self.replication.id, description="t"))

    async def ended(self, begun: Transfer) -> Transfer:
        ended = await transfers.wait(self.core, begun.id)
        assert ended.error is None
        assert ended.method is TransferMethod.MOVER
        return ended


@asynccontextmanager
async def paired(
    folder: Path, pools: list[Configured], kind: VolumeKind, there: VolumeKind | None = None
) -> AsyncIterator[Pair]:
    mover = ProcessMover()
    try:
        async with core_on(folder, pools, mover=mover) as core:
            source = await make(core, "source", pool="one", kind=kind, size=64 * MIB)
            destination = await make(core, "destination", pool="two", kind=there or kind, size=64 * MIB)
            policy = await replication_policies.named(core, "Asynchronous")
            new = replications.NewReplication(source_id=source.id, destination_id=destination.id, policy_id=policy.id)
            yield Pair(core, source, destination, await replications.create(core, new, description="t"))
    finally:
        await mover.close()
        for pool in pools:
            await pool.backend.close()


async def test_trees_from_pool_to_pool(tmp_path):
    with btrfs_pool(tmp_path, "512M") as mount:
        for name in ("one", "two"):
            (mount / name).mkdir()
        pools = [
            Configured(name, BtrfsBackend(name, BtrfsOptions(path=mount / name)), ("replicate",))
            for name in ("one", "two")
        ]
        async with paired(tmp_path, pools, VolumeKind.FILESYSTEM) as pair:
            here, there = await pair.path(pair.source), await pair.path(pair.destination)
            for number in range(100):
                (here / f"f{number}").write_bytes(os.urandom(10_000))
            here.chmod(0o2770)
            assert (await pair.transferred()).bytes_transferred == 1_000_000
            same(here, there)
            (here / "f7").write_bytes(os.urandom(10_000))
            (here / "f8").unlink()
            assert (await pair.transferred()).bytes_transferred == 10_000
            same(here, there)
            await replications.break_(pair.core, pair.replication.id, description="t")
            there = await pair.path(pair.destination)
            (there / "f9").write_bytes(b"mine")
            await pair.ended(await replications.resync(pair.core, pair.replication.id, description="t"))
            same(here, await pair.path(pair.destination))


async def test_blocks_from_pool_to_pool(tmp_path):
    with ExitStack() as stack:
        one = stack.enter_context(loop_pool(tmp_path, "ext4", "256M"))
        two = stack.enter_context(loop_pool(tmp_path, "xfs", "512M"))
        pools = [
            Configured("one", Qcow2Backend("one", Qcow2Options(path=one / "pool"))),
            Configured("two", DirectoryBackend("two", DirectoryOptions(path=two / "pool"))),
        ]
        for mount in (one, two):
            (mount / "pool").mkdir()
        async with paired(tmp_path, pools, VolumeKind.BLOCK) as pair:
            here = await pair.path(pair.source)
            write(here, 5 * MIB, os.urandom(4 * MIB))
            first = await pair.transferred()
            assert first.bytes_transferred == 4 * MIB
            assert (await pair.path(pair.destination)).read_bytes() == here.read_bytes()
            write(here, 6 * MIB, os.urandom(PAGE))
            second = await pair.transferred()
            assert second.bytes_transferred == PAGE
            assert (await pair.path(pair.destination)).read_bytes() == here.read_bytes()


@pytest.mark.parametrize("kind", [VolumeKind.FILESYSTEM, VolumeKind.BLOCK])
async def test_into_an_object_store_and_back(tmp_path, ceph, kind):
    filesystem = "btrfs" if kind is VolumeKind.FILESYSTEM else "xfs"
    make_bucket(ceph)
    with loop_pool(tmp_path, filesystem, "512M") as mount:
        (mount / "pool").mkdir()
        one = (
            BtrfsBackend("one", BtrfsOptions(path=mount / "pool"))
            if kind is VolumeKind.FILESYSTEM
            else DirectoryBackend("one", DirectoryOptions(path=mount / "pool"))
        )
        pools = [Configured("one", one), Configured("two", S3Backend("two", fresh_options(ceph)))]
        async with paired(tmp_path, pools, kind, VolumeKind.OBJECTS) as pair:
            here = await pair.path(pair.source)
            if kind is VolumeKind.FILESYSTEM:
                for number in range(20):
                    (here / f"f{number}").write_bytes(os.urandom(100_000))
                changed = here / "f7"
            else:
                write(here, 5 * MIB, os.urandom(20 * MIB))
                changed = here
            first = (await pair.transferred()).bytes_transferred
            change_page(changed, 1300 if kind is VolumeKind.BLOCK else 3)
            second = (await pair.transferred()).bytes_transferred
            assert second < first / 15
            kept = picture(here) if here.is_dir() else here.read_bytes()
            await replications.break_(pair.core, pair.replication.id, description="t")
            change_page(changed, 1302 if kind is VolumeKind.BLOCK else 5)
            await pair.ended(await replications.reverse(pair.core, pair.replication.id, description="t"))
            here = await pair.path(pair.source)
            assert (picture(here) if here.is_dir() else here.read_bytes()) == kept


def write(path: Path, offset: int, data: bytes) -> None:
    fd = os.open(path, os.O_WRONLY)
    try:
        os.pwrite(fd, data, offset)
        os.fsync(fd)
    finally:
        os.close(fd)
