"""The older REST API of a real gateway, on TCP and on its UNIX sockets: the same volumes, the same rules."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest

from gateway.testing.live import LiveGateway, live_gateway

GIB = 1 << 30
VOLUMES, SNAPSHOTS, CLUSTER = "/v1/osd-volumes", "/v1/osd-snapshot", "/v1/cluster"
DOOR = '[frontend.openstorage]\ngrpc = ""\nrest = "127.0.0.1:0"\nolder = "127.0.0.1:0"\nsockets = "{}"\n'


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("osd")


@pytest.fixture(scope="module")
def older_gateway(folder: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[LiveGateway]:
    with live_gateway(tmp_path_factory.mktemp("gateway"), extra=DOOR.format(folder)) as running:
        yield running


@pytest.fixture(params=["tcp", "driver/gateway.sock", "cluster/osd.sock"])
def rest(request: pytest.FixtureRequest, older_gateway: LiveGateway, folder: Path) -> Iterator[httpx.Client]:
    if request.param == "tcp":
        with httpx.Client(base_url=older_gateway.addresses["openstorage-older"], timeout=60) as client:
            yield client
    else:
        transport = httpx.HTTPTransport(uds=str(folder / request.param))
        with httpx.Client(base_url="http://osd", transport=transport, timeout=60) as client:
            yield client


def told(answer: httpx.Response) -> Any:
    assert answer.status_code == 200, answer.text
    assert answer.headers["content-type"] == "text/plain; charset=utf-8"
    assert answer.text.endswith("\n")
    return answer.json()


def one(rest: httpx.Client, volume_id: str) -> Any:
    (found,) = told(rest.get(f"{VOLUMES}/{volume_id}"))
    return found


def make(rest: httpx.Client, name: str, **labels: str) -> str:
    spec = {"size": GIB, "ha_level": 1, "format": 5}
    made = told(rest.post(VOLUMES, json={"locator": {"name": name, "volume_labels": labels}, "spec": spec}))
    assert made["volume_response"] == {}
    return str(made["id"])


def test_the_life_of_a_volume(rest: httpx.Client) -> None:
    made = make(rest, "v1", env="test")
    assert set(told(rest.get(f"{VOLUMES}/usage/{made}"))) == {"CapacityUsageInfo", "Error"}
    shown = one(rest, made)
    assert shown["locator"] == {"name": "v1", "volume_labels": {"env": "test"}}
    assert (shown["spec"]["size"], shown["spec"]["ha_level"], shown["state"], shown["status"]) == (GIB, 1, 2, 2)
    assert set(shown["ctime"]) <= {"seconds", "nanos"}
    assert make(rest, "v1") == made
    for query in ({"Name": "v1"}, {"Label": '{"env":"test"}'}, {"VolumeID": made}):
        assert [each["id"] for each in told(rest.get(VOLUMES, params=query))] == [made]

    body = {"locator": {"volume_labels": {"env": "", "b": "2"}}, "spec": {**shown["spec"], "size": 2 * GIB}}
    answer = told(rest.put(f"{VOLUMES}/{made}", json=body))
    assert set(answer) == {"volume"}
    assert answer["volume"]["locator"]["volume_labels"] == {"b": "2"}
    assert answer["volume"]["spec"]["size"] == 2 * GIB

    attached = told(rest.put(f"{VOLUMES}/{made}", json={"action": {"attach": 2}}))
    assert attached["volume"]["state"] == 3
    assert attached["volume"]["attached_on"] == told(rest.get(f"{CLUSTER}/enumerate"))["NodeId"]
    detached = told(rest.put(f"{VOLUMES}/v1", json={"action": {"attach": 1}}))
    assert "attached_on" not in detached["volume"]

    taken = {"id": made, "locator": {"name": "s1"}, "readonly": True}
    snapshot = told(rest.post(SNAPSHOTS, json=taken))["volume_create_response"]["id"]
    assert one(rest, snapshot)["source"] == {"parent": made}
    clone = told(rest.post(SNAPSHOTS, json={"id": made, "locator": {"name": "c1"}}))["volume_create_response"]["id"]
    listed = told(rest.get(SNAPSHOTS, params={"VolumeID": made}))
    assert {each["id"]: each.get("readonly", False) for each in listed} == {snapshot: True, clone: False}
    assert told(rest.post(f"{SNAPSHOTS}/restore/{made}", params={"SnapID": snapshot})) == {}
    assert "InvalidArgument" in told(rest.post(f"{SNAPSHOTS}/restore/{clone}", params={"SnapID": snapshot}))["error"]

    assert "reads" not in told(rest.get(f"{VOLUMES}/stats/{made}"))
    assert isinstance(told(rest.get(f"{VOLUMES}/usedsize/{made}")), int)
    assert rest.get(f"{VOLUMES}/usage/{made}").status_code == 500  # it may share blocks with its snapshot
    for each in (clone, snapshot, made, made):
        assert told(rest.delete(f"{VOLUMES}/{each}")) == {}
    assert told(rest.get(f"{VOLUMES}/{made}")) == []
    assert told(rest.get(VOLUMES)) == []


def test_a_sticky_volume_stays_until_a_spec_without_the_word_arrives(rest: httpx.Client) -> None:
    spec = {"size": GIB, "ha_level": 1, "sticky": True}
    made = told(rest.post(VOLUMES, json={"locator": {"name": "v"}, "spec": spec}))["id"]
    assert "FailedPrecondition" in told(rest.delete(f"{VOLUMES}/{made}"))["error"]
    told(rest.put(f"{VOLUMES}/{made}", json={"spec": {"size": 2 * GIB}}))
    assert told(rest.delete(f"{VOLUMES}/{made}")) == {}


def test_a_group(rest: httpx.Client) -> None:
    ids = [make(rest, name, app="db") for name in ("g1", "g2")]
    group = told(rest.post(f"{SNAPSHOTS}/snapshotgroup", json={"Labels": {"app": "db"}}))
    taken = {key: each["volume_create_response"]["id"] for key, each in group["snapshots"].items()}
    assert set(taken) == set(ids)
    instants = [one(rest, snapshot)["ctime"] for snapshot in taken.values()]
    assert instants[0] == instants[1]
    for each in (*taken.values(), *ids):
        assert told(rest.delete(f"{VOLUMES}/{each}")) == {}


def test_the_cluster(rest: httpx.Client) -> None:
    shown = told(rest.get(f"{CLUSTER}/enumerate"))
    (node,) = shown["Nodes"]
    assert (shown["Status"], node["Id"], node["Status"]) == (2, shown["NodeId"], 2)
    assert told(rest.get(f"{CLUSTER}/inspect/{node['Id']}"))["Hostname"] == node["Hostname"]
    assert rest.get(f"{CLUSTER}/inspect/x").status_code == 500
    assert told(rest.get(f"{CLUSTER}/status")) == told(rest.get(f"{CLUSTER}/nodestatus")) == 2
    assert rest.get(f"{CLUSTER}/nodehealth").text == "Node status OK\n"


def test_policies(rest: httpx.Client) -> None:
    text = "- freq: daily\n  hour: 12\n  minute: 30\n  retain: 3\n"
    assert rest.post(f"{CLUSTER}/schedpolicy", json={"Name": "noon", "Schedule": text}).status_code == 200
    assert told(rest.get(f"{CLUSTER}/schedpolicy/noon")) == {"Name": "noon", "Schedule": text}
    listed = {each["name"]: each for each in told(rest.get(f"{CLUSTER}/schedpolicy"))}
    assert listed["noon"]["schedules"] == [{"retain": 3, "PeriodType": {"Daily": {"hour": 12, "minute": 30}}}]
    assert rest.delete(f"{CLUSTER}/schedpolicy/noon").status_code == 200
    assert rest.get(f"{CLUSTER}/schedpolicy/noon").status_code == 500


def test_quiescing_is_not_supported_where_nothing_can_be_mounted(rest: httpx.Client) -> None:
    made = make(rest, "v")
    assert "no quiesce" in told(rest.post(f"{VOLUMES}/quiesce/v"))["error"]
    assert told(rest.post(f"{VOLUMES}/unquiesce/v")) == {}
    assert told(rest.post(f"{VOLUMES}/quiesce/nothing"))["error"] == "Volume nothing not found"
    assert told(rest.delete(f"{VOLUMES}/{made}")) == {}


def test_a_stop_takes_the_sockets_away(tmp_path: Path) -> None:
    with live_gateway(tmp_path / "gateway", extra=DOOR.format(tmp_path / "osd")) as running:
        sockets = sorted(path for path in (tmp_path / "osd").rglob("*") if path.is_socket())
        assert [str(path.relative_to(tmp_path / "osd")) for path in sockets] == [
            "cluster/osd.sock",
            "driver/gateway.sock",
        ]
        assert {path.stat().st_mode & 0o777 for path in sockets} == {0o660}
        running.stop()
        assert not any(path.exists() for path in sockets)
        running.start()
        running.kill()
        assert all(path.exists() for path in sockets)
        running.start()
        with httpx.Client(base_url="http://osd", transport=httpx.HTTPTransport(uds=str(sockets[0]))) as client:
            assert told(client.get("/osd-volumes/versions")) == ["v1"]
