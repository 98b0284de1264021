"""Cloud backups as the official client makes them, of btrfs and of blocks, at a real store: one test for each rule."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from openstorage_client import DOOR, Client, official_client

from gateway.backends.s3.bucket import client
from gateway.testing.btrfs_pool import btrfs_pool
from gateway.testing.live import LiveGateway, live_gateway
from gateway.testing.loop_pool import loop_pool
from gateway.testing.object_store import S3Server, make_bucket, options_at

pytestmark = pytest.mark.root
NOBODY = "8b6c0b0e-3d1c-4a6f-9d0a-7a1b7c9d0001"
MIB = 1 << 20
SPEC = {"size": 64 * MIB, "ha_level": 1}
DAILY = {"retain": "3", "daily": {"hour": 12, "minute": 30}}
DONE = "SdkCloudBackupStatusTypeDone"
BUCKET = "cloud-backups"


class Bed:
    """A gateway with a pool on btrfs and one of directories and raw files on XFS, and the client in front of it."""

    def __init__(self, gateway: LiveGateway, sdk: Client, store: S3Server) -> None:
        self.gateway = gateway
        self.sdk = sdk
        self.store = store
        node = sdk("Node/InspectCurrent")["node"]
        self.pools = {pool["labels"]["driver"]: pool["id"] if "id" in pool else pool["uuid"] for pool in node["pools"]}

    def volume(self, name: str, driver: str = "btrfs", **spec: Any) -> str:
        wanted = {**SPEC, "replica_set": {"pool_uuids": [self.pools[driver]]}, **spec}
        return str(self.sdk("Volume/Create", name=name, spec=wanted)["volume_id"])

    def path(self, volume_id: str) -> Path:
        """Attach the volume and give where it is; `done` detaches it."""
        return Path(self.sdk("MountAttach/Attach", volume_id=volume_id)["device_path"])

    def done(self, volume_id: str) -> None:
        self.sdk("MountAttach/Detach", volume_id=volume_id)

    def credential(self, **change: Any) -> str:
        account = {"access_key": self.store.access, "secret_key": self.store.secret}
        account |= {"endpoint": self.store.url, "region": "us-east-1"}
        request = {"name": "c", "bucket": BUCKET, "aws_credential": account, **change}
        return str(self.sdk("Credentials/Create", **request)["credential_id"])

    def back_up(self, volume_id: str, **more: Any) -> dict[str, Any]:
        """Make a backup, and give its status when it has ended."""
        return self.ended(self.sdk("CloudBackup/Create", volume_id=volume_id, **more)["task_id"])

    def restored(self, backup_id: str, driver: str, **more: Any) -> str:
        """Give the id of a new volume with what a backup holds."""
        spec = {"replica_set": {"pool_uuids": [self.pools[driver]]}}
        made = self.sdk("CloudBackup/Restore", backup_id=backup_id, spec=spec, **more)
        assert self.sdk("Volume/Inspect", volume_id=made["restore_volume_id"])["volume"]["id"]
        ended = self.ended(made["task_id"])
        assert (ended["status"], ended["optype"]) == (DONE, "SdkCloudBackupOpTypeRestoreOp"), ended
        return str(made["restore_volume_id"])

    def ended(self, task_id: str) -> dict[str, Any]:
        """Ask as clients do until a task has ended; each question waits for an answer, none for a clock."""
        while True:
            found: dict[str, Any] = self.sdk("CloudBackup/Status", task_id=task_id)["statuses"][task_id]
            if found["status"] not in {"SdkCloudBackupStatusTypeActive", "SdkCloudBackupStatusTypePaused"}:
                return found


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory, openstorage_python: Path, ceph: S3Server) -> Iterator[Bed]:
    folder = tmp_path_factory.mktemp("backups")
    make_bucket(ceph, BUCKET)
    with btrfs_pool(folder / "btrfs") as btrfs, loop_pool(folder / "xfs", "xfs", "512M") as xfs:
        pools = f'[backend.a]\ndriver = "btrfs"\npath = "{btrfs}"\n'
        pools += f'[backend.b]\ndriver = "directory"\npath = "{xfs}"\n'
        with (
            live_gateway(folder / "gateway", pools=pools, extra=DOOR) as gateway,
            official_client(openstorage_python, gateway.addresses["openstorage"]) as sdk,
        ):
            yield Bed(gateway, sdk, ceph)


@pytest.fixture
def bed(whole: Bed) -> Iterator[Bed]:
    yield whole
    sdk = whole.sdk
    for credential_id in sdk("Credentials/Enumerate")["credential_ids"]:
        sdk("Credentials/DeleteReferences", credential_id=credential_id)
        for found in sdk("CloudBackup/EnumerateWithFilters", credential_id=credential_id)["backups"]:
            sdk("CloudBackup/Delete", backup_id=found["id"], credential_id=credential_id)
        sdk("Credentials/Delete", credential_id=credential_id)
    for volume_id in sdk("Volume/Enumerate")["volume_ids"]:
        sdk("MountAttach/Detach", volume_id=volume_id, options={"force": True})
        sdk("Volume/Delete", volume_id=volume_id)


def test_files_are_backed_up_once_and_restored_into_another_pool(bed: Bed) -> None:
    volume = bed.volume("files")
    bed.credential()
    path = bed.path(volume)
    big, small = os.urandom(4 * MIB), b"one"
    (path / "folder").mkdir()
    (path / "folder" / "big").write_bytes(big)
    (path / "small").write_bytes(small)
    first = bed.back_up(volume, labels={"a": "b"})
    assert (first["status"], first["optype"]) == (DONE, "SdkCloudBackupOpTypeBackupOp"), first
    assert int(first["bytes_done"]) > 4 * MIB
    (path / "small").write_bytes(b"two")
    second = bed.back_up(volume)
    assert 0 < int(second["bytes_done"]) < MIB
    assert bed.sdk("Volume/SnapshotEnumerate", volume_id=volume)["volume_snapshot_ids"] == []
    bed.done(volume)
    contents = bed.sdk("CloudBackup/Catalog", backup_id=first["backup_id"])["contents"]
    assert sorted(contents) == ["/", "/folder/big", "/small"]
    assert [one["status"] for one in bed.sdk("CloudBackup/History", src_volume_id=volume)["history_list"]] == [DONE] * 2
    assert int(bed.sdk("CloudBackup/Size", backup_id=first["backup_id"])["size"]) > 4 * MIB
    for status, content in ((first, small), (second, b"two")):
        made = bed.restored(status["backup_id"], "directory")
        there = bed.path(made)
        assert (there / "folder" / "big").read_bytes() == big
        assert (there / "small").read_bytes() == content
        bed.done(made)
        # The other one does not need it.
        bed.sdk("CloudBackup/Delete", backup_id=status["backup_id"])
        assert bed.sdk.refused("CloudBackup/Restore", backup_id=status["backup_id"])[0] == "NOT_FOUND"


def test_blocks_are_backed_up_once_and_restored(bed: Bed) -> None:
    volume = bed.volume("blocks", "directory", format="FS_TYPE_EXT4", size=16 * MIB)
    bed.credential()
    data = os.urandom(3 * MIB)
    raw = bed.path(volume)
    with raw.open("r+b") as device:
        device.write(data)
        device.flush()
        os.fsync(device.fileno())
    first = bed.back_up(volume)
    assert first["status"] == DONE, first
    with raw.open("r+b") as device:
        device.seek(MIB)
        device.write(b"changed")
        device.flush()
        os.fsync(device.fileno())
    second = bed.back_up(volume)
    assert second["status"] == DONE, second
    assert 0 < int(second["bytes_done"]) <= 2 * MIB < int(first["bytes_done"])
    bed.done(volume)
    changed = data[:MIB] + b"changed" + data[MIB + 7 :]
    for status, content in ((first, data), (second, changed)):
        made = bed.restored(status["backup_id"], "directory")
        with bed.path(made).open("rb") as device:
            assert device.read(len(content)) == content
            assert device.read(MIB) == bytes(MIB)
        bed.done(made)
    assert bed.sdk("CloudBackup/Catalog", backup_id=first["backup_id"])["contents"] == ["blocks"]


def test_what_a_credential_reaches_is_told_page_after_page(bed: Bed) -> None:
    one, two = bed.volume("one"), bed.volume("two")
    credential = bed.credential()
    first = bed.back_up(one, labels={"n": "0"})["backup_id"]
    tasks = [bed.sdk("CloudBackup/Create", volume_id=volume, labels={"n": "1"})["task_id"] for volume in (one, two)]
    later, other = (bed.ended(task_id)["backup_id"] for task_id in tasks)

    def found(**filters: Any) -> list[str]:
        answer = bed.sdk("CloudBackup/EnumerateWithFilters", credential_id=credential, **filters)
        return [each["id"] for each in answer["backups"]]

    made = found()
    assert (made[0], {*made}) == (first, {first, later, other})
    assert found(all=True) == found(status_filter=DONE) == made
    assert found(src_volume_id=one) == [first, later]
    assert found(metadata_filter={"n": "1"}) == made[1:]
    assert found(cloud_backup_id=other) == [other]
    assert found(src_volume_id=NOBODY) == found(cluster_id="other") == found(status_filter=9) == []
    assert found(missing_src_volumes=True) == []
    page = bed.sdk("CloudBackup/EnumerateWithFilters", credential_id=credential, max_backups=2)
    assert [each["id"] for each in page["backups"]] == made[:2]
    assert found(max_backups=2, continuation_token=page["continuation_token"]) == made[2:]
    bed.sdk("Volume/Delete", volume_id=two)
    assert found(missing_src_volumes=True) == [other]
    bed.sdk("CloudBackup/DeleteAll", src_volume_id=one, credential_id=credential)
    assert found() == [other]
    assert bed.sdk("CloudBackup/History", src_volume_id=one)["history_list"] == []


def test_a_backup_goes_on_when_the_gateway_is_killed(bed: Bed) -> None:
    volume = bed.volume("v")
    credential = bed.credential()
    (bed.path(volume) / "file").write_bytes(b"content")
    bed.gateway.arm("backup.moved")
    task_id = bed.sdk("CloudBackup/Create", volume_id=volume)["task_id"]
    bed.gateway.wait()
    bed.gateway.start()
    bed.sdk = bed.sdk.at(bed.gateway.addresses["openstorage"])
    ended = bed.ended(task_id)
    assert ended["status"] == DONE, ended
    (found,) = bed.sdk("CloudBackup/EnumerateWithFilters", credential_id=credential)["backups"]
    assert found["id"] == ended["backup_id"]
    assert bed.sdk("Volume/SnapshotEnumerate", volume_id=volume)["volume_snapshot_ids"] == []
    assert "/file" in bed.sdk("CloudBackup/Catalog", backup_id=found["id"])["contents"]


def test_empty_and_unknown_ids(bed: Bed) -> None:
    volume = bed.volume("v")
    assert bed.sdk.refused("CloudBackup/Create")[0] == "INVALID_ARGUMENT"
    assert bed.sdk.refused("CloudBackup/Create", volume_id=volume)[0] == "INVALID_ARGUMENT"
    assert bed.sdk.refused("CloudBackup/EnumerateWithFilters")[0] == "INVALID_ARGUMENT"
    credential = bed.credential()
    assert bed.sdk.refused("CloudBackup/Create", volume_id=NOBODY, credential_id=credential)[0] == "NOT_FOUND"
    assert bed.sdk.refused("CloudBackup/Create", volume_id=volume, credential_id=NOBODY)[0] == "NOT_FOUND"
    assert bed.sdk.refused("CloudBackup/EnumerateWithFilters", credential_id=NOBODY)[0] == "NOT_FOUND"
    assert bed.sdk.refused("CloudBackup/Catalog", credential_id=credential)[0] == "INVALID_ARGUMENT"
    assert bed.sdk.refused("CloudBackup/Catalog", backup_id=NOBODY, credential_id=credential)[0] == "INTERNAL"
    for call, field in (("History", "src_volume_id"), ("Delete", "backup_id"), ("DeleteAll", "src_volume_id")):
        assert bed.sdk.refused(f"CloudBackup/{call}", **{field: ""})[0] == "INVALID_ARGUMENT"
    for call in ("Restore", "Size"):
        assert bed.sdk.refused(f"CloudBackup/{call}")[0] == "INVALID_ARGUMENT"
        assert bed.sdk.refused(f"CloudBackup/{call}", backup_id=NOBODY)[0] == "NOT_FOUND"
    assert bed.sdk.refused("CloudBackup/StateChange")[0] == "INVALID_ARGUMENT"
    bed.credential(name="another")
    assert bed.sdk.refused("CloudBackup/Create", volume_id=volume)[0] == "INVALID_ARGUMENT"


def test_a_group_is_backed_up_at_one_instant_or_refused(bed: Bed) -> None:
    group = {"group": {"id": "g"}}
    one, two = bed.volume("one", **group), bed.volume("two", **group)
    credential = bed.credential()
    refused = bed.sdk.refused
    assert refused("CloudBackup/GroupCreate")[0] == "INVALID_ARGUMENT"
    assert refused("CloudBackup/GroupCreate", group_id="none")[0] == "NOT_FOUND"
    assert refused("CloudBackup/GroupCreate", volume_ids=[NOBODY])[0] == "NOT_FOUND"
    assert refused("CloudBackup/GroupCreate", group_id="g", volume_ids=[one], labels={"a": "b"})[0] == "NOT_FOUND"
    code, text = refused("CloudBackup/GroupCreate", group_id="g")
    assert (code, "snapshot_group" in text) == ("UNIMPLEMENTED", True)
    assert [bed.sdk("CloudBackup/Status", volume_id=each)["statuses"] for each in (one, two)] == [{}, {}]
    made = bed.sdk("CloudBackup/GroupCreate", group_id="g", volume_ids=[two], credential_id=credential)
    (task_id,) = made["task_ids"]
    ended = bed.ended(task_id)
    assert (ended["status"], ended["src_volume_id"]) == (DONE, two)
    assert ended["group_id"] == made["group_cloud_backup_id"]


def test_a_task_is_known_by_the_id_that_was_given(bed: Bed) -> None:
    volume = bed.volume("v")
    bed.credential()
    assert bed.back_up(volume, task_id="mine")["status"] == DONE
    assert bed.sdk.refused("CloudBackup/Create", volume_id=volume, task_id="mine")[0] == "ALREADY_EXISTS"
    assert list(bed.sdk("CloudBackup/Status", volume_id=volume)["statuses"]) == ["mine"]
    assert bed.sdk.refused("CloudBackup/Status", task_id="other")[0] == "NOT_FOUND"
    state = {"task_id": "mine", "requested_state": "SdkCloudBackupRequestedStatePause"}
    assert bed.sdk.refused("CloudBackup/StateChange", **state)[0] == "FAILED_PRECONDITION"


def test_a_failed_backup_says_why_and_leaves_nothing(bed: Bed) -> None:
    make_bucket(bed.store, "not-ours")
    volume = bed.volume("v")
    bed.credential(bucket="not-ours")
    client(options_at(bed.store, "not-ours"), bed.store.url).put_object(Bucket="not-ours", Key="theirs", Body=b"x")
    ended = bed.back_up(volume)
    assert ended["status"] == "SdkCloudBackupStatusTypeFailed"
    assert "versioning" in ended["info"][0]
    assert bed.sdk("Volume/SnapshotEnumerate", volume_id=volume)["volume_snapshot_ids"] == []


def test_the_life_of_a_schedule(bed: Bed) -> None:
    volume, credential = bed.volume("v"), bed.credential()
    info = {"src_volume_id": volume, "credential_id": credential, "schedules": [DAILY], "max_backups": "4"}
    bad = {**DAILY, "daily": {"hour": 1, "minute": 99}}
    refused = bed.sdk.refused
    assert refused("CloudBackup/SchedCreate")[0] == "INVALID_ARGUMENT"
    for missing in ("src_volume_id", "credential_id", "schedules"):
        given = {key: value for key, value in info.items() if key != missing}
        assert refused("CloudBackup/SchedCreate", cloud_sched_info=given)[0] == "INVALID_ARGUMENT"
    unknown = {**info, "src_volume_id": NOBODY, "schedules": [bad]}
    assert refused("CloudBackup/SchedCreate", cloud_sched_info=unknown)[0] == "NOT_FOUND"
    wrong = {**info, "schedules": [bad]}
    assert refused("CloudBackup/SchedCreate", cloud_sched_info=wrong)[0] == "INVALID_ARGUMENT"
    made = bed.sdk("CloudBackup/SchedCreate", cloud_sched_info=info)["backup_schedule_id"]
    (shown,) = bed.sdk("CloudBackup/SchedEnumerate")["cloud_sched_list"].items()
    assert shown[0] == made
    assert {key: shown[1][key] for key in info} == info
    change = {"max_backups": "7", "full": True}
    bed.sdk("CloudBackup/SchedUpdate", sched_uuid=made, cloud_sched_info=change)
    after = bed.sdk("CloudBackup/SchedEnumerate")["cloud_sched_list"][made]
    assert (after["max_backups"], after["full"], after["schedules"]) == ("7", True, [DAILY])
    assert refused("Credentials/Delete", credential_id=credential)[0] == "FAILED_PRECONDITION"
    assert refused("CloudBackup/SchedDelete")[0] == "INVALID_ARGUMENT"
    bed.sdk("CloudBackup/SchedDelete", backup_schedule_id=made)
    assert refused("CloudBackup/SchedDelete", backup_schedule_id=made)[0] == "NOT_FOUND"
