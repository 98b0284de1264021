"""What the stock REX-Ray client is told to mount, or to wait for, leads to the bytes of the volume."""

from __future__ import annotations

import stat
import subprocess
from pathlib import Path

import pytest
from libstorage_scene import blocks_bed, files_bed
from nfs_scene import Nfs
from rexray_scene import Host

pytestmark = pytest.mark.root


def test_what_the_client_mounts_over_nfs_is_where_the_bytes_are(rexray: Path, tmp_path: Path) -> None:
    with (
        files_bed(tmp_path / "bed") as bed,
        Host(rexray, tmp_path / "a", "host-a", host=bed.address, service=bed.service, tls=False) as host,
    ):
        nfs = Nfs(bed.port, tmp_path)
        host.rexray("volume", "create", "data", "--size=1")
        assert not nfs.reaches("/data")
        host.rexray("volume", "mount", "data")
        place = str(host.folder / "var/lib/volumes/data")
        assert host.asked_to_mount() == [f"127.0.0.1:/data {place}"]
        assert host.mounted()[place] == "127.0.0.1:/data"
        assert host.rexray("volume", "ls", "--path").split()[-1] == f"{place}/data"
        shown = bed.client.with_devices(f"isilon=127.0.0.1:/data::{place}").named(bed.service, 15)["data"]
        assert shown.attachments[0].status == "Exported and Mounted"

        nfs.write("/data/letter", b"words")
        assert nfs.read("/data/letter") == b"words"
        host.rexray("volume", "unmount", "data")
        assert place not in host.mounted()
        assert not nfs.reaches("/data")
        host.rexray("volume", "attach", "data")
        assert nfs.read("/data/letter") == b"words"
        host.rexray("volume", "rm", "data", "--force")
        assert not nfs.reaches("/data")


def test_the_device_that_the_client_waits_for_stands_for_a_real_one(rexray: Path, tmp_path: Path) -> None:
    with (
        blocks_bed(tmp_path / "bed") as bed,
        Host(rexray, tmp_path / "a", "host-a", host=bed.address, service=bed.service, tls=False) as host,
    ):
        host.rexray("volume", "create", "data", "--size=1")
        for _ in range(2):
            (attached,) = host.told("volume", "attach", "data")
            (attachment,) = attached["attachments"]
            assert attachment["deviceName"] == "/dev/xvda"
            device = Path(attachment["fields"]["accessURL"].removeprefix("file://"))
            assert stat.S_ISBLK(device.stat().st_mode)
            subprocess.run(
                ["dd", "if=/dev/urandom", f"of={device}", "bs=4096", "count=1"], check=True, capture_output=True
            )
            host.rexray("volume", "detach", "data")
            assert not device.exists()
