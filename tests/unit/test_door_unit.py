"""The ONTAP door over a core in this process: what it remembers, what a tunnel shows, how it reads on."""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping
from contextlib import AsyncExitStack
from pathlib import Path
from typing import Any, NamedTuple
from uuid import uuid4

import httpx
import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st
from ontap_door_scene import Everyone, door_to

from gateway.core import errors, retired, volumes
from gateway.core.catalog import put
from gateway.core.context import Core
from gateway.core.model import Pool, Tenant, Volume, VolumeKind, utc_now
from gateway.core.principal import Principal
from gateway.frontends.ontap_rest.paths import Router, segments
from gateway.frontends.receive import origin_form
from gateway.testing.cores import core_on, memory_pool

MIB = 1 << 20


class Overrun:
    """Has too many checks waiting."""

    async def authenticate(self, authorization: str | None, *, peer: str = "") -> Principal:
        del authorization, peer
        raise errors.Busy(what="authentication", retry_after=7)


@pytest.fixture
async def core(tmp_path: Path) -> AsyncIterator[Core]:
    async with core_on(tmp_path, [memory_pool()], tenants=("svm1", "svm2")) as made:
        yield made


@pytest.fixture
async def door(core: Core) -> AsyncIterator[httpx.AsyncClient]:
    async with door_to(core, Everyone()) as client:
        yield client


async def make_volume(door: httpx.AsyncClient, svm: str, name: str) -> str:
    body = {"name": name, "svm": {"name": svm}, "aggregates": [{"name": "memory"}], "size": 20 * MIB}
    answer = await door.post("/storage/volumes?return_timeout=60&return_records=true", json=body)
    assert answer.status_code == 202, answer.text
    uuid: str = answer.json()["records"][0]["uuid"]
    return uuid


# --- remembered answers ---


async def test_no_door_gives_an_answer_that_another_process_made_stale(tmp_path: Path) -> None:
    async with AsyncExitStack() as stack:
        first = await stack.enter_async_context(core_on(tmp_path, [memory_pool()]))
        second = await stack.enter_async_context(core_on(tmp_path, [], tenants=()))
        doors = [await stack.enter_async_context(door_to(core, Everyone())) for core in (first, second)]
        (svm,) = (await doors[0].get("/svm/svms")).json()["records"]
        ways: list[tuple[str, Mapping[str, str]]] = [
            (f"/svm/svms/{svm['uuid']}", {}),
            (f"/svm/svms/{svm['uuid']}?fields=comment", {"Accept": "application/json"}),
            ("/svm/svms?fields=comment", {}),
            ("/svm/svms?fields=comment", {"X-Dot-SVM-Name": "svm1"}),
            ("/svm/svms?fields=comment", {"X-Dot-SVM-UUID": svm["uuid"]}),
            ("/svm/svms?comment=*&order_by=comment", {}),
        ]
        for number in range(12):
            writer = doors[number % 2]
            changed = await writer.patch(f"/svm/svms/{svm['uuid']}", json={"comment": f"{number}"})
            assert changed.status_code == 202, changed.text
            for door in (*doors, *doors):
                for path, headers in ways:
                    shown = (await door.get(path, headers=headers)).json()
                    (record,) = shown.get("records", [shown])
                    assert record["comment"] == f"{number}"


async def test_a_remembered_answer_is_the_answer(door: httpx.AsyncClient) -> None:
    await make_volume(door, "svm1", "one")
    for path in ("/storage/volumes?fields=**", "/svm/svms", "/cluster/jobs", "/storage/aggregates?fields=*"):
        fresh, kept = await door.get(path), await door.get(path)
        assert (fresh.status_code, fresh.content) == (kept.status_code, kept.content)
        assert fresh.headers["content-type"] == kept.headers["content-type"]
        plain = await door.get(path, headers={"Accept": "application/json"})
        assert b"_links" not in plain.content
        head = await door.head(path)
        assert (head.status_code, head.content) == (200, b"")
        assert (await door.get(path)).content == fresh.content


# --- tunnels ---


