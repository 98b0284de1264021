"""These tests need ZFS and a disk of their own: `make test-zfs` gives them both, in a virtual machine."""

from __future__ import annotations

import os
from collections.abc import Iterator

import pytest
from zfs_scene import command

ZPOOL = "tank"


@pytest.fixture(scope="session")
def zpool() -> Iterator[str]:
    """Make a zpool on the disk that POOL_DISK names; it is gone afterwards."""
    command("zpool", "create", "-O", "atime=off", ZPOOL, os.environ["POOL_DISK"])
    try:
        yield ZPOOL
    finally:
        command("zpool", "destroy", "-f", ZPOOL)
