"""Volumes are deleted before their snapshots and clones, on ZFS, which itself refuses that."""

from __future__ import annotations

from pathlib import Path
from uuid import uuid4

import pytest

from gateway.core.model import FILES_AND_BLOCKS, VolumeKind
from gateway.testing.kills import KillScene, Place
from gateway.testing.outlive import assert_clones_outlive_their_source


@pytest.mark.parametrize("kind", FILES_AND_BLOCKS)
async def test_everything_outlives_its_source(zpool: str, tmp_path: Path, kind: VolumeKind) -> None:
    place = Place(driver="zfs", options={"pool": zpool, "parent": f"test-{uuid4().hex[:12]}"}, kind=kind)
    await assert_clones_outlive_their_source(KillScene(tmp_path, place))
