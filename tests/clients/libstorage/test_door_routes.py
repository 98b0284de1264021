"""Every route of the door on a running gateway: its status, its headers, the form of its answer."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest

from gateway.frontends.libstorage.routes import ROUTES
from gateway.frontends.routing import Found, Router, segments
from gateway.testing.live import LiveGateway, live_gateway

DOOR = '[frontend.libstorage]\nlisten = "127.0.0.1:0"\n'
NODE = {"Libstorage-Instanceid": "vfs=node-a", "Libstorage-Localdevices": "vfs="}


@pytest.fixture(scope="module")
def gateway(tmp_path_factory: pytest.TempPathFactory) -> Iterator[LiveGateway]:
    with live_gateway(tmp_path_factory.mktemp("gateway"), extra=DOOR) as running:
        yield running


@pytest.fixture(scope="module")
def door(gateway: LiveGateway) -> Iterator[httpx.Client]:
    with httpx.Client(base_url=gateway.addresses["libstorage"], headers=NODE, trust_env=False) as client:
        yield client


def ask(door: httpx.Client, verb: str, path: str, status: int, body: Any = None) -> Any:
    """Send a request, check the answer's status and form, and give its JSON; None where there is no body."""
    answer = door.request(verb, path, **({} if body is None else {"json": body}))
    assert answer.status_code == status, (verb, path, answer.text)
    assert answer.headers["Libstorage-Servername"] == "gateway"
    assert answer.headers["Server"] == "volume-gateway"
    if status == 204:
        assert answer.content == b""
        return None
    assert answer.headers["Content-Type"] == "application/json"
    assert int(answer.headers["Content-Length"]) == len(answer.content) > 0
    return answer.json()


def test_every_route_answers_with_its_status(door: httpx.Client) -> None:
    walked: set[tuple[str, str]] = set()

    def go(verb: str, path: str, status: int, body: Any = None) -> Any:
        walked.add((verb, path))
        return ask(door, verb, path.format_map(known), status, body)

    known: dict[str, str] = {}
    volume = go("POST", "/volumes/memory", 201, {"name": "one", "size": 1})
    known["v"] = volume["id"]
    assert volume["attachmentState"] == 3
    go("GET", "/volumes", 200)
    go("GET", "/volumes/memory", 200)
    go("GET", "/volumes/memory/{v}", 200)
    assert go("GET", "/volumes/memory/ONE?byName", 200)["id"] == volume["id"]
    copy = go("POST", "/volumes/memory/{v}?copy", 201, {"volumeName": "two"})
    known["c"] = copy["id"]
    known["n"] = go("POST", "/volumes/memory/{v}?snapshot", 201, {"snapshotName": "s"})["id"]
    assert set(go("POST", "/volumes/memory/{v}?attach", 200, {})) == {"volume", "attachToken"}
    assert go("POST", "/volumes/memory/{v}?detach", 205, {})["id"] == volume["id"]
    assert set(go("POST", "/volumes/memory?detach", 205, {})) == {volume["id"], copy["id"]}
    assert set(go("POST", "/volumes?detach", 205, {})) == {"memory"}
    go("GET", "/snapshots", 200)
    go("GET", "/snapshots/memory", 200)
    go("GET", "/snapshots/memory/{n}", 200)
    known["f"] = go("POST", "/snapshots/memory/{n}?create", 201, {"name": "three"})["id"]
    go("POST", "/snapshots/memory/{n}?copy", 500, {"snapshotName": "t", "destinationID": ""})
    go("DELETE", "/volumes/memory/{f}", 204)
    assert go("DELETE", "/snapshots/memory/{n}", 205) is None
    go("DELETE", "/volumes/memory/{c}?force", 204)
    go("DELETE", "/volumes/memory/{v}", 204)
    go("GET", "/services", 200)
    go("GET", "/services/memory", 200)
    go("GET", "/", 200)
    go("GET", "/help", 200)
    go("GET", "/help/version", 200)
    go("GET", "/help/config", 401)
    go("GET", "/help/env", 401)
    go("GET", "/executors", 200)
    go("GET", "/executors/lsx-linux", 404)
    known["t"] = next(iter(go("GET", "/tasks", 200)))
    go("GET", "/tasks/{t}", 200)
    assert door.head("/executors/lsx-linux").status_code == 404
    router = Router(ROUTES)
    found = [
        router.find(verb, segments(path.partition("?")[0]), fits=lambda route, path=path: route.query in path)  # type: ignore[misc]
        for verb, path in [*walked, ("HEAD", "/executors/x")]
    ]
    assert {each.route.name + each.route.verb for each in found if isinstance(each, Found)} == {
        each.name + each.verb for each in ROUTES
    }


