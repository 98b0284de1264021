"""The ONTAP door over a core in this process, for callers whose rights a test sets."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import httpx
import pytest
from core_scene import clone_of, make, snap
from test_door_unit import door_to

from gateway.core import roles, volumes
from gateway.core.context import Core
from gateway.core.model import Job, RoleRule, Snapshot, Volume
from gateway.core.ownership import Access, Ownership
from gateway.core.principal import Principal
from gateway.core.query import ALL, Query
from gateway.frontends.ontap_rest.calls import OPERATIONS, SERVICES, call_of
from gateway.frontends.ontap_rest.schema import Verb, load_schema
from gateway.testing.cores import core_on, memory_pool

READ, WRITE, ADMIN = Access.READ, Access.WRITE, Access.ADMIN
ALICE = Principal(name="alice", roles=("system.user",), groups=("staff",))
BOB = Principal(name="bob", roles=("system.user",), groups=("staff",))
ROOT = Principal(name="root", roles=("system.admin",), groups=("*",))
CALLERS = {caller.name: caller for caller in (ALICE, BOB, ROOT)}
DENIED, GONE, STARTED = (403, "6"), (404, "4"), (202, "")
V = "/storage/volumes"


class Named:
    """Believes the header: it is the caller's name."""

    def __init__(self) -> None:
        self.callers = dict(CALLERS)

    async def authenticate(self, authorization: str | None, *, peer: str = "") -> Principal:
        del peer
        return self.callers[authorization or ""]


class Scene:
    def __init__(self, core: Core, client: httpx.AsyncClient, named: Named) -> None:
        self.core = core
        self.named = named
        self._client = client

    async def ask(self, who: str, verb: str, path: str, body: Any = None) -> tuple[int, str]:
        """Give the status, and the code of a refusal."""
        answer = await self._client.request(verb, path, json=body, headers={"Authorization": who})
        return answer.status_code, answer.json().get("error", {}).get("code", "")

    async def get(self, who: str, path: str) -> Any:
        answer = await self._client.get(path, headers={"Authorization": who})
        assert answer.status_code == 200, answer.text
        return answer.json()

    async def shared(self, name: str, **rights: Any) -> Volume:
        return await make(self.core.acting_for(ALICE), name, ownership=Ownership(**rights))


@pytest.fixture
async def it(tmp_path: Path) -> AsyncIterator[Scene]:
    named = Named()
    async with core_on(tmp_path, [memory_pool()]) as core, door_to(core, named) as client:
        yield Scene(core, client, named)


def test_every_resource_has_a_service_and_every_verb_an_api() -> None:
    for name, resource in load_schema().items():
        assert name in SERVICES, name
        del resource
        for verb in Verb:
            if verb is not Verb.POST:
                assert all(call_of(name, verb, instance=True))
            assert all(call_of(name, verb, instance=False))
    assert set(SERVICES) == set(load_schema())
    assert call_of("volume", Verb.GET, instance=False) == ("volume", "enumerate")
    assert call_of("snapshot", Verb.POST, instance=False) == ("volume", "snapshotcreate")
    assert call_of("lun_map", Verb.DELETE, instance=True) == ("mountattach", "detach")


# --- readable, but not more ---


@pytest.mark.parametrize("group", [None, *Access])
async def test_what_each_level_allows(it: Scene, group: Access | None) -> None:
    volume = await it.shared("v", groups={} if group is None else {"staff": group})
    snapshot = await snap(it.core, volume, "s")
    at = f"{V}/{volume.id}"
    clone = {"name": "c", "svm.name": "svm1", "clone": {"is_flexclone": True, "parent_volume": {"name": "v"}}}
    for least, verb, path, body in (
        (READ, "GET", at, None),
        (READ, "POST", f"{at}/snapshots", {"name": "mine"}),
        (WRITE, "PATCH", at, {"comment": "x"}),
        (WRITE, "PATCH", f"{at}?restore_to.snapshot.name=s", {}),
        (WRITE, "PATCH", f"{at}/snapshots/{snapshot.id}", {"comment": "x"}),
        (ADMIN, "DELETE", f"{at}/snapshots/{snapshot.id}", None),
        (READ, "POST", V, clone),
    ):
        separator = "&" if "?" in path else "?"
        waiting = path if verb == "GET" else f"{path}{separator}return_timeout=60"
        status, code = await it.ask("bob", verb, waiting, body)
        if group is None:
            assert status == 404, (verb, path)
        elif group < least:
            assert (status, code) == DENIED, (verb, path)
        else:
            assert status < 300, (verb, path, status, code)


async def test_only_who_may_all_deletes(it: Scene) -> None:
    volume = await it.shared("v", collaborators={"bob": WRITE})
    assert await it.ask("bob", "DELETE", f"{V}/{volume.id}") == DENIED
    assert await it.ask("bob", "DELETE", f"{V}?name=v") == DENIED
    await (
        await volumes.update(
            it.core,
            volume.id,
            volumes.VolumeChange(ownership=Ownership(owner="alice", collaborators={"bob": ADMIN})),
            description="t",
        )
    ).result()
    assert (await it.ask("bob", "DELETE", f"{V}/{volume.id}?return_timeout=60"))[0] < 300
    assert await it.core.catalog.count(Volume, ALL) == 0


