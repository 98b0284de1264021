"""The power goes off between any two steps: what the disk holds then is opened anew.

A copy of the image behind the loop device has exactly what the file system had
handed to its disk at that moment: nothing of what it kept in memory.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from qcow2_scene import Scene, command
from test_qcow2_crashes import BEFORE, CHANGES, live_or_not, prepared

from gateway.backends.qcow2.faults import STEPS
from gateway.testing.loop_pool import loop_pool

pytestmark = pytest.mark.root


class Camera:
    """Copies the disk at every point passed of one operation."""

    def __init__(self, image: Path, operation: str) -> None:
        self._image = image
        self._wanted = f"qcow2.{operation}."
        self.copies: list[Path] = []

    def __call__(self, point: str) -> None:
        if point.startswith(self._wanted) or point == "returned":
            copy = self._image.with_name(point)
            command("cp", "--sparse=always", str(self._image), str(copy))
            self.copies.append(copy)


@contextmanager
def mounted(image: Path) -> Iterator[Path]:
    folder = image.with_name("mount")
    folder.mkdir()
    command("mount", "-o", "loop", str(image), str(folder))
    try:
        yield folder
    finally:
        command("umount", str(folder))
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


@live_or_not
@pytest.mark.parametrize("change", CHANGES)
async def test_a_change_survives_once_it_returned_and_is_whole_before(tmp_path: Path, change: str, live: bool) -> None:
    operation, prepare, act = CHANGES[change]
    camera = Camera(tmp_path / "ext4.img", operation)
    with loop_pool(tmp_path, "ext4", "128M") as mount:
        at = Scene(mount / "pool")
        try:
            await at.backend.open()
            before = await prepared(at, prepare, live=live)
            command("sync", "-f", str(mount))
            at.faults.watch = camera
            await act(at)
            camera("returned")
            at.faults.watch = None
            after = await at.picture()
        finally:
            await at.backend.close()
    assert [copy.name for copy in camera.copies[:-1]] == [f"qcow2.{operation}.{step}" for step in STEPS[operation]]
    happened = []
    for copy in camera.copies:
        found = await picture(copy)
        assert found in (before, after), copy.name
        happened.append(found == after)
    assert happened == sorted(happened)
    assert happened[-1], "it returned, and was lost"
    assert not happened[0] or operation not in BEFORE
