"""SnapMirror by the official SDK, unmodified, between pools of several kinds; bytes are compared after every step."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import httpx
import pytest
from netapp_ontap.resources import (
    LicensePackage,
    Lun,
    SnapmirrorPolicy,
    SnapmirrorRelationship,
    SnapmirrorTransfer,
    Snapshot,
    Svm,
    Volume,
)
from sdk_scene import MIB, OWN_WARNINGS, refused, sdk, seen, volume

from gateway.testing.btrfs_pool import btrfs_pool
from gateway.testing.live import ACCOUNT, PASSWORD, LiveGateway, live_gateway
from gateway.testing.loop_pool import loop_pool
from gateway.testing.object_store import S3Server, fresh_options

pytestmark = [pytest.mark.root, OWN_WARNINGS]
GOING = {"queued", "transferring"}


class Bed:
    """A gateway over pools of files, `here` and `there`, others of blocks, and an SVM for what follows."""

    def __init__(self, gateway: LiveGateway) -> None:
        self._gateway = gateway

    def place(self, made: Volume) -> Path:
        """Give the folder of a volume on this host."""
        url = f"{self._gateway.url}/gateway/volumes/{made.uuid}/access"
        answer = httpx.get(url, auth=(ACCOUNT, PASSWORD), trust_env=False)
        assert answer.is_success, answer.text
        (path,) = [handle["path"] for handle in answer.json()["handles"] if handle["type"] == "local_path"]
        return Path(path)

    def write(self, made: Volume, **files: bytes) -> None:
        for name, content in files.items():
            (self.place(made) / name).write_bytes(content)

    def put(self, made: Volume, *, at: int, data: bytes) -> None:
        """Write into a volume of blocks, to the disk."""
        with self.place(made).open("r+b") as device:
            device.seek(at)
            device.write(data)
            device.flush()
            os.fsync(device.fileno())

    def blocks(self, made: Volume) -> bytes:
        """Give a digest of all of a volume's blocks."""
        with self.place(made).open("rb") as device:
            return hashlib.file_digest(device, "sha256").digest()

    def read(self, made: Volume) -> Mapping[str, bytes]:
        return {path.name: path.read_bytes() for path in self.place(made).iterdir()}


@pytest.fixture(scope="module")
def bed(tmp_path_factory: pytest.TempPathFactory, moto: S3Server) -> Iterator[Bed]:
    folder = tmp_path_factory.mktemp("mirror")
    (folder / "images").mkdir()
    (folder / "more").mkdir()
    with (
        btrfs_pool(folder / "one") as here,
        btrfs_pool(folder / "two") as there,
        loop_pool(folder / "three", "xfs", "400M") as raw,
    ):
        places = {
            "here": ("btrfs", here),
            "there": ("btrfs", there),
            "raw": ("directory", raw),
            "images": ("qcow2", folder / "images"),
            "more": ("qcow2", folder / "more"),
        }
        # Where there is nothing else to choose by, the room in memory must not decide.
        pools = "[backend.memory]\n" + "".join(
            f'[backend.{name}]\ndriver = "{driver}"\npath = "{path}"\n' for name, (driver, path) in places.items()
        )
        (folder / "keys.toml").write_text(f'access_key = "{moto.access}"\nsecret_key = "{moto.secret}"\n')
        options = fresh_options(moto)
        pools += (
            f'[backend.archive]\ndriver = "s3"\nendpoint = "{moto.url}"\nbucket = "{options.bucket}"\n'
            f'prefix = "{options.prefix}"\ncredentials = "file:{folder / "keys.toml"}"\n'
        )
        with live_gateway(folder / "gateway", pools=pools) as gateway, sdk(gateway):
            Svm(name="dr").post()
            yield Bed(gateway)


def settled(relationship: SnapmirrorRelationship, state: str = "snapmirrored") -> SnapmirrorRelationship:
    """Look until no transfer runs; the relationship is healthy and in the state then."""
    relationship.get()
    while hasattr(relationship, "transfer") and relationship.transfer.state in GOING:
        relationship.get()
    assert (relationship.state, relationship.healthy) == (state, True)
    return relationship


def ask_for(relationship: SnapmirrorRelationship, state: str) -> None:
    changed = SnapmirrorRelationship(uuid=relationship.uuid)
    changed.state = state
    changed.patch()


def bring(relationship: SnapmirrorRelationship, state: str) -> None:
    ask_for(relationship, state)
    settled(relationship, state)


def snapshots(of: Volume) -> list[str]:
    return [found.name for found in Snapshot.get_collection(of.uuid)]


