"""The main job on ZFS: the official SDK makes, snapshots, clones, restores and splits, with bytes over NFS."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from uuid import uuid4

import pytest
from exporter_scene import free_port
from netapp_ontap.resources import ExportPolicy
from nfs_scene import Nfs
from sdk_scene import OWN_WARNINGS, SVM, sdk
from test_netapp_sdk_life import test_bytes_live_through_snapshot_clone_restore_and_split
from zfs_scene import remove

from gateway.testing.live import live_gateway

pytestmark = OWN_WARNINGS

__all__ = ["test_bytes_live_through_snapshot_clone_restore_and_split"]

RULE = {"clients": [{"match": "0.0.0.0/0"}], "ro_rule": ["any"], "rw_rule": ["any"], "superuser": ["any"]}


@pytest.fixture
def bed(zpool: str, tmp_path: Path) -> Iterator[tuple[Nfs, Path]]:
    """Give a client of the exports, and where the volumes are mounted on their server."""
    # ganesha looks for file systems there, and a machine made by mmdebstrap has no such link.
    if not Path("/etc/mtab").exists():
        Path("/etc/mtab").symlink_to("/proc/self/mounts")
    parent, place, port = f"files-{uuid4().hex[:12]}", tmp_path / "pool", free_port()
    pools = f'[backend.fast]\ndriver = "zfs"\npool = "{zpool}"\nparent = "{parent}"\nmountpoint = "{place}"\n'
    try:
        with (
            live_gateway(tmp_path / "gw", pools=pools, extra=f"[export.nfs]\nport = {port}\n") as gateway,
            sdk(gateway),
        ):
            ExportPolicy(name="open", svm=SVM, rules=[RULE]).post(hydrate=True)
            yield Nfs(port, tmp_path), place
    finally:
        remove(f"{zpool}/{parent}")
