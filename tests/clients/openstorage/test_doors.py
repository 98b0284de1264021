"""One volume, two doors: what the openstorage client makes the ONTAP SDK has, and the other way round."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from netapp_ontap.resources import Snapshot, Volume
from openstorage_client import Client
from sdk_scene import OWN_WARNINGS, clone, names, seen, volume
from sdk_scene import sdk as ontap

from gateway.testing.live import LiveGateway

pytestmark = OWN_WARNINGS
GIB = 1 << 30


@pytest.fixture
def other_door(gateway: LiveGateway) -> Iterator[None]:
    with ontap(gateway):
        yield


def files(sdk: Client, name: str, **request: object) -> str:
    spec = {"size": GIB, "ha_level": 1, "format": "FS_TYPE_VFS"}
    return str(sdk("Volume/Create", name=name, spec=spec, **request)["volume_id"])


def snapshots(sdk: Client, volume_id: str) -> dict[str, str]:
    ids = sdk("Volume/SnapshotEnumerate", volume_id=volume_id)["volume_snapshot_ids"]
    return {sdk("Volume/Inspect", volume_id=each)["name"]: each for each in ids}


@pytest.mark.usefixtures("other_door")
class TestDoors:
    def test_a_volume_of_openstorage_is_one_of_ontap_with_its_id(self, sdk: Client) -> None:
        made = files(sdk, "v", labels={"env": "test"})
        found = seen("v")
        assert (found.uuid, found.size, found.state) == (made, GIB, "online")
        assert names(_tags="env:test") == ["v"]
        sdk("Volume/Update", volume_id=made, spec={"size": 2 * GIB})
        assert seen("v").size == 2 * GIB

    def test_a_snapshot_taken_by_ontap_shows_in_openstorage(self, sdk: Client) -> None:
        made = files(sdk, "v")
        taken = Snapshot(made, name="there")
        taken.post(hydrate=True)
        assert snapshots(sdk, made) == {"there": taken.uuid}
        sdk("Volume/SnapshotRestore", volume_id=made, snapshot_id=taken.uuid)
        sdk("Volume/Delete", volume_id=taken.uuid)
        assert list(Snapshot.get_collection(made)) == []

    def test_a_volume_of_ontap_is_one_of_openstorage(self, sdk: Client) -> None:
        made = volume("w", "memory", size=GIB)
        found = sdk("Volume/Inspect", volume_id="w")["volume"]
        assert (found["id"], found["spec"]["size"], found["spec"]["ha_level"]) == (made.uuid, str(GIB), "1")
        taken = sdk("Volume/SnapshotCreate", volume_id=made.uuid, name="here")["snapshot_id"]
        assert [(each.uuid, each.name) for each in Snapshot.get_collection(made.uuid)] == [(taken, "here")]

    def test_a_clone_of_ontap_has_its_parent_in_openstorage(self, sdk: Client) -> None:
        parent = volume("w", "memory", size=GIB)
        made = clone("c", "w")
        assert sdk("Volume/Inspect", volume_id=made.uuid)["volume"]["source"]["parent"] == parent.uuid

    def test_two_snapshots_of_one_name_have_two_names_in_ontap(self, sdk: Client) -> None:
        made = files(sdk, "v")
        ids = [sdk("Volume/SnapshotCreate", volume_id=made, name="s")["snapshot_id"] for _ in range(2)]
        found = {each.name: each.uuid for each in Snapshot.get_collection(made)}
        assert found == {"s": ids[0], "s.1": ids[1]}

    def test_a_volume_deleted_here_while_snapshots_need_it_is_hidden_there(self, sdk: Client) -> None:
        made = files(sdk, "v")
        taken = sdk("Volume/SnapshotCreate", volume_id=made, name="s")["snapshot_id"]
        sdk("Volume/Delete", volume_id=made)
        assert [each.name for each in Volume.get_collection()] == []
        assert sdk("Volume/Inspect", volume_id=taken)["name"] == "s"

    def test_a_policy_is_the_same_in_both(self, sdk: Client) -> None:
        policy = {"name": "nightly", "schedules": [{"retain": 3, "daily": {"hour": 2, "minute": 30}}]}
        sdk("SchedulePolicy/Create", schedule_policy=policy)
        made = files(sdk, "v")
        sdk("Volume/SnapshotScheduleUpdate", volume_id=made, snapshot_schedule_names=["nightly"])
        assert seen("v").snapshot_policy.name == "nightly"
        sdk("Volume/Delete", volume_id=made)
        sdk("SchedulePolicy/Delete", name="nightly")
