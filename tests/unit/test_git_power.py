"""The power goes off between any two steps: what the disk holds then is opened anew.

A copy of the image behind the loop device has exactly what the file system had
handed to its disk at that moment: nothing of what it kept in memory.
"""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from git_scene import Scene
from test_git_crashes import CHANGES, prepared

from gateway.backends.git_lfs.faults import STEPS
from gateway.testing.loop_pool import attach, detach, loop_pool, run

__all__ = ["prepared"]
pytestmark = pytest.mark.root

WIDEST = ("clone of a snapshot", "delete", "restore", "receive the next")
"""The changes that do most beside the step that decides; the others are parts of these."""


class Camera:
    """Copies the disk at every point passed of one operation."""

    def __init__(self, image: Path, operation: str) -> None:
        self._image = image
        self._wanted = f"git-lfs.{operation}."
        self.copies: list[Path] = []

    def __call__(self, point: str) -> None:
        if point.startswith(self._wanted) or point == "returned":
            copy = self._image.with_name(f"{point}.img")
            run("cp", "--sparse=always", str(self._image), str(copy))
            self.copies.append(copy)


@contextmanager
def mounted(image: Path) -> Iterator[Path]:
    folder = image.with_suffix(".mount")
    folder.mkdir()
    attach(image, folder)
    try:
        yield folder
    finally:
        detach(folder)
        folder.rmdir()


async def picture(image: Path) -> dict[str, object]:
    """Open the pool on a copied disk, and give what is there."""
    with mounted(image) as folder:
        at = Scene(folder / "pool")
        try:
            await at.backend.open()
            at.assert_tidy()
            at.git("rev-list", "--objects", "--all", "--quiet")
            return await at.picture()
        finally:
            await at.backend.close()


@pytest.mark.parametrize("change", WIDEST)
async def test_a_change_survives_once_it_returned_and_is_whole_before(
    tmp_path: Path,
    prepared: Path,
    change: str,
) -> None:
    operation, act = CHANGES[change]
    camera = Camera(tmp_path / "ext4.img", operation)
    with loop_pool(tmp_path, "ext4", "64M") as mount:
        shutil.copytree(prepared, mount / "pool", symlinks=True)
        at = Scene(mount / "pool")
        try:
            await at.backend.open()
            before = await at.picture()
            run("sync", "-f", str(mount))
            at.faults.watch = camera
            await act(at)
            camera("returned")
            at.faults.watch = None
            after = await at.picture()
        finally:
            await at.backend.close()
        happened = []
        for copy in camera.copies:
            found = await picture(copy)
            assert found in (before, after), copy.name
            happened.append(found == after)
    assert [copy.stem for copy in camera.copies[:-1]] == [f"git-lfs.{operation}.{step}" for step in STEPS[operation]]
    assert happened == sorted(happened)
    assert happened[-1], "it returned, and was lost"
    assert not happened[0]
