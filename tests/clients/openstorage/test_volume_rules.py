"""Volumes as the official client sees them: one test for each rule of the SDK's behaviour."""

from __future__ import annotations

from uuid import UUID

import httpx
import pytest
from openstorage_client import Client

from gateway.testing.live import ACCOUNT, PASSWORD, LiveGateway

GIB = 1 << 30
NOBODY = "8b6c0b0e-3d1c-4a6f-9d0a-7a1b7c9d0001"


def offline(gateway: LiveGateway, volume_id: str) -> None:
    """Take a volume offline through the other door."""
    answer = httpx.patch(
        f"{gateway.url}/api/storage/volumes/{volume_id}?return_timeout=15",
        auth=(ACCOUNT, PASSWORD),
        json={"state": "offline"},
    )
    assert answer.json()["job"]


def created(sdk: Client, name: str, **spec: object) -> str:
    return str(sdk("Volume/Create", name=name, spec={"size": GIB, "ha_level": 1, **spec})["volume_id"])


def volume(sdk: Client, volume_id: str) -> dict[str, object]:
    found = sdk("Volume/Inspect", volume_id=volume_id)["volume"]
    assert isinstance(found, dict)
    return found


def scheduled(sdk: Client, volume_id: str) -> tuple[object, object]:
    spec = sdk("Volume/Inspect", volume_id=volume_id)["volume"]["spec"]
    return spec["snapshot_schedule"], spec["snapshot_interval"]


