"""SnapMirror over the wire: what clients send, what they read, and every refusal in ONTAP's codes."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
from live_scene import MISSING, SNAPSHOTS, SVMS, VOLUMES, Door, door, refusal

from gateway.testing.live import READER, LiveGateway, live_gateway

RELATIONSHIPS = "/api/snapmirror/relationships"
POLICIES = "/api/snapmirror/policies"
POOLS = """
[backend.memory]

[backend.other]
driver = "memory"

[backend.plain]
driver = "memory"
disable = ["snapshot"]
"""
ENDS = {"source": {"path": "svm1:src"}, "destination": {"path": "dr:dst"}}
GOING = {"queued", "transferring"}


@pytest.fixture(scope="module")
def gateway(tmp_path_factory: pytest.TempPathFactory) -> Iterator[LiveGateway]:
    with live_gateway(tmp_path_factory.mktemp("mirror"), pools=POOLS) as running, door(running) as opened:
        opened.must("POST", f"{SVMS}?return_timeout=60", {"name": "dr"})
        yield running


@pytest.fixture
def ontap(gateway: LiveGateway) -> Iterator[Door]:
    with door(gateway) as opened:
        yield opened
        opened.must("DELETE", f"{RELATIONSHIPS}?uuid=*&return_timeout=60")
        opened.must("DELETE", f"{VOLUMES}?name=*&return_timeout=60")
        opened.must("DELETE", f"{POLICIES}?name=!Mirror*&comment=own&return_timeout=60")


def destination(ontap: Door, name: str = "dst", **fields: Any) -> str:
    body = {"svm.name": "dr", "aggregates": [{"name": "other"}], "type": "DP", **fields}
    return ontap.volume(name, **body)


@pytest.fixture
def ends(ontap: Door) -> tuple[str, str]:
    return ontap.volume("src"), destination(ontap)


def relationship(ontap: Door, **fields: Any) -> str:
    """Create a relationship and give its path."""
    answer = ontap.ask("POST", f"{RELATIONSHIPS}?return_timeout=60", {**ENDS, **fields})
    assert answer.status_code == 202, answer.text
    assert ontap.job(answer.json())["state"] == "success"
    return answer.headers["Location"]


def settled(ontap: Door, path: str) -> dict[str, Any]:
    while True:
        found: dict[str, Any] = ontap.get(path)
        if found.get("transfer", {}).get("state") not in GOING:
            return found


def bring(ontap: Door, path: str, state: str) -> dict[str, Any]:
    answer = ontap.ask("PATCH", path, {"state": state})
    assert answer.status_code == 202, answer.text
    assert ontap.job(answer.json())["code"] == 0
    return settled(ontap, path)


# --- volumes of type DP ---


def test_a_volume_of_type_dp(ontap: Door) -> None:
    uuid = destination(ontap)
    shown = ontap.get(f"{VOLUMES}/{uuid}")
    assert (shown["type"], shown["snapshot_policy"]["name"], shown["snapmirror"]["is_protected"]) == (
        "dp",
        "none",
        False,
    )
    ontap.volume("src")
    assert (ontap.names("type=dp"), ontap.names("type=rw")) == (["dst"], ["src"])
    assert ontap.names("type=!dp") == ["src"]


@pytest.mark.parametrize(
    ("fields", "expected"),
    [
        ({"type": "dp", "nas.path": "/x"}, (400, "917628")),
        ({"type": "dp", "snapshot_policy.name": "default"}, (400, "917617")),
        ({"type": "ls"}, (400, "918701")),
        ({"type": "xdp"}, (400, "262197")),
    ],
)
def test_volumes_that_cannot_be_destinations(ontap: Door, fields: dict[str, Any], expected: tuple[int, str]) -> None:
    body = {"name": "no", "svm.name": "svm1", "aggregates": [{"name": "memory"}], **fields}
    assert refusal(ontap.ask("POST", VOLUMES, body)) == expected


def test_what_cannot_be_done_with_a_destination(ontap: Door, ends: tuple[str, str]) -> None:
    source, copy = ends
    path = relationship(ontap, state="snapmirrored")
    settled(ontap, path)
    base = ontap.get(f"{SNAPSHOTS.format(copy)}?fields=owners")["records"][0]
    assert base["owners"] == ["snapmirror"]
    assert base["name"] == ontap.get(path)["exported_snapshot"]
    for volume in (source, copy):
        assert refusal(ontap.ask("DELETE", f"{VOLUMES}/{volume}")) == (409, "8")
        kept = ontap.get(SNAPSHOTS.format(volume))["records"][0]["uuid"]
        assert refusal(ontap.ask("DELETE", f"{SNAPSHOTS.format(volume)}/{kept}")) == (409, "1638555")
    restore = {"restore_to.snapshot.uuid": base["uuid"]}
    assert refusal(ontap.ask("PATCH", f"{VOLUMES}/{copy}", restore)) == (409, "524511")
    assert refusal(ontap.ask("PATCH", f"{VOLUMES}/{copy}", {"size": "1GB"})) == (409, "917628")
    assert refusal(ontap.ask("PATCH", f"{VOLUMES}/{copy}", {"snapshot_policy.name": "default"})) == (400, "917617")
    ontap.must("PATCH", f"{VOLUMES}/{copy}?return_timeout=60", {"comment": "of the mirror"})


# --- relationships ---


def test_what_clients_look_for(ontap: Door, ends: tuple[str, str]) -> None:
    path = relationship(ontap, policy={"name": "MirrorAllSnapshots"}, **{"transfer_schedule.name": "hourly"})
    uuid = path.rpartition("/")[2]
    bare = ontap.get(RELATIONSHIPS)["records"]
    assert [{k: v for k, v in r.items() if k != "_links"} for r in bare] == [{"uuid": uuid, **ENDS}]
    asked = "fields=uuid,policy.type,transfer_schedule.name,lag_time,transfer,healthy"
    for query in (
        "destination.path=dr:dst",
        "source.path=svm1:src",
        "source.path=svm1:src&destination.path=dr:dst",
        "source.path=svm1:src&destination.path=*",
        "state=uninitialized",
        "destination.svm.name=dr&policy.name=Mirror*",
        "list_destinations_only=true&source.path=svm1:src",
        "transfer.state=null",
    ):
        (found,) = ontap.get(f"{RELATIONSHIPS}?{query}&{asked}")["records"]
        assert (found["uuid"], found["policy"]["type"]) == (uuid, "async"), query
        assert found["transfer_schedule"]["name"] == "hourly"
        assert "transfer" not in found or query == "transfer.state=null"
        assert "lag_time" not in found
    for query in ("destination.path=svm1:src", "source.path=dr:dst", "source.path=svm1", "state=snapmirrored"):
        assert ontap.get(f"{RELATIONSHIPS}?{query}")["num_records"] == 0
    assert (
        ontap.get(f"{RELATIONSHIPS}?source.path=svm1:src&state=snapmirrored&return_records=false")["num_records"] == 0
    )
    assert ontap.get(RELATIONSHIPS, X_Dot_SVM_Name="dr")["num_records"] == 1
    assert ontap.get(RELATIONSHIPS, X_Dot_SVM_Name="svm1")["num_records"] == 0


def test_paths_follow_the_names(ontap: Door, ends: tuple[str, str]) -> None:
    path = relationship(ontap)
    for volume, name in zip(ends, ("src2", "dst2"), strict=True):
        ontap.must("PATCH", f"{VOLUMES}/{volume}?return_timeout=60", {"name": name})
    shown = ontap.get(path)
    assert (shown["source"]["path"], shown["destination"]["path"]) == ("svm1:src2", "dr:dst2")
    found = ontap.get(f"{RELATIONSHIPS}?source.path=svm1:src2&destination.path=dr:dst2")
    assert found["num_records"] == 1


def test_its_lag_and_its_last_transfer(ontap: Door, ends: tuple[str, str]) -> None:
    path = relationship(ontap)
    shown = bring(ontap, path, "snapmirrored")
    assert (shown["state"], shown["transfer"]["state"]) == ("snapmirrored", "success")
    assert shown["lag_time"].startswith("PT")
    assert set(shown["transfer"]) == {"uuid", "state", "type", "bytes_transferred", "total_duration", "end_time"}
    assert ontap.get(f"{RELATIONSHIPS}?lag_time=<PT10H")["num_records"] == 1
    assert ontap.get(f"{RELATIONSHIPS}?lag_time=>P2DT")["num_records"] == 0
    volumes = {r["name"]: r["snapmirror"] for r in ontap.get(f"{VOLUMES}?fields=snapmirror")["records"]}
    assert {name: found["is_protected"] for name, found in volumes.items()} == {"src": True, "dst": False}


def test_states_and_what_leads_to_them(ontap: Door, ends: tuple[str, str]) -> None:
    path = relationship(ontap)
    transfers = f"{path}/transfers"
    for state, code in (("broken_off", "13303808"), ("paused", "13303809"), ("uninitialized", "13303818")):
        assert refusal(ontap.ask("PATCH", path, {"state": state})) == (409, code)
    answer = ontap.ask("POST", transfers, {})
    assert (answer.status_code, answer.json()) == (201, {})
    settled(ontap, path)
    made = answer.headers["Location"]
    assert made.startswith(f"{transfers}/")
    shown = ontap.get(made)
    assert (shown["state"], shown["relationship"]["destination"]["path"]) == ("success", "dr:dst")
    assert shown["snapshot"] == ontap.get(path)["exported_snapshot"]
    assert ontap.get(transfers)["records"] == []
    assert refusal(ontap.ask("PATCH", made, {"state": "aborted"})) == (404, "4")
    assert refusal(ontap.ask("PATCH", made, {"state": "success"})) == (400, "13303849")
    assert refusal(ontap.ask("PATCH", path, {"state": "snapmirrored"})) == (409, "13303832")
    bring(ontap, path, "paused")
    assert refusal(ontap.ask("POST", transfers, {})) == (409, "13303844")
    assert bring(ontap, path, "snapmirrored")["state"] == "snapmirrored"
    bring(ontap, path, "broken_off")
    assert bring(ontap, path, "broken_off")["state"] == "broken_off"
    assert refusal(ontap.ask("POST", transfers)) == (409, "13303844")
    assert bring(ontap, path, "snapmirrored")["last_transfer_type"] == "resync"


def test_a_snapshot_of_ones_own_is_sent(ontap: Door, ends: tuple[str, str]) -> None:
    source, copy = ends
    path = relationship(ontap, policy={"name": "MirrorAllSnapshots"})
    ontap.snapshot(source, "mine")
    ontap.must("POST", f"{path}/transfers", {"source_snapshot": "mine"})
    assert settled(ontap, path)["exported_snapshot"] == "mine"
    assert [r["name"] for r in ontap.get(SNAPSHOTS.format(copy))["records"]] == ["mine"]
    assert refusal(ontap.ask("POST", f"{path}/transfers", {"source_snapshot": "yours"})) == (404, "13303844")


def test_it_is_turned_around(ontap: Door, ends: tuple[str, str]) -> None:
    path = relationship(ontap, state="snapmirrored")
    settled(ontap, path)
    swapped = {"source": ENDS["destination"], "destination": ENDS["source"], "state": "snapmirrored"}
    assert refusal(ontap.ask("PATCH", path, swapped)) == (409, "13303810")
    bring(ontap, path, "broken_off")
    ontap.must("PATCH", path, swapped)
    shown = settled(ontap, path)
    assert (shown["source"]["path"], shown["destination"]["path"], shown["state"]) == (
        "dr:dst",
        "svm1:src",
        "snapmirrored",
    )
    assert (ontap.names("type=dp"), ontap.names("type=rw")) == (["src"], ["dst"])


def test_its_values_are_changed(ontap: Door, ends: tuple[str, str]) -> None:
    path = relationship(ontap)
    change = {"policy": {"name": "MirrorLatest"}, "transfer_schedule": {"name": "daily"}, "throttle": 100}
    assert ontap.ask("PATCH", path, change).status_code == 202
    shown = ontap.get(path)
    assert (shown["policy"]["name"], shown["transfer_schedule"]["name"], shown["throttle"]) == (
        "MirrorLatest",
        "daily",
        100,
    )
    ontap.must("PATCH", path, {"transfer_schedule": None})
    assert "transfer_schedule" not in ontap.get(path)
    for body, expected in (
        ({"policy.name": "none such"}, (404, "13303821")),
        ({"policy.uuid": MISSING}, (404, "13303821")),
        ({"transfer_schedule.name": "never"}, (404, "6619699")),
        ({"throttle": -1}, (400, "262245")),
        ({"source.path": "svm1:other"}, (400, "13303841")),
        ({"state": "in_sync"}, (400, "13303866")),
        ({"preserve": True}, (400, "13303837")),
        ({"preserve": True, "state": "paused"}, (400, "13303836")),
        ({"preserve": True, "state": "snapmirrored"}, (400, "262144017")),
        ({"restore_to_snapshot": "s", "state": "snapmirrored"}, (400, "13303835")),
        ({"backoff_level": "high"}, (400, "262144017")),
    ):
        assert refusal(ontap.ask("PATCH", path, body)) == expected, body
    assert refusal(ontap.ask("PATCH", f"{path}?failover=true", {"state": "broken_off"})) == (400, "262144017")


@pytest.mark.parametrize(
    ("body", "expected"),
    [
        ({"source": {"path": "svm1:src"}}, (400, "262212")),
        ({"source": {"path": "svm1:src"}, "destination": {"path": "dst"}}, (400, "13303852")),
        ({"source": {"path": "svm1:"}, "destination": {"path": "dr:"}}, (400, "13303841")),
        ({"source": {"path": "svm1:/cg/x"}, "destination": {"path": "dr:/cg/x"}}, (400, "13303841")),
        ({**ENDS, "source": {"path": "never:src"}}, (404, "2621462")),
        ({**ENDS, "source": {"path": "svm1:never"}}, (404, "917525")),
        ({**ENDS, "destination": {"path": "dr:never"}}, (404, "917525")),
        ({**ENDS, "destination": {"path": "svm1:src"}}, (400, "6619441")),
        ({**ENDS, "destination": {"path": "svm1:rw"}}, (409, "6619546")),
        (ENDS, (400, "13303868")),
        ({**ENDS, "destination": {"path": "dr:plain"}}, (400, "13303841")),
        ({**ENDS, "policy": {"name": "never"}}, (404, "13303821")),
        ({**ENDS, "transfer_schedule": {"name": "never"}}, (404, "6619699")),
        ({**ENDS, "state": "paused"}, (400, "13303817")),
        ({**ENDS, "state": "in_sync"}, (400, "13303866")),
        ({**ENDS, "restore": True}, (400, "262144017")),
        ({**ENDS, "source": {"path": "svm1:src", "cluster": {"name": "far"}}}, (400, "262144017")),
    ],
)
def test_relationships_that_cannot_be(
    ontap: Door, ends: tuple[str, str], body: dict[str, Any], expected: tuple[int, str]
) -> None:
    ontap.must("PATCH", f"{VOLUMES}/{ends[0]}?return_timeout=60", {"size": "30MB"})
    ontap.volume("rw")
    destination(ontap, "plain", aggregates=[{"name": "plain"}], size="30MB")
    assert refusal(ontap.ask("POST", f"{RELATIONSHIPS}?return_timeout=60", body)) == expected
    assert ontap.get(RELATIONSHIPS)["num_records"] == 0


def test_a_destination_has_one_source(ontap: Door, ends: tuple[str, str]) -> None:
    relationship(ontap)
    assert refusal(ontap.ask("POST", RELATIONSHIPS, ENDS)) == (409, "6619637")


def test_a_destination_that_is_made_goes_when_it_is_not_used(ontap: Door) -> None:
    ontap.volume("src", aggregates=[{"name": "plain"}])
    body = {**ENDS, "create_destination": {"enabled": True}}
    assert refusal(ontap.ask("POST", f"{RELATIONSHIPS}?return_timeout=60", body)) == (400, "13303841")
    assert ontap.names() == ["src"]
    body = {**body, "create_destination": {"enabled": True, "storage_service": {"enabled": True}}}
    assert refusal(ontap.ask("POST", RELATIONSHIPS, body)) == (400, "262144017")


def test_it_ends(ontap: Door, ends: tuple[str, str]) -> None:
    source, copy = ends
    path = relationship(ontap, state="snapmirrored")
    settled(ontap, path)
    assert refusal(ontap.ask("DELETE", f"{path}?destination_only=true&source_only=true")) == (400, "262186")
    assert refusal(ontap.ask("DELETE", f"{path}?source_info_only=true")) == (409, "13303822")
    answer = ontap.ask("DELETE", f"{path}?return_timeout=120")
    assert answer.status_code == 202
    assert ontap.job(answer.json())["state"] == "success"
    assert refusal(ontap.ask("GET", path)) == (404, "4")
    assert refusal(ontap.ask("DELETE", path)) == (404, "4")
    assert refusal(ontap.ask("GET", f"{path}/transfers")) == (404, "4")
    assert ontap.names("type=rw") == ["dst", "src"]
    assert [ontap.get(SNAPSHOTS.format(uuid))["num_records"] for uuid in (source, copy)] == [0, 0]


def test_another_relationship_goes_on_where_one_ended(ontap: Door, ends: tuple[str, str]) -> None:
    """The way in which Cinder, Manila and Trident turn round: they end the relationship and create the opposite one."""
    path = relationship(ontap, state="snapmirrored")
    settled(ontap, path)
    bring(ontap, path, "broken_off")
    ontap.must("DELETE", f"{path}?destination_only=true")
    turned = relationship(ontap, source=ENDS["destination"], destination=ENDS["source"])
    shown = ontap.get(turned)
    assert (shown["state"], "exported_snapshot" in shown) == ("broken_off", True)
    assert ontap.names("type=rw") == ["dst", "src"]
    assert bring(ontap, turned, "snapmirrored")["last_transfer_type"] == "resync"
    assert (ontap.names("type=dp"), ontap.names("type=rw")) == (["src"], ["dst"])
    ontap.must("DELETE", turned)
    assert [ontap.get(SNAPSHOTS.format(uuid))["num_records"] for uuid in ends] == [0, 0]


def test_several_at_once(ontap: Door) -> None:
    for name in ("a", "b"):
        ontap.volume(name)
        destination(ontap, f"{name}_dst")
    pairs = [{"source.path": f"svm1:{name}", "destination.path": f"dr:{name}_dst"} for name in ("a", "b")]
    failing = {"source.path": "svm1:a", "destination.path": "dr:a_dst", "policy.name": "MirrorLatest"}
    job = ontap.job(ontap.must("POST", f"{RELATIONSHIPS}?serial_records=true", {"records": [*pairs, failing]}))
    assert (job["state"], ontap.get(RELATIONSHIPS)["num_records"]) == ("failure", 0)
    job = ontap.job(ontap.must("POST", RELATIONSHIPS, {"records": pairs}))
    found = [record["uuid"] for record in ontap.get(RELATIONSHIPS)["records"]]
    assert (job["state"], len(found)) == ("success", 2)
    begun = ontap.must("PATCH", f"{RELATIONSHIPS}?destination.path=dr:*&return_timeout=60", {"state": "snapmirrored"})
    assert len(begun["jobs"]) == 2
    assert {settled(ontap, f"{RELATIONSHIPS}/{uuid}")["state"] for uuid in found} == {"snapmirrored"}
    records = [{"uuid": uuid, "throttle": 5} for uuid in found]
    job = ontap.job(
        ontap.must("PATCH", f"{RELATIONSHIPS}?serial_records=true", {"records": [*records, {"uuid": MISSING}]})
    )
    assert job["state"] == "failure"
    assert [record["throttle"] for record in ontap.get(f"{RELATIONSHIPS}?fields=throttle")["records"]] == [0, 0]


def test_who_may_do_what(gateway: LiveGateway, ontap: Door, ends: tuple[str, str]) -> None:
    path = relationship(ontap)
    with door(gateway, READER) as reader:
        assert reader.get(path)["state"] == "uninitialized"
        for verb, place, body in (
            ("POST", RELATIONSHIPS, ENDS),
            ("PATCH", path, {"state": "snapmirrored"}),
            ("POST", f"{path}/transfers", {}),
            ("DELETE", path, None),
        ):
            assert refusal(reader.ask(verb, place, body)) == (403, "6")


# --- policies ---


def test_the_usual_policies(ontap: Door) -> None:
    found = {r["name"]: r for r in ontap.get(f"{POLICIES}?fields=**&scope=cluster")["records"]}
    sent = ("create_snapshot_on_source", "copy_latest_source_snapshot", "copy_all_source_snapshots")
    assert {name: tuple(policy[path] for path in sent) for name, policy in found.items()} == {
        "Asynchronous": (True, False, False),
        "MirrorAllSnapshots": (False, False, True),
        "MirrorLatest": (False, True, False),
        "XDPDefault": (False, False, False),
    }
    assert all("svm" not in policy and policy["type"] == "async" for policy in found.values())
    assert [rule["count"] for rule in found["XDPDefault"]["retention"]] == ["7", "52"]
    uuid = found["XDPDefault"]["uuid"]
    assert refusal(ontap.ask("DELETE", f"{POLICIES}/{uuid}")) == (409, "8")
    assert refusal(ontap.ask("PATCH", f"{POLICIES}/{uuid}", {"comment": "mine"})) == (409, "8")
    assert ontap.names("copy_all_source_snapshots=true", POLICIES) == ["MirrorAllSnapshots"]


def test_life_of_a_policy(ontap: Door) -> None:
    body = {
        "name": "vault",
        "svm": {"name": "dr"},
        "type": "async",
        "comment": "own",
        "create_snapshot_on_source": False,
        "transfer_schedule": {"name": "hourly"},
        "throttle": "100",
        "retention": [{"label": "day", "count": "7", "prefix": "d", "creation_schedule": {"name": "daily"}}],
    }
    answer = ontap.ask("POST", f"{POLICIES}?return_timeout=60&return_records=true", body)
    assert answer.status_code == 202, answer.text
    made = ontap.get(answer.headers["Location"])
    assert answer.json()["records"][0]["uuid"] == made["uuid"]
    assert (made["scope"], made["svm"]["name"], made["throttle"]) == ("svm", "dr", 100)
    assert made["transfer_schedule"]["name"] == "hourly"
    (rule,) = made["retention"]
    assert (rule["label"], rule["count"], rule["prefix"], rule["creation_schedule"]["name"]) == (
        "day",
        "7",
        "d",
        "daily",
    )
    path = f"{POLICIES}/{made['uuid']}"
    ontap.must("PATCH", path, {"retention": [{"label": "week", "count": 3}], "transfer_schedule": None, "throttle": 0})
    shown = ontap.get(path)
    assert [(r["label"], r["count"]) for r in shown["retention"]] == [("week", "3")]
    assert "transfer_schedule" not in shown
    ontap.must("PATCH", path, {"retention": []})
    assert "retention" not in ontap.get(path)
    assert refusal(ontap.ask("POST", POLICIES, body)) == (409, "6621060")
    assert ontap.names("name=vault&svm.name=dr&scope=svm", POLICIES) == ["vault"]
    for svm, seen in (("svm1", set()), ("dr", {"vault"})):
        names = {r["name"] for r in ontap.get(POLICIES, X_Dot_SVM_Name=svm)["records"]}
        assert names == {"Asynchronous", "MirrorAllSnapshots", "MirrorLatest", "XDPDefault"} | seen
    assert ontap.must("DELETE", f"{POLICIES}?name=*", X_Dot_SVM_Name="svm1")["num_records"] == 0
    ontap.must("DELETE", path)
    assert refusal(ontap.ask("GET", path)) == (404, "4")


@pytest.mark.parametrize(
    ("body", "expected"),
    [
        ({}, (400, "262212")),
        ({"name": "a b"}, (400, "13303850")),
        ({"name": "p", "type": "sync"}, (400, "262144017")),
        ({"name": "p", "identity_preservation": "full"}, (400, "262144017")),
        ({"name": "p", "copy_all_source_snapshots": True, "copy_latest_source_snapshot": True}, (400, "13304083")),
        ({"name": "p", "copy_all_source_snapshots": False}, (400, "13304085")),
        ({"name": "p", "create_snapshot_on_source": True}, (400, "13304085")),
        (
            {"name": "p", "copy_all_source_snapshots": True, "retention": [{"label": "l", "count": "1"}]},
            (400, "13304084"),
        ),
        ({"name": "p", "retention": [{"label": "l"}]}, (400, "13303850")),
        ({"name": "p", "retention": [{"count": "1"}]}, (400, "13303850")),
        ({"name": "p", "retention": [{"label": "l", "count": "many"}]}, (400, "13303850")),
        ({"name": "p", "retention": [{"label": "l", "count": "2000"}]}, (400, "13303850")),
        ({"name": "p", "retention": [{"label": "l", "count": "1"}] * 2}, (400, "13303850")),
        ({"name": "p", "retention": [{"label": f"l{n}", "count": "1"} for n in range(11)]}, (400, "13303887")),
        ({"name": "p", "retention": [{"label": "l", "count": "1", "period": "P1D"}]}, (400, "262144017")),
        ({"name": "p", "transfer_schedule": {"name": "never"}}, (404, "6619699")),
        ({"name": "p", "svm": {"name": "never"}}, (404, "2621462")),
    ],
)
def test_policies_that_cannot_be(ontap: Door, body: dict[str, Any], expected: tuple[int, str]) -> None:
    assert refusal(ontap.ask("POST", f"{POLICIES}?return_timeout=60", body)) == expected


# --- peers ---


def test_svms_are_each_others_peers(ontap: Door) -> None:
    peers = "/api/svm/peers"
    asked = "fields=svm.name,state,peer.svm.name,peer.cluster.name,applications&name=dr&svm.name=svm1"
    (found,) = ontap.get(f"{peers}?{asked}")["records"]
    assert (found["state"], found["peer"]["svm"]["name"], found["applications"]) == ("peered", "dr", ["snapmirror"])
    assert found["peer"]["cluster"]["name"] == ontap.get("/api/cluster")["name"]
    assert ontap.get(f"{peers}/{found['uuid']}")["svm"]["name"] == "svm1"
    assert ontap.get(f"{peers}?max_records=1")["num_records"] == 1
    assert sorted(ontap.names("", peers)) == ["dr", "svm1"]
    assert ontap.names("", "/api/cluster/peers") == []
    assert refusal(ontap.ask("GET", f"{peers}/{MISSING}")) == (404, "4")
    assert refusal(ontap.ask("POST", peers, {"svm.name": "dr"})) == (400, "26345580")


# --- licences ---


def test_licences(ontap: Door) -> None:
    licences = "/api/cluster/licensing/licenses"
    assert ontap.names("", licences) == ["flexclone", "snapmirror", "snaprestore"]
    assert "fcp" in ontap.names("state=unlicensed", licences)
    assert ontap.get(f"{licences}/snapmirror")["licenses"][0]["active"] is True
    assert ontap.get(f"{licences}/fcp")["state"] == "unlicensed"
    assert refusal(ontap.ask("GET", f"{licences}/none")) == (404, "4")
    assert refusal(ontap.ask("POST", licences, {"keys": ["K"]})) == (405, "3")
