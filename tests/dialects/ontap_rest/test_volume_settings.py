"""What ONTAP can say about a volume beyond its size: what is carried out here is shown, the rest refused."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
from live_scene import MISSING, VOLUMES, Door, door, refusal

from gateway.frontends.ontap_rest.errors import WireError
from gateway.frontends.ontap_rest.writes.svms import check_services
from gateway.testing.live import live_gateway

MIB = 1 << 20
SIZE = 100 * MIB
QOS = "/api/storage/qos/policies"
POOLS = '[backend.memory]\n[backend.second]\ndriver = "memory"\n'


@pytest.fixture(scope="module")
def live(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Door]:
    with live_gateway(tmp_path_factory.mktemp("settings"), pools=POOLS) as gateway, door(gateway) as found:
        yield found


@pytest.fixture
def ontap(live: Door) -> Iterator[Door]:
    yield live
    live.leave_nothing()
    live.must("DELETE", f"{QOS}?name=*")


def shown(ontap: Door, uuid: str) -> dict[str, Any]:
    found: dict[str, Any] = ontap.get(f"{VOLUMES}/{uuid}?fields=**")
    return found


def patch(ontap: Door, uuid: str, body: dict[str, Any]) -> dict[str, Any]:
    job = ontap.job(ontap.must("PATCH", f"{VOLUMES}/{uuid}", body))
    assert job["state"] == "success", job
    return shown(ontap, uuid)


# --- what Manila sends with every share ---


def test_w18_the_share_that_manila_makes_is_made_where_space_can_be_reserved(ontap: Door) -> None:
    uuid = ontap.volume(
        "share_1",
        size=SIZE,
        style="flexvol",
        type="rw",
        **{
            "guarantee.type": "volume",
            "nas.path": "/share_1",
            "space.snapshot.reserve_percent": "5",
            "_tags": ["share_id:1"],
            "encryption.enabled": "false",
        },
    )
    volume = shown(ontap, uuid)
    assert volume["guarantee"] == {"type": "volume", "honored": True}
    assert volume["space"]["snapshot"] == {"reserve_percent": 5, "reserve_size": SIZE // 20}
    assert volume["encryption"]["enabled"] is False
    changed = patch(ontap, uuid, {"space.filesystem_size_fixed": False})
    changed = patch(ontap, uuid, {"space.size": 2 * SIZE})
    assert (changed["size"], changed["space"]["snapshot"]["reserve_size"]) == (2 * SIZE, SIZE // 10)
    hidden = {
        "guarantee": {"type": "volume"},
        "_tags": ["share_id:2"],
        "snapshot_directory_access_enabled": "false",
        "autosize": {"mode": "grow", "maximum": "1g"},
    }
    changed = patch(ontap, uuid, hidden)
    assert changed["_tags"] == ["share_id:2"]
    assert changed["autosize"]["maximum"] == 1 << 30


def test_a_snapshot_directory_that_no_export_shows_is_not_promised(ontap: Door) -> None:
    uuid = ontap.volume("share_1", size=SIZE)
    answer = ontap.ask("PATCH", f"{VOLUMES}/{uuid}", {"snapshot_directory_access_enabled": "true"})
    assert refusal(answer) == (400, "918703")
    assert "snapshot_directory_access_enabled" in answer.json()["error"]["message"]


# --- the snapshot reserve ---


def test_the_snapshot_reserve_is_no_room_for_files(ontap: Door) -> None:
    uuid = ontap.volume("v", size=SIZE, **{"space.snapshot.reserve_percent": 20})
    space = shown(ontap, uuid)["space"]
    assert (space["afs_total"], space["filesystem_size"], space["size"]) == (80 * MIB, SIZE, SIZE)
    assert space["available"] <= 80 * MIB
    assert ontap.names("space.afs_total=80MB") == ["v"]
    assert ontap.names("space.snapshot.reserve_percent=>5") == ["v"]
    space = patch(ontap, uuid, {"space.snapshot.reserve_percent": 0})["space"]
    assert (space["afs_total"], space["snapshot"]["reserve_percent"]) == (SIZE, 0)


def test_the_snapshot_reserve_outlives_a_copy_and_not_a_conversion(ontap: Door) -> None:
    ontap.volume("v", size=SIZE, **{"space.snapshot.reserve_percent": 20})
    copy = {"name": "copy", "svm.name": "svm1", "clone.is_flexclone": True, "clone.parent_volume.name": "v"}
    ontap.must("POST", f"{VOLUMES}?return_timeout=60", copy)
    assert ontap.get(f"{VOLUMES}?name=copy&fields=space.snapshot.reserve_percent")["records"][0]["space"] == {
        "snapshot": {"reserve_percent": 20}
    }


@pytest.mark.parametrize("percent", [-1, 91, 100])
def test_a_snapshot_reserve_out_of_range_is_refused(ontap: Door, percent: int) -> None:
    body = {"name": "v", "svm.name": "svm1", "aggregates": [{"name": "memory"}], "size": SIZE}
    answer = ontap.ask("POST", VOLUMES, {**body, "space.snapshot.reserve_percent": percent})
    assert refusal(answer) == (400, "917835")


# --- autosize ---


def test_autosize_is_shown_as_it_was_set_and_the_rest_as_usual(ontap: Door) -> None:
    uuid = ontap.volume("v", size=SIZE)
    assert shown(ontap, uuid)["autosize"] == {"mode": "off"}
    found = patch(ontap, uuid, {"autosize": {"mode": "grow", "maximum": "40g"}})["autosize"]
    assert found == {
        "mode": "grow",
        "maximum": 40 << 30,
        "minimum": SIZE,
        "grow_threshold": 85,
        "shrink_threshold": 50,
    }
    assert ontap.names("autosize.mode=grow") == ["v"]
    assert patch(ontap, uuid, {"autosize.grow_threshold": 90})["autosize"]["grow_threshold"] == 90
    assert patch(ontap, uuid, {"autosize.mode": "off"})["autosize"]["mode"] == "off"


def test_a_copy_of_a_volume_keeps_its_size_whatever_the_volume_does(ontap: Door) -> None:
    ontap.volume("v", size=SIZE, autosize={"mode": "grow"})
    copy = {"name": "copy", "svm.name": "svm1", "clone.is_flexclone": True, "clone.parent_volume.name": "v"}
    ontap.must("POST", f"{VOLUMES}?return_timeout=60", copy)
    assert ontap.names("autosize.mode=grow") == ["v"]
    assert ontap.names("autosize.mode=off") == ["copy"]


@pytest.mark.parametrize(
    ("autosize", "code"),
    [
        pytest.param({"mode": "grow", "grow_threshold": 40}, "917829", id="thresholds"),
        pytest.param({"mode": "grow", "minimum": "300MB", "maximum": "200MB"}, "917831", id="bounds"),
        pytest.param({"mode": "grow", "maximum": "50MB", "minimum": "40MB"}, "918521", id="maximum"),
        pytest.param({"mode": "grow", "minimum": "200MB", "maximum": "300MB"}, "918524", id="minimum"),
        pytest.param({"mode": "grow", "grow_threshold": 101}, "262200", id="percent"),
    ],
)
def test_settings_of_autosize_that_contradict_each_other_are_refused(
    ontap: Door, autosize: dict[str, Any], code: str
) -> None:
    uuid = ontap.volume("v", size=SIZE)
    assert refusal(ontap.ask("PATCH", f"{VOLUMES}/{uuid}", {"autosize": autosize})) == (400, code)
    assert shown(ontap, uuid)["autosize"] == {"mode": "off"}


def test_thresholds_are_shown_when_they_are_watched(ontap: Door) -> None:
    uuid = ontap.volume("v", size=SIZE)
    assert "full_threshold_percent" not in shown(ontap, uuid)["space"]
    body = {"space": {"nearly_full_threshold_percent": 80, "full_threshold_percent": 90}}
    space = patch(ontap, uuid, body)["space"]
    assert (space["nearly_full_threshold_percent"], space["full_threshold_percent"]) == (80, 90)
    answer = ontap.ask("PATCH", f"{VOLUMES}/{uuid}", {"space.nearly_full_threshold_percent": 95})
    assert refusal(answer) == (400, "262186")
    assert "full_threshold_percent" not in patch(ontap, uuid, {"space.full_threshold_percent": None})["space"]


# --- moves ---


def test_a_volume_moves_to_another_aggregate_and_tells_that_it_did(ontap: Door) -> None:
    uuid = ontap.volume("v", size=SIZE)
    assert "movement" not in shown(ontap, uuid)
    moved = patch(ontap, uuid, {"movement.destination_aggregate.name": "second"})
    assert moved["aggregates"][0]["name"] == "second"
    movement = moved["movement"]
    assert (movement["state"], movement["percent_complete"]) == ("success", 100)
    assert movement["destination_aggregate"]["name"] == "second"
    query = "name=v&movement.destination_aggregate.name=second&fields=movement.state"
    (record,) = ontap.get(f"{VOLUMES}?{query}")["records"]
    assert record["movement"]["state"] == "success"


@pytest.mark.parametrize(
    ("body", "status", "code"),
    [
        pytest.param({"movement.destination_aggregate.name": "memory"}, 400, "918265", id="same"),
        pytest.param({"movement.destination_aggregate.name": "third"}, 404, "918267", id="no such"),
        pytest.param({"movement.destination_aggregate.uuid": MISSING}, 404, "918267", id="no such uuid"),
        pytest.param(
            {"movement": {"destination_aggregate": {"name": "second"}, "state": "cutover"}}, 400, "918266", id="both"
        ),
        pytest.param({"movement.state": "success"}, 400, "918786", id="no order"),
        pytest.param({"movement.state": "aborted"}, 400, "918703", id="abort"),
        pytest.param({"movement.destination_aggregate.name": "second", "comment": "x"}, 400, "262186", id="more"),
        pytest.param({"movement.destination_aggregate.name": "second", "validate_only": True}, 400, "918703", id="try"),
        pytest.param(
            {"movement": {"destination_aggregate": {"name": "second"}, "tiering_policy": "all"}},
            400,
            "918703",
            id="tier",
        ),
    ],
)
def test_a_move_that_cannot_be_is_refused_at_once(ontap: Door, body: dict[str, Any], status: int, code: str) -> None:
    uuid = ontap.volume("v", size=SIZE)
    assert refusal(ontap.ask("PATCH", f"{VOLUMES}/{uuid}", body)) == (status, code)
    assert shown(ontap, uuid)["aggregates"][0]["name"] == "memory"


def test_a_volume_that_something_holds_where_it_is_does_not_move(ontap: Door) -> None:
    uuid = ontap.volume("v", size=SIZE, **{"nas.path": "/v"})
    answer = ontap.ask("PATCH", f"{VOLUMES}/{uuid}", {"movement.destination_aggregate.name": "second"})
    assert refusal(answer) == (409, "8")
    assert "export" in answer.json()["error"]["message"]


# --- parameters ---


def test_a_trial_changes_nothing_because_there_is_none(ontap: Door) -> None:
    uuid = ontap.volume("v", size=SIZE)
    answer = ontap.ask("PATCH", f"{VOLUMES}/{uuid}?validate_only=true", {"size": 2 * SIZE})
    assert refusal(answer) == (400, "918703")
    assert shown(ontap, uuid)["size"] == SIZE


def test_a_single_file_is_not_restored_by_restoring_everything(ontap: Door) -> None:
    uuid = ontap.volume("v", size=SIZE)
    ontap.snapshot(uuid, "s")
    query = "restore_to.snapshot.name=s&restore_to.path=/file"
    assert refusal(ontap.ask("PATCH", f"{VOLUMES}/{uuid}?{query}", {})) == (400, "918703")


def test_there_are_no_constituents(ontap: Door) -> None:
    ontap.volume("v", size=SIZE)
    assert ontap.names("is_constituent=false") == ["v"]
    assert ontap.get(f"{VOLUMES}?is_constituent=true")["num_records"] == 0


# --- metrics ---


def test_a_volume_has_no_metrics_rather_than_zeros(ontap: Door) -> None:
    uuid = ontap.volume("v", size=SIZE)
    assert ontap.get(f"{VOLUMES}/{uuid}/metrics?interval=1d&fields=**")["num_records"] == 0
    assert refusal(ontap.ask("GET", f"{VOLUMES}/{uuid}/metrics?interval=2d"))[0] == 400
    assert refusal(ontap.ask("GET", f"{VOLUMES}/{MISSING}/metrics")) == (404, "4")
    assert "metric" not in shown(ontap, uuid)


# --- QoS policies ---


def test_a_qos_policy_lives_as_clients_make_it_live(ontap: Door) -> None:
    body = {"name": "gold", "svm.name": "svm1", "fixed": {"max_throughput_iops": 100, "capacity_shared": False}}
    answer = ontap.ask("POST", f"{QOS}?return_timeout=60&return_records=true", body)
    assert answer.status_code == 202
    place = answer.headers["Location"]
    assert answer.json()["records"][0]["name"] == "gold"
    assert ontap.job(answer.json())["state"] == "success"
    (found,) = ontap.get(f"{QOS}?name=gold&svm.name=svm1&fields=name,svm,fixed")["records"]
    assert found["fixed"]["max_throughput_iops"] == 100
    assert found["fixed"]["capacity_shared"] is False
    assert place.endswith(found["uuid"])
    assert refusal(ontap.ask("POST", QOS, body)) == (409, "1")
    ontap.must("PATCH", place, {"fixed": {"max_throughput_iops": 200}})
    ontap.must("PATCH", f"{QOS}?name=gold", {"name": "deleted_gold"})
    assert ontap.get(place)["fixed"]["max_throughput_iops"] == 200
    assert ontap.get(f"{QOS}?name=deleted_*&fields=object_count")["records"][0]["object_count"] == 0
    ontap.must("DELETE", f"{QOS}?name=deleted_gold*")
    assert refusal(ontap.ask("GET", place)) == (404, "4")


@pytest.mark.parametrize(
    ("body", "code"),
    [
        pytest.param({}, "262212", id="neither form"),
        pytest.param({"fixed.max_throughput_iops": 1, "adaptive.peak_iops": 2}, "262186", id="both forms"),
        pytest.param({"fixed": {"min_throughput_iops": 9, "max_throughput_iops": 1}}, "262186", id="upside down"),
        pytest.param({"adaptive": {"expected_iops": 5}}, "262212", id="half"),
        pytest.param({"adaptive": {"expected_iops": 5, "peak_iops": 1}}, "262186", id="peak below"),
    ],
)
def test_a_qos_policy_that_says_nothing_or_contradicts_itself_is_refused(
    ontap: Door, body: dict[str, Any], code: str
) -> None:
    answer = ontap.ask("POST", QOS, {"name": "p", "svm.name": "svm1", **body})
    assert refusal(answer) == (400, code)


def test_a_qos_policy_goes_with_its_svm_and_is_no_volumes(ontap: Door) -> None:
    ontap.must("POST", "/api/svm/svms?return_timeout=60", {"name": "svm2"})
    ontap.must("POST", QOS, {"name": "p", "svm.name": "svm2", "fixed.max_throughput_mbps": 5})
    assert ontap.names("name=p", QOS) == ["p"]
    assert ontap.get(QOS, X_Dot_SVM_Name="svm1")["num_records"] == 0
    uuid = ontap.volume("v", size=SIZE)
    assert refusal(ontap.ask("PATCH", f"{VOLUMES}/{uuid}", {"qos.policy.name": "p"})) == (400, "918703")
    assert patch(ontap, uuid, {"qos": {"policy": {"name": "none"}}})["name"] == "v"
    ontap.must("DELETE", "/api/svm/svms?name=svm2&return_timeout=60")
    assert ontap.get(QOS)["num_records"] == 0


# --- SVMs ---


def test_an_svm_serves_what_the_gateway_serves(ontap: Door) -> None:
    for path in ("nfs.enabled", "nfs.allowed"):
        answer = ontap.ask("POST", "/api/svm/svms", {"name": "svm2", path: True})
        assert refusal(answer) == (400, "3277096")
    answer = ontap.ask("POST", "/api/svm/svms", {"name": "svm2", "aggregates": [{"name": "third"}]})
    assert refusal(answer) == (404, "917508")
    made = {"name": "svm2", "nfs": {"enabled": False}, "aggregates": [{"name": "second"}]}
    ontap.must("POST", "/api/svm/svms?return_timeout=60", made)


def test_an_svm_of_a_gateway_that_serves_nfs_is_served_too() -> None:
    check_services({"nfs.enabled": True, "nfs.allowed": True}, nfs=True)
    check_services({"nfs.enabled": False}, nfs=False)
    check_services({"nfs.enabled": False}, nfs=True)
    with pytest.raises(WireError, match=r"nfs\.allowed"):
        check_services({"nfs.allowed": False}, nfs=True)
