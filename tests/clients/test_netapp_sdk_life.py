"""The main job: the official SDK, unmodified, on a real btrfs pool, with bytes over NFS."""

from __future__ import annotations

import os
import socket
from pathlib import Path

import pytest
from netapp_ontap.error import NetAppRestError
from netapp_ontap.resources import ExportPolicy, ExportRule, IpInterface, Snapshot, Volume
from nfs_scene import Nfs
from sdk_scene import MIB, OWN_WARNINGS, SVM, clone, names, patch, refused, sdk, seen, volume

from gateway.testing.btrfs_pool import btrfs_pool
from gateway.testing.live import live_gateway

pytestmark = [pytest.mark.root, OWN_WARNINGS]


@pytest.fixture(scope="module")
def bed(tmp_path_factory):
    """A gateway over btrfs with NFS exports, the tools to reach them, and the pool's mount point."""
    folder = tmp_path_factory.mktemp("sdk")
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    with btrfs_pool(folder / "disk") as mount:
        pools = f'[backend.fast]\ndriver = "btrfs"\npath = "{mount}"\n'
        with (
            live_gateway(folder / "gateway", pools=pools, extra=f"[export.nfs]\nport = {port}\n") as gateway,
            sdk(gateway),
        ):
            open_to_all = ExportPolicy(
                name="open",
                svm=SVM,
                rules=[
                    {"clients": [{"match": "0.0.0.0/0"}], "ro_rule": ["any"], "rw_rule": ["any"], "superuser": ["any"]}
                ],
            )
            open_to_all.post(hydrate=True)
            yield Nfs(port, folder), mount


def mounted(name: str, **fields) -> Volume:
    return volume(name, "fast", nas={"path": f"/{name}", "export_policy": {"name": "open"}}, **fields)


def on_disk(pool: Path, name: str) -> list[bytes]:
    return [path.read_bytes() for path in pool.rglob(name) if path.is_file()]


def snapshot(of: Volume, name: str, **fields) -> Snapshot:
    made = Snapshot(of.uuid, name=name, **fields)
    made.post(hydrate=True)
    return made


def test_bytes_live_through_snapshot_clone_restore_and_split(bed):
    nfs, pool = bed
    parent = mounted("life", comment="first")
    assert (parent.state, parent.size, parent.style) == ("online", 64 * MIB, "flexvol")

    nfs.write("/life/letter", b"old words")
    assert on_disk(pool, "letter") == [b"old words"]
    assert nfs.read("/life/letter") == b"old words"

    before = snapshot(parent, "before")
    nfs.overwrite("/life/letter", b"quite new words")
    assert nfs.read("/life/letter") == b"quite new words"
    snapshot(parent, "later")

    copy = clone("life_copy", "life", "before", nas={"path": "/life_copy", "export_policy": {"name": "open"}})
    assert copy.clone.is_flexclone is True
    assert nfs.read("/life_copy/letter") == b"old words"
    assert nfs.read("/life/letter") == b"quite new words"
    nfs.overwrite("/life_copy/letter", b"the clone's own words")
    assert nfs.read("/life/letter") == b"quite new words"

    looked = seen("life_copy")
    assert (looked.clone.parent_volume.name, looked.clone.parent_snapshot.name) == ("life", "before")
    assert list(Snapshot.find(parent.uuid, name="before").owners) == ["volume_clone"]
    with refused("524615", status=409):
        parent.delete()
    with refused("1638555", status=409):
        before.delete()

    copy.clone.split_initiated = True
    copy.patch()
    looked = seen("life_copy")
    assert looked.clone.is_flexclone is False
    assert not hasattr(looked.clone, "parent_volume")
    assert nfs.read("/life_copy/letter") == b"the clone's own words"

    Volume(uuid=parent.uuid).patch(**{"restore_to.snapshot.name": "before"})
    assert nfs.read("/life/letter") == b"old words"
    assert [found.name for found in Snapshot.get_collection(parent.uuid)] == ["before"]

    parent.delete()
    assert not nfs.reaches("/life")
    assert nfs.read("/life_copy/letter") == b"the clone's own words"
    copy.delete(force=True)
    assert on_disk(pool, "letter") == []
    assert names(name="life*") == []
    with refused("4", status=404):
        parent.get()


def test_a_clone_of_a_volume_as_it_is_takes_its_own_snapshot(bed):
    nfs, _ = bed
    parent = mounted("now")
    nfs.write("/now/letter", b"now")
    copy = clone("now_copy", "now")
    assert not hasattr(seen("now_copy").nas, "path")
    copy.nas.path = "/now_copy"
    copy.patch()
    assert nfs.read("/now_copy/letter") == b"now"
    base = seen("now_copy").clone.parent_snapshot.name
    assert [found.name for found in Snapshot.get_collection(parent.uuid)] == [base]
    copy.delete()
    Snapshot.find(parent.uuid, name=base).delete()
    parent.delete()


