"""Snapshots of several volumes at one instant, by the change that takes them all, on ZFS."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from uuid import uuid4

import pytest
from zfs_scene import command, remove

from gateway.core import groups, volumes
from gateway.core.context import Core
from gateway.core.model import FILES_AND_BLOCKS, Tenant, Volume, VolumeKind
from gateway.core.snapshots import NewSnapshot
from gateway.testing.forks import ForkServer
from gateway.testing.kills import MODULES, SIZE, KillScene, Place

OPERATION = "snapshot several"
POINTS = ["zfs.snapshot_group.begun", "zfs.snapshot_group.taken", "snapshot.group.applied"]


@pytest.fixture(scope="module")
def forks() -> Iterator[ForkServer]:
    with ForkServer([*MODULES, "gateway.backends.zfs"]) as server:
        yield server


@pytest.fixture
def parent(zpool: str) -> Iterator[str]:
    name = f"groups-{uuid4().hex[:12]}"
    try:
        yield name
    finally:
        remove(f"{zpool}/{name}")


def place(zpool: str, parent: str, kind: VolumeKind) -> Place:
    return Place(driver="zfs", options={"pool": zpool, "parent": parent}, kind=kind)


async def test_death_at_any_point_leaves_all_or_nothing(
    zpool: str, parent: str, tmp_path: Path, forks: ForkServer
) -> None:
    scene = KillScene(tmp_path, place(zpool, parent, VolumeKind.FILESYSTEM), forks)
    points = await scene.passes(OPERATION)
    assert [point for point, _ in points] == POINTS
    for point, count in points:
        await scene.assert_all_or_nothing(OPERATION, point, count)


async def made(core: Core, name: str, kind: VolumeKind) -> Volume:
    (pool,) = core.pools
    tenant = await core.find(Tenant, name="svm1")
    assert tenant is not None
    new = volumes.NewVolume(name=name, tenant_id=tenant.id, pool_id=pool.id, size=SIZE, kind=kind)
    job = await (await volumes.create(core, new, description="test")).result()
    assert job.target_id is not None
    return await core.get(Volume, job.target_id)


async def test_files_and_blocks_are_of_one_transaction(zpool: str, parent: str, tmp_path: Path) -> None:
    async with KillScene(tmp_path, place(zpool, parent, VolumeKind.BLOCK)).core() as core:
        there = [await made(core, f"{kind} {number}", kind) for kind in FILES_AND_BLOCKS for number in range(2)]
        members = [NewSnapshot(name="one", volume_id=volume.id) for volume in there]
        await (await groups.create(core, members, description="test")).result()
        assert [snapshot.volume_id for snapshot in await groups.taken(core, members)] == [v.id for v in there]
        listed = command("zfs", "list", "-Hp", "-r", "-t", "snapshot", "-o", "createtxg,name", f"{zpool}/{parent}")
        of = {
            line.split("\t")[1].partition("@")[0].rpartition("/")[2]: line.split("\t")[0]
            for line in listed.splitlines()
        }
        assert len({of[str(volume.id)] for volume in there}) == 1
