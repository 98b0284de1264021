"""A volume on btrfs follows one on ZFS, by the official SDK: no stream leads from the one to the other."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from uuid import uuid4

import pytest
from netapp_ontap.resources import Svm
from sdk_scene import OWN_WARNINGS, sdk
from test_netapp_sdk_mirror import Bed, test_a_mirror_from_its_first_transfer_to_its_end
from zfs_scene import command, remove

from gateway.testing.btrfs_pool import btrfs_pool
from gateway.testing.live import live_gateway

pytestmark = OWN_WARNINGS

__all__ = ["test_a_mirror_from_its_first_transfer_to_its_end"]


@pytest.fixture
def bed(zpool: str, tmp_path: Path) -> Iterator[Bed]:
    parent = f"mirror-{uuid4().hex[:12]}"
    pools = f'[backend.here]\ndriver = "zfs"\npool = "{zpool}"\nparent = "{parent}"\nmountpoint = "{tmp_path}/zfs"\n'
    command("modprobe", "loop")  # that machine has no nodes of it before
    try:
        with btrfs_pool(tmp_path / "btrfs") as there:
            pools += f'[backend.there]\ndriver = "btrfs"\npath = "{there}"\n'
            with live_gateway(tmp_path / "gw", pools=pools) as gateway, sdk(gateway):
                Svm(name="dr").post()
                yield Bed(gateway)
    finally:
        remove(f"{zpool}/{parent}")
