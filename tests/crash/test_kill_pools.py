"""A process is killed at every step of every change of the pools that keep volumes in files.

btrfs has tables of its own (test_kill_points.py), with the points that each
operation passes written down; here they are found by doing the operation once.
"""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from gateway.core.model import VolumeKind
from gateway.testing.forks import ForkServer
from gateway.testing.kills import OPERATIONS, KillScene, Place
from gateway.testing.loop_pool import LoopStore, loop_pool

pytestmark = [pytest.mark.root, pytest.mark.slow, pytest.mark.timeout(600)]

FILES, BLOCKS = VolumeKind.FILESYSTEM, VolumeKind.BLOCK
POOLS = {
    "directory on ext4": ("directory", "ext4", FILES, False),
    "directory on XFS, blocks": ("directory", "xfs", BLOCKS, False),
    "qcow2 on ext4": ("qcow2", "ext4", BLOCKS, True),
}
"""Name -> driver, file system below it, kind of volumes, and whether they are in use."""


@pytest.fixture(params=POOLS, scope="module")
def scene(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory, forks: ForkServer
) -> Iterator[KillScene]:
    driver, filesystem, kind, used = POOLS[request.param]
    folder = tmp_path_factory.mktemp("pool")
    with loop_pool(folder / "disk", filesystem) as mount:
        place = Place(driver=driver, options={"path": str(mount)}, kind=kind)
        yield KillScene(folder, place, forks, used=used, store=LoopStore(mount))


@pytest.mark.parametrize("operation", OPERATIONS)
async def test_death_at_any_point_leaves_all_or_nothing(scene: KillScene, operation: str) -> None:
    if operation not in await scene.operations():
        pytest.skip(f"the pool cannot do this: {operation}")
    points = await scene.passes(operation)
    assert points
    for point, count in points:
        await scene.assert_all_or_nothing(operation, point, count)
