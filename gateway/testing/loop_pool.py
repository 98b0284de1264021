"""A real file system of one's own for a test: an image file, mounted through a loop device. Needs root."""

from __future__ import annotations

import fcntl
import os
import struct
import subprocess
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

BUSY_TRIES = 100
BUSY_PAUSE_S = 0.1
_SHUTDOWN = 0x8004587D
_FLUSH_NOTHING = 2

MAKERS: Mapping[str, tuple[str, ...]] = {
    "btrfs": ("mkfs.btrfs", "--quiet", "--metadata", "single"),
    "ext4": ("mkfs.ext4", "-q", "-F", "-E", "lazy_itable_init=0,lazy_journal_init=0", "-m", "0"),
    "xfs": ("mkfs.xfs", "-q", "-m", "reflink=1"),
}
"""Type of file system -> how one is made, but for the image's name. xfs needs an image of 300 MiB at least."""


@contextmanager
def loop_pool(folder: Path, filesystem: str, size: str = "1G") -> Iterator[Path]:
    """Give the mount point of a new, empty file system kept in `folder`; it and its loop device are gone afterwards.

    `size` is what truncate(1) takes; the image is sparse. Image and mount point
    are named by the type. Raises RuntimeError when something still uses the
    mount at the end; it is then detached and goes with its last user.
    """
    image, mount = folder / f"{filesystem}.img", folder / filesystem
    mount.mkdir(parents=True)
    run("truncate", "-s", size, str(image))
    run(*MAKERS[filesystem], str(image))
    attach(image, mount)
    try:
        yield mount
    finally:
        detach(mount)
        image.unlink()


class LoopStore:
    """Keeps the bytes of a file system that `loop_pool` gave, by its mount point, as a copy of the image."""

    def __init__(self, mount: Path) -> None:
        self._mount = mount
        self._image = mount.with_name(f"{mount.name}.img")
        self._copy = mount.with_name(f"{mount.name}.kept")

    def keep(self) -> None:
        """Keep the file system as it is. Nothing in it is open."""
        detach(self._mount)
        _copy(self._image, self._copy)
        attach(self._image, self._mount)

    def put_back(self) -> None:
        """Make the file system what it was when it was kept. Nothing in it is open."""
        detach(self._mount)
        # Not into the same file: a loop device may let go of it a moment later.
        self._image.unlink()
        _copy(self._copy, self._image)
        attach(self._image, self._mount)


def _copy(image: Path, target: Path) -> None:
    run("cp", "--sparse=always", str(image), str(target))


def attach(image: Path, mount: Path) -> None:
    """Mount an image. The loop device detaches itself with the last user: mount(8) sets it up so."""
    # A copy of an XFS has the identity of the original, which may still be in use somewhere.
    also = ",nouuid" if mount.name == "xfs" else ""
    run("mount", "-o", f"loop,noatime{also}", str(image), str(mount))


def detach(mount: Path) -> None:
    """Unmount; RuntimeError when something goes on using it, and then it goes with its last user.

    A server of another test that looks over all file systems, as ganesha does, holds each for a moment.
    """
    for attempt in range(BUSY_TRIES):
        try:
            run("umount", str(mount))
        except RuntimeError:
            if attempt + 1 == BUSY_TRIES:
                run("umount", "--lazy", str(mount))
                raise
            time.sleep(BUSY_PAUSE_S)
        else:
            return


def run(*command: str) -> None:
    """Run a program; RuntimeError with what it says when it fails."""
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode:
        message = f"{' '.join(command)}: {done.stderr.strip()}"
        raise RuntimeError(message)


def cut_power(mount: Path) -> None:
    """Stop an ext4 or XFS as a power cut would: nothing more gets to its image; until a remount every call fails."""
    fd = os.open(mount, os.O_RDONLY | os.O_DIRECTORY)
    try:
        fcntl.ioctl(fd, _SHUTDOWN, struct.pack("<I", _FLUSH_NOTHING))
    finally:
        os.close(fd)
