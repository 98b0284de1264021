"""The power goes off between any two steps: what the disk holds then is opened anew.

A copy of the image behind the loop device has exactly what the file system had
handed to its disk at that moment: nothing of what it kept in memory.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from btrfs_scene import Scene, command, scene
from test_btrfs_crashes import CHANGES, prepared

from gateway.backends.btrfs.faults import STEPS
from gateway.testing.btrfs_pool import btrfs_pool

pytestmark = pytest.mark.root


class Camera:
    """Copies the disk at every point passed."""

    def __init__(self, image: Path) -> None:
        self._image = image
        self.copies: list[Path] = []

    def __call__(self, point: str) -> None:
        copy = self._image.with_name(point)
        command("cp", "--sparse=always", self._image, copy)
        self.copies.append(copy)


@contextmanager
def mounted(image: Path) -> Iterator[Path]:
    folder = image.with_name("mount")
    folder.mkdir()
    command("mount", "-o", "loop", image, folder)
    try:
        yield folder
    finally:
        command("umount", folder)
        folder.rmdir()


async def picture(image: Path) -> dict[str, object]:
    """Open the pool on a copied disk, and give what is there."""
    with mounted(image) as folder:
        at = Scene(folder / "pool")
        try:
            await at.backend.open()
            at.assert_tidy()
            return await at.picture()
        finally:
            await at.backend.close()


@pytest.mark.parametrize("change", CHANGES)
async def test_a_change_survives_once_it_returned_and_is_whole_before(tmp_path: Path, change: str) -> None:
    operation, prepare, act = CHANGES[change]
    camera = Camera(tmp_path / "btrfs.img")
    with btrfs_pool(tmp_path, "256M") as mount:
        at = Scene(mount / "pool")
        try:
            await at.backend.open()
            before = await prepared(at, prepare)
            at.kernel.sync(mount)
            at.faults.watch = camera
            await act(at)
            camera("returned")
            at.faults.watch = None
            after = await at.picture()
        finally:
            await at.backend.close()
    assert [copy.name for copy in camera.copies[:-1]] == [f"btrfs.{operation}.{step}" for step in STEPS[operation]]
    happened = []
    for copy in camera.copies:
        found = await picture(copy)
        assert found in (before, after), copy.name
        happened.append(found == after)
    assert happened == sorted(happened)
    assert happened[-1], "it returned, and was lost"


async def test_the_copies_lack_what_was_not_committed(tmp_path: Path) -> None:
    camera = Camera(tmp_path / "btrfs.img")
    with btrfs_pool(tmp_path, "256M") as mount:
        async with scene(mount, durable=False) as at:
            volume = await at.volume()
            camera("returned")
    with mounted(camera.copies[0]) as folder:
        assert (folder / at.path.name / "volumes").is_dir()
        assert not (folder / at.path.name / "volumes" / str(volume)).exists()