async def test_a_right_that_is_given_or_taken_shows_at_once(it: Scene) -> None:
    volume = await it.shared("v")
    for rights, seen in ((Ownership(public=READ), 1), (Ownership(), 0), (Ownership(groups={"staff": READ}), 1)):
        change = volumes.VolumeChange(ownership=rights)
        await (await volumes.update(it.core.acting_for(ALICE), volume.id, change, description="t")).result()
        for _ in range(2):
            assert (await it.get("bob", V))["num_records"] == seen
            assert (await it.get("bob", f"{V}/*/snapshots"))["num_records"] == 0
        assert (await it.ask("bob", "GET", f"{V}/{volume.id}"))[0] == (200 if seen else 404)


async def test_a_group_that_is_left_shows_at_once(it: Scene) -> None:
    await it.shared("v", groups={"staff": READ})
    assert (await it.get("bob", V))["num_records"] == 1
    it.named.callers["bob"] = Principal(name="bob", roles=("system.user",))
    assert (await it.get("bob", V))["num_records"] == 0


# --- whose things are ---


async def test_new_volumes_and_clones_belong_to_who_makes_them(it: Scene) -> None:
    body = {"svm.name": "svm1", "aggregates": [{"name": "memory"}]}
    for who, owner in (("alice", Ownership(owner="alice")), ("root", None)):
        assert (await it.ask(who, "POST", f"{V}?return_timeout=60", {"name": who, **body}))[0] == 202
        made = await it.core.find(Volume, name=who)
        assert made is not None
        assert made.ownership == owner
        clone = {"is_flexclone": True, "parent_volume": {"name": "alice"}}
        body_of = {"name": f"{who}2", "svm.name": "svm1", "clone": clone}
        assert (await it.ask(who, "POST", f"{V}?return_timeout=60", body_of))[0] == 202
        copy = await it.core.find(Volume, name=f"{who}2")
        assert copy is not None
        assert copy.ownership == Ownership(owner="alice")


async def test_jobs_carry_their_caller(it: Scene) -> None:
    body = {"name": "v", "svm.name": "svm1", "aggregates": [{"name": "memory"}]}
    assert (await it.ask("alice", "POST", f"{V}?return_timeout=60", body))[0] == 202
    (job,) = (await it.core.catalog.page(Job, Query())).records
    assert job.caller == "alice"
    assert await it.ask("bob", "GET", f"/cluster/jobs/{job.id}") == GONE
    assert (await it.get("alice", "/cluster/jobs"))["num_records"] == 1


# --- parents that are not seen ---


async def test_the_name_of_a_hidden_parent_is_neither_told_nor_found(it: Scene) -> None:
    parent = await it.shared("secret")
    base = await snap(it.core, parent, "basis")
    clone = await clone_of(it.core.acting_for(ALICE), parent, "c", base)
    change = volumes.VolumeChange(ownership=Ownership(public=READ))
    await (await volumes.update(it.core.acting_for(ALICE), clone.id, change, description="t")).result()
    for _ in range(2):
        shown = (await it.get("alice", f"{V}/{clone.id}?fields=clone"))["clone"]
        assert (shown["parent_volume"]["name"], shown["parent_snapshot"]["name"]) == ("secret", "basis")
        shown = (await it.get("bob", f"{V}/{clone.id}?fields=clone"))["clone"]
        assert "name" not in shown["parent_volume"]
        assert "name" not in shown["parent_snapshot"]
    for path, value in (("parent_volume", "sec*"), ("parent_snapshot", "bas*"), ("parent_volume", "secret")):
        query = f"{V}?clone.{path}.name={value}"
        assert (await it.get("alice", query))["num_records"] == 1
        assert (await it.get("bob", query))["num_records"] == 0
        assert (await it.get("bob", f"{query}&return_records=false"))["num_records"] == 0
    assert (await it.ask("bob", "GET", f"{V}?order_by=clone.parent_volume.name"))[0] == 400


# --- roles ---


async def test_a_role_is_the_same_role_at_this_door(it: Scene) -> None:
    """What a role denies by openstorage's names is denied by ONTAP's verbs, also where only the body tells."""
    volume = await it.shared("v", public=ADMIN)
    await snap(it.core, volume, "s")
    rules = [RoleRule(services=("volume", "cluster"), apis=("*", "!clone", "!snapshotrestore", "!snapshotcreate"))]
    await roles.create(it.core, "careful", rules)
    it.named.callers["bob"] = Principal(name="bob", roles=("careful",))
    at = f"{V}/{volume.id}"
    clone = {"name": "c", "svm.name": "svm1", "clone": {"is_flexclone": True, "parent_volume": {"name": "v"}}}
    for verb, path, body in (
        ("POST", V, clone),
        ("POST", V, {"records": [clone]}),
        ("PATCH", f"{at}?restore_to.snapshot.name=s", {}),
        ("PATCH", at, {"restore_to": {"snapshot": {"name": "s"}}}),
        ("POST", f"{at}/snapshots", {"name": "n"}),
        ("GET", "/protocols/san/lun-maps", None),
    ):
        assert await it.ask("bob", verb, path, body) == DENIED, (verb, path)
    assert await it.core.catalog.count(Snapshot, ALL) == 1
    assert (await it.ask("bob", "PATCH", f"{at}?return_timeout=60", {"comment": "x"}))[0] == 202
    await roles.update(it.core, "careful", [RoleRule(services=("volume",), apis=("!*",))])
    for _ in range(2):
        assert await it.ask("bob", "GET", at) == DENIED


def test_operations_that_only_the_body_tells_are_calls_of_openstorage() -> None:
    assert {service for service, _ in OPERATIONS.values()} == {"volume"}
