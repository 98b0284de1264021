"""The official client with bytes: a volume is made, attached, mounted, written, snapshotted, cloned and restored.

On btrfs the volumes hold files, on XFS they are blocks on which the mount makes a file system.
"""

from __future__ import annotations

import stat
import subprocess
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest
from openstorage_client import DOOR, Client, official_client

from gateway.testing.btrfs_pool import btrfs_pool
from gateway.testing.live import LiveGateway, live_gateway
from gateway.testing.loop_pool import loop_pool

pytestmark = pytest.mark.root
MIB = 1 << 20


class Bed:
    """A gateway with a pool, the client in front of it, and where it mounts."""

    def __init__(self, gateway: LiveGateway, sdk: Client, mounts: Path, *, blocks: bool) -> None:
        self.gateway = gateway
        self.sdk = sdk
        self.mounts = mounts
        self.blocks = blocks
        self.size = (512 if blocks else 64) * MIB

    def create(self, name: str) -> str:
        kind = "FS_TYPE_EXT4" if self.blocks else "FS_TYPE_BTRFS"
        spec = {"size": self.size, "ha_level": 1, "format": kind}
        return str(self.sdk("Volume/Create", name=name, spec=spec)["volume_id"])

    def mounted(self, volume_id: str, name: str, **options: str) -> Path:
        self.sdk("MountAttach/Attach", volume_id=volume_id)
        place = self.mounts / name
        self.sdk("MountAttach/Mount", volume_id=volume_id, mount_path=str(place), driver_options=options)
        return place

    def released(self, volume_id: str) -> None:
        self.sdk("MountAttach/Detach", volume_id=volume_id, options={"unmount_before_detach": True})
        assert self.sdk("Volume/Inspect", volume_id=volume_id)["volume"]["attached_on"] == ""


@pytest.fixture(scope="module", params=["btrfs", "xfs"])
def bed(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory, openstorage_python: Path
) -> Iterator[Bed]:
    folder = tmp_path_factory.mktemp("data")
    blocks = request.param == "xfs"
    mounts = folder / "mounts"
    mounts.mkdir()
    pool = loop_pool(folder / "disk", "xfs", "2G") if blocks else btrfs_pool(folder / "disk")
    with pool as disk:
        driver = "directory" if blocks else "btrfs"
        pools = f'[backend.pool]\ndriver = "{driver}"\npath = "{disk}"\n'
        extra = f'{DOOR}older = "127.0.0.1:0"\n[export.mounts]\npaths = ["{mounts}"]\n[export.local]\n'
        with (
            live_gateway(folder / "gateway", pools=pools, extra=extra) as gateway,
            official_client(openstorage_python, gateway.addresses["openstorage"]) as sdk,
        ):
            try:
                yield Bed(gateway, sdk, mounts, blocks=blocks)
            finally:
                for place in mounts.iterdir():
                    subprocess.run(["umount", "--lazy", place], check=False, capture_output=True)


def test_the_life_of_a_volume_with_its_bytes(bed: Bed) -> None:
    sdk = bed.sdk
    made = bed.create("v")
    device = sdk("MountAttach/Attach", volume_id=made)["device_path"]
    assert sdk("MountAttach/Attach", volume_id=made)["device_path"] == device
    assert stat.S_ISBLK(Path(device).stat().st_mode) if bed.blocks else Path(device).is_dir()
    place = bed.mounted(made, "v")
    (place / "letter").write_text("first words")
    shown = sdk("Volume/Inspect", volume_id=made)["volume"]
    assert (shown["state"], shown["attach_path"]) == ("VOLUME_STATE_ATTACHED", [str(place)])
    assert (shown["device_path"], shown["format"]) == (device, "FS_TYPE_EXT4" if bed.blocks else "FS_TYPE_BTRFS")

    subprocess.run(["sync", "-f", place], check=True)
    taken = sdk("Volume/SnapshotCreate", volume_id=made, name="s")["snapshot_id"]
    (place / "letter").write_text("second words")

    twin = sdk("Volume/Clone", name="twin", parent_id=taken)["volume_id"]
    twin_place = bed.mounted(twin, "twin")
    assert (twin_place / "letter").read_text() == "first words"
    (twin_place / "own").write_text("of the clone")
    assert not (place / "own").exists()

    assert sdk.refused("Volume/Delete", volume_id=made)[0] == "FAILED_PRECONDITION"
    assert sdk.refused("MountAttach/Detach", volume_id=made)[0] == "FAILED_PRECONDITION"
    assert sdk.refused("Volume/SnapshotRestore", volume_id=made, snapshot_id=taken)[0] == "FAILED_PRECONDITION"
    bed.released(made)
    assert not place.exists() or not any(place.iterdir())
    sdk("Volume/SnapshotRestore", volume_id=made, snapshot_id=taken)
    place = bed.mounted(made, "v")
    assert (place / "letter").read_text() == "first words"

    bed.released(made)
    sdk("Volume/Update", volume_id=made, spec={"size": 2 * bed.size}, labels={"grown": "yes"})
    assert sdk("Volume/Inspect", volume_id=made)["labels"] == {"grown": "yes"}
    assert sdk("Volume/Inspect", volume_id=made)["volume"]["spec"]["size"] == str(2 * bed.size)
    sdk("Volume/Delete", volume_id=made)
    assert (twin_place / "letter").read_text() == "first words"
    bed.released(twin)
    for each in (twin, taken):
        sdk("Volume/Delete", volume_id=each)
    assert sdk("Volume/Enumerate")["volume_ids"] == []