class TestCreate:
    def test_without_a_name_is_invalid(self, sdk: Client) -> None:
        assert sdk.refused("Volume/Create", spec={"size": GIB, "ha_level": 1})[0] == "INVALID_ARGUMENT"

    def test_without_a_spec_is_invalid(self, sdk: Client) -> None:
        assert sdk.refused("Volume/Create", name="v")[0] == "INVALID_ARGUMENT"

    @pytest.mark.parametrize(
        "spec", [{"size": 0, "ha_level": 1}, {"size": 1 << 63, "ha_level": 1}, {"size": GIB, "ha_level": 0}]
    )
    def test_what_the_backend_refuses_is_internal(self, sdk: Client, spec: dict[str, int]) -> None:
        assert sdk.refused("Volume/Create", name="v", spec=spec)[0] == "INTERNAL"
        assert sdk("Volume/Enumerate")["volume_ids"] == []

    def test_more_copies_than_the_pool_keeps_are_invalid(self, sdk: Client) -> None:
        code, text = sdk.refused("Volume/Create", name="v", spec={"size": GIB, "ha_level": 4})
        assert (code, "HA level 4" in text) == ("INVALID_ARGUMENT", True)

    @pytest.mark.parametrize("level", [1, 2, 3])
    def test_a_volatile_pool_takes_one_to_three_copies(self, sdk: Client, level: int) -> None:
        assert volume(sdk, created(sdk, "v", ha_level=level))["spec"]["ha_level"] == str(level)  # type: ignore[index]

    def test_an_encrypted_volume_is_refused(self, sdk: Client) -> None:
        assert sdk.refused("Volume/Create", name="v", spec={"size": GIB, "ha_level": 1, "encrypted": True})[0] == (
            "INVALID_ARGUMENT"
        )

    def test_an_unknown_enum_number_is_invalid(self, sdk: Client) -> None:
        code, text = sdk.refused("Volume/Create", name="v", spec={"size": GIB, "ha_level": 1, "format": 77})
        assert (code, "format" in text) == ("INVALID_ARGUMENT", True)

    def test_the_same_again_gives_the_same_id(self, sdk: Client) -> None:
        first = created(sdk, "v")
        assert created(sdk, "v", ha_level=2, cos="HIGH", format="FS_TYPE_XFS") == first

    @pytest.mark.parametrize("other", [{"size": 2 * GIB}, {"shared": True}])
    def test_another_size_or_sharing_already_exists(self, sdk: Client, other: dict[str, object]) -> None:
        created(sdk, "v")
        assert sdk.refused("Volume/Create", name="v", spec={"size": GIB, "ha_level": 1, **other})[0] == "ALREADY_EXISTS"

    def test_a_clone_of_the_name_already_exists(self, sdk: Client) -> None:
        parent = created(sdk, "v")
        sdk("Volume/Clone", name="c", parent_id=parent)
        assert sdk.refused("Volume/Create", name="c", spec={"size": GIB, "ha_level": 1})[0] == "ALREADY_EXISTS"

    def test_a_volume_of_the_name_that_is_down_is_internal(self, sdk: Client, gateway: LiveGateway) -> None:
        made = created(sdk, "v")
        offline(gateway, made)
        code, text = sdk.refused("Volume/Create", name="v", spec={"size": GIB, "ha_level": 1})
        assert (code, "offline" in text) == ("INTERNAL", True)

    def test_an_attached_volume_of_the_name_is_given_at_once(self, sdk: Client) -> None:
        first = created(sdk, "v")
        sdk("MountAttach/Attach", volume_id=first)
        assert created(sdk, "v") == first

    def test_a_name_equal_to_an_id_gives_that_id(self, sdk: Client) -> None:
        first = created(sdk, "v")
        assert created(sdk, first) == first

    def test_a_deleted_name_is_free_at_once(self, sdk: Client) -> None:
        first = created(sdk, "v")
        sdk("Volume/Delete", volume_id=first)
        assert created(sdk, "v", size=2 * GIB) != first

    def test_labels_of_the_spec_win_over_those_of_the_request(self, sdk: Client) -> None:
        spec = {"size": GIB, "ha_level": 1, "volume_labels": {"a": "spec", "b": "2"}}
        made = sdk("Volume/Create", name="v", spec=spec, labels={"a": "request", "c": "3"})["volume_id"]
        assert sdk("Volume/Inspect", volume_id=made)["labels"] == {"a": "spec", "b": "2", "c": "3"}

    def test_a_new_volume_looks_as_the_suite_expects(self, sdk: Client) -> None:
        spec = {
            "size": GIB,
            "ha_level": 1,
            "cascaded": True,
            "compressed": True,
            "dedupe": True,
            "ephemeral": True,
            "group": {"id": "g"},
            "group_enforced": True,
            "journal": True,
            "scale": 2,
            "snapshot_interval": 60,
            "snapshot_schedule": "daily=@12:30,5",
        }
        made = sdk("Volume/Create", name="v", spec=spec)["volume_id"]
        found = sdk("Volume/Inspect", volume_id=made)
        shown = found["volume"]
        assert UUID(shown["id"]) == UUID(made)
        assert (found["name"], shown["locator"]["name"]) == ("v", "v")
        assert shown["source"] == {"parent": "", "seed": ""}
        assert (shown["state"], shown["status"], shown["attached_on"]) == (
            "VOLUME_STATE_AVAILABLE",
            "VOLUME_STATUS_UP",
            "",
        )
        assert not shown["readonly"]
        kept = {key: shown["spec"][key] for key in spec}
        assert kept == {**spec, "size": str(GIB), "ha_level": "1"}
        assert shown["ctime"] == shown["last_scan"]

    def test_wishes_that_nothing_follows_are_named(self, sdk: Client) -> None:
        shown = volume(sdk, created(sdk, "v", compressed=True, dedupe=True))
        assert shown["runtime_state"] == [{"runtime_state": {"unhonoured": "dedupe, compressed"}}]

    def test_group_and_replica_set_that_were_not_sent_are_not_there(self, sdk: Client) -> None:
        shown = volume(sdk, created(sdk, "v"))
        assert "group" not in shown["spec"]  # type: ignore[operator]
        assert "replica_set" not in shown["spec"]  # type: ignore[operator]

    def test_a_name_that_nothing_can_carry_is_invalid(self, sdk: Client) -> None:
        for name in ("a/b", "x" * 256, "a\nb"):
            assert sdk.refused("Volume/Create", name=name, spec={"size": GIB, "ha_level": 1})[0] == "INVALID_ARGUMENT"

    def test_labels_that_are_too_long_are_invalid(self, sdk: Client) -> None:
        labels = {"k": "x" * 100_000}
        code, _ = sdk.refused("Volume/Create", name="v", spec={"size": GIB, "ha_level": 1}, labels=labels)
        assert code == "INVALID_ARGUMENT"

    def test_a_message_of_five_megabytes_is_refused(self, sdk: Client) -> None:
        labels = {"k": "x" * 5_000_000}
        code, _ = sdk.refused("Volume/Create", name="v", spec={"size": GIB, "ha_level": 1}, labels=labels)
        assert code == "RESOURCE_EXHAUSTED"
        assert sdk("Volume/Enumerate")["volume_ids"] == []

    def test_a_pool_is_chosen_by_its_id(self, sdk: Client) -> None:
        (pool,) = sdk("Node/InspectCurrent")["node"]["pools"]
        made = created(sdk, "v", replica_set={"pool_uuids": [pool["uuid"]]})
        assert volume(sdk, made)["spec"]["replica_set"] == {"nodes": [], "pool_uuids": [pool["uuid"]]}  # type: ignore[index]
        code, text = sdk.refused(
            "Volume/Create", name="w", spec={"size": GIB, "ha_level": 1, "replica_set": {"pool_uuids": [NOBODY]}}
        )
        assert (code, "pool_uuids" in text) == ("INVALID_ARGUMENT", True)


