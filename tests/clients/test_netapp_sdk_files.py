"""The official SDK, unmodified, on pools whose files are real: what Cinder keeps in one FlexVol, and qtrees."""

from __future__ import annotations

import os
import socket
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest
from netapp_ontap.resources import ExportPolicy, FileClone, FileInfo, Qtree, QuotaRule, Snapshot, SplitStatus, Volume
from nfs_scene import Nfs
from sdk_scene import OWN_WARNINGS, SVM, refused, sdk, volume

from gateway.testing.btrfs_pool import btrfs_pool
from gateway.testing.live import ACCOUNT, PASSWORD, LiveGateway, live_gateway
from gateway.testing.loop_pool import loop_pool

pytestmark = [pytest.mark.root, OWN_WARNINGS]

DATA = os.urandom(200_000)
RULES = [{"clients": [{"match": "0.0.0.0/0"}], "ro_rule": ["any"], "rw_rule": ["any"], "superuser": ["any"]}]
NO_SUCH_FILE = "6684674"


class Bed:
    """Where each pool has its volumes."""

    def __init__(self, disks: dict[str, Path], gateway: LiveGateway, nfs: Nfs) -> None:
        self._disks = disks
        self._gateway = gateway
        self.nfs = nfs

    def ask(self, verb: str, path: str, body: object) -> httpx.Response:
        url = f"{self._gateway.url}{path}"
        return httpx.request(verb, url, json=body, auth=(ACCOUNT, PASSWORD), timeout=60, trust_env=False)

    def place(self, pool: str, made: Volume) -> Path:
        folder = self._disks[pool] / "volumes" / made.uuid
        return folder / "data" if pool == "xfs" else folder


@pytest.fixture(scope="module")
def bed(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Bed]:
    folder = tmp_path_factory.mktemp("sdk_files")
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    with loop_pool(folder / "x", "xfs", "320M") as xfs, btrfs_pool(folder / "b", "256M") as btrfs:
        pools = (
            f'[backend.xfs]\ndriver = "directory"\npath = "{xfs}"\n'
            f'[backend.btrfs]\npath = "{btrfs}"\n[backend.memory]\ndisable = ["clone_file"]\n'
        )
        extra = f"[export.nfs]\nport = {port}\n"
        with live_gateway(folder / "gateway", pools=pools, extra=extra) as gateway, sdk(gateway):
            yield Bed({"xfs": xfs, "btrfs": btrfs}, gateway, Nfs(port, folder))


def listed(made: Volume) -> dict[str, int]:
    """Give names and sizes as Cinder asks for them."""
    return {one.name: one.size for one in FileInfo.get_collection(made.uuid, type="file", fields="size,name")}


def cloned(made: Volume, source: str, destination: str, **fields: object) -> None:
    body = {"uuid": made.uuid, "name": made.name}
    FileClone(volume=body, source_path=source, destination_path=destination, **fields).post()


@pytest.mark.parametrize("pool", ["xfs", "btrfs"])
def test_what_cinder_does_with_files_of_a_flexvol(bed: Bed, pool: str) -> None:
    made = volume(f"cinder_{pool}", pool)
    place = bed.place(pool, made)
    assert listed(made) == {}
    (place / "volume-1").write_bytes(DATA)
    cloned(made, "volume-1", "snapshot-1", is_backup=True)
    (place / "volume-1").write_bytes(b"later")
    assert listed(made) == {"volume-1": 5, "snapshot-1": len(DATA)}
    assert (place / "snapshot-1").read_bytes() == DATA

    with refused("131089", status=409):
        cloned(made, "snapshot-1", "volume-1")
    cloned(made, "snapshot-1", "volume-1", overwrite_destination=True)
    assert (place / "volume-1").read_bytes() == DATA

    # Revert: a copy beside it, then three changes of names.
    cloned(made, "snapshot-1", "new-1")
    for old, new in (("volume-1", "tmp-1"), ("new-1", "volume-1")):
        moved = FileInfo(made.uuid, old)
        moved.path = new
        moved.patch()
    FileInfo(made.uuid, "tmp-1").delete()
    FileInfo(made.uuid, "snapshot-1").delete()
    assert listed(made) == {"volume-1": len(DATA)}
    assert sorted(path.name for path in place.iterdir()) == ["volume-1"]

    told = FileInfo(made.uuid, "volume-1")
    told.get(return_metadata=True)
    assert (told.type, told.size, told.name) == ("file", len(DATA), "")
    with refused(NO_SUCH_FILE, status=404):
        FileInfo(made.uuid, "tmp-1").delete()
    with refused("262144017"):
        FileInfo(made.uuid, "volume-1").get()
    assert list(SplitStatus.get_collection(**{"volume.name": made.name})) == []
    made.delete()