def seen_lun(path: str) -> Lun:
    found = Lun.find(name=path, fields="**")
    assert found is not None, path
    return found


def test_a_mirror_from_its_first_transfer_to_its_end(bed: Bed) -> None:
    source = volume("src", "here")
    copy = Volume(name="dst", svm={"name": "dr"}, aggregates=[{"name": "there"}], size=64 * MIB, type="dp")
    copy.post(hydrate=True)
    assert copy.type == "dp"
    bed.write(source, letter=b"first words", large=bytes(range(256)) * 4096)

    relationship = SnapmirrorRelationship(source={"path": "svm1:src"}, destination={"path": "dr:dst"})
    relationship.post(hydrate=True)
    assert (relationship.state, relationship.policy.name, relationship.policy.type) == (
        "uninitialized",
        "Asynchronous",
        "async",
    )
    assert not hasattr(relationship, "transfer")
    with refused("13303808", status=409):
        ask_for(relationship, "broken_off")
    bring(relationship, "snapmirrored")
    assert (relationship.transfer.state, relationship.last_transfer_type) == ("success", "initialize")
    assert relationship.transfer.bytes_transferred >= MIB
    assert bed.read(copy) == bed.read(source)
    assert seen("src").snapmirror.is_protected is True
    (base,) = Snapshot.get_collection(source.uuid, fields="owners")
    assert (list(base.owners), snapshots(copy)) == (["snapmirror"], [base.name])
    with refused("1638555", status=409):
        base.delete()

    bed.write(source, letter=b"second words", note=b"new")
    transfer = SnapmirrorTransfer(relationship.uuid)
    transfer.post(hydrate=True)
    settled(relationship)
    assert (relationship.transfer.uuid, relationship.last_transfer_type) == (transfer.uuid, "update")
    assert relationship.transfer.bytes_transferred < MIB // 10
    assert relationship.total_transfer_bytes > MIB
    assert bed.read(copy) == bed.read(source)
    assert list(SnapmirrorTransfer.get_collection(relationship.uuid)) == []

    bring(relationship, "paused")
    with refused("13303844", status=409):
        SnapmirrorTransfer(relationship.uuid).post()
    bring(relationship, "broken_off")
    assert seen("dst").type == "rw"
    bed.write(copy, letter=b"written at the destination", mine=b"there")
    bring(relationship, "snapmirrored")
    assert relationship.last_transfer_type == "resync"
    assert bed.read(copy) == bed.read(source) == {**bed.read(source), "letter": b"second words"}
    assert seen("dst").type == "dp"

    bring(relationship, "broken_off")
    bed.write(copy, letter=b"of the other side")
    turned = SnapmirrorRelationship(uuid=relationship.uuid)
    turned.source, turned.destination = {"path": "dr:dst"}, {"path": "svm1:src"}
    turned.state = "snapmirrored"
    turned.patch()
    settled(relationship)
    assert (relationship.source.path, relationship.destination.path) == ("dr:dst", "svm1:src")
    assert (seen("src").type, seen("dst").type) == ("dp", "rw")
    assert bed.read(source)["letter"] == b"of the other side"
    assert bed.read(source) == bed.read(copy)

    relationship.delete()
    assert SnapmirrorRelationship.count_collection() == 0
    assert (seen("src").type, snapshots(source), snapshots(copy)) == ("rw", [], [])
    bed.write(source, letter=b"free again")
    for made in (source, copy):
        made.delete()


def test_a_destination_is_made_on_the_way(bed: Bed) -> None:
    source = volume("lone", "here")
    bed.write(source, letter=b"words")
    policy = SnapmirrorPolicy(name="nightly", transfer_schedule={"name": "daily"}, throttle=1024)
    policy.post(hydrate=True)
    relationship = SnapmirrorRelationship(
        source={"path": "svm1:lone"},
        destination={"path": "dr:lone_copy"},
        create_destination={"enabled": True},
        policy={"name": "nightly"},
        state="snapmirrored",
    )
    relationship.post(hydrate=True)
    settled(relationship)
    copy = seen("lone_copy")
    assert (copy.type, copy.aggregates[0].name, copy.size) == ("dp", "there", source.size)
    assert bed.read(copy) == {"letter": b"words"}
    found = list(SnapmirrorRelationship.get_collection(**{"source.path": "svm1:lone", "policy.name": "nightly"}))
    assert [one.uuid for one in found] == [relationship.uuid]
    with refused("8", status=409):
        policy.delete()
    with refused("8", status=409):
        source.delete()
    relationship.delete(destination_only=True)
    policy.delete()
    for made in (copy, source):
        made.delete()