class TestClone:
    def test_without_name_or_parent_is_invalid(self, sdk: Client) -> None:
        assert sdk.refused("Volume/Clone", parent_id=NOBODY)[0] == "INVALID_ARGUMENT"
        assert sdk.refused("Volume/Clone", name="c")[0] == "INVALID_ARGUMENT"

    def test_of_an_unknown_parent_is_not_found(self, sdk: Client) -> None:
        assert sdk.refused("Volume/Clone", name="c", parent_id=NOBODY)[0] == "NOT_FOUND"

    def test_has_the_spec_of_its_parent_and_only_its_own_labels(self, sdk: Client) -> None:
        parent = sdk("Volume/Create", name="v", spec={"size": GIB, "ha_level": 2, "cos": "HIGH"}, labels={"a": "1"})
        made = sdk("Volume/Clone", name="c", parent_id=parent["volume_id"], additional_labels={"b": "2"})["volume_id"]
        found = sdk("Volume/Inspect", volume_id=made)
        assert found["labels"] == {"b": "2"}
        assert found["volume"]["source"]["parent"] == parent["volume_id"]
        assert not found["volume"]["readonly"]
        assert (found["volume"]["spec"]["ha_level"], found["volume"]["spec"]["cos"]) == ("2", "HIGH")

    def test_again_gives_the_same_id_and_of_another_parent_already_exists(self, sdk: Client) -> None:
        parent, other = created(sdk, "v"), created(sdk, "w")
        first = sdk("Volume/Clone", name="c", parent_id=parent)
        assert sdk("Volume/Clone", name="c", parent_id=parent) == first
        assert sdk.refused("Volume/Clone", name="c", parent_id=other)[0] == "ALREADY_EXISTS"

    def test_outlives_its_parent(self, sdk: Client) -> None:
        parent = created(sdk, "v")
        clone = sdk("Volume/Clone", name="c", parent_id=parent)["volume_id"]
        sdk("Volume/Delete", volume_id=parent)
        assert sdk.refused("Volume/Inspect", volume_id=parent)[0] == "NOT_FOUND"
        assert volume(sdk, clone)["id"] == clone
        sdk("Volume/Delete", volume_id=clone)
        assert sdk("Volume/Enumerate")["volume_ids"] == []

    def test_shows_no_snapshot_of_its_making(self, sdk: Client) -> None:
        parent = created(sdk, "v")
        clone = sdk("Volume/Clone", name="c", parent_id=parent)["volume_id"]
        assert sorted(sdk("Volume/Enumerate")["volume_ids"]) == sorted([parent, clone])

    def test_has_the_schedule_of_its_parent(self, sdk: Client) -> None:
        for name in ("p1", "p2"):
            policy = {"name": name, "schedules": [{"retain": 2, "daily": {"hour": 1, "minute": 2}}]}
            sdk("SchedulePolicy/Create", schedule_policy=policy)
        parent = created(sdk, "v", snapshot_schedule="policy=p1,p2;daily=@12:30,5", snapshot_interval=60)
        made = sdk("Volume/Clone", name="c", parent_id=parent)["volume_id"]
        assert scheduled(sdk, made) == ("policy=p1,p2;daily=@12:30,5", 60)

    def test_of_a_snapshot_that_outlived_its_volume_has_no_schedule(self, sdk: Client) -> None:
        parent = created(sdk, "v", snapshot_schedule="daily=@12:30,5", snapshot_interval=60)
        taken = sdk("Volume/SnapshotCreate", volume_id=parent, name="s")["snapshot_id"]
        sdk("Volume/Delete", volume_id=parent)
        made = sdk("Volume/Clone", name="c", parent_id=taken)["volume_id"]
        assert scheduled(sdk, made) == ("", 0)
        assert sdk("Volume/Clone", name="c", parent_id=taken)["volume_id"] == made

    def test_of_a_snapshot_has_the_snapshot_as_parent(self, sdk: Client) -> None:
        parent = created(sdk, "v")
        snapshot = sdk("Volume/SnapshotCreate", volume_id=parent, name="s")["snapshot_id"]
        clone = sdk("Volume/Clone", name="c", parent_id=snapshot)["volume_id"]
        assert volume(sdk, clone)["source"]["parent"] == snapshot  # type: ignore[index]


