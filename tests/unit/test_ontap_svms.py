"""Aggregates that are assigned to an SVM, and the snapshot policy that its volumes get, over a core in this process."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import httpx
import pytest
from ontap_door_scene import Everyone, door_to

from gateway.core.context import Core
from gateway.testing.cores import core_on, memory_pool

SVMS, VOLUMES, POLICIES = "/svm/svms", "/storage/volumes", "/storage/snapshot-policies"
BASE = {"svm.name": "svm2", "size": "64MB"}
TAKEN = {"schedule": {"name": "daily"}, "count": 2}


@pytest.fixture
async def core(tmp_path: Path) -> AsyncIterator[Core]:
    async with core_on(tmp_path, [memory_pool("one"), memory_pool("two")]) as made:
        yield made


@pytest.fixture
async def door(core: Core) -> AsyncIterator[httpx.AsyncClient]:
    async with door_to(core, Everyone()) as made:
        yield made


async def must(door: httpx.AsyncClient, verb: str, path: str, body: Any = None) -> Any:
    mark = "&" if "?" in path else "?"
    answer = await door.request(verb, path if verb == "GET" else f"{path}{mark}return_timeout=60", json=body)
    assert answer.is_success, answer.text
    return answer.json() | {"at": answer.headers.get("Location", "").removeprefix("/api")}


def refusal(answer: httpx.Response) -> tuple[int, str, str]:
    error = answer.json()["error"]
    return answer.status_code, error["code"], error.get("target", "")


async def aggregates(door: httpx.AsyncClient, svm: str) -> tuple[list[str], bool]:
    shown = await must(door, "GET", f"{svm}?fields=aggregates,aggregates_delegated")
    return sorted(one["name"] for one in shown["aggregates"]), shown["aggregates_delegated"]


async def test_an_svm_with_aggregates_of_its_own_has_its_volumes_there_only(door: httpx.AsyncClient) -> None:
    svm = (await must(door, "POST", SVMS, {"name": "svm2", "aggregates": [{"name": "one"}]}))["at"]
    assert await aggregates(door, svm) == (["one"], True)
    volume = (await must(door, "POST", VOLUMES, {**BASE, "name": "v", "aggregates": [{"name": "one"}]}))["at"]
    elsewhere = await door.post(VOLUMES, json={**BASE, "name": "w", "aggregates": [{"name": "two"}]})
    moved = await door.patch(volume, json={"movement.destination_aggregate.name": "two"})
    for refused in (elsewhere, moved):
        assert refusal(refused) == (400, "262245", "aggregates.name")
        assert 'is not assigned to tenant "svm2"' in refused.json()["error"]["message"]
    await must(door, "PATCH", svm, {"aggregates": [{"name": "two"}, {"name": "one"}]})
    assert await aggregates(door, svm) == (["one", "two"], True)
    await must(door, "PATCH", svm, {"aggregates": []})
    assert await aggregates(door, svm) == (["one", "two"], False)
    await must(door, "POST", VOLUMES, {**BASE, "name": "w", "aggregates": [{"name": "two"}]})


async def test_volumes_get_the_snapshot_policy_of_their_svm(door: httpx.AsyncClient) -> None:
    policy = (await must(door, "POST", POLICIES, {"name": "kept", "copies": [TAKEN]}))["at"]
    svm = (await must(door, "POST", SVMS, {"name": "svm2", "snapshot_policy.name": "kept"}))["at"]
    assert (await must(door, "GET", svm))["snapshot_policy"]["uuid"] == policy.rpartition("/")[2]
    named: dict[str, Any] = {}
    for name, more in (("v", {}), ("w", {"snapshot_policy": {"name": "none"}})):
        body = {**BASE, "name": name, "aggregates": [{"name": "one"}], **more}
        place = (await must(door, "POST", VOLUMES, body))["at"]
        named[name] = (await must(door, "GET", place))["snapshot_policy"]["name"]
    assert named == {"v": "kept", "w": "none"}
    await must(door, "DELETE", f"{VOLUMES}?name=*")
    assert refusal(await door.delete(policy))[:2] == (409, "1638415")
    await must(door, "PATCH", svm, {"snapshot_policy.name": "default"})
    assert (await must(door, "GET", svm))["snapshot_policy"]["name"] == "default"
    await must(door, "DELETE", policy)


@pytest.mark.parametrize(
    "body", [{"aggregates": [{"name": "three"}]}, {"snapshot_policy": {"name": "kept"}}, {"comment": "c" * 300}]
)
async def test_what_is_not_there_is_refused_and_no_svm_is_made(door: httpx.AsyncClient, body: dict[str, Any]) -> None:
    before = await must(door, "GET", f"{SVMS}?name=svm1&fields=**")
    refused = await door.post(SVMS, json={"name": "svm2", **body})
    assert refused.status_code in {400, 404}, refused.text
    (svm1,) = before["records"]
    assert (await door.patch(f"{SVMS}/{svm1['uuid']}", json=body)).status_code == refused.status_code
    assert (await must(door, "GET", f"{SVMS}?fields=name"))["num_records"] == 1
    assert await must(door, "GET", f"{SVMS}?name=svm1&fields=**") == before
