"""The room of a file system."""

from __future__ import annotations

import os
from pathlib import Path

from gateway.core.backend import Capacity


def capacity(root: Path) -> Capacity:
    """Give the space of the file system that holds `root`."""
    status = os.statvfs(root)
    unit = status.f_frsize
    return Capacity(
        size=status.f_blocks * unit,
        used=(status.f_blocks - status.f_bfree) * unit,
        available=status.f_bavail * unit,
    )