def test_a_read_only_mount_takes_no_bytes(bed: Bed) -> None:
    made = bed.create("v")
    if bed.blocks:
        bed.mounted(made, "v")
        bed.released(made)
    place = bed.mounted(made, "v", ro="")
    with pytest.raises(OSError, match="Read-only"):
        (place / "letter").write_text("words")
    bed.released(made)
    bed.sdk("Volume/Delete", volume_id=made)


def test_a_path_that_is_not_offered_is_refused(bed: Bed) -> None:
    made = bed.create("v")
    bed.sdk("MountAttach/Attach", volume_id=made)
    for path in ("/mnt/elsewhere", str(bed.mounts / ".." / "x"), "relative"):
        assert bed.sdk.refused("MountAttach/Mount", volume_id=made, mount_path=path)[0] == "INVALID_ARGUMENT"
    bed.released(made)
    bed.sdk("Volume/Delete", volume_id=made)


def test_what_is_missing_is_named(bed: Bed) -> None:
    made = bed.create("v")
    for call in ("Attach", "Detach", "Mount", "Unmount"):
        assert bed.sdk.refused(f"MountAttach/{call}")[0] == "INVALID_ARGUMENT"
    for call in ("Mount", "Unmount"):
        assert bed.sdk.refused(f"MountAttach/{call}", volume_id=made)[0] == "INVALID_ARGUMENT"
    assert bed.sdk.refused("MountAttach/Attach", volume_id="no-such")[0] == "NOT_FOUND"
    assert bed.sdk.refused("MountAttach/Mount", volume_id="no-such", mount_path="/x")[0] == "NOT_FOUND"
    assert bed.sdk.refused("MountAttach/Unmount", volume_id="no-such", mount_path="/x")[0] == "INTERNAL"
    bed.sdk("MountAttach/Detach", volume_id="no-such")
    bed.sdk("MountAttach/Detach", volume_id=made)
    bed.sdk("MountAttach/Unmount", volume_id=made, mount_path=str(bed.mounts / "v"))
    bed.sdk("Volume/Delete", volume_id=made)


def test_a_mounted_volume_is_held_still_for_a_while(bed: Bed) -> None:
    made = bed.create("v")
    place = bed.mounted(made, "v")
    (place / "letter").write_text("words")
    with httpx.Client(base_url=bed.gateway.addresses["openstorage-older"]) as older:
        path = "/v1/osd-volumes/quiesce/v?TimeoutSec=5&QuiesceID=one"
        assert older.post(path).json() == {}
        assert "error" in older.post(path.replace("one", "two")).json()
        taken = bed.sdk("Volume/SnapshotCreate", volume_id=made, name="still")["snapshot_id"]
        assert older.post("/v1/osd-volumes/unquiesce/v").json() == {}
    (place / "letter").write_text("more words")
    bed.released(made)
    for each in (taken, made):
        bed.sdk("Volume/Delete", volume_id=each)


def test_mounts_are_there_again_after_the_gateway_was_killed(bed: Bed) -> None:
    made = bed.create("v")
    place = bed.mounted(made, "v")
    (place / "letter").write_text("words")
    bed.gateway.kill()
    bed.gateway.start()
    sdk = bed.sdk.at(bed.gateway.addresses["openstorage"])
    assert (place / "letter").read_text() == "words"
    assert sdk("Volume/Inspect", volume_id=made)["volume"]["attach_path"] == [str(place)]
    sdk("MountAttach/Detach", volume_id=made, options={"unmount_before_detach": True})
    sdk("Volume/Delete", volume_id=made)
    bed.sdk = sdk
