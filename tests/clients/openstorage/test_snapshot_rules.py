"""Snapshots and schedules as the official client sees them: one test for each rule."""

from __future__ import annotations

import pytest
from openstorage_client import Client

GIB = 1 << 30
NOBODY = "8b6c0b0e-3d1c-4a6f-9d0a-7a1b7c9d0001"


@pytest.fixture
def parent(sdk: Client) -> str:
    return str(sdk("Volume/Create", name="v", spec={"size": GIB, "ha_level": 1})["volume_id"])


def taken(sdk: Client, parent: str, name: str = "s", **labels: str) -> str:
    return str(sdk("Volume/SnapshotCreate", volume_id=parent, name=name, labels=labels)["snapshot_id"])


class TestSnapshots:
    def test_need_a_volume_and_a_name(self, sdk: Client, parent: str) -> None:
        assert sdk.refused("Volume/SnapshotCreate", name="s")[0] == "INVALID_ARGUMENT"
        assert sdk.refused("Volume/SnapshotCreate", volume_id=parent)[0] == "INVALID_ARGUMENT"
        assert sdk.refused("Volume/SnapshotCreate", volume_id=NOBODY, name="s")[0] == "NOT_FOUND"

    def test_are_read_only_volumes_with_a_parent(self, sdk: Client, parent: str) -> None:
        snapshot = taken(sdk, parent, k="1")
        found = sdk("Volume/Inspect", volume_id=snapshot)
        assert found["volume"]["source"]["parent"] == parent
        assert found["volume"]["readonly"]
        assert (found["name"], found["labels"]) == ("s", {"k": "1"})

    def test_taken_by_the_volumes_name_have_its_id_as_parent(self, sdk: Client, parent: str) -> None:
        snapshot = sdk("Volume/SnapshotCreate", volume_id="v", name="s")["snapshot_id"]
        assert sdk("Volume/Inspect", volume_id=snapshot)["volume"]["source"]["parent"] == parent

    def test_of_one_name_are_distinct(self, sdk: Client, parent: str) -> None:
        ids = [taken(sdk, parent) for _ in range(3)]
        assert len(set(ids)) == 3
        assert [sdk("Volume/Inspect", volume_id=each)["name"] for each in ids] == ["s", "s", "s"]
        assert sorted(sdk("Volume/EnumerateWithFilters", name="s")["volume_ids"]) == sorted(ids)

    def test_of_the_longest_name_are_distinct_too(self, sdk: Client, parent: str) -> None:
        name = "s" * 253 + "\u00e4"
        ids = [taken(sdk, parent, name) for _ in range(3)]
        assert [sdk("Volume/Inspect", volume_id=each)["name"] for each in ids] == [name] * 3
        assert sorted(sdk("Volume/EnumerateWithFilters", name=name)["volume_ids"]) == sorted(ids)

    def test_are_counted_exactly(self, sdk: Client, parent: str) -> None:
        other = sdk("Volume/Create", name="w", spec={"size": GIB, "ha_level": 1})["volume_id"]
        ids = [taken(sdk, parent, name) for name in "abc"]
        taken(sdk, other)
        assert sorted(sdk("Volume/SnapshotEnumerate", volume_id=parent)["volume_snapshot_ids"]) == sorted(ids)

    def test_and_clones_are_all_that_has_a_parent(self, sdk: Client, parent: str) -> None:
        snapshot = taken(sdk, parent)
        clone = sdk("Volume/Clone", name="c", parent_id=snapshot)["volume_id"]
        assert sorted(sdk("Volume/SnapshotEnumerate")["volume_snapshot_ids"]) == sorted([snapshot, clone])
        assert sdk("Volume/SnapshotEnumerate", volume_id=snapshot)["volume_snapshot_ids"] == [clone]

    def test_are_found_by_their_labels(self, sdk: Client, parent: str) -> None:
        first, second = taken(sdk, parent, "a", k="1", l="1"), taken(sdk, parent, "b", k="1")
        call = "Volume/SnapshotEnumerateWithFilters"
        assert sorted(sdk(call, volume_id=parent, labels={"k": "1"})["volume_snapshot_ids"]) == sorted([first, second])
        assert sdk(call, labels={"k": "1", "l": "1"})["volume_snapshot_ids"] == [first]

    def test_of_an_unknown_volume_are_not_found(self, sdk: Client) -> None:
        for call in ("SnapshotEnumerate", "SnapshotEnumerateWithFilters"):
            assert sdk.refused(f"Volume/{call}", volume_id=NOBODY)[0] == "NOT_FOUND"

    def test_outlive_their_volume(self, sdk: Client, parent: str) -> None:
        ids = [taken(sdk, parent, name) for name in "ab"]
        sdk("Volume/Delete", volume_id=parent)
        assert sdk.refused("Volume/Inspect", volume_id=parent)[0] == "NOT_FOUND"
        for each in ids:
            assert sdk("Volume/Inspect", volume_id=each)["volume"]["source"]["parent"] == parent
            sdk("Volume/Delete", volume_id=each)
        assert sdk("Volume/Enumerate")["volume_ids"] == []

    def test_left_behind_do_not_count_for_another_volume_of_the_name(self, sdk: Client, parent: str) -> None:
        taken(sdk, parent)
        sdk("Volume/Delete", volume_id=parent)
        again = sdk("Volume/Create", name="v", spec={"size": 2 * GIB, "ha_level": 1})["volume_id"]
        assert sdk("Volume/SnapshotEnumerate", volume_id=again)["volume_snapshot_ids"] == []

    def test_labels_can_be_changed_and_nothing_else(self, sdk: Client, parent: str) -> None:
        snapshot = taken(sdk, parent, k="1")
        sdk("Volume/Update", volume_id=snapshot, labels={"k": "2"})
        assert sdk("Volume/Inspect", volume_id=snapshot)["labels"] == {"k": "2"}
        assert sdk.refused("Volume/Update", volume_id=snapshot, spec={"size": 2 * GIB})[0] == "INVALID_ARGUMENT"

    def test_of_a_snapshot_are_refused(self, sdk: Client, parent: str) -> None:
        assert sdk.refused("Volume/SnapshotCreate", volume_id=taken(sdk, parent), name="t")[0] == "INVALID_ARGUMENT"


