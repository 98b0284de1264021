"""NetApp's own driver of Cinder for NFS against the ONTAP REST door. Volumes are files of a FlexVol.

Only the mount is another one than in production: the kernel's client of NFS is
not everywhere, so the driver finds the FlexVol's own directory bound to its
mount point, with the same files.
"""

from __future__ import annotations

import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest
from cinder import objects, privsep
from cinder.volume import volume_types
from cinder_scene import PROJECT, TENANT
from exporter_scene import free_port
from netapp_cinder_scene import ADMIN, GROUP, made
from oslo_concurrency import processutils

from gateway.testing.btrfs_pool import btrfs_pool
from gateway.testing.live import ACCOUNT, PASSWORD, live_gateway

pytestmark = pytest.mark.root

GIB = 1 << 30
SHARE = "127.0.0.1:/pool1"
START = 5


class Pool:
    """A FlexVol on btrfs that is exported over NFS, and the driver's way to it."""

    def __init__(self, url: str, disk: Path, folder: Path) -> None:
        self.url = url
        self.mounts = folder / "mounts"
        self.mounts.mkdir()
        self.shares = folder / "shares"
        self.shares.write_text(f"{SHARE}\n")
        body = {"name": "pool1", "svm.name": TENANT, "aggregates": [{"name": "disk"}], "size": 2 * GIB}
        answer = httpx.post(
            f"{url}/api/storage/volumes?return_timeout=60",
            json={**body, "nas.path": "/pool1"},
            auth=(ACCOUNT, PASSWORD),
        )
        assert answer.status_code == 202, answer.text
        self.place = disk / "volumes" / answer.headers["Location"].rpartition("/")[2]

    def execute(self, *command: str, **how: Any) -> tuple[str, str]:
        """Run a program, as the driver does. What would mount the share binds the directory."""
        if command[0] == "mount.nfs":
            return "", ""
        if command[0] == "mount":
            command = ("mount", "--bind", str(self.place), command[-1])
        out, err = processutils.execute(*command, **how)
        return out, err

    def names(self) -> set[str]:
        return {file.name for file in self.place.iterdir()}

    def start_of(self, name: str) -> bytes:
        with (self.place / name).open("rb") as file:
            return file.read(START)

    def write(self, name: str, content: bytes) -> None:
        with (self.place / name).open("r+b") as file:
            file.write(content)

    def end(self) -> None:
        for mount in self.mounts.iterdir():
            subprocess.run(["umount", mount], check=True)


@pytest.fixture(scope="module")
def pool(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Pool]:
    folder = tmp_path_factory.mktemp("nfs")
    with (
        btrfs_pool(folder / "disk", "3G") as disk,
        live_gateway(
            folder / "gateway",
            pools=f'[backend.disk]\ndriver = "btrfs"\npath = "{disk}"\n',
            extra=f"[export.nfs]\nport = {free_port()}\n",
        ) as gateway,
    ):
        pool = Pool(gateway.url, disk, folder)
        try:
            yield pool
        finally:
            pool.end()


@pytest.fixture(scope="module")
def driver(pool: Pool, database: None, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Any]:
    del database
    options = {
        "nfs_shares_config": pool.shares,
        "nfs_mount_point_base": pool.mounts,
        "nas_secure_file_operations": "true",
        "nas_secure_file_permissions": "true",
    }
    folder = tmp_path_factory.mktemp("netapp")
    privsep.sys_admin_pctxt.set_client_mode(False)
    try:
        with made(pool.url, "nfs", folder, execute=pool.execute, **options) as driver:
            driver.do_setup(ADMIN)
            driver.check_for_setup_error()
            yield driver
    finally:
        privsep.sys_admin_pctxt.set_client_mode(True)


def row(**fields: Any) -> objects.Volume:
    """Give a volume that is in the database, where the driver looks it up."""
    kind = volume_types.get_default_volume_type()
    common = {"size": 1, "host": f"host@{GROUP}#{SHARE}", "project_id": PROJECT, "user_id": "user"}
    made = objects.Volume(ADMIN, **common, volume_type_id=kind["id"], provider_location=SHARE, **fields)
    made.create()
    return made


