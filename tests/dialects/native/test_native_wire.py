"""Requests and answers of the native door as bytes, at a live gateway. Ids and times are as the test calls them."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any

import httpx
import pytest

from gateway.client import Client, native, volumes
from gateway.testing.live import ACCOUNT, PASSWORD, READER, LiveGateway, live_gateway

GIB = 1 << 30
_ID = re.compile(r"[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}")
_TIME = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(?:\.\d+)?Z")

VOLUME = {
    "id": "<v>",
    "name": "v",
    "tenant": "svm1",
    "pool": "memory",
    "kind": "block",
    "state": "online",
    "reason": "",
    "size": GIB,
    "used": 0,
    "thick": False,
    "comment": "c",
    "labels": {"a": "b"},
    "path": None,
    "export_policy": None,
    "created": "<time>",
    "origin": None,
    "attachments": [],
    "multi_attach": True,
    "snapshot_count": 0,
    "clone_count": 0,
    "revision": 0,
}
CLONE = {
    **VOLUME,
    "id": "<c>",
    "name": "c",
    "comment": "",
    "labels": {},
    "origin": {"volume": "<v>", "snapshot": "<s>"},
}
SNAPSHOT = {
    "id": "<s>",
    "name": "s",
    "volume": "<v>",
    "volume_name": "v",
    "tenant": "svm1",
    "pool": "memory",
    "created": "<time>",
    "state": "valid",
    "comment": "",
    "labels": {},
    "volume_size": 2 * GIB,
    "size": 0,
    "clone_count": 0,
}
POLICY = {"name": "p", "tenant": "svm1", "rules": [{"clients": ["10.0.0.0/24"], "write": True}]}
NEW = {
    "name": "v",
    "tenant": "svm1",
    "pool": "memory",
    "size": GIB,
    "kind": "block",
    "comment": "c",
    "labels": {"a": "b"},
    "multi_attach": True,
}
V, S = "/gateway/volumes", "/gateway/snapshots"
P = "/gateway/tenants/svm1/export-policies/p"


def error(code: str, message: str, **fields: object) -> dict[str, object]:
    return {"error": {"code": code, "message": message, "fields": fields}}


STORY: list[tuple[str, str, Any, int, Any]] = [
    ("GET", V, None, 200, {"records": [], "next": ""}),
    ("POST", V, NEW, 201, VOLUME),
    (
        "POST",
        V,
        NEW,
        409,
        error("AlreadyExists", "volume v already exists", kind="volume", name="v", field="name", same_spec=None),
    ),
    (
        "POST",
        V,
        {**NEW, "pool": "none"},
        404,
        error("NotFound", "pool none not found", kind="pool", ref="none"),
    ),
    ("GET", f"{V}/<v>", None, 200, VOLUME),
    ("GET", f"{V}?name=v&tenant=svm1", None, 200, {"records": [VOLUME], "next": ""}),
    ("PATCH", f"{V}/<v>", {"size": 2 * GIB}, 200, {**VOLUME, "size": 2 * GIB}),
    (
        "PATCH",
        f"{V}/<v>",
        {"size": GIB},
        501,
        error(
            "Unsupported",
            "no shrink on memory: the substrate has no such operation",
            capability="shrink",
            backend="memory",
            reason="the substrate has no such operation",
        ),
    ),
    ("GET", f"{V}/<v>/access", None, 200, {"handles": [{"type": "in_process", "key": "<v>", "read_only": False}]}),
    ("POST", f"{V}/<v>/snapshots", {"name": "s"}, 201, SNAPSHOT),
    ("GET", f"{S}?volume=<v>", None, 200, {"records": [SNAPSHOT], "next": ""}),
    (
        "PATCH",
        f"{S}/<s>",
        {"comment": "x", "labels": {"k": "v"}},
        200,
        {**SNAPSHOT, "comment": "x", "labels": {"k": "v"}},
    ),
    ("PATCH", f"{S}/<s>", {"comment": "", "labels": {}}, 200, SNAPSHOT),
    ("POST", f"{V}/<v>/clone", {"name": "c", "snapshot": "<s>"}, 201, {**CLONE, "size": 2 * GIB}),
    (
        "DELETE",
        f"{S}/<s>",
        None,
        409,
        error(
            "InUse",
            "cannot delete snapshot s: it is in use (clones)",
            kind="snapshot",
            ref="s",
            by="clones",
            action="delete",
        ),
    ),
    ("DELETE", f"{V}/<c>", None, 200, {}),
    (
        "POST",
        f"{V}/<v>/restore",
        {"snapshot": "<s>"},
        200,
        {**VOLUME, "size": 2 * GIB, "snapshot_count": 1},
    ),
    ("DELETE", f"{S}/<s>", None, 200, {}),
    (
        "POST",
        f"{V}/<v>/attachments",
        {"node": "n", "ways": ["local", "iscsi"]},
        501,
        error(
            "Unsupported",
            "no attach on memory: offered: nothing; the node can use: local, iscsi",
            capability="attach",
            backend="memory",
            reason="offered: nothing; the node can use: local, iscsi",
        ),
    ),
    (
        "DELETE",
        f"{V}/<v>/attachments/n",
        None,
        404,
        error("NotFound", "attachment n not found", kind="attachment", ref="n"),
    ),
    ("DELETE", f"{V}/<v>?wait=60&force=true", None, 200, {}),
    ("GET", f"{V}/<v>", None, 404, error("NotFound", "volume <v> not found", kind="volume", ref="<v>")),
    ("GET", "/gateway/tenants", None, 200, {"records": [{"id": "<id>", "name": "svm1"}]}),
    ("PUT", P, {"rules": POLICY["rules"]}, 200, POLICY),
    ("GET", P, None, 200, POLICY),
    ("DELETE", P, None, 200, {}),
    ("DELETE", P, None, 200, {}),
    ("GET", P, None, 404, error("NotFound", "export policy p not found", kind="export policy", ref="p")),
    (
        "GET",
        "/gateway/else",
        None,
        404,
        error("NotFound", "resource /gateway/else not found", kind="resource", ref="/gateway/else"),
    ),
    (
        "GET",
        f"{V}?colour=red",
        None,
        400,
        error("InvalidArgument", "colour: is not known here", field="colour", value=None, reason="is not known here"),
    ),
]


@pytest.fixture(scope="module")
def gateway(tmp_path_factory: pytest.TempPathFactory) -> Iterator[LiveGateway]:
    with live_gateway(tmp_path_factory.mktemp("native")) as running:
        yield running


@pytest.fixture
def client(gateway: LiveGateway) -> Iterator[httpx.Client]:
    with httpx.Client(
        base_url=gateway.url, auth=(ACCOUNT, PASSWORD), trust_env=False, verify=False, timeout=60
    ) as client:
        yield client


def test_requests_and_answers(client: httpx.Client) -> None:
    known: dict[str, str] = {}
    for verb, path, body, status, wanted in STORY:
        content = None if body is None else httpx.Response(200, json=body).text
        sent = [_named(text or "", known) for text in (path, content)]
        answer = client.request(verb, sent[0], content=sent[1] or None)
        assert answer.headers["Content-Type"] == "application/json"
        assert (answer.status_code, _told(answer, known)) == (status, wanted), (verb, path)


def test_the_older_client_still_learns_the_ways_to_a_volume(gateway: LiveGateway) -> None:
    with Client(gateway.url, user=ACCOUNT, password=PASSWORD) as client:
        made = client.run(volumes.create_block("disk", tenant="svm1", pool="memory", size=GIB))
        assert [handle.kind for handle in client.run(volumes.access(made.uuid))] == ["in_process"]
        assert client.run(native.volume(made.uuid)).kind == "block"
        client.run(native.delete_volume(made.uuid))


def test_requests_are_counted_and_changes_audited(gateway: LiveGateway, client: httpx.Client) -> None:
    with httpx.Client(base_url=gateway.url, auth=(READER, PASSWORD), trust_env=False, verify=False) as reader:
        refused = reader.post(V, json=NEW)
        assert (refused.status_code, refused.json()["error"]["fields"]) == (403, {"action": "volume.create"})
        assert reader.get(V).is_success
        page = reader.get("/metrics").text
    assert 'gateway_request_seconds_count{door="native",method="GET",route="/gateway/volumes",status="2xx"}' in page
    log = gateway.log.read_text()
    assert '"operation":"volume.create"' in log
    assert '"door":"native"' in log


def _named(text: str, known: dict[str, str]) -> str:
    """Give a text with ids in place of what the test calls them."""
    for key, name in known.items():
        text = text.replace(f"<{name}>", key)
    return text


def _told(answer: httpx.Response, known: dict[str, str]) -> Any:
    """Give an answer with what the test calls ids and times; records are called by their name."""
    told = answer.json()
    if answer.status_code == httpx.codes.CREATED:
        known[told["id"]] = told["name"]

    def called(value: Any, key: str = "") -> Any:
        match value:
            case dict():
                return {name: called(each, name) for name, each in value.items()}
            case list():
                return [called(each) for each in value]
            case str():
                named = _ID.sub(lambda found: f"<{known.get(found[0], 'id')}>", value)
                return _TIME.sub("<time>", named)
            case _:
                return 0 if key in {"revision", "used"} else value

    return called(told)