def test_a_file_of_a_snapshot_is_cloned_back(bed: Bed) -> None:
    made = volume("back", "btrfs")
    place = bed.place("btrfs", made)
    (place / "a.img").write_bytes(DATA)
    Snapshot(made.uuid, name="s").post()
    (place / "a.img").unlink()
    cloned(made, ".snapshot/s/a.img", "a.img")
    assert (place / "a.img").read_bytes() == DATA
    found = {one.name for one in FileInfo.get_collection(made.uuid, ".snapshot/s", type="file")}
    assert found == {"a.img"}
    Snapshot.find(made.uuid, name="s").delete()
    made.delete()


def test_a_file_of_a_snapshot_is_cloned_by_the_command_where_cinder_takes_that(bed: Bed) -> None:
    made = volume("command", "btrfs")
    place = bed.place("btrfs", made)
    (place / "volume-1").write_bytes(DATA)
    Snapshot(made.uuid, name="group").post()
    (place / "volume-1").write_bytes(b"later")
    body = {
        "vserver": "svm1",
        "volume": made.name,
        "source-path": "volume-1",
        "destination-path": "volume-2",
        "snapshot-name": "group",
        "is-backup": True,
    }
    answer = bed.ask("POST", "/api/private/cli/volume/file/clone?return_timeout=60", body)
    assert answer.status_code == 202, answer.text
    assert (place / "volume-2").read_bytes() == DATA
    Snapshot.find(made.uuid, name="group").delete()
    made.delete()


def test_clients_over_nfs_see_at_once_what_the_door_does(bed: Bed) -> None:
    ExportPolicy(name="open", svm=SVM, rules=RULES).post()
    made = volume("served", "btrfs", nas={"path": "/served", "export_policy": {"name": "open"}})
    bed.nfs.write("/served/a", b"alpha")
    assert bed.nfs.names("/served") == {"a"}
    cloned(made, "a", "b")
    assert (bed.nfs.names("/served"), bed.nfs.read("/served/b")) == ({"a", "b"}, b"alpha")
    bed.nfs.overwrite("/served/a", b"later")
    cloned(made, "b", "a", overwrite_destination=True)
    assert bed.nfs.read("/served/a") == b"alpha"
    moved = FileInfo(made.uuid, "b")
    moved.path = "c"
    moved.patch()
    assert bed.nfs.names("/served") == {"a", "c"}
    FileInfo(made.uuid, "a").delete()
    assert bed.nfs.names("/served") == {"c"}
    made.delete()
    ExportPolicy.find(name="open").delete()


def test_a_pool_without_reflink_says_so(bed: Bed) -> None:
    made = volume("plain", "memory")
    with refused("262144017", text="clone_file"):
        cloned(made, "a", "b")
    made.delete()


@pytest.mark.parametrize("pool", ["xfs", "btrfs"])
def test_a_qtree_is_a_directory_with_a_life(bed: Bed, pool: str) -> None:
    made = volume(f"trees_{pool}", pool, nas={"path": f"/trees_{pool}"})
    place = bed.place(pool, made)
    tree = Qtree(name="qt1", svm=SVM, volume={"name": made.name}, unix_permissions=2770, user={"id": "7"})
    tree.post(hydrate=True)
    assert (tree.id, tree.path, tree.security_style) == (1, f"/trees_{pool}/qt1", "unix")
    status = (place / "qt1").stat()
    assert (status.st_mode & 0o7777, status.st_uid) == (0o2770, 7)
    (place / "qt1" / "inner").mkdir()
    (place / "qt1" / "inner" / "f").write_bytes(DATA)

    tree = Qtree.find(name="qt1", volume=made.name)
    tree.name, tree.unix_permissions = "qt2", 755
    tree.patch()
    assert (place / "qt2" / "inner" / "f").read_bytes() == DATA
    assert (place / "qt2").stat().st_mode & 0o7777 == 0o755
    assert {one.name for one in Qtree.get_collection(**{"volume.name": made.name})} == {"", "qt2"}
    assert Qtree.count_collection(**{"volume.name": made.name}) == 2
    Qtree.find(name="qt2", volume=made.name).delete()
    assert list(place.iterdir()) == []

    with refused("262144017", text="quota"):
        QuotaRule(svm=SVM, volume={"name": made.name}, type="tree", qtree={"name": ""}).post()
    assert list(QuotaRule.get_collection()) == []
    made.delete()
