"""The SDK over HTTP answers as it does over gRPC: one flow through both, and what a browser would ask."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import httpx
import pytest
from openstorage_client import Client

from gateway.testing.live import LiveGateway

GIB = 1 << 30


@pytest.fixture
def rest(gateway: LiveGateway) -> Iterator[httpx.Client]:
    with httpx.Client(base_url=gateway.addresses["openstorage-rest"]) as client:
        yield client


def body(answer: httpx.Response) -> Any:
    assert answer.status_code == 200, answer.text
    return answer.json()


def test_the_whole_life_of_a_volume(sdk: Client, rest: httpx.Client) -> None:
    spec = {"size": str(GIB), "ha_level": "1", "format": "FS_TYPE_VFS"}
    made = body(rest.post("/v1/volumes", json={"name": "v1", "spec": spec, "labels": {"a": "b"}}))["volume_id"]
    assert body(rest.get("/v1/volumes")) == {"volume_ids": [made]}
    over_grpc = sdk("Volume/Inspect", volume_id=made)
    over_http = body(rest.get(f"/v1/volumes/inspect/{made}"))
    assert over_http["labels"] == over_grpc["labels"] == {"a": "b"}
    assert _contains(over_grpc["volume"], over_http["volume"])

    assert body(rest.put(f"/v1/volumes/{made}", json={"labels": {"c": "d"}, "spec": {"size": str(2 * GIB)}})) == {}
    shown = sdk("Volume/Inspect", volume_id=made)
    assert (shown["labels"], shown["volume"]["spec"]["size"]) == ({"a": "b", "c": "d"}, str(2 * GIB))

    taken = body(rest.post("/v1/volumes/snapshots", json={"volume_id": made, "name": "s"}))["snapshot_id"]
    query = {"volume_id": made}
    assert body(rest.get("/v1/volumes/snapshots", params=query)) == {"volume_snapshot_ids": [taken]}
    restore = {"volume_id": made, "snapshot_id": taken}
    assert body(rest.post("/v1/volumes/snapshots/restore", json=restore)) == {}
    twin = body(rest.post("/v1/volumes/clone", json={"name": "twin", "parent_id": taken}))["volume_id"]
    assert sdk("Volume/Inspect", volume_id=twin)["volume"]["source"]["parent"] == taken

    assert body(rest.post("/v1/mountattach/attach", json={"volume_id": made}))["device_path"]
    assert sdk("Volume/Inspect", volume_id=made)["volume"]["state"] == "VOLUME_STATE_ATTACHED"
    assert body(rest.post("/v1/mountattach/detach", json={"volume_id": made})) == {}
    for each in (twin, taken, made):
        assert body(rest.delete(f"/v1/volumes/{each}")) == {}
    assert body(rest.get("/v1/volumes")) == {}


@pytest.mark.parametrize(
    ("verb", "path", "sent", "status", "code"),
    [
        ("GET", "/v1/volumes/inspect/no-such", None, 404, 5),
        ("POST", "/v1/volumes", {"name": "v"}, 400, 3),
        ("POST", "/v1/volumes", {"name": "v", "spec": {"size": "0", "ha_level": "1"}}, 500, 13),
        ("POST", "/v1/credentials", {"name": "c"}, 400, 3),
        ("POST", "/v1/objectstores", {"volume_id": "v"}, 501, 12),
    ],
)
def test_errors_have_their_status(
    rest: httpx.Client, verb: str, path: str, sent: object, status: int, code: int
) -> None:
    answer = rest.request(verb, path, json=sent)
    assert (answer.status_code, answer.json()["code"]) == (status, code), answer.text
    assert answer.json()["error"] == answer.json()["message"]


def test_deleting_an_unknown_volume_is_done(rest: httpx.Client) -> None:
    assert body(rest.delete("/v1/volumes/no-such")) == {}


def test_the_document_lists_what_is_served(rest: httpx.Client) -> None:
    paths = body(rest.get("/swagger.json"))["paths"]
    assert "/v1/volumes/inspect/{volume_id}" in paths
    assert "/v1/credentials/inspect/{credential_id}" in paths
    assert "/v1/objectstores" not in paths


def _contains(whole: Any, part: Any) -> bool:
    """Tell whether everything in `part`, which leaves defaults out, is in `whole`."""
    if isinstance(part, dict):
        return all(key in whole and _contains(whole[key], value) for key, value in part.items())
    return bool(whole == part)
