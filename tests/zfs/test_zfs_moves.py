"""Volumes that move between two ZFS pools: killed between all steps; and a pool without room is left as it was."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from uuid import uuid4

import pytest
from zfs_scene import command, remove

from gateway.core import errors, moves, volumes
from gateway.core.handles import LocalPath
from gateway.core.model import FILES_AND_BLOCKS, Tenant, Volume, VolumeKind
from gateway.core.observer import SilentObserver
from gateway.core.reconcile import Reconciler
from gateway.testing.forks import ForkServer
from gateway.testing.kills import BESIDE, MODULES, POOL, KillScene, Place

MIB = 1 << 20
MOVE = "move"
STEPS = ["withdrawn", "taken", "received", "cleared", "arrived", "snapshot", "applied"]


@pytest.fixture(scope="module")
def forks() -> Iterator[ForkServer]:
    with ForkServer([*MODULES, "gateway.backends.zfs"]) as server:
        yield server


@pytest.fixture
def parents(zpool: str) -> Iterator[tuple[str, str]]:
    names = (f"from-{uuid4().hex[:12]}", f"to-{uuid4().hex[:12]}")
    try:
        yield names
    finally:
        for name in names:
            remove(f"{zpool}/{name}")


def scene(zpool: str, parents: tuple[str, str], kind: VolumeKind, folder: Path, forks: ForkServer) -> KillScene:
    options, beside = ({"pool": zpool, "parent": parent} for parent in parents)
    return KillScene(folder, Place(driver="zfs", options=options, kind=kind, beside=beside), forks)


@pytest.mark.parametrize("kind", FILES_AND_BLOCKS)
async def test_death_between_two_steps_leaves_the_volume_in_one_pool(
    zpool: str, parents: tuple[str, str], tmp_path: Path, forks: ForkServer, kind: VolumeKind
) -> None:
    """Within each step there is test_zfs_kills.py."""
    at = scene(zpool, parents, kind, tmp_path, forks)
    points = [(point, count) for point, count in await at.passes(MOVE) if point.startswith("volume.move.")]
    assert [point.rpartition(".")[2] for point, _ in points] == STEPS
    for point, count in points:
        await at.assert_all_or_nothing(MOVE, point, count)


async def test_a_pool_without_room_is_left_as_it_was(
    zpool: str, parents: tuple[str, str], tmp_path: Path, forks: ForkServer
) -> None:
    """What a broken stream brought is not kept for one that goes on: nobody would send it."""
    at = scene(zpool, parents, VolumeKind.FILESYSTEM, tmp_path, forks)
    async with at.core() as core:
        pools = {pool.name: pool for pool in core.pools}
        tenant = await core.find(Tenant, name="svm1")
        assert tenant is not None
        new = volumes.NewVolume(name="v", tenant_id=tenant.id, pool_id=pools[POOL].id, size=256 * MIB)
        job = await (await volumes.create(core, new, description="test")).result()
        assert job.target_id is not None
        handle = await pools[POOL].backend.access(job.target_id)
        assert isinstance(handle, LocalPath)
        (Path(handle.path) / "data").write_bytes(b"".join(uuid4().bytes for _ in range(MIB)))
        command("zfs", "set", f"quota={2 * MIB}", f"{zpool}/{parents[1]}")
        before = command("zfs", "list", "-H", "-t", "all", "-o", "name", "-r", f"{zpool}/{parents[1]}")
        with pytest.raises(errors.OutOfSpace):
            await (await moves.move(core, job.target_id, pools[BESIDE].id, description="test")).result()
        assert command("zfs", "list", "-H", "-t", "all", "-o", "name", "-r", f"{zpool}/{parents[1]}") == before
        assert (await core.get(Volume, job.target_id)).pool_id == pools[POOL].id
        for pool in core.pools:
            assert await Reconciler(core, pool, SilentObserver()).run() == []
        command("zfs", "set", "quota=none", f"{zpool}/{parents[1]}")
        await (await moves.move(core, job.target_id, pools[BESIDE].id, description="test")).result()
        assert (await core.get(Volume, job.target_id)).pool_id == pools[BESIDE].id