class TestRestore:
    def test_needs_both_ids(self, sdk: Client, parent: str) -> None:
        snapshot = taken(sdk, parent)
        assert sdk.refused("Volume/SnapshotRestore", snapshot_id=snapshot)[0] == "INVALID_ARGUMENT"
        assert sdk.refused("Volume/SnapshotRestore", volume_id=parent)[0] == "INVALID_ARGUMENT"

    def test_of_what_is_unknown_is_not_found(self, sdk: Client, parent: str) -> None:
        assert sdk.refused("Volume/SnapshotRestore", volume_id=NOBODY, snapshot_id=NOBODY)[0] == "NOT_FOUND"
        assert sdk.refused("Volume/SnapshotRestore", volume_id=parent, snapshot_id=NOBODY)[0] == "NOT_FOUND"

    def test_succeeds_right_after_the_snapshot(self, sdk: Client, parent: str) -> None:
        sdk("Volume/SnapshotRestore", volume_id=parent, snapshot_id=taken(sdk, parent))

    def test_of_another_volumes_snapshot_is_invalid(self, sdk: Client, parent: str) -> None:
        other = sdk("Volume/Create", name="w", spec={"size": GIB, "ha_level": 1})["volume_id"]
        snapshot = taken(sdk, other)
        assert sdk.refused("Volume/SnapshotRestore", volume_id=parent, snapshot_id=snapshot)[0] == "INVALID_ARGUMENT"


class TestSchedules:
    @pytest.fixture(autouse=True)
    def _policies(self, sdk: Client) -> None:
        for name in ("p1", "p2"):
            policy = {"name": name, "schedules": [{"retain": 2, "daily": {"hour": 1, "minute": 2}}]}
            sdk("SchedulePolicy/Create", schedule_policy=policy)

    def schedule(self, sdk: Client, volume_id: str) -> str:
        return str(sdk("Volume/Inspect", volume_id=volume_id)["volume"]["spec"]["snapshot_schedule"])

    def update(self, sdk: Client, volume_id: str, *names: str) -> None:
        sdk("Volume/SnapshotScheduleUpdate", volume_id=volume_id, snapshot_schedule_names=names)

    def test_a_policy_on_a_volume_without_schedule_is_the_whole_text(self, sdk: Client, parent: str) -> None:
        self.update(sdk, parent, "p1")
        assert self.schedule(sdk, parent) == "policy=p1"

    def test_policies_are_joined_and_an_empty_list_removes_them(self, sdk: Client, parent: str) -> None:
        self.update(sdk, parent, "p1", "p2")
        assert self.schedule(sdk, parent) == "policy=p1,p2"
        self.update(sdk, parent)
        assert self.schedule(sdk, parent) == ""

    def test_intervals_keep_their_text(self, sdk: Client) -> None:
        spec = {"size": GIB, "ha_level": 1, "snapshot_schedule": "daily=@12:30,5;policy=p1"}
        made = sdk("Volume/Create", name="w", spec=spec)["volume_id"]
        self.update(sdk, made, "p2")
        assert self.schedule(sdk, made) == "policy=p2;daily=@12:30,5"
        self.update(sdk, made, "p1")
        assert self.schedule(sdk, made) == "policy=p1;daily=@12:30,5"

    def test_an_unknown_policy_is_aborted_and_changes_nothing(self, sdk: Client, parent: str) -> None:
        self.update(sdk, parent, "p1")
        code, _ = sdk.refused("Volume/SnapshotScheduleUpdate", volume_id=parent, snapshot_schedule_names=["p1", "no"])
        assert (code, self.schedule(sdk, parent)) == ("ABORTED", "policy=p1")

    def test_a_text_that_cannot_be_read_is_invalid(self, sdk: Client, parent: str) -> None:
        code, text = sdk.refused("Volume/Update", volume_id=parent, spec={"snapshot_schedule": "daily=@99:99"})
        assert (code, "snapshot_schedule" in text) == ("INVALID_ARGUMENT", True)

    def test_of_an_unknown_volume_is_not_found(self, sdk: Client) -> None:
        assert sdk.refused("Volume/SnapshotScheduleUpdate", snapshot_schedule_names=["p1"])[0] == "INVALID_ARGUMENT"
        code, _ = sdk.refused("Volume/SnapshotScheduleUpdate", volume_id=NOBODY, snapshot_schedule_names=["p1"])
        assert code == "NOT_FOUND"
