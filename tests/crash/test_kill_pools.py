"""Every pool that is not btrfs: a process is killed at every step of every change through the core.

btrfs has tables of its own (test_kill_points.py), with the points that each
operation passes written down; here they are found by doing the operation once.
"""

from __future__ import annotations

from pathlib import Path

import pytest

from gateway.core.model import VolumeKind
from gateway.testing.btrfs_pool import btrfs_pool
from gateway.testing.kills import OPERATIONS, KillScene, Place

pytestmark = [pytest.mark.root, pytest.mark.slow, pytest.mark.timeout(600)]


@pytest.mark.parametrize("operation", OPERATIONS)
async def test_btrfs(tmp_path: Path, operation: str) -> None:
    with btrfs_pool(tmp_path / "pool") as mount:
        scene = KillScene(tmp_path, Place(driver="btrfs", options={"path": str(mount)}, kind=VolumeKind.FILESYSTEM))
        if operation not in await scene.operations():
            return
        for point, count in (await scene.passes(operation))[:3]:
            await scene.assert_all_or_nothing(operation, point, count)