async def test_a_tunnel_shows_and_makes_what_belongs_to_its_svm(door: httpx.AsyncClient) -> None:
    mine, other = await make_volume(door, "svm1", "same"), await make_volume(door, "svm2", "same")
    uuid = (await door.get("/svm/svms?name=svm1")).json()["records"][0]["uuid"]
    for tunnel in ({"X-Dot-SVM-Name": "svm1"}, {"X-Dot-SVM-UUID": uuid}, {"X-Dot-SVM-UUID": uuid.upper()}):
        listed = (await door.get("/storage/volumes", headers=tunnel)).json()["records"]
        assert [record["uuid"] for record in listed] == [mine]
        for path in ("/svm/svms", "/protocols/nfs/export-policies"):
            assert (await door.get(path, headers=tunnel)).json()["num_records"] == 1
        assert (await door.get("/storage/aggregates", headers=tunnel)).json()["num_records"] == 1
        for method, body in (("GET", None), ("PATCH", {"comment": "x"}), ("DELETE", None)):
            for path in (f"/storage/volumes/{other}", f"/storage/volumes/{other}/snapshots"):
                missed = await door.request(method, path, headers=tunnel, json=body)
                assert missed.status_code in {400, 404}, (method, path, missed.text)
        assert (await door.get(f"/storage/volumes/{other}", headers=tunnel)).json()["error"]["code"] == "4"
    body = {"name": "new", "aggregates": [{"name": "memory"}], "size": 20 * MIB}
    made = await door.post("/storage/volumes?return_timeout=60", json=body, headers={"X-Dot-SVM-Name": "svm2"})
    assert made.status_code == 202, made.text
    found = (await door.get("/storage/volumes?name=new&fields=svm.name")).json()["records"]
    assert [record["svm"]["name"] for record in found] == ["svm2"]
    assert (await door.get(f"/storage/volumes/{other}")).json()["comment"] == ""


@pytest.mark.parametrize("path", ["/storage/volumes", "/storage/volumes?start.uuid=x", "/storage/volumes?fields=name"])
async def test_a_tunnel_is_no_query_so_nobody_loses_all_that_an_svm_has(door: httpx.AsyncClient, path: str) -> None:
    mine = await make_volume(door, "svm1", "mine")
    for tunnel in ({}, {"X-Dot-SVM-Name": "svm1"}):
        for method, body in (("PATCH", {"comment": "x"}), ("DELETE", None)):
            refused = await door.request(method, path, headers=tunnel, json=body)
            assert (refused.status_code, refused.json()["error"]["code"]) == (400, "262194"), refused.text
    assert (await door.get(f"/storage/volumes/{mine}")).json()["comment"] == ""


@pytest.mark.parametrize(
    ("tunnel", "body", "code"),
    [
        ({"X-Dot-SVM-Name": "nobody"}, {}, "2621462"),
        ({"X-Dot-SVM-UUID": str(uuid4())}, {}, "2621462"),
        ({"X-Dot-SVM-UUID": "no uuid"}, {}, "2621462"),
        ({"X-Dot-SVM-Name": "svm1"}, {"svm": {"name": "svm2"}}, "2621706"),
        ({}, {}, "2621707"),
    ],
)
async def test_a_tunnel_to_nowhere_or_against_the_body_is_refused(
    door: httpx.AsyncClient, tunnel: dict[str, str], body: dict[str, Any], code: str
) -> None:
    whole = {"name": "new", "aggregates": [{"name": "memory"}], "size": 20 * MIB, **body}
    refused = await door.post("/storage/volumes", json=whole, headers=tunnel)
    assert refused.json()["error"]["code"] == code
    assert (await door.get("/storage/volumes")).json()["num_records"] == 0


# --- what the catalog cannot answer is read on ---

WORDS = ("alpha", "beta", "gamma", "delta")


async def fill(core: Core, number: int) -> None:
    """Put volumes into the catalog alone; more than one look at it reads at once."""
    tenant, pool = await core.find(Tenant, name="svm1"), next(iter(core.pools))
    assert tenant is not None
    made = [
        Volume(
            id=uuid4(),
            name=f"v{n:04}",
            tenant_id=tenant.id,
            pool_id=pool.id,
            created=utc_now(),
            size=(20 + n * 7 % 13) * MIB,
            comment=f"{WORDS[n % 4]} {WORDS[n // 4 % 4]}" if n % 5 else "",
        )
        for n in range(number)
    ]
    await core.catalog.commit(put(*made))


class Question(NamedTuple):
    """A search, which only the door can answer, with its order and page. `hasty`: each page may end at once."""

    words: tuple[str, ...]
    order: str
    descending: bool
    page: int
    offset: int
    hasty: bool

    @property
    def parameters(self) -> dict[str, str]:
        return {
            "query": "|".join(f"*{word}*" for word in self.words),
            "query_fields": "comment",
            "fields": "name,size",
            "max_records": str(self.page),
            "offset": str(self.offset),
            **({"order_by": f"{self.order} {'desc' if self.descending else 'asc'}"} if self.order else {}),
            **({"return_timeout": "0"} if self.hasty else {}),
        }

    def answer(self, every: list[dict[str, Any]]) -> list[str]:
        """Give the names that a plain loop finds."""
        wanted = [record for record in every if any(word in record["comment"] for word in self.words)]
        if self.order:
            # The order of equals is the id's, in the direction of the order.
            wanted.sort(key=lambda record: (record[self.order], record["uuid"]), reverse=self.descending)
        return [record["name"] for record in wanted[self.offset :]]


