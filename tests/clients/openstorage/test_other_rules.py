"""Identity, cluster, nodes, policies and roles as the official client sees them: one test for each rule."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from openstorage_client import Client

NOBODY = "8b6c0b0e-3d1c-4a6f-9d0a-7a1b7c9d0001"
GIB = 1 << 30


class TestAnOpenDoor:
    @pytest.mark.parametrize("header", ["bearer x", "bearer a.b.c", "basic YTpi", ""])
    def test_looks_at_no_token(self, sdk: Client, header: str) -> None:
        assert sdk("Volume/Enumerate", _metadata=[["authorization", header]]) == {"volume_ids": []}

    def test_takes_any_driver_for_the_only_one(self, sdk: Client) -> None:
        assert sdk("Volume/Enumerate", _metadata=[["driver", "no-such"]]) == {"volume_ids": []}


class TestIdentity:
    def test_the_version_is_its_parts_joined(self, sdk: Client) -> None:
        found = sdk("Identity/Version")
        version = found["sdk_version"]
        assert version["version"] == f"{version['major']}.{version['minor']}.{version['patch']}" == "0.101.39"
        assert found["version"]["driver"]
        assert found["version"]["version"]

    def test_only_what_is_served_is_announced(self, sdk: Client) -> None:
        announced = {each["service"]["type"] for each in sdk("Identity/Capabilities")["capabilities"]}
        calls = {
            "CLUSTER": "Cluster/InspectCurrent",
            "NODE": "Node/Enumerate",
            "VOLUME": "Volume/Enumerate",
            "MOUNT_ATTACH": "MountAttach/Attach",
            "SCHEDULE_POLICY": "SchedulePolicy/Enumerate",
            "STORAGE_POLICY": "Policy/Enumerate",
            "ROLE": "Role/Enumerate",
            "CREDENTIALS": "Credentials/Enumerate",
            "CLOUD_BACKUP": "CloudBackup/SchedEnumerate",
            "OBJECT_STORAGE": "Objectstore/Inspect",
            "ALERTS": "Alerts/Delete",
            "MIGRATE": "Migrate/Status",
            "CLUSTER_PAIR": "ClusterPair/Enumerate",
        }
        for name, call in calls.items():
            try:
                sdk(call)
                served = True
            except Exception as error:  # noqa: BLE001 - any other status is an answer
                served = getattr(error, "code", "") != "UNIMPLEMENTED"
            assert served == (name in announced), name


class TestNodes:
    def test_the_cluster_has_id_name_and_status(self, sdk: Client) -> None:
        cluster = sdk("Cluster/InspectCurrent")["cluster"]
        assert cluster["id"]
        assert (cluster["name"], cluster["status"]) == ("gateway", "STATUS_OK")

    def test_a_node_echoes_its_id(self, sdk: Client) -> None:
        (node_id,) = sdk("Node/Enumerate")["node_ids"]
        node = sdk("Node/Inspect", node_id=node_id)["node"]
        assert node["id"] == node_id == sdk("Node/InspectCurrent")["node"]["id"]
        assert [each["id"] for each in sdk("Node/EnumerateWithFilters")["nodes"]] == [node_id]
        assert node["hostname"]
        assert node["security_status"] == "UNSECURED"
        assert [pool["labels"]["driver"] for pool in node["pools"]] == ["memory"]

    def test_an_empty_id_is_invalid_and_an_unknown_one_internal(self, sdk: Client) -> None:
        assert sdk.refused("Node/Inspect")[0] == "INVALID_ARGUMENT"
        assert sdk.refused("Node/Inspect", node_id=NOBODY)[0] == "INTERNAL"

    def test_usage_names_every_volume(self, sdk: Client) -> None:
        made = sdk("Volume/Create", name="v", spec={"size": GIB, "ha_level": 1})["volume_id"]
        (node_id,) = sdk("Node/Enumerate")["node_ids"]
        usage = sdk("Node/VolumeUsageByNode", node_id=node_id)["volume_usage_info"]["volume_usage"]
        assert [each["volume_id"] for each in usage] == [made]


DAILY = {"retain": 3, "daily": {"hour": 12, "minute": 30}}


class TestSchedulePolicies:
    @pytest.fixture(autouse=True)
    def _clean(self, sdk: Client) -> Iterator[None]:
        before = {policy["name"] for policy in sdk("SchedulePolicy/Enumerate")["policies"]}
        yield
        for policy in sdk("SchedulePolicy/Enumerate")["policies"]:
            if policy["name"] not in before:
                sdk("SchedulePolicy/Delete", name=policy["name"])

    @pytest.mark.parametrize(
        "policy",
        [
            {"name": "", "schedules": [DAILY]},
            {"name": "p", "schedules": []},
            {"name": "p", "schedules": [{**DAILY, "retain": 0}]},
            {"name": "p", "schedules": [{"retain": 1}]},
            {"name": "p", "schedules": [{"retain": 1, "daily": {"hour": 24, "minute": 0}}]},
            {"name": "p", "schedules": [{"retain": 1, "daily": {"hour": 1, "minute": 60}}]},
            {"name": "p", "schedules": [{"retain": 1, "monthly": {"day": 29, "hour": 1}}]},
            {"name": "p", "schedules": [{"retain": 1, "weekly": {"day": 9}}]},
            {"name": "p", "schedules": [{"retain": 1, "periodic": {"seconds": 0}}]},
        ],
    )
    def test_a_policy_that_says_too_little_or_too_much_is_invalid(self, sdk: Client, policy: object) -> None:
        count = len(sdk("SchedulePolicy/Enumerate")["policies"])
        assert sdk.refused("SchedulePolicy/Create", schedule_policy=policy)[0] == "INVALID_ARGUMENT"
        assert len(sdk("SchedulePolicy/Enumerate")["policies"]) == count

    def test_all_periods_come_back_as_they_were(self, sdk: Client) -> None:
        policy = {
            "name": "p",
            "schedules": [
                {"retain": "1", "daily": {"hour": 12, "minute": 30}},
                {"retain": "2", "weekly": {"day": "SdkTimeWeekdaySaturday", "hour": 1, "minute": 2}},
                {"retain": "3", "monthly": {"day": 28, "hour": 23, "minute": 59}},
                {"retain": "4", "periodic": {"seconds": "90"}},
            ],
        }
        before = len(sdk("SchedulePolicy/Enumerate")["policies"])
        sdk("SchedulePolicy/Create", schedule_policy=policy)
        assert sdk("SchedulePolicy/Inspect", name="p")["policy"] == policy
        found = sdk("SchedulePolicy/Enumerate")["policies"]
        assert len(found) == before + 1
        assert policy in found

    def test_the_same_again_is_no_error_and_another_already_exists(self, sdk: Client) -> None:
        sdk("SchedulePolicy/Create", schedule_policy={"name": "p", "schedules": [DAILY]})
        sdk("SchedulePolicy/Create", schedule_policy={"name": "p", "schedules": [DAILY]})
        other = {"name": "p", "schedules": [{**DAILY, "retain": 4}]}
        assert sdk.refused("SchedulePolicy/Create", schedule_policy=other)[0] == "ALREADY_EXISTS"

    def test_an_update_replaces_the_schedules(self, sdk: Client) -> None:
        sdk("SchedulePolicy/Create", schedule_policy={"name": "p", "schedules": [DAILY]})
        other = {"name": "p", "schedules": [{"retain": "9", "periodic": {"seconds": "3600"}}]}
        sdk("SchedulePolicy/Update", schedule_policy=other)
        assert sdk("SchedulePolicy/Inspect", name="p")["policy"] == other

    def test_names_that_are_empty_or_unknown(self, sdk: Client) -> None:
        assert sdk.refused("SchedulePolicy/Update", schedule_policy={"schedules": [DAILY]})[0] == "INVALID_ARGUMENT"
        policy = {"name": "no", "schedules": [DAILY]}
        assert sdk.refused("SchedulePolicy/Update", schedule_policy=policy)[0] == "NOT_FOUND"
        assert sdk.refused("SchedulePolicy/Inspect")[0] == "INVALID_ARGUMENT"
        assert sdk.refused("SchedulePolicy/Inspect", name="no")[0] == "NOT_FOUND"
        assert sdk.refused("SchedulePolicy/Delete")[0] == "INVALID_ARGUMENT"
        sdk("SchedulePolicy/Delete", name="no")

    @pytest.mark.parametrize("name", ["a,b", "a;b", "a=b", "--", " x"])
    def test_a_name_that_no_schedule_could_hold_is_invalid(self, sdk: Client, name: str) -> None:
        code, text = sdk.refused("SchedulePolicy/Create", schedule_policy={"name": name, "schedules": [DAILY]})
        assert (code, "schedule_policy.name" in text) == ("INVALID_ARGUMENT", True)

    def test_one_that_a_volume_has_cannot_go(self, sdk: Client) -> None:
        sdk("SchedulePolicy/Create", schedule_policy={"name": "p", "schedules": [DAILY]})
        spec = {"size": GIB, "ha_level": 1, "snapshot_schedule": "policy=p"}
        sdk("Volume/Create", name="v", spec=spec)
        assert sdk.refused("SchedulePolicy/Delete", name="p")[0] == "FAILED_PRECONDITION"
        sdk("Volume/Delete", volume_id="v")


class TestStoragePolicies:
    @pytest.fixture(autouse=True)
    def _clean(self, sdk: Client) -> Iterator[None]:
        yield
        for policy in sdk("Policy/Enumerate")["storage_policies"]:
            sdk("Policy/Delete", name=policy["name"])

    def make(self, sdk: Client, name: str, *, force: bool = False, **policy: object) -> None:
        sdk("Policy/Create", storage_policy={"name": name, "policy": policy, "force": force})

    def test_need_a_name_and_rules(self, sdk: Client) -> None:
        assert sdk.refused("Policy/Create", storage_policy={"policy": {"ha_level": 2}})[0] == "INVALID_ARGUMENT"
        assert sdk.refused("Policy/Create", storage_policy={"name": "p"})[0] == "INVALID_ARGUMENT"

    def test_a_second_of_the_name_already_exists(self, sdk: Client) -> None:
        self.make(sdk, "p", ha_level=2)
        policy = {"name": "p", "policy": {"ha_level": 2}}
        assert sdk.refused("Policy/Create", storage_policy=policy)[0] == "ALREADY_EXISTS"

    def test_unknown_ones_are_not_found_but_deleting_is_no_error(self, sdk: Client) -> None:
        policy = {"name": "no", "policy": {"ha_level": 2}}
        assert sdk.refused("Policy/Update", storage_policy=policy)[0] == "NOT_FOUND"
        assert sdk.refused("Policy/Inspect", name="no")[0] == "NOT_FOUND"
        assert sdk.refused("Policy/SetDefault", name="no")[0] == "NOT_FOUND"
        sdk("Policy/Delete", name="no")

    def test_one_that_is_not_forced_puts_its_values_in_place(self, sdk: Client) -> None:
        self.make(sdk, "p", ha_level=2, cos="HIGH", size=GIB, size_operator="Minimum", volume_labels={"a": "1"})
        spec = {"size": 1 << 20, "ha_level": 1, "storage_policy": "p"}
        made = sdk("Volume/Create", name="v", spec=spec)["volume_id"]
        found = sdk("Volume/Inspect", volume_id=made)
        shown = found["volume"]["spec"]
        assert [shown[key] for key in ("ha_level", "cos", "size", "storage_policy")] == ["2", "HIGH", str(GIB), "p"]
        assert found["labels"] == {"a": "1"}

    def test_one_that_is_forced_refuses_what_differs(self, sdk: Client) -> None:
        self.make(sdk, "p", force=True, ha_level=2, ha_level_operator="Maximum")
        spec = {"size": GIB, "ha_level": 3, "storage_policy": "p"}
        code, text = sdk.refused("Volume/Create", name="v", spec=spec)
        assert (code, "ha_level" in text) == ("INVALID_ARGUMENT", True)
        sdk("Volume/Create", name="v", spec={**spec, "ha_level": 1})

    def test_one_that_is_forced_binds_updates_too_and_lets_pass_what_keeps_it(self, sdk: Client) -> None:
        self.make(sdk, "p", force=True, snapshot_schedule="daily=@12:30", cos="HIGH")
        spec = {"size": GIB, "ha_level": 1, "storage_policy": "p", "cos": "HIGH"}
        made = sdk("Volume/Create", name="v", spec={**spec, "snapshot_schedule": "daily=12:30,7"})["volume_id"]
        sdk("Volume/Update", volume_id=made, spec={"size": 2 * GIB})
        for other in ({"cos": "LOW"}, {"snapshot_schedule": "daily=@12:31"}):
            code, text = sdk.refused("Volume/Update", volume_id=made, spec=other)
            assert (code, next(iter(other)) in text) == ("INVALID_ARGUMENT", True)

    def test_one_whose_schedule_cannot_be_read_is_invalid(self, sdk: Client) -> None:
        policy = {"name": "p", "policy": {"snapshot_schedule": "daily=@99"}}
        code, text = sdk.refused("Policy/Create", storage_policy=policy)
        assert (code, "policy.snapshot_schedule" in text) == ("INVALID_ARGUMENT", True)

    def test_one_that_does_not_exist_is_not_found(self, sdk: Client) -> None:
        spec = {"size": GIB, "ha_level": 1, "storage_policy": "no"}
        assert sdk.refused("Volume/Create", name="v", spec=spec)[0] == "NOT_FOUND"

    def test_the_default_one_is_that_of_all_who_name_none(self, sdk: Client) -> None:
        assert sdk("Policy/DefaultInspect") == {}
        self.make(sdk, "p", ha_level=3)
        sdk("Policy/SetDefault", name="p")
        assert sdk("Policy/DefaultInspect")["storage_policy"]["name"] == "p"
        sdk("Volume/Create", name="v", spec={"size": GIB, "ha_level": 1})
        assert sdk("Volume/Inspect", volume_id="v")["volume"]["spec"]["ha_level"] == "3"
        sdk("Policy/Release")
        assert sdk("Policy/DefaultInspect") == {}

    def test_deleting_the_default_one_releases_it(self, sdk: Client) -> None:
        self.make(sdk, "p", ha_level=3)
        sdk("Policy/SetDefault", name="p")
        sdk("Policy/Delete", name="p")
        assert sdk("Policy/DefaultInspect") == {}

    def test_a_changed_volume_stays_under_its_policy_unless_that_allows_it(self, sdk: Client) -> None:
        self.make(sdk, "p", force=True, ha_level=2)
        sdk("Volume/Create", name="v", spec={"size": GIB, "ha_level": 2, "storage_policy": "p"})
        assert sdk.refused("Volume/Update", volume_id="v", spec={"ha_level": 1})[0] == "INVALID_ARGUMENT"
        policy = {"name": "p", "policy": {"ha_level": 2}, "force": True, "allow_update": True}
        sdk("Policy/Update", storage_policy=policy)
        sdk("Volume/Update", volume_id="v", spec={"ha_level": 1})


RULES = [{"services": ["volume"], "apis": ["inspect*"]}]


class TestRoles:
    @pytest.fixture(autouse=True)
    def _clean(self, sdk: Client) -> Iterator[None]:
        yield
        for name in sdk("Role/Enumerate")["names"]:
            if not name.startswith("system."):
                sdk("Role/Delete", name=name)

    def test_a_new_one_is_echoed_and_the_same_again_is_no_error(self, sdk: Client) -> None:
        role = {"name": "r", "rules": RULES}
        assert sdk("Role/Create", role=role)["role"] == role
        assert sdk("Role/Create", role=role)["role"] == role
        assert sdk("Role/Inspect", name="r")["role"] == role
        other = {"name": "r", "rules": [{"services": ["*"], "apis": ["*"]}]}
        assert sdk.refused("Role/Create", role=other)[0] == "ALREADY_EXISTS"

    @pytest.mark.parametrize(
        "role",
        [
            {},
            {"name": "r"},
            {"rules": RULES},
            {"name": "a/b", "rules": RULES},
            {"name": "a b", "rules": RULES},
            {"name": "system.admin", "rules": RULES},
            {"name": "r", "rules": [{"services": [], "apis": ["*"]}]},
            {"name": "r", "rules": [{"services": ["*"], "apis": []}]},
        ],
    )
    def test_one_that_cannot_be_is_invalid(self, sdk: Client, role: object) -> None:
        assert sdk.refused("Role/Create", role=role)[0] == "INVALID_ARGUMENT"

    def test_default_roles_do_not_change_but_for_the_guests(self, sdk: Client) -> None:
        assert {"system.admin", "system.view", "system.user", "system.guest"} <= set(sdk("Role/Enumerate")["names"])
        role = {"name": "system.user", "rules": RULES}
        assert sdk.refused("Role/Update", role=role)[0] == "INVALID_ARGUMENT"
        assert sdk.refused("Role/Delete", name="system.user")[0] == "INVALID_ARGUMENT"
        before = sdk("Role/Inspect", name="system.guest")["role"]
        sdk("Role/Update", role={"name": "system.guest", "rules": RULES})
        assert sdk("Role/Inspect", name="system.guest")["role"]["rules"] == RULES
        sdk("Role/Update", role=before)

    def test_unknown_ones(self, sdk: Client) -> None:
        assert sdk.refused("Role/Inspect", name="no")[0] == "NOT_FOUND"
        assert sdk.refused("Role/Update", role={"name": "no", "rules": RULES})[0] == "NOT_FOUND"
        sdk("Role/Delete", name="no")