def snapshot_row(volume: objects.Volume) -> objects.Snapshot:
    """Give a snapshot in the same way."""
    made = objects.Snapshot(ADMIN, volume_id=volume.id, volume_size=1, project_id=PROJECT, user_id="user")
    made.create()
    return made


def volume(driver: Any) -> objects.Volume:
    made = row()
    made.update(driver.create_volume(made))
    return made


def test_set_up_and_stats(driver: Any) -> None:
    stats = driver.get_volume_stats(refresh=True)
    assert (stats["vendor_name"], stats["storage_protocol"]) == ("NetApp", "nfs")
    (found,) = stats["pools"]
    assert (
        found.items()
        >= {
            "pool_name": SHARE,
            "netapp_aggregate": "disk",
            "netapp_thin_provisioned": "true",
            "netapp_dedup": "false",
            "netapp_mirrored": "false",
            "utilization": 50.0,
        }.items()
    )
    assert 1 < found["total_capacity_gb"] <= 3


def test_volumes_snapshots_clones_and_the_way_back(driver: Any, pool: Pool) -> None:
    first = volume(driver)
    assert (pool.place / first.name).stat().st_size == GIB
    pool.write(first.name, b"first")
    snapshot = snapshot_row(first)
    driver.create_snapshot(snapshot)
    assert pool.names() == {first.name, snapshot.name}
    pool.write(first.name, b"other")

    copy, clone = row(), row()
    assert driver.create_volume_from_snapshot(copy, snapshot)["provider_location"] == SHARE
    assert driver.create_cloned_volume(clone, first)["provider_location"] == SHARE
    assert (pool.start_of(copy.name), pool.start_of(clone.name)) == (b"first", b"other")

    driver.revert_to_snapshot(ADMIN, first, snapshot)
    assert pool.start_of(first.name) == b"first"
    assert pool.names() == {first.name, snapshot.name, copy.name, clone.name}
    assert driver.get_pool(first) == SHARE

    driver.extend_volume(clone, 2)
    assert (pool.place / clone.name).stat().st_size == 2 * GIB
    told = driver.initialize_connection(first, {"ip": "127.0.0.1"})
    assert told["data"].items() >= {"export": SHARE, "name": first.name, "format": "raw"}.items()

    driver.delete_snapshot(snapshot)
    for one in (first, copy, clone):
        driver.delete_volume(one)
    assert pool.names() == set()


def test_files_are_listed(driver: Any, pool: Pool) -> None:
    one = volume(driver)
    assert driver.zapi_client.get_file_sizes_by_dir("pool1") == [{"name": one.name, "file-size": 1.0 * GIB}]
    driver.delete_volume(one)
    assert pool.names() == set()


def test_a_group_of_one_flexvol_has_snapshots(driver: Any, pool: Pool) -> None:
    client, first = driver.zapi_client, volume(driver)
    pool.write(first.name, b"first")
    client.create_cg_snapshot(["pool1"], "group")
    pool.write(first.name, b"other")
    # Files of the snapshot are not to be seen through the mount, so the client clones them by a command.
    client.clone_file("pool1", first.name, "copy", TENANT, source_snapshot="group")
    assert pool.start_of("copy") == b"first"
    client.delete_file("/vol/pool1/copy")
    driver.delete_volume(first)
    assert client.get_snapshot("pool1", "group").items() >= {"volume": "pool1", "busy": False}.items()
    client.wait_for_busy_snapshot("pool1", "group")
    # What is to be deleted later gets another name, and goes when the driver comes round.
    client.mark_snapshot_for_deletion("pool1", "group")
    (marked,) = client.get_snapshots_marked_for_deletion()
    assert marked["volume_name"] == "pool1"
    driver._delete_snapshots_marked_for_deletion()
    assert client.get_snapshots_marked_for_deletion() == []


def test_what_it_does_in_the_background(driver: Any) -> None:
    driver._update_ssc()
    driver._handle_housekeeping_tasks()
    driver._handle_ems_logging()
    driver._delete_snapshots_marked_for_deletion()