def test_a_transfer_is_ended_early(bed: Bed) -> None:
    source = volume("slow", "here")
    bed.write(source, large=os.urandom(MIB))
    relationship = SnapmirrorRelationship(
        source={"path": "svm1:slow"},
        destination={"path": "dr:slow_copy"},
        create_destination={"enabled": True},
        throttle=1,
        state="snapmirrored",
    )
    relationship.post(hydrate=True)
    (running,) = SnapmirrorTransfer.get_collection(relationship.uuid, fields="*")
    assert (running.state, running.throttle) == ("transferring", 1)
    with refused("13303812", status=409, text="Another transfer is in progress"):
        SnapmirrorTransfer(relationship.uuid).post()
    for state, code in (("broken_off", "13303808"), ("snapmirrored", "13303810")):
        with refused(code, status=409):
            ask_for(relationship, state)
    with refused("13303822", status=409, text="Another transfer is in progress"):
        relationship.delete()
    ended = SnapmirrorTransfer(relationship.uuid, uuid=running.uuid)
    ended.state = "aborted"
    ended.patch()
    relationship.get()
    assert (relationship.state, relationship.transfer.state) == ("uninitialized", "aborted")
    SnapmirrorTransfer(relationship.uuid, throttle=0).post()
    settled(relationship)
    copy = seen("slow_copy")
    assert bed.read(copy) == bed.read(source)
    relationship.delete()
    for made in (copy, source):
        made.delete()


@pytest.mark.parametrize("waiting", ["more", "raw", ""], ids=["blocks wait", "files wait", "nothing waits"])
def test_a_lun_follows_between_pools_of_other_kinds(bed: Bed, waiting: str) -> None:
    source = volume("lv", "images", size=32 * MIB)
    Lun(name="/vol/lv/data", svm={"name": "svm1"}, os_type="linux", space={"size": 32 * MIB}).post()
    bed.put(source, at=MIB, data=b"first" * 1000)
    made: dict[str, Any] = {"create_destination": {"enabled": True}}
    if waiting:
        aggregates = [{"name": waiting}]
        Volume(name="lv_copy", svm={"name": "dr"}, aggregates=aggregates, size=32 * MIB, type="dp").post()
        made = {}
    relationship = SnapmirrorRelationship(
        source={"path": "svm1:lv"}, destination={"path": "dr:lv_copy"}, state="snapmirrored", **made
    )
    relationship.post(hydrate=True)
    settled(relationship)
    copy = seen("lv_copy")
    assert seen_lun("/vol/lv_copy/data").status.read_only is True
    assert bed.blocks(copy) == bed.blocks(source)
    bed.put(source, at=5 * MIB, data=b"second" * 1000)
    SnapmirrorTransfer(relationship.uuid).post()
    settled(relationship)
    assert relationship.transfer.bytes_transferred <= 4 * MIB
    assert bed.blocks(copy) == bed.blocks(source)
    bring(relationship, "broken_off")
    assert seen_lun("/vol/lv_copy/data").status.read_only is False
    relationship.delete()
    for one in (copy, source):
        one.delete()


def test_files_go_to_objects_and_back(bed: Bed) -> None:
    source = volume("tree", "here")
    bed.write(source, letter=b"words", large=os.urandom(2 * MIB))
    Volume(name="kept", svm={"name": "dr"}, aggregates=[{"name": "archive"}], size=64 * MIB, type="dp").post()
    Volume(name="back", svm={"name": "dr"}, aggregates=[{"name": "there"}], size=64 * MIB, type="dp").post()
    outward = SnapmirrorRelationship(
        source={"path": "svm1:tree"}, destination={"path": "dr:kept"}, state="snapmirrored"
    )
    outward.post(hydrate=True)
    settled(outward)
    assert outward.transfer.bytes_transferred >= 2 * MIB
    inward = SnapmirrorRelationship(source={"path": "dr:kept"}, destination={"path": "dr:back"}, state="snapmirrored")
    inward.post(hydrate=True)
    settled(inward)
    back = seen("back")
    assert bed.read(back) == bed.read(source)
    for relationship in (inward, outward):
        relationship.delete()
    for made in (back, seen("kept"), source):
        made.delete()


def test_the_licence_is_there(bed: Bed) -> None:
    del bed
    names = {package.name for package in LicensePackage.get_collection()}
    assert {"snapmirror", "flexclone", "snaprestore"} <= names
    package = LicensePackage(name="snapmirror")
    package.get()
    assert (package.state, package.scope) == ("compliant", "cluster")
