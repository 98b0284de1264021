"""These tests need ZFS and a disk of their own: `make test-zfs` gives them both, in a virtual machine."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import pytest
from zfs_scene import command


@pytest.fixture(scope="session")
def zpool() -> Iterator[str]:
    """Make a zpool on the disk or file that POOL_DISK names; it is gone afterwards."""
    # The kernel gives up opening a device that waits this long for a change of a pool, and an emulated machine is slow.
    Path("/sys/module/zfs/parameters/zvol_open_timeout_ms").write_text("60000")
    name = f"tank{os.getpid()}"
    command("zpool", "create", "-O", "atime=off", name, os.environ["POOL_DISK"])
    try:
        yield name
    finally:
        command("zpool", "destroy", "-f", name)
