"""A real btrfs of one's own for a test, with quotas. Needs root."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from gateway.testing.loop_pool import loop_pool, run


@contextmanager
def btrfs_pool(folder: Path, size: str = "1G", *, quota: bool = True) -> Iterator[Path]:
    """Give the mount point of a new, empty btrfs; see `loop_pool`. `quota`: full qgroups are on."""
    with loop_pool(folder, "btrfs", size) as mount:
        if quota:
            run("btrfs", "quota", "enable", str(mount))
            run("btrfs", "quota", "rescan", "-w", str(mount))
        yield mount
