"""Schedules and the lines of snapshot policies, over the wire."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import pytest
from wire_scene import Caller

from gateway.testing.live import live_gateway

SCHEDULES = "/api/cluster/schedules"
POLICIES = "/api/storage/snapshot-policies"
VOLUMES = "/api/storage/volumes"
POOLS = '[backend.memory]\n[backend.plain]\ndriver = "memory"\ndisable = ["snapshot"]\n'


@pytest.fixture(scope="module")
def caller(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Caller]:
    folder: Path = tmp_path_factory.mktemp("schedules")
    with live_gateway(folder / "gw", pools=POOLS) as gateway:
        made = Caller(gateway)
        yield made
        made.close()


def one(caller: Caller, path: str, name: str) -> dict[str, object]:
    (found,) = caller.get(f"{path}?name={name}&fields=**")["records"]
    return found


def code(caller: Caller, method: str, path: str, body: object = None) -> tuple[int, str]:
    sent = b"" if body is None else json.dumps(body).encode()
    reply = caller.ask(method.encode(), f"{path}?return_timeout=60".encode() if sent else path.encode(), sent)
    return reply.status, reply.error["code"]


def delete(caller: Caller, path: str) -> None:
    assert caller.ask(b"DELETE", path.encode()).status == 200


def test_the_usual_schedules(caller: Caller) -> None:
    found = caller.get(f"{SCHEDULES}?fields=cron,type,scope,interval,svm,cluster.name&name=!often*")["records"]
    shown = {record["name"]: record["cron"] for record in found}
    assert shown["hourly"] == {"minutes": [5]}
    assert shown["daily"] == {"minutes": [10], "hours": [0]}
    assert shown["weekly"] == {"minutes": [15], "hours": [0], "weekdays": [0]}
    assert shown["monthly"] == {"minutes": [20], "hours": [0], "days": [1]}
    assert shown["8hour"] == {"minutes": [15], "hours": [2, 10, 18]}
    assert shown["5min"] == {"minutes": list(range(0, 60, 5))}
    assert {(r["type"], r["scope"], "svm" in r, "interval" in r) for r in found} == {("cron", "cluster", False, False)}


def test_what_belongs_to_the_cluster_shows_through_every_tunnel(caller: Caller) -> None:
    tunnel = ((b"X-Dot-SVM-Name", b"svm1"),)
    for path, name in ((SCHEDULES, "daily"), (POLICIES, "default")):
        found = caller.ask(b"GET", path.encode(), headers=tunnel).json["records"]
        assert name in [record["name"] for record in found]


def test_life_of_a_schedule(caller: Caller) -> None:
    caller.do("POST", SCHEDULES, {"name": "nightly", "cron": {"minutes": [30, 0], "hours": [2], "weekdays": [1]}})
    made = one(caller, SCHEDULES, "nightly")
    assert made["cron"] == {"minutes": [0, 30], "hours": [2], "weekdays": [1]}
    path = f"{SCHEDULES}/{made['uuid']}"
    caller.do("PATCH", path, {"cron": {"hours": [], "weekdays": None, "days": [1]}})
    assert caller.get(path)["cron"] == {"minutes": [0, 30], "days": [1]}
    assert code(caller, "PATCH", path, {"interval": "PT1H"}) == (400, "461785")
    assert code(caller, "PATCH", path, {"cron.minutes": []}) == (400, "459760")
    caller.do("POST", SCHEDULES, {"name": "often", "interval": "PT7M30S"})
    often = one(caller, SCHEDULES, "often")
    assert (often["type"], often["interval"]) == ("interval", "PT7M30S")
    assert code(caller, "PATCH", f"{SCHEDULES}/{often['uuid']}", {"cron.minutes": [1]}) == (400, "461786")
    caller.do("PATCH", f"{SCHEDULES}/{often['uuid']}", {"interval": "P1DT25H90M"})
    assert one(caller, SCHEDULES, "often")["interval"] == "P2DT2H30M"
    assert [r["name"] for r in caller.get(f"{SCHEDULES}?type=interval")["records"]] == ["often"]
    for uuid in (made["uuid"], often["uuid"]):
        delete(caller, f"{SCHEDULES}/{uuid}")
        assert code(caller, "GET", f"{SCHEDULES}/{uuid}") == (404, "4")


@pytest.mark.parametrize(
    "body",
    [
        {},
        {"cron": {"minutes": [1]}, "interval": "PT1H"},
        {"cron": {"hours": [1]}},
        {"cron": {"minutes": [60]}},
        {"cron": {"minutes": [0], "days": [30], "months": [2]}},
        {"interval": "1h"},
        {"interval": "PT0S"},
        {"interval": "P1Y"},
        {"interval": "P9999D"},
    ],
)
def test_schedules_that_are_none(caller: Caller, body: dict[str, object]) -> None:
    assert code(caller, "POST", SCHEDULES, {"name": "bad", **body}) == (400, "459760")


def test_schedules_that_stay(caller: Caller) -> None:
    daily = one(caller, SCHEDULES, "daily")
    assert code(caller, "DELETE", f"{SCHEDULES}/{daily['uuid']}") == (409, "459762")
    caller.do("POST", SCHEDULES, {"name": "used", "cron": {"minutes": [1]}})
    assert code(caller, "POST", SCHEDULES, {"name": "used", "cron": {"minutes": [2]}}) == (409, "1")
    caller.do("POST", POLICIES, {"name": "user", "copies": [{"schedule": {"name": "used"}, "count": 1}]})
    used = one(caller, SCHEDULES, "used")
    assert code(caller, "DELETE", f"{SCHEDULES}/{used['uuid']}") == (409, "459758")


def test_lines_of_a_policy(caller: Caller) -> None:
    daily, weekly = one(caller, SCHEDULES, "daily"), one(caller, SCHEDULES, "weekly")
    caller.do(
        "POST",
        POLICIES,
        {"name": "lines", "copies": [{"schedule": {"uuid": daily["uuid"]}, "count": 3, "prefix": "d"}]},
    )
    policy = one(caller, POLICIES, "lines")
    (copy,) = policy["copies"]
    assert (copy["prefix"], copy["schedule"]["name"], copy["schedule"]["uuid"]) == ("d", "daily", daily["uuid"])
    lines = f"{POLICIES}/{policy['uuid']}/schedules"
    made = caller.do("POST", f"{lines}?return_records=true", {"schedule": {"name": "weekly"}, "count": 2})
    assert made.json["records"][0]["schedule"]["uuid"] == weekly["uuid"]
    assert code(caller, "POST", lines, {"schedule": {"name": "weekly"}, "count": 2}) == (409, "1638410")
    assert code(caller, "POST", lines, {"schedule": {"name": "hourly"}, "count": 2, "prefix": "d"}) == (400, "1638508")
    assert code(caller, "POST", lines, {"schedule": {"name": "never"}, "count": 2}) == (404, "1638413")
    assert code(caller, "POST", lines, {"schedule": {"name": "hourly"}}) == (400, "1638407")
    assert code(caller, "POST", lines, {"count": 1}) == (400, "1638408")
    caller.do("PATCH", f"{lines}/{weekly['uuid']}", {"count": 5, "snapmirror_label": "w"})
    shown = caller.get(f"{lines}/{weekly['uuid']}")
    assert (shown["count"], shown["snapmirror_label"], shown["snapshot_policy"]["name"]) == (5, "w", "lines")
    delete(caller, f"{lines}/{daily['uuid']}")
    assert code(caller, "DELETE", f"{lines}/{daily['uuid']}") == (404, "4")
    assert code(caller, "DELETE", f"{lines}/{weekly['uuid']}") == (409, "1638411")
    builtin = one(caller, POLICIES, "none")
    kept = f"{POLICIES}/{builtin['uuid']}/schedules"
    assert code(caller, "POST", kept, {"schedule": {"name": "daily"}, "count": 1}) == (409, "1638431")


@pytest.mark.parametrize(
    ("copy", "expected"),
    [
        ({"count": 1}, (400, "1638408")),
        ({"schedule": {"name": "daily"}}, (400, "1638407")),
        ({"schedule": {"name": "never"}, "count": 1}, (404, "1638413")),
        ({"schedule": {"name": "daily", "uuid": "7b8d1c2e-0000-4000-8000-000000000000"}, "count": 1}, (404, "1638413")),
        ({"schedule": {"name": "daily"}, "count": 0}, (400, "1638451")),
        ({"schedule": {"name": "daily"}, "count": 1, "prefix": "a b"}, (400, "1638417")),
        ({"schedule": {"name": "daily"}, "count": 1, "retention_period": "P1D"}, (400, "262144017")),
    ],
)
def test_copies_that_cannot_be(caller: Caller, copy: dict[str, object], expected: tuple[int, str]) -> None:
    assert code(caller, "POST", POLICIES, {"name": "bad", "copies": [copy]}) == expected


def test_a_pool_without_snapshots(caller: Caller) -> None:
    body = {"svm": {"name": "svm1"}, "aggregates": [{"name": "plain"}], "size": "64MB"}
    assert code(caller, "POST", VOLUMES, {**body, "name": "no", "snapshot_policy": {"name": "default"}}) == (
        400,
        "918701",
    )
    for name, more in (("usual", {}), ("named", {"snapshot_policy": {"name": "none"}})):
        caller.do("POST", VOLUMES, {**body, "name": name, **more})
        assert one(caller, VOLUMES, name)["snapshot_policy"]["name"] == "none"
    uuid = one(caller, VOLUMES, "usual")["uuid"]
    assert code(caller, "PATCH", f"{VOLUMES}/{uuid}", {"snapshot_policy": {"name": "default"}}) == (400, "918703")
    caller.do("POST", VOLUMES, {**body, "name": "able", "aggregates": [{"name": "memory"}]})
    able = one(caller, VOLUMES, "able")
    assert able["snapshot_policy"]["name"] == "default"
    caller.do("PATCH", f"{VOLUMES}/{able['uuid']}", {"snapshot_policy": {"name": "none"}})
    assert one(caller, VOLUMES, "able")["snapshot_policy"]["name"] == "none"