QUESTIONS = st.builds(
    Question,
    words=st.lists(st.sampled_from([*WORDS, "nothing"]), min_size=1, max_size=2).map(tuple),
    order=st.sampled_from(["", "name", "size", "comment"]),
    descending=st.booleans(),
    page=st.sampled_from([60, 500, 501, 5000]),
    offset=st.sampled_from([0, 0, 1, 99, 500, 5000]),
    hasty=st.booleans(),
)


@example(number=1203, questions=[Question(("alpha",), "size", descending=False, page=60, offset=300, hasty=True)])
@settings(max_examples=20, suppress_health_check=[HealthCheck.too_slow])
@given(number=st.sampled_from([3, 500, 501, 1203]), questions=st.lists(QUESTIONS, min_size=2, max_size=4))
async def test_pages_of_a_search_are_what_a_plain_loop_finds(
    tmp_path_factory: pytest.TempPathFactory, number: int, questions: list[Question]
) -> None:
    async with (
        core_on(tmp_path_factory.mktemp("search"), [memory_pool()]) as core,
        door_to(core, Everyone()) as door,
    ):
        await fill(core, number)
        every = (await door.get("/storage/volumes?fields=name,size,comment&max_records=5000")).json()["records"]
        assert len(every) == number
        for question in questions:
            seen: list[str] = []
            answer = (await door.get("/storage/volumes", params=question.parameters)).json()
            while True:
                assert answer["num_records"] == len(answer["records"]) <= question.page
                seen += [record["name"] for record in answer["records"]]
                following = answer["_links"].get("next")
                if following is None:
                    break
                assert answer["records"] or question.hasty
                answer = (await door.get(following["href"].removeprefix("/api"))).json()
            expected = question.answer(every)
            assert seen == expected if question.order else sorted(seen) == sorted(expected), question
            counted = await door.get("/storage/volumes", params={**question.parameters, "return_records": "false"})
            # A count is of all that match: offset and page are of no concern to it.
            assert counted.json()["num_records"] == len(question._replace(offset=0).answer(every)), question


# --- paths ---

PARTS = st.lists(
    st.sampled_from(["", ".", "..", "api", "a", "%2e%2e", "%2F", "{}", "b c"]) | st.text(max_size=3), max_size=6
)


@given(PARTS)
def test_a_path_is_split_as_the_url_standard_does(parts: list[str]) -> None:
    path = "/" + "/".join(parts)
    found = segments(path)
    kept: list[str] = []
    for part in path.split("/"):
        if part == "..":
            kept = kept[:-1]
        elif part not in {"", "."}:
            kept.append(part)
    assert len(found) == len(kept)
    assert segments("/" + "/".join(kept)) == found
    assert segments(f"{path}/") == found


ROUTES = ("a", "a/b", "a/{}", "a/{}/c", "a/{}/{}", "{}/b", "a/b/c")


@given(st.lists(st.sampled_from(["a", "b", "c", "x", "{}"]), max_size=4))
def test_the_router_prefers_names_and_gives_keys_in_order(path: list[str]) -> None:
    found = Router({route: route for route in ROUTES}).find(path)
    fitting = [
        route
        for route in ROUTES
        if len(route.split("/")) == len(path)
        and all(want in {"{}", got} for want, got in zip(route.split("/"), path, strict=True))
    ]
    if not fitting:
        assert found is None
        return
    assert found is not None
    assert found.target in fitting
    if "/".join(path) in {route for route in fitting if "{}" not in route}:
        assert found.target == "/".join(path)
    keys = [got for want, got in zip(found.target.split("/"), path, strict=True) if want == "{}"]
    assert list(found.keys) == keys


@pytest.mark.parametrize(
    ("target", "origin"),
    [
        ("/api/cluster", "/api/cluster"),
        ("/api?x=http://h/y", "/api?x=http://h/y"),
        ("http://host/api/cluster?a=b", "/api/cluster?a=b"),
        ("HTTPS://user@host:1/api", "/api"),
        ("http://host", ""),
        ("*", "*"),
        ("", ""),
    ],
)
def test_an_absolute_target_means_its_path(target: str, origin: str) -> None:
    assert origin_form(target) == origin


# --- single answers ---


async def test_whoever_must_wait_is_told_how_long(core: Core) -> None:
    async with door_to(core, Overrun()) as door:
        answer = await door.get("/cluster")
    assert answer.status_code == 503
    assert answer.headers["retry-after"] == "7"
    assert answer.json()["error"]["code"] == "8"