@pytest.mark.parametrize(
    ("verb", "path"),
    [
        ("GET", "/services/nowhere"),
        ("GET", "/volumes/nowhere"),
        ("GET", "/volumes/memory/nowhere"),
        ("GET", "/volumes/memory/nowhere?byName"),
        ("POST", "/volumes/nowhere"),
        ("POST", "/volumes/memory/nowhere?attach"),
        ("POST", "/volumes/memory/nowhere?detach"),
        ("POST", "/volumes/nowhere?detach"),
        ("DELETE", "/volumes/memory/nowhere"),
        ("GET", "/snapshots/nowhere"),
        ("GET", "/snapshots/memory/nowhere"),
        ("DELETE", "/snapshots/memory/nowhere"),
        ("GET", "/tasks/404"),
    ],
)
def test_what_is_not_there_is_told_in_one_form(door: httpx.Client, verb: str, path: str) -> None:
    ref = "404" if "404" in path else "nowhere"
    assert ask(door, verb, path, 404) == {
        "message": "resource not found",
        "status": 404,
        "error": {"resourceID": ref},
    }


def test_a_body_that_is_wrong_counts_before_the_volume_and_also_for_async(door: httpx.Client) -> None:
    for query in ("attach", "attach&async"):
        told = ask(door, "POST", f"/volumes/memory/nowhere?{query}", 500, {"forse": True})
        assert told["message"].startswith("validate req schema: validation error: ")
    task = ask(door, "POST", "/volumes/memory/nowhere?attach&async", 202, {})
    assert task["state"] == "running"
    del door.headers["Libstorage-Instanceid"]
    try:
        told = ask(door, "POST", "/volumes/memory/nowhere?attach&async", 400, {})
        assert told["message"] == "missing instance ID"
    finally:
        door.headers.update(NODE)


def test_changes_are_audited_and_named_as_the_client_names_them(gateway: LiveGateway, door: httpx.Client) -> None:
    tx = "6ba7b810-9dad-11d1-80b4-00c04fd430c8"
    door.post("/volumes/memory", json={"name": "audited", "size": 1}, headers={"Libstorage-Tx": f"txID={tx},txCR=1"})
    log = gateway.log.read_text()
    assert f'/{tx}"' in log
    assert '"operation":"volume.create"' in log


def test_a_path_that_is_not_clean_is_elsewhere(gateway: LiveGateway) -> None:
    answer = httpx.get(f"{gateway.addresses['libstorage']}//services//memory?x", trust_env=False)
    assert (answer.status_code, answer.headers["Location"], answer.content) == (301, "/services/memory?x", b"")


def test_it_is_in_the_metrics_by_route(gateway: LiveGateway, door: httpx.Client) -> None:
    door.get("/services/memory")
    door.post("/volumes/memory?detach", json={})
    metrics = httpx.get(f"{gateway.url}/metrics", auth=("admin", "correct horse"), trust_env=False).text
    assert 'door="libstorage"' in metrics
    assert 'route="/services/{service}"' in metrics
    assert 'route="/volumes/{service}?detach"' in metrics


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ('listen = "0.0.0.0:0"', "not every service asks for a token"),
        ('listen = "0.0.0.0:0"\nanonymous = true', "tls is off"),
        ('listen = "nowhere"', "is not HOST:PORT"),
        ('[frontend.libstorage.service.x]\npool = "nowhere"', "there is no pool 'nowhere'"),
        ('[frontend.libstorage.service.x]\npool = "memory"\ndriver = "no"', "clients have no driver 'no'"),
        ('[frontend.libstorage.auth]\nallow = ["a"]', "no key says how their tokens are verified"),
        ("execution_timeout_s = 150", "must be less than limits.request_timeout_s, which is 150"),
    ],
)
def test_what_cannot_be_is_told_at_the_start(tmp_path: Path, text: str, why: str) -> None:
    gateway = LiveGateway(tmp_path, extra=f"[frontend.libstorage]\n{text}\n")
    with pytest.raises(RuntimeError, match="not ready"):
        gateway.start()
    assert why in gateway.tail()
