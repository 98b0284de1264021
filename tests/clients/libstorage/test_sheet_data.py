"""What an attachment says leads to the bytes: files over NFS, blocks as devices of this machine and over iSCSI."""

from __future__ import annotations

import os
import re
from pathlib import Path

import pytest
from iscsi_scene import Initiator
from libstorage_client import Attached, InstanceId, Volume, refused
from libstorage_scene import blocks_bed, files_bed, units_bed
from nfs_scene import Nfs

pytestmark = pytest.mark.root

GIB = 1 << 30
NODE = "iqn.1993-08.org.debian:01:node"
OTHER = "iqn.1993-08.org.debian:01:other"


def test_files_over_nfs(tmp_path: Path) -> None:
    with files_bed(tmp_path / "bed") as bed:
        client, nfs = bed.client, Nfs(bed.port, tmp_path)
        data = client.create("svc", "data", size=1).id
        assert not nfs.reaches("/data")
        attachment = client.attach("svc", data).volume.attachments[0]
        assert attachment.device_name == "127.0.0.1:/data"
        assert attachment.instance_id == InstanceId(id="127.0.0.1", driver="isilon", service="svc")
        assert attachment.fields["accessURL"] == f"nfs://127.0.0.1:{bed.port}/data"
        nfs.write("/data/letter", b"first words")

        taken = client.snapshot("svc", data, "before")
        nfs.overwrite("/data/letter", b"second words")
        old = client.from_snapshot("svc", taken.id, "old", size=2)
        twin = client.copy("svc", data, "twin")
        assert not nfs.reaches("/old")
        for made, words in ((old, b"first words"), (twin, b"second words")):
            client.attach("svc", made.id)
            assert nfs.read(f"/{made.name}/letter") == words
        nfs.write("/twin/own", b"of the copy")
        assert nfs.names("/data") == {"letter"}

        statuses = {
            (): "Exported",
            ("isilon=",): "Exported and Unmounted",
            ("isilon=127.0.0.1:/data::/mnt/a,proc::/proc",): "Exported and Mounted",
        }
        for devices, status in statuses.items():
            shown = client.with_devices(*devices).volume("svc", data, 15)
            assert (shown.attachments[0].status, shown.attachments[0].device_name) == (status, "127.0.0.1:/data")

        client.detach("svc", data)
        assert not nfs.reaches("/data")
        assert nfs.reaches("/old")
        client.detach_service("svc")
        assert not nfs.reaches("/old")
        assert not nfs.reaches("/twin")
        client.attach("svc", data)
        client.remove("svc", data, "?force")
        assert not nfs.reaches("/data")
        client.attach("svc", twin.id)
        assert nfs.read("/twin/letter") == b"second words"


def device_of(done: Attached) -> Path:
    """Give the device that an attachment stands for."""
    return Path(done.volume.attachments[0].fields["accessURL"].removeprefix("file://"))


def written(device: Path, content: bytes) -> None:
    with device.open("r+b", buffering=0) as file:
        file.write(content)
        os.fsync(file.fileno())


def test_blocks_as_local_devices(tmp_path: Path) -> None:
    with blocks_bed(tmp_path) as bed:
        client = bed.client
        data = client.create("svc", "data", size=1).id
        done = client.attach("svc", data, nextDeviceName="/dev/xvdb")
        assert (done.attach_token, done.volume.attachments[0].device_name) == ("/dev/xvdb", "/dev/xvdb")
        device = device_of(done)
        written(device, b"1" * 4096)

        taken = client.snapshot("svc", data, "before")
        written(device, b"2" * 4096)
        old = client.from_snapshot("svc", taken.id, "old", size=2)
        twin = client.copy("svc", data, "twin")
        for made, byte, size in ((old, b"1", 2 * GIB), (twin, b"2", GIB)):
            shown = device_of(client.attach("svc", made.id))
            assert shown != device
            with shown.open("rb") as file:
                assert file.read(4096) == byte * 4096
                assert file.seek(0, os.SEEK_END) == size
        assert len({each.attachments[0].device_name for each in client.volumes("svc", 15).values()}) == 3

        with refused(500, "volume already attached to a host"):
            bed.other.attach("svc", data)
        taken_over = device_of(bed.other.attach("svc", data, force=True))
        with taken_over.open("rb") as file:
            assert file.read(4096) == b"2" * 4096
        bed.other.detach("svc", data)
        client.detach_service("svc")
        assert not device.exists()
        assert not taken_over.exists()


def unit_of(volume: Volume) -> tuple[str, int]:
    """Give the target and the number of the unit that an attachment stands for."""
    found = re.fullmatch(r"iscsi://127\.0\.0\.1:\d+/(\S+)/(\d+)", volume.attachments[0].fields["accessURL"])
    assert found is not None, volume
    return found[1], int(found[2])


def test_blocks_over_iscsi(tmp_path: Path) -> None:
    with units_bed(tmp_path) as bed:
        client, other = (bed.nobody.as_instance(f"vfs={node}") for node in bed.nodes)
        mine, stranger = (Initiator(name, bed.port) for name in (NODE, OTHER))
        data = client.create("svc", "data", size=1).id
        with refused(400, "invalid opts.initiator: must name the iSCSI initiator of the instance"):
            client.attach("svc", data)
        done = client.attach("svc", data, opts={"initiator": NODE})
        target, number = unit_of(done.volume)
        assert done.attach_token == "/dev/xvda"
        assert mine.size(target, number) == GIB
        assert not stranger.reaches(target, number)
        assert mine.io(target, number, "write -P 0x11 0 64k", "flush").returncode == 0

        taken = client.snapshot("svc", data, "before")
        assert mine.io(target, number, "write -P 0x22 0 64k", "flush").returncode == 0
        old = client.from_snapshot("svc", taken.id, "old", size=2)
        named = bed.nobody.as_instance(f"vfs=host-a,initiator={NODE}")
        old_target, old_number = unit_of(named.attach("svc", old.id).volume)
        assert mine.size(old_target, old_number) == 2 * GIB
        assert mine.io(old_target, old_number, "read -P 0x11 0 64k").returncode == 0

        with refused(500, "volume already attached to a host"):
            other.attach("svc", data, opts={"initiator": OTHER})
        moved_target, moved_number = unit_of(other.attach("svc", data, force=True, opts={"initiator": OTHER}).volume)
        assert stranger.io(moved_target, moved_number, "read -P 0x22 0 64k").returncode == 0
        assert not mine.reaches(moved_target, moved_number)
        other.detach("svc", data)
        assert not stranger.reaches(moved_target, moved_number)
        assert mine.reaches(old_target, old_number)