def test_a_volume_is_resized_renamed_described_and_moved_in_the_name_space(bed):
    nfs, _ = bed
    made = mounted("one")
    nfs.write("/one/letter", b"stays")

    made.size = 96 * MIB
    made.patch(hydrate=True)
    assert made.size == 96 * MIB
    assert made.space.size == 96 * MIB

    made.name = "two"
    made.comment = "renamed"
    made.patch()
    patch(made.uuid, tags=["env:test", "tier:gold"])
    looked = seen("two")
    assert (looked.uuid, looked.comment) == (made.uuid, "renamed")
    assert sorted(looked.tags) == ["env:test", "tier:gold"]
    assert names(_tags="tier:gold") == ["two"]
    assert nfs.read("/one/letter") == b"stays"

    made.nas.path = "/elsewhere"
    made.patch()
    assert nfs.read("/elsewhere/letter") == b"stays"
    assert not nfs.reaches("/one")
    made.nas.path = ""
    made.patch()
    assert not nfs.reaches("/elsewhere")
    assert not hasattr(seen("two").nas, "path")
    made.delete()


def test_offline_takes_a_volume_off_the_network_and_forbids_a_restore(bed):
    nfs, _ = bed
    made = mounted("away")
    nfs.write("/away/letter", b"here")
    snapshot(made, "s1")
    made.state = "offline"
    made.patch()
    assert seen("away").state == "offline"
    assert not nfs.reaches("/away")
    with refused("9437885"):
        Volume(uuid=made.uuid).patch(**{"restore_to.snapshot.name": "s1"})
    made.state = "online"
    made.patch()
    patch(made.uuid, nas={"path": "/away"})
    assert nfs.read("/away/letter") == b"here"
    made.delete()


def test_rules_decide_who_may_write(bed):
    nfs, _ = bed
    policy = ExportPolicy(name="strict", svm=SVM)
    policy.post(hydrate=True)
    rule = ExportRule(policy.id, clients=[{"match": "127.0.0.1"}], ro_rule=["any"], rw_rule=["any"], superuser=["any"])
    rule.post(hydrate=True)
    assert rule.index == 1
    made = volume("guarded", "fast", nas={"path": "/guarded", "export_policy": {"name": "strict"}})
    nfs.write("/guarded/letter", b"while allowed")

    rule.rw_rule = ["never"]
    rule.patch()
    assert nfs.try_write("/guarded/more", b"refused").returncode != 0
    assert nfs.names("/guarded") == {"letter"}
    assert nfs.read("/guarded/letter") == b"while allowed"

    policy.name = "strict_renamed"
    policy.patch()
    assert seen("guarded").nas.export_policy.name == "strict_renamed"
    with refused("1703945"):
        policy.delete()

    rule.delete()
    assert not nfs.reaches("/guarded")
    patch(made.uuid, nas={"export_policy": {"name": "open"}})
    nfs.write("/guarded/more", b"again")
    policy.delete()
    assert ExportPolicy.find(name="strict_renamed") is None
    made.delete()


def test_snapshots_are_named_described_and_in_the_way(bed):
    made = mounted("history")
    first = snapshot(made, "s1", comment="the first", snapmirror_label="daily")
    snapshot(made, "s2")
    with refused("525059", status=409):
        Snapshot(made.uuid, name="s1").post()
    first.name = "first"
    first.comment = "renamed"
    first.patch()
    looked = Snapshot.find(made.uuid, name="first", fields="**")
    assert (looked.uuid, looked.comment, looked.snapmirror_label) == (first.uuid, "renamed", "daily")
    assert (looked.volume.name, looked.volume.uuid, looked.svm.name) == ("history", made.uuid, "svm1")
    assert not hasattr(looked, "owners")

    copy = clone("history_copy", "history", "s2")
    with refused("1638480", status=409):
        Volume(uuid=made.uuid).patch(**{"restore_to.snapshot.uuid": first.uuid})
    copy.delete()
    Volume(uuid=made.uuid).patch(**{"restore_to.snapshot.uuid": first.uuid})
    assert [found.name for found in Snapshot.get_collection(made.uuid)] == ["first"]
    with refused("1638600", status=404):
        Volume(uuid=made.uuid).patch(**{"restore_to.snapshot.name": "s2"})
    first.delete()
    assert Snapshot.count_collection(made.uuid) == 0
    made.delete()


def test_a_junction_path_belongs_to_one_volume(bed):
    made = mounted("taken")
    with refused("918252", status=409, target="nas.path"):
        volume("second", "fast", nas={"path": "/taken"})
    assert names(name="second") == []
    made.delete()


def test_shrinking_is_real(bed):
    nfs, pool = bed
    made = mounted("large", size=128 * MIB)
    made.size = 32 * MIB
    made.patch()
    assert seen("large").size == 32 * MIB
    with refused("917534", status=400):
        patch(made.uuid, size=MIB)
    nfs.write("/large/marker", b"where the volume is")
    (marker,) = pool.rglob("marker")
    with (marker.parent / "filling").open("wb") as filling:
        filling.write(os.urandom(30 * MIB))
        os.fsync(filling.fileno())
    with pytest.raises(NetAppRestError, match="Job failed: Size 20971520 is too small"):
        patch(made.uuid, size=20 * MIB)
    assert seen("large").size == 32 * MIB
    made.delete()


@pytest.mark.parametrize("fields", ["*", "**"])
def test_interfaces_tell_where_the_data_is(bed, fields):
    found = list(IpInterface.get_collection(services="data_nfs", enabled="true", fields=fields, **{"svm.name": "svm1"}))
    assert [item.ip.address for item in found] == ["127.0.0.1"]
    found[0].get(fields=fields)
