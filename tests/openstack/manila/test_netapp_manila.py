"""NetApp's own driver of Manila against the ONTAP REST door; bytes go over NFS."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any
from uuid import uuid4

import pytest
from manila import exception
from manila.db.sqlalchemy import models
from manila_scene import FAST, Bed, access_row, manila_bed
from netapp_manila_scene import ADMIN, Manager, database, started, volume_of

from gateway.client import native

pytestmark = pytest.mark.root

GIB = 1 << 30
HERE = access_row("127.0.0.1")
ELSEWHERE = access_row("10.0.0.0/8", "ro")


@pytest.fixture(scope="module")
def manager(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Manager]:
    folder = tmp_path_factory.mktemp("netapp")
    with (
        manila_bed(folder) as bed,
        database(folder) as types,
        started(bed.gateway.url, folder) as driver,
    ):
        yield Manager(driver, bed, types)


def volumes(bed: Bed) -> dict[str, native.Volume]:
    return {volume.name: volume for volume in bed.client.each(native.volumes())}


def test_set_up_and_stats(manager: Manager) -> None:
    stats = manager.driver.get_share_stats(refresh=True)
    pools = {pool["pool_name"]: pool for pool in stats["pools"]}
    assert set(pools) == {"fast", "plain", "memory"}
    fast = pools[FAST]
    assert fast["total_capacity_gb"] == 6
    assert fast["free_capacity_gb"] > 5
    assert fast["netapp_aggregate"] == FAST
    assert fast["netapp_raid_type"] == "raid0"
    assert fast["revert_to_snapshot_support"]
    assert not fast["netapp_flexvol_encryption"]
    assert fast["utilization"] == 50, "no counters, so the driver assumes the mean"
    assert stats["storage_protocol"] == "NFS_CIFS"
    assert manager.client.check_snaprestore_license()
    assert manager.driver.get_configured_ip_versions() == [4]


def test_a_share_with_bytes_and_access_rules(manager: Manager) -> None:
    nfs = manager.bed.nfs
    share = manager.share()
    name, path = volume_of(share), f"/{volume_of(share)}"
    [location] = share["export_locations"]
    assert location == {"path": f"127.0.0.1:{path}", "is_admin_only": False, "metadata": {"preferred": True}}
    assert not nfs.reaches(path), "nobody was let in yet"
    manager.allow(share, HERE)
    nfs.write(f"{path}/letter", b"words")
    manager.allow(share, HERE, ELSEWHERE)
    assert nfs.read(f"{path}/letter") == b"words"
    # The driver makes a new policy each time and gives it the old one's name when the volume has it.
    assert manager.client.get_nfs_export_policy_for_volume(name) == f"policy_{share['id'].replace('-', '_')}"
    manager.allow(share, access_row("127.0.0.1", "ro"))
    assert nfs.try_write(f"{path}/more", b"words").returncode != 0
    manager.allow(share)
    assert not nfs.reaches(path)
    assert manager.driver.get_pool(share) == FAST
    found = volumes(manager.bed)[name]
    assert (found.size, found.pool) == (GIB, FAST)
    assert found.labels["share_id"] == share["share_id"]
    for _ in range(2):
        manager.delete(share)
    assert name not in volumes(manager.bed)
    with pytest.raises(exception.ShareResourceNotFound):
        manager.allow(share, HERE)


def test_a_share_grows_and_shrinks(manager: Manager) -> None:
    share = manager.share()
    manager.driver.extend_share(share, 2, share_server=None)
    assert volumes(manager.bed)[volume_of(share)].size == 2 * GIB
    manager.driver.shrink_share(share, 1, share_server=None)
    assert volumes(manager.bed)[volume_of(share)].size == GIB
    manager.delete(share)


def test_snapshots_copies_and_the_way_back(manager: Manager) -> None:
    nfs = manager.bed.nfs
    share = manager.share(HERE)
    path = f"/{volume_of(share)}"
    nfs.write(f"{path}/letter", b"first")
    snapshot = manager.snapshot(share)
    nfs.overwrite(f"{path}/letter", b"other")
    copy = manager.copy(snapshot, HERE)
    assert nfs.read(f"/{volume_of(copy)}/letter") == b"first"
    manager.driver.revert_to_snapshot(ADMIN, snapshot, [], [], share_server=None)
    assert nfs.read(f"{path}/letter") == b"first"
    found = manager.client.get_snapshot(volume_of(share), snapshot["provider_location"])
    assert (found["busy"], found["locked_by_clone"]) == (True, True)
    # What is busy gets another name, and goes when housekeeping finds it free.
    manager.driver.delete_snapshot(ADMIN, snapshot, share_server=None)
    (kept,) = manager.bed.client.each(native.snapshots())
    assert kept.name.startswith("deleted_manila_")
    manager.delete(copy)
    manager.driver.library._handle_housekeeping_tasks()
    assert list(manager.bed.client.each(native.snapshots())) == []
    manager.driver.delete_snapshot(ADMIN, snapshot, share_server=None)
    manager.delete(share)


def test_a_thick_share_is_promised_its_space_or_refused(manager: Manager) -> None:
    share = manager.share(pool="memory", kind="thick")
    manager.delete(share)
    with pytest.raises(Exception, match="918701"):
        manager.share(kind="thick")


def test_shares_are_ensured_when_the_manager_starts(manager: Manager) -> None:
    share, gone = manager.share(), manager.row()
    ensured = manager.driver.ensure_shares(ADMIN, [share, gone])
    assert ensured[share["id"]] == {"export_locations": share["export_locations"], "status": "available"}
    assert gone["id"] not in ensured
    manager.delete(share)


def test_a_share_is_given_up_and_managed_again(manager: Manager) -> None:
    share = manager.share(HERE)
    manager.bed.nfs.write(f"/{volume_of(share)}/letter", b"words")
    manager.driver.unmanage(share)
    managed = manager.row(
        export_locations=share["export_locations"], export_location=share["export_locations"][0]["path"]
    )
    told: dict[str, Any] = manager.driver.manage_existing(managed, {})
    assert told["size"] == 1
    assert told["export_locations"][0]["path"] == f"127.0.0.1:/{volume_of(managed)}"
    manager.allow(managed, HERE)
    assert manager.bed.nfs.read(f"/{volume_of(managed)}/letter") == b"words"
    assert volume_of(share) not in volumes(manager.bed)
    manager.delete(managed)


def test_shares_of_a_group_have_snapshots_of_one_instant(manager: Manager) -> None:
    shares = [manager.share(pool="memory", kind="thick") for _ in range(2)]
    group = models.ShareGroup(id=str(uuid4()), consistent_snapshot_support="host")
    taken = {
        "id": str(uuid4()),
        "share_group": group,
        "share_group_snapshot_members": [{"share_id": share["id"]} for share in shares],
    }
    manager.driver.create_share_group_snapshot(ADMIN, taken, share_server=None)
    parts = list(manager.bed.client.each(native.snapshots()))
    assert len(parts) == 2
    assert len({(part.name, part.created) for part in parts}) == 1
    manager.driver.delete_share_group_snapshot(ADMIN, taken, share_server=None)
    assert list(manager.bed.client.each(native.snapshots())) == []
    manager.driver.delete_share_group(ADMIN, group, share_server=None)
    manager.delete(*shares)


def test_what_the_driver_reports_is_in_the_log(manager: Manager) -> None:
    manager.driver.library._handle_ems_logging()
    lines = [json.loads(line) for line in manager.bed.gateway.log.read_text().splitlines() if line.startswith("{")]
    told = [line for line in lines if line["event"] == "application_log"]
    assert {line["event_source"] for line in told} == {"Manila driver NetApp_Cluster_SingleSVM"}
    assert any(json.loads(line["event_description"])["pools"]["vserver"] == "svm1" for line in told if line["event_id"])