class TestInspect:
    @pytest.mark.parametrize("call", ["Inspect", "Stats", "CapacityUsage", "Update", "Delete"])
    def test_without_an_id_is_invalid(self, sdk: Client, call: str) -> None:
        assert sdk.refused(f"Volume/{call}")[0] == "INVALID_ARGUMENT"

    @pytest.mark.parametrize("call", ["Inspect", "Stats", "CapacityUsage", "Update"])
    def test_an_unknown_id_is_not_found(self, sdk: Client, call: str) -> None:
        for ref in (NOBODY, "no-such-volume", "\u00e4" * 200):
            assert sdk.refused(f"Volume/{call}", volume_id=ref)[0] == "NOT_FOUND"

    def test_an_id_as_long_as_a_message_is_named_in_part(self, sdk: Client) -> None:
        for call in ("SchedulePolicy/Inspect", "Policy/Inspect", "Role/Inspect"):
            code, text = sdk.refused(call, name="\u00e4" * 100_000)
            assert (code, len(text) < 1000) == ("NOT_FOUND", True)

    def test_takes_the_name_for_an_id(self, sdk: Client) -> None:
        made = created(sdk, "v")
        assert volume(sdk, "v")["id"] == made

    def test_stats_are_there_in_both_modes(self, sdk: Client) -> None:
        made = created(sdk, "v")
        for mode in (False, True):
            assert "stats" in sdk("Volume/Stats", volume_id=made, not_cumulative=mode)

    def test_capacity_usage_is_told_where_it_is_known(self, sdk: Client) -> None:
        made = created(sdk, "v")
        usage = sdk("Volume/CapacityUsage", volume_id=made)["capacity_usage_info"]
        assert usage["exclusive_bytes"] == usage["total_bytes"]
        sdk("Volume/SnapshotCreate", volume_id=made, name="s")
        assert sdk.refused("Volume/CapacityUsage", volume_id=made)[0] == "UNIMPLEMENTED"

    def test_the_catalog_of_files_is_not_served(self, sdk: Client) -> None:
        assert sdk.refused("Volume/VolumeCatalog", volume_id=created(sdk, "v"))[0] == "UNIMPLEMENTED"


class TestDelete:
    def test_of_an_unknown_id_is_no_error(self, sdk: Client) -> None:
        sdk("Volume/Delete", volume_id=NOBODY)

    def test_of_a_sticky_volume_is_refused_until_it_is_not(self, sdk: Client) -> None:
        made = created(sdk, "v", sticky=True)
        assert sdk.refused("Volume/Delete", volume_id=made)[0] == "FAILED_PRECONDITION"
        sdk("Volume/Update", volume_id=made, spec={"sticky": False})
        sdk("Volume/Delete", volume_id=made)

    def test_of_an_attached_volume_is_refused(self, sdk: Client) -> None:
        made = created(sdk, "v")
        sdk("MountAttach/Attach", volume_id=made)
        assert sdk.refused("Volume/Delete", volume_id=made)[0] == "FAILED_PRECONDITION"


