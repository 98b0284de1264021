"""What clients look through before they work: counters, disks, keys, clocks, the commands, and what they report."""

from __future__ import annotations

import json
from collections.abc import Iterator

import pytest
from live_scene import MISSING, SVMS, VOLUMES, Door, door, refusal

from gateway.testing.live import LiveGateway, live_gateway

TABLES = "/api/cluster/counter/tables"
LOGS = "/api/support/ems/application-logs"
TOLD = {
    "computer_name": "host",
    "event_source": "driver",
    "app_version": "1",
    "category": "provisioning",
    "severity": "notice",
    "autosupport_required": False,
    "event_id": "0",
    "event_description": "words",
}


@pytest.fixture(scope="module")
def gateway(tmp_path_factory: pytest.TempPathFactory) -> Iterator[LiveGateway]:
    with live_gateway(tmp_path_factory.mktemp("system")) as running:
        yield running


@pytest.fixture
def ontap(gateway: LiveGateway) -> Iterator[Door]:
    with door(gateway) as opened:
        yield opened
        opened.leave_nothing()


@pytest.mark.parametrize("table", ["system:constituent", "wafl", "processor"])
def test_counters_have_their_base_and_no_rows(ontap: Door, table: str) -> None:
    found = ontap.get(f"{TABLES}/{table}?fields=counter_schemas.*")
    names = {schema["name"] for schema in found["counter_schemas"]}
    assert all(schema["denominator"]["name"] in names for schema in found["counter_schemas"] if "denominator" in schema)
    rows = ontap.get(f"{TABLES}/{table}/rows?id=gateway-01:*&counters.name=a|b&fields=id,counters.*")
    assert (rows["records"], rows["num_records"]) == ([], 0)


def test_one_counter_of_a_table_is_asked_for(ontap: Door) -> None:
    asked = f"{TABLES}/system:constituent?counter_schemas.name={{}}&fields=counter_schemas.*"
    (schema,) = ontap.get(asked.format("average_processor_busy_percent"))["counter_schemas"]
    assert schema["denominator"] == {"name": "elapsed_time"}
    assert refusal(ontap.ask("GET", asked.format("none_such"))) == (404, "4")
    assert refusal(ontap.ask("GET", f"{TABLES}/none_such")) == (404, "4")
    assert refusal(ontap.ask("GET", f"{TABLES}/none_such/rows")) == (404, "4")
    assert {record["name"] for record in ontap.get(TABLES)["records"]} >= {"wafl", "processor"}


@pytest.mark.parametrize(
    "path",
    [
        "/api/storage/disks?aggregates.name=memory&fields=effective_type",
        "/api/security/key-managers?fields=volume_encryption.*",
        "/api/protocols/nfs/kerberos/interfaces?interface.uuid=a|b&fields=enabled,interface.uuid",
        "/api/protocols/nfs/services/?fields=transport.*",
        "/api/private/cli/volume/efficiency?volume=a&vserver=svm1&fields=logical-data-size,logical-data-limit",
    ],
)
def test_what_is_not_there_is_no_error(ontap: Door, path: str) -> None:
    assert ontap.get(path)["num_records"] == 0


def test_policies_of_events_belong_to_an_svm(ontap: Door) -> None:
    (svm,) = ontap.get(SVMS)["records"]
    path = "/api/protocols/fpolicy/{}/policies?scope.include_shares=a"
    assert ontap.get(path.format(svm["uuid"]))["num_records"] == 0
    assert refusal(ontap.ask("GET", path.format(MISSING))) == (404, "4")


def test_the_compliance_clock_was_never_started(ontap: Door) -> None:
    (node,) = ontap.get("/api/cluster/nodes")["records"]
    clock = ontap.get(f"/api/storage/snaplock/compliance-clocks/{node['uuid']}")
    assert clock["node"]["name"] == node["name"]
    assert "time" not in clock


def test_commands_know_hyphens(ontap: Door) -> None:
    ontap.volume("one", **{"nas.path": "/one"})
    ontap.volume("two")
    found = ontap.get("/api/private/cli/volume?volume=one&fields=size,junction-path,state")["records"]
    assert (
        found[0].items()
        >= {
            "vserver": "svm1",
            "volume": "one",
            "size": 20 << 20,
            "junction_path": "/one",
            "state": "online",
        }.items()
    )
    assert ontap.get("/api/private/cli/volume?junction-path=/one")["num_records"] == 1
    ontap.must("PATCH", f"{VOLUMES}?name=one", {"autosize": {"mode": "grow", "maximum": "1GB"}})
    reset = ontap.must("PATCH", "/api/private/cli/volume?vserver=svm1&volume=one", {"autosize-reset": "true"})
    assert reset["num_records"] == 1
    assert ontap.get(f"{VOLUMES}?name=one&fields=autosize")["records"][0]["autosize"]["mode"] == "off"
    assert refusal(ontap.ask("PATCH", "/api/private/cli/volume?volume=one", {"size": "1GB"}))[0] == 400
    assert refusal(ontap.ask("GET", "/api/private/cli/volume/one")) == (404, "3")
    assert ontap.names(path=VOLUMES) == ["one", "two"]


def test_no_aggregate_holds_a_root_volume(ontap: Door) -> None:
    assert ontap.get("/api/private/cli/aggr?root=true")["records"] == []
    (pool,) = ontap.get("/api/private/cli/aggr?root=false&fields=state")["records"]
    assert (pool["aggregate"], pool["state"]) == ("memory", "online")


def test_what_clients_report_is_in_the_log(gateway: LiveGateway, ontap: Door) -> None:
    answer = ontap.ask("POST", LOGS, {**TOLD, "event_description": 'a "quoted"\nline'})
    assert (answer.status_code, answer.json()) == (201, {})
    lines = [json.loads(line) for line in gateway.log.read_text().splitlines()]
    (told,) = [line for line in lines if line["event"] == "application_log"]
    assert (told["event_source"], told["event_description"]) == ("driver", 'a "quoted"\nline')
    assert refusal(ontap.ask("GET", LOGS)) == (405, "3")
    assert ontap.ask("OPTIONS", LOGS).headers["Allow"] == "OPTIONS, POST"
    assert refusal(ontap.ask("POST", LOGS, {**TOLD, "severity": "loud"}))[0] == 400


def test_owners_of_all_snapshots_are_told_when_they_are_asked_for(ontap: Door) -> None:
    volume = ontap.volume("one")
    ontap.must("POST", f"{VOLUMES}/{volume}/snapshots?return_timeout=60", {"name": "first"})
    query = "name=first&fields=uuid,volume,owners,svm.name"
    (free,) = ontap.get(f"{VOLUMES}/*/snapshots?{query}")["records"]
    assert free["owners"] == []
    (same,) = ontap.get(f"{VOLUMES}/{volume}/snapshots?{query}")["records"]
    assert "owners" not in same


def test_volumes_are_found_by_the_path_of_their_efficiency(ontap: Door) -> None:
    ontap.volume("one")
    query = "efficiency.volume_path=/vol/{}&fields=efficiency.state,efficiency.compression"
    (found,) = ontap.get(f"{VOLUMES}?{query.format('one')}")["records"]
    assert found["efficiency"] == {"volume_path": "/vol/one", "state": "disabled", "compression": "none"}
    assert ontap.get(f"{VOLUMES}?{query.format('two')}")["num_records"] == 0
