"""Consistency groups: of several volumes, of one, and what is refused."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from live_scene import MISSING, SNAPSHOTS, SVMS, VOLUMES, Door, door, refusal

from gateway.testing.live import LiveGateway, live_gateway

GROUPS = "/api/application/consistency-groups"
POOLS = '[backend.memory]\n[backend.other]\ndriver = "memory"\n'
ADD = {"provisioning_options": {"action": "add"}}


@pytest.fixture(scope="module")
def gateway(tmp_path_factory: pytest.TempPathFactory) -> Iterator[LiveGateway]:
    folder: Path = tmp_path_factory.mktemp("groups")
    with live_gateway(folder, pools=POOLS) as running:
        yield running


@pytest.fixture
def ontap(gateway: LiveGateway) -> Iterator[Door]:
    with door(gateway) as opened:
        yield opened
        for record in opened.get(GROUPS)["records"]:
            opened.must("DELETE", f"{GROUPS}/{record['uuid']}")
        opened.leave_nothing()


def group(ontap: Door, *volumes: str, name: str = "group") -> str:
    """Make a group and give its path."""
    body = {"name": name, "svm": {"name": "svm1"}, "volumes": [{"name": each, **ADD} for each in volumes]}
    answer = ontap.ask("POST", GROUPS, body)
    assert answer.status_code == 201, answer.text
    return str(answer.headers["Location"])


def names(ontap: Door, path: str) -> list[str]:
    return [volume["name"] for volume in ontap.get(path)["volumes"]]


def snapshots(ontap: Door, volume: str) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = ontap.get(f"{SNAPSHOTS.format(volume)}?fields=name,create_time")["records"]
    return found


def test_all_volumes_of_a_group_have_a_snapshot_of_one_instant(ontap: Door) -> None:
    one, two = ontap.volume("one"), ontap.volume("two")
    path = group(ontap, "one", "two")
    answer = ontap.ask("POST", f"{path}/snapshots", {"name": "first", "consistency_type": "crash"})
    assert answer.status_code == 201
    taken = ontap.get(answer.headers["Location"])
    assert taken.items() >= {"name": "first", "consistency_type": "crash", "is_partial": False}.items()
    parts = [snapshots(ontap, volume)[0] for volume in (one, two)]
    assert len({part["create_time"] for part in parts}) == 1
    assert {each["snapshot"]["uuid"] for each in taken["snapshot_volumes"]} == {part["uuid"] for part in parts}
    assert ontap.get(f"{path}/snapshots?name=first&fields=uuid")["records"][0]["uuid"] == taken["uuid"]
    assert ontap.get(f"{GROUPS}/*/snapshots?name=first")["num_records"] == 1
    assert refusal(ontap.ask("POST", f"{path}/snapshots", {"name": "first"}))[0] == 409
    ontap.must("DELETE", answer.headers["Location"])
    assert refusal(ontap.ask("GET", answer.headers["Location"])) == (404, "4")
    assert snapshots(ontap, one) == snapshots(ontap, two) == []


def test_the_snapshots_stay_when_the_group_goes(ontap: Door) -> None:
    one = ontap.volume("one")
    path = group(ontap, "one")
    ontap.must("POST", f"{path}/snapshots", {"name": "first", "snapmirror_label": "l"})
    ontap.must("DELETE", path)
    assert refusal(ontap.ask("GET", path)) == (404, "4")
    assert [snapshot["name"] for snapshot in snapshots(ontap, one)] == ["first"]
    again = group(ontap, "one")
    assert ontap.get(f"{again}/snapshots")["num_records"] == 0


def test_a_snapshot_is_partial_when_it_lacks_a_volume(ontap: Door) -> None:
    one = ontap.volume("one")
    ontap.volume("two")
    path = group(ontap, "one", "two")
    ontap.must("POST", f"{path}/snapshots", {"name": "first"})
    (part,) = snapshots(ontap, one)
    ontap.must("DELETE", f"{SNAPSHOTS.format(one)}/{part['uuid']}?return_timeout=60")
    (taken,) = ontap.get(f"{path}/snapshots?fields=*")["records"]
    assert taken["is_partial"]
    assert [volume["name"] for volume in taken["missing_volumes"]] == ["one"]


def test_volumes_join_and_leave(ontap: Door) -> None:
    one = ontap.volume("one")
    ontap.volume("two")
    path = group(ontap, "one")
    ontap.must("PATCH", path, {"volumes": [{"name": "two", **ADD}]})
    ontap.must("PATCH", path, {"volumes": [{"name": "two", **ADD}]})
    assert names(ontap, path) == ["one", "two"]
    assert ontap.get(f"{GROUPS}?volumes.name=two&svm.name=svm1&fields=name,uuid")["num_records"] == 1
    ontap.must("PATCH", path, {"volumes": [{"uuid": one, "provisioning_options.action": "remove"}]})
    assert names(ontap, path) == ["two"]
    assert ontap.get(path)["space"]["size"] == 20 << 20
    two = ontap.get(path)["volumes"][0]["uuid"]
    ontap.must("DELETE", f"{VOLUMES}/{two}?return_timeout=60")
    assert "volumes" not in ontap.get(f"{path}?fields=volumes.name") or names(ontap, path) == []
    assert refusal(ontap.ask("POST", f"{path}/snapshots", {"name": "none"}))[0] == 400


def test_what_is_no_group_is_refused(ontap: Door) -> None:
    ontap.volume("one")
    ontap.volume("two")
    path = group(ontap, "one")
    svm = {"svm": {"name": "svm1"}}
    for body, expected in (
        ({"name": "new", **svm}, (400, "262212")),
        ({"name": "new", **svm, "volumes": [{"name": "gone", **ADD}]}, (404, "918235")),
        ({"name": "new", **svm, "volumes": [ADD]}, (400, "53411846")),
        ({**svm, "volumes": [{"name": "one"}, {"name": "two"}]}, (400, "53411846")),
        ({"name": "new", **svm, "volumes": [{"name": "one", **ADD}]}, (409, "53411860")),
        ({"name": "new", **svm, "volumes": [{"name": "two"}, {"name": "two"}]}, (400, "53411853")),
        ({"name": "group", **svm, "volumes": [{"name": "two", **ADD}]}, (409, "53411852")),
        ({**svm, "volumes": [{"name": "two", "provisioning_options.action": "create"}]}, (400, "53411856")),
    ):
        assert refusal(ontap.ask("POST", GROUPS, body)) == expected
    snapshot = {"name": "first", "consistency_type": "application"}
    assert refusal(ontap.ask("POST", f"{path}/snapshots", snapshot)) == (400, "262144017")
    assert refusal(ontap.ask("POST", f"{GROUPS}/{MISSING}/snapshots", {"name": "first"})) == (404, "4")
    assert refusal(ontap.ask("POST", f"{GROUPS}/*/snapshots", {"name": "first"})) == (404, "4")


def test_volumes_of_several_pools_have_no_common_instant(ontap: Door) -> None:
    one = ontap.volume("one")
    ontap.volume("two", aggregates=[{"name": "other"}])
    path = group(ontap, "one", "two")
    assert refusal(ontap.ask("POST", f"{path}/snapshots", {"name": "first"}))[0] == 400
    assert snapshots(ontap, one) == []


def test_w3_a_group_is_made_in_the_svm_of_the_header(ontap: Door) -> None:
    ontap.must("POST", f"{SVMS}?return_timeout=60", {"name": "svm2"})
    tunnel = {"x_dot_svm_name": "svm2"}
    ontap.must("POST", f"{VOLUMES}?return_timeout=60", {"name": "one", "aggregates": [{"name": "memory"}]}, **tunnel)
    made = ontap.ask("POST", GROUPS, {"volumes": [{"name": "one"}]}, **tunnel)
    assert made.status_code == 201, made.text
    found = ontap.get(made.headers["Location"])
    assert (found["name"], found["svm"]["name"]) == ("one", "svm2")
    assert ontap.get(GROUPS, x_dot_svm_name="svm1")["num_records"] == 0
    (volume,) = ontap.get(VOLUMES, **tunnel)["records"]
    ontap.must("DELETE", f"{VOLUMES}/{volume['uuid']}?return_timeout=60")
    (svm,) = ontap.get(SVMS, **tunnel)["records"]
    ontap.must("DELETE", f"{SVMS}/{svm['uuid']}?return_timeout=60")
    assert ontap.get(GROUPS)["num_records"] == 0
