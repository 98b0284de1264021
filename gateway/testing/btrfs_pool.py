"""A real btrfs of one's own for a test: an image file, mounted through a loop device. Needs root."""

from __future__ import annotations

import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path


@contextmanager
def btrfs_pool(folder: Path, size: str = "1G", *, quota: bool = True) -> Iterator[Path]:
    """Give the mount point of a new, empty btrfs kept in `folder`; it and its loop device are gone afterwards.

    `size` is what truncate(1) takes; the image is sparse. `quota`: full
    qgroups are on. Raises RuntimeError when something still uses the mount at
    the end; it is then detached and goes with its last user.
    """
    image, mount = folder / "btrfs.img", folder / "btrfs"
    mount.mkdir(parents=True)
    _run("truncate", "-s", size, str(image))
    _run("mkfs.btrfs", "--quiet", "--metadata", "single", str(image))
    _run("mount", "-o", "loop,noatime", str(image), str(mount))
    try:
        if quota:
            _run("btrfs", "quota", "enable", str(mount))
            _run("btrfs", "quota", "rescan", "-w", str(mount))
        yield mount
    finally:
        _unmount(mount)
        image.unlink()


def _unmount(mount: Path) -> None:
    # The loop device detaches itself: mount(8) sets it up so.
    try:
        _run("umount", str(mount))
    except RuntimeError:
        _run("umount", "--lazy", str(mount))
        raise


def _run(*command: str) -> None:
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode:
        message = f"{' '.join(command)}: {done.stderr.strip()}"
        raise RuntimeError(message)
