"""A process is killed at every step of a move from one real pool to another: the volume is in one of them, and whole.

Nothing of it is in the other one then.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest

from gateway.core.model import VolumeKind
from gateway.testing.btrfs_pool import btrfs_pool
from gateway.testing.forks import ForkServer
from gateway.testing.kills import KillScene, Place
from gateway.testing.loop_pool import loop_pool

pytestmark = [pytest.mark.root, pytest.mark.slow, pytest.mark.timeout(300)]

MOVE = "move"


@pytest.fixture(params=["btrfs", "qcow2"])
def scene(request: pytest.FixtureRequest, tmp_path: Path, forks: ForkServer) -> Iterator[KillScene]:
    driver, blocks = request.param, request.param == "qcow2"
    with ExitStack() as stack:
        disks = (tmp_path / "one", tmp_path / "two")
        mounts = [
            stack.enter_context(loop_pool(disk, "ext4", "512M") if blocks else btrfs_pool(disk, "512M"))
            for disk in disks
        ]
        options, beside = ({"path": str(mount)} for mount in mounts)
        kind = VolumeKind.BLOCK if blocks else VolumeKind.FILESYSTEM
        place = Place(driver=driver, options=options, kind=kind, beside=beside)
        yield KillScene(tmp_path, place, forks, used=blocks)


async def test_death_at_any_point_of_a_move_leaves_the_volume_in_one_pool(scene: KillScene) -> None:
    assert MOVE in await scene.operations()
    points = await scene.passes(MOVE)
    assert {"volume.move.withdrawn", "volume.move.arrived", "volume.move.applied"} <= {point for point, _ in points}
    for point, count in points:
        await scene.assert_all_or_nothing(MOVE, point, count)