class TestUpdate:
    def test_labels_are_merged_and_an_empty_value_takes_one_away(self, sdk: Client) -> None:
        made = sdk("Volume/Create", name="v", spec={"size": GIB, "ha_level": 1}, labels={"a": "1", "b": "2"})
        sdk("Volume/Update", volume_id=made["volume_id"], labels={"b": "", "c": "3"})
        assert sdk("Volume/Inspect", volume_id="v")["labels"] == {"a": "1", "c": "3"}

    def test_no_labels_change_nothing(self, sdk: Client) -> None:
        sdk("Volume/Create", name="v", spec={"size": GIB, "ha_level": 1}, labels={"a": "1"})
        sdk("Volume/Update", volume_id="v", labels={})
        assert sdk("Volume/Inspect", volume_id="v")["labels"] == {"a": "1"}

    def test_a_member_that_is_set_to_its_zero_is_set(self, sdk: Client) -> None:
        made = created(sdk, "v", sticky=True, journal=True)
        sdk("Volume/Update", volume_id=made, spec={"sticky": False})
        assert [volume(sdk, made)["spec"][key] for key in ("sticky", "journal")] == [False, True]  # type: ignore[index]

    def test_the_size_grows(self, sdk: Client) -> None:
        made = created(sdk, "v")
        sdk("Volume/Update", volume_id=made, spec={"size": 2 * GIB})
        assert volume(sdk, made)["spec"]["size"] == str(2 * GIB)  # type: ignore[index]

    def test_more_copies_are_seen_at_once(self, sdk: Client) -> None:
        made = created(sdk, "v")
        sdk("Volume/Update", volume_id=made, spec={"ha_level": 2})
        assert volume(sdk, made)["spec"]["ha_level"] == "2"  # type: ignore[index]

    def test_an_interval_can_be_left_unchanged(self, sdk: Client) -> None:
        made = created(sdk, "v", snapshot_schedule="daily=@12:30,5", snapshot_interval=60)
        sdk("Volume/Update", volume_id=made, spec={"snapshot_interval": (1 << 32) - 1})
        assert scheduled(sdk, made) == ("daily=@12:30,5", 60)
        sdk("Volume/Update", volume_id=made, spec={"snapshot_interval": 0})
        assert scheduled(sdk, made) == ("daily=@12:30,5", 0)

    def test_sharing_over_nfs_is_refused_where_it_cannot_be_also_for_a_shared_one(self, sdk: Client) -> None:
        made = created(sdk, "v", shared=True)
        code, text = sdk.refused("Volume/Update", volume_id=made, spec={"sharedv4": True})
        assert (code, "sharedv4" in text) == ("INVALID_ARGUMENT", True)

    @pytest.mark.parametrize("spec", [{"ha_level": 9}, {"io_profile": 99}, {"passphrase": "x"}, {"size": 1 << 63}])
    def test_what_cannot_be_is_refused_and_changes_nothing(self, sdk: Client, spec: dict[str, object]) -> None:
        made = created(sdk, "v")
        before = volume(sdk, made)
        assert sdk.refused("Volume/Update", volume_id=made, spec=spec, labels={"a": "1"})[0] in {
            "INVALID_ARGUMENT",
            "OUT_OF_RANGE",
        }
        assert volume(sdk, made) == before


class TestLists:
    @pytest.fixture
    def three(self, sdk: Client) -> dict[str, str]:
        made = {}
        for name, labels in (("a", {"k": "1", "l": "x"}), ("b", {"k": "1"}), ("c", {"k": "2"})):
            spec = {"size": GIB, "ha_level": 1, **({"group": {"id": "g"}} if name == "c" else {})}
            made[name] = sdk("Volume/Create", name=name, spec=spec, labels=labels)["volume_id"]
        made["s"] = sdk("Volume/SnapshotCreate", volume_id=made["a"], name="s", labels={"k": "1"})["snapshot_id"]
        return made

    @pytest.mark.parametrize(
        ("filters", "found"),
        [
            ({}, "abcs"),
            ({"name": "a"}, "a"),
            ({"name": "s"}, "s"),
            ({"name": "."}, ""),
            ({"labels": {"k": "1"}}, "abs"),
            ({"labels": {"k": "1", "l": "x"}}, "a"),
            ({"labels": {"k": "3"}}, ""),
            ({"name": "b", "labels": {"k": "2"}}, ""),
            ({"group": {"id": "g"}}, "c"),
            ({"ownership": {"owner": "somebody"}}, ""),
        ],
    )
    def test_every_filter_that_is_set_must_pass(
        self, sdk: Client, three: dict[str, str], filters: dict[str, object], found: str
    ) -> None:
        wanted = sorted(three[name] for name in found)
        assert sorted(sdk("Volume/EnumerateWithFilters", **filters)["volume_ids"]) == wanted
        inspected = sdk("Volume/InspectWithFilters", **filters)["volumes"]
        assert sorted(each["volume"]["id"] for each in inspected) == wanted

    def test_a_colon_belongs_to_the_key_or_to_the_value(self, sdk: Client) -> None:
        made = sdk("Volume/Create", name="v", spec={"size": GIB, "ha_level": 1}, labels={"a": "b:c"})["volume_id"]
        for call, answer in (
            ("Volume/EnumerateWithFilters", "volume_ids"),
            ("Volume/SnapshotEnumerateWithFilters", "volume_snapshot_ids"),
        ):
            assert sdk(call, labels={"a:b": "c"})[answer] == []
        assert sdk("Volume/EnumerateWithFilters", labels={"a": "b:c"})["volume_ids"] == [made]

    def test_enumerate_gives_volumes_and_snapshots(self, sdk: Client, three: dict[str, str]) -> None:
        assert sorted(sdk("Volume/Enumerate")["volume_ids"]) == sorted(three.values())
