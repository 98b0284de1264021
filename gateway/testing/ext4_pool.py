"""A real ext4 of one's own for a test: an image file, mounted through a loop device. Needs root."""

from __future__ import annotations

import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path


@contextmanager
def ext4_pool(folder: Path, size: str = "1G") -> Iterator[Path]:
    """Give the mount point of a new, empty ext4 kept in `folder`; it and its loop device are gone afterwards.

    `size` is what truncate(1) takes; the image is sparse. Raises RuntimeError
    when something still uses the mount at the end; it is then detached and goes
    with its last user.
    """
    image, mount = folder / "ext4.img", folder / "ext4"
    mount.mkdir(parents=True)
    _run("truncate", "-s", size, str(image))
    _run("mkfs.ext4", "-q", str(image))
    _run("mount", "-o", "loop,noatime", str(image), str(mount))
    try:
        yield mount
    finally:
        try:
            _run("umount", str(mount))
        except RuntimeError:
            _run("umount", "--lazy", str(mount))
            raise
        finally:
            image.unlink()


def _run(*command: str) -> None:
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode:
        message = f"{' '.join(command)}: {done.stderr.strip()}"
        raise RuntimeError(message)