async def test_all_rules_of_a_policy_can_be_replaced_by_none_and_are_kept_when_the_name_is_taken(
    door: httpx.AsyncClient,
) -> None:
    rule = {"clients": [{"match": "10.0.0.0/8"}], "ro_rule": ["any"], "rw_rule": ["any"]}
    for name in ("p1", "p2"):
        body = {"name": name, "svm": {"name": "svm1"}, "rules": [rule]}
        assert (await door.post("/protocols/nfs/export-policies", json=body)).status_code == 201
    (policy,) = (await door.get("/protocols/nfs/export-policies?name=p1&fields=rules")).json()["records"]
    path = f"/protocols/nfs/export-policies/{policy['id']}"
    refused = await door.patch(path, json={"name": "p2", "rules": []})
    assert refused.status_code == 409
    assert (await door.get(f"{path}?fields=rules")).json()["rules"] == policy["rules"]
    assert (await door.patch(path, json={"name": "p3", "rules": []})).status_code == 200
    shown = (await door.get(f"{path}?fields=name,rules")).json()
    assert (shown["name"], shown.get("rules", [])) == ("p3", [])


async def test_a_state_that_no_svm_can_be_brought_into_is_refused(door: httpx.AsyncClient) -> None:
    (svm,) = (await door.get("/svm/svms?name=svm1")).json()["records"]
    for state in ("starting", "stopping", "deleting"):
        refused = await door.patch(f"/svm/svms/{svm['uuid']}", json={"state": state})
        assert (refused.status_code, refused.json()["error"]["target"]) == (400, "state")
    assert (await door.patch(f"/svm/svms/{svm['uuid']}", json={"state": "stopped"})).status_code == 202


# --- retired volumes ---


async def gone(core: Core, door: httpx.AsyncClient, *, block: bool = False) -> Volume:
    """Give a volume with a snapshot that its user deleted by another door."""
    tenant, pool = await core.find(Tenant, name="svm1"), await core.find(Pool, name="memory")
    kind = VolumeKind.BLOCK if block else VolumeKind.FILESYSTEM
    new = volumes.NewVolume(name="gone", tenant_id=tenant.id, pool_id=pool.id, size=20 * MIB, kind=kind)
    job = await (await volumes.create(core, new, description="test")).result()
    answer = await door.post(f"/storage/volumes/{job.target_id}/snapshots?return_timeout=60", json={"name": "s"})
    assert answer.status_code == 202, answer.text
    await (await retired.remove(core, job.target_id, description="test")).result()
    return await core.get(Volume, job.target_id)


async def test_a_retired_volume_is_in_no_list_but_of_those_who_ask_by_uuid(core: Core, door: httpx.AsyncClient) -> None:
    volume = await gone(core, door, block=True)
    kept = await make_volume(door, "svm1", "gone")

    async def found(query: str) -> list[str]:
        answer = await door.get(f"/storage/{query}")
        assert answer.status_code == 200, answer.text
        return [record["uuid"] for record in answer.json()["records"]]

    for query in ("", "?name=*", "?state=offline|online", "?space.available=>=0", "?svm.name=svm1"):
        assert await found(f"volumes{query}") == [kept]
    for query in ("volumes?return_records=false", "volumes?space.available=>=0&return_records=false"):
        assert (await door.get(f"/storage/{query}")).json()["num_records"] == 1
    assert await found("luns") == await found("volumes/*/snapshots") == []
    assert sorted(await found("volumes?uuid=*")) == sorted([kept, str(volume.id)])
    for query in (f"volumes?uuid={volume.id}", f"luns?uuid={volume.id}"):
        assert await found(query) == [str(volume.id)]
    assert len(await found(f"volumes/*/snapshots?volume.uuid={volume.id}")) == 1
    shown = (await door.get(f"/storage/volumes/{volume.id}")).json()
    assert (shown["name"], shown["state"], shown["snapshot_count"]) == (volume.name, "offline", 1)


async def test_a_retired_volume_is_cloned_by_its_snapshots_and_deleted_by_force(
    core: Core, door: httpx.AsyncClient
) -> None:
    volume = await gone(core, door)
    path = f"/storage/volumes/{volume.id}"
    refused = await door.patch(path, json={"state": "online"})
    assert (refused.status_code, refused.json()["error"]["code"]) == (409, "524849")
    body = {
        "name": "copy",
        "svm": {"name": "svm1"},
        "clone": {
            "is_flexclone": True,
            "parent_volume": {"uuid": str(volume.id)},
            "parent_snapshot": {"name": "s"},
        },
    }
    answer = await door.post("/storage/volumes?return_timeout=60&return_records=true", json=body)
    assert answer.status_code == 202, answer.text
    copy = answer.json()["records"][0]["uuid"]
    refused = await door.delete(f"{path}?force=true")
    assert (refused.status_code, refused.json()["error"]["code"]) == (409, "524615")
    assert (await door.delete(f"/storage/volumes/{copy}?return_timeout=60")).status_code == 202
    refused = await door.delete(path)
    assert (refused.status_code, refused.json()["error"]["code"]) == (409, "8")
    assert (await door.delete(f"{path}?force=true&return_timeout=60")).status_code == 202
    assert (await door.get(path)).status_code == 404
