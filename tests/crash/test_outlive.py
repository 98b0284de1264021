"""Volumes are deleted before their snapshots and clones, on real pools."""

from __future__ import annotations

from pathlib import Path

import pytest

from gateway.core.model import VolumeKind
from gateway.testing.btrfs_pool import btrfs_pool
from gateway.testing.kills import KillScene, Place
from gateway.testing.loop_pool import loop_pool
from gateway.testing.outlive import assert_clones_outlive_their_source

pytestmark = pytest.mark.root


@pytest.mark.parametrize(("driver", "filesystem"), [("directory", "xfs"), ("directory", "btrfs"), ("qcow2", "ext4")])
@pytest.mark.parametrize("used", [False, True])
async def test_of_blocks(tmp_path: Path, driver: str, filesystem: str, *, used: bool) -> None:
    with loop_pool(tmp_path / "disk", filesystem) as mount:
        place = Place(driver=driver, options={"path": str(mount)}, kind=VolumeKind.BLOCK)
        await assert_clones_outlive_their_source(KillScene(tmp_path, place, used=used))


async def test_of_files(tmp_path: Path) -> None:
    with btrfs_pool(tmp_path / "disk") as mount:
        place = Place(driver="btrfs", options={"path": str(mount)}, kind=VolumeKind.FILESYSTEM)
        await assert_clones_outlive_their_source(KillScene(tmp_path, place))
