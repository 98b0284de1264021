"""Path rules of roles, as they are enforced: no other way to write a request, and no other door, leads around them."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any
from uuid import uuid4

import pytest
from core_scene import make, snap
from security_scene import DENIED, GONE, GOOD, ROOT, UNKNOWN, Scene, security_scene

from gateway.core.model import Snapshot, SnapshotPolicy, Tenant, Volume
from gateway.core.query import ALL
from gateway.frontends.ontap_rest.endpoints import routes
from gateway.frontends.ontap_rest.rights import NESTED, REACHES, SAME
from gateway.frontends.ontap_rest.schema import Verb, load_schema
from gateway.frontends.ontap_rest.sources import Site

ROLES, V = "/api/security/roles", "/api/storage/volumes"


@pytest.fixture
async def it(tmp_path: Path) -> AsyncIterator[Scene]:
    async with security_scene(tmp_path) as scene:
        yield scene


async def test_the_life_of_a_role(it: Scene) -> None:
    rules = {"/api/storage/volumes": "readonly", "/api/cluster": "all"}
    at = await it.role("looks", rules)
    shown = await it.get(at)
    assert shown["builtin"] is False
    assert shown["scope"] == "cluster"
    assert {rule["path"]: rule["access"] for rule in shown["privileges"]} == rules
    assert await it.ask(ROOT, "POST", ROLES, {"name": "looks", "privileges": shown["privileges"]}) == (409, "1")
    rule = "%2Fapi%2Fstorage%2Fvolumes"
    assert await it.get(f"{at}/privileges/{rule}?fields=*") == {
        "path": "/api/storage/volumes",
        "access": "readonly",
        "_links": {"self": {"href": f"{at}/privileges/{rule}"}},
    }
    assert await it.ask(ROOT, "PATCH", f"{at}/privileges/{rule}", {"access": "all"}) == (200, "")
    added = {"path": "/api/svm/svms/", "access": "readonly"}
    answer = await it.call(ROOT, "POST", f"{at}/privileges?return_records=true", added)
    assert answer.headers["Location"] == f"{at}/privileges/%2Fapi%2Fsvm%2Fsvms"
    assert answer.json()["records"][0]["path"] == "/api/svm/svms"
    assert await it.ask(ROOT, "POST", f"{at}/privileges", added) == (409, "1")
    assert await it.ask(ROOT, "DELETE", f"{at}/privileges/%2Fapi%2Fcluster") == (200, "")
    listed = await it.get(f"{at}/privileges")
    assert [(rule["path"], rule["access"]) for rule in listed["records"]] == [
        ("/api/storage/volumes", "all"),
        ("/api/svm/svms", "readonly"),
    ]
    await it.account("alice", "looks")
    assert await it.ask(ROOT, "DELETE", at) == (409, "5636172")
    assert await it.ask(ROOT, "DELETE", "/api/security/accounts?name=alice") == (200, "")
    assert await it.ask(ROOT, "DELETE", at) == (200, "")
    assert await it.ask(ROOT, "GET", at) == GONE
    assert await it.ask(ROOT, "GET", f"{at}/privileges") == GONE


async def test_rules_by_records(it: Scene) -> None:
    """Keys with slashes go through batches and back."""
    at = await it.role("looks", {"/api/cluster": "all"})
    records = [{"path": "/api/storage", "access": "all"}, {"path": "/api/svm", "access": "readonly"}]
    for verb, body in (
        ("POST", records),
        ("PATCH", [{"path": "/api/svm", "access": "none"}]),
        ("DELETE", [{"path": "/api/storage"}, {"path": "/api/cluster"}]),
    ):
        answer = await it.call(ROOT, verb, f"{at}/privileges?return_timeout=60", {"records": body})
        assert answer.status_code == 202, answer.text
    assert [(r["path"], r["access"]) for r in (await it.get(f"{at}/privileges"))["records"]] == [("/api/svm", "none")]


async def test_the_roles_that_are_always_there(it: Scene) -> None:
    listed = (await it.get(f"{ROLES}?builtin=true&fields=scope,privileges"))["records"]
    assert [(r["owner"]["name"], r["name"]) for r in listed if r["scope"] == "cluster"] == [
        ("unit", "admin"),
        ("unit", "none"),
        ("unit", "readonly"),
    ]
    assert {r["owner"]["name"] for r in listed if r["name"] == "vsadmin"} == {"svm1", "svm2"}
    at = f"{ROLES}/{listed[0]['owner']['uuid']}/{listed[0]['name']}"
    rule = f"{at}/privileges/%2Fapi"
    assert await it.ask(ROOT, "DELETE", at) == (409, "1263347")
    assert await it.ask(ROOT, "PATCH", rule, {"access": "none"}) == (409, "1263347")
    assert await it.ask(ROOT, "POST", f"{at}/privileges", {"path": "/api/svm", "access": "none"}) == (409, "1263347")
    body = {"name": "admin", "privileges": [{"path": "/api", "access": "none"}]}
    assert await it.ask(ROOT, "POST", ROLES, body) == (409, "1")


@pytest.mark.parametrize(
    ("privileges", "code"),
    [
        ([], "13434892"),
        ([{"path": "/api/nothing", "access": "all"}], "5636170"),
        ([{"path": "volume show", "access": "all"}], "5636169"),
        ([{"path": "/api/cluster"}], "262212"),
        ([{"access": "all"}], "262212"),
        ([{"path": "/api/cluster", "access": "some"}], "262197"),
        ([{"path": "/api/cluster", "access": "all", "query": "-vserver x"}], "5636192"),
        ([{"path": "/api/cluster", "access": "all"}, {"path": "/api//cluster/", "access": "none"}], "262282"),
    ],
)
async def test_roles_that_cannot_be(it: Scene, privileges: list[Any], code: str) -> None:
    answer = await it.call(ROOT, "POST", ROLES, {"name": "odd", "privileges": privileges})
    assert answer.json()["error"]["code"] == code, answer.text
    assert (await it.get(f"{ROLES}?name=odd"))["num_records"] == 0


async def test_no_way_of_writing_a_request_leads_around_a_rule(it: Scene) -> None:
    volume = await make(it.core, "v")
    snapshot = await snap(it.core, volume, "s")
    await it.role(
        "careful",
        {
            "/api": "all",
            "/api/storage/volumes": "readonly",
            f"/api/storage/volumes/{volume.id}/snapshots": "none",
            "/api/storage/volumes/*/snapshots": "all",
            "/api/security": "none",
        },
    )
    who = await it.account("carl", "careful")
    key = str(volume.id)
    assert (await it.ask(who, "GET", f"{V}/{key}"))[0] == 200
    record = {"name": "w", "svm.name": "svm1", "aggregates": [{"name": "memory"}]}
    for verb, path, body in (
        ("POST", V, record),
        ("POST", f"{V}/", record),
        ("POST", "/api//storage///volumes", record),
        ("POST", "/api/storage/./volumes", record),
        ("POST", "/api/cluster/../storage/volumes", record),
        ("POST", "/api/storage/%76olumes", record),
        ("POST", "/api/%73torage/volumes", record),
        ("POST", V, {"records": [record]}),
        ("POST", f"{V}?return_timeout=60&return_records=true", record),
        ("PATCH", f"{V}/{key}", {"comment": "x"}),
        ("PATCH", f"{V}/{key.upper()}", {"comment": "x"}),
        ("PATCH", f"{V}/{key.replace('-', '')}", {"comment": "x"}),
        ("PATCH", f"{V}/%7B{key}%7D", {"comment": "x"}),
        ("PATCH", f"{V}?name=v", {"comment": "x"}),
        ("PATCH", f"{V}?name=*", {"comment": "x"}),
        ("PATCH", V, {"records": [{"name": "v", "comment": "x"}]}),
        ("PATCH", f"{V}/{key}?restore_to.snapshot.name=s", {}),
        ("DELETE", f"{V}/{key}", None),
        ("DELETE", f"{V}?name=v", None),
        ("DELETE", V, {"records": [{"uuid": key}]}),
        ("PATCH", "/api/private/cli/volume?volume=v", {"autosize-reset": True}),
        ("GET", f"{V}/{key}/snapshots", None),
        ("GET", f"{V}/{key.upper()}/snapshots", None),
        ("GET", f"{V}/urn:uuid:{key}/snapshots", None),
        ("GET", f"{V}/{key.replace('-', '')}/snapshots/{snapshot.id}", None),
        ("GET", f"{V}/*/snapshots", None),
        ("GET", f"{V}/%2A/snapshots?volume.uuid={key}", None),
        ("DELETE", f"{V}/*/snapshots?name=s", None),
        ("DELETE", f"{V}/*/snapshots", {"records": [{"volume.uuid": key, "uuid": str(snapshot.id)}]}),
        ("POST", f"{V}/{key}/snapshots", {"name": "n"}),
        ("GET", "/api/security/accounts", None),
        ("PATCH", "/api/security/accounts?name=carl", {"role.name": "admin"}),
        ("POST", "/api/security/accounts", {"name": "mallory", "password": GOOD, "role.name": "admin"}),
        ("POST", "/api/security/authentication/password", {"name": "carl", "password": "x-new-pass-1"}),
    ):
        assert await it.ask(who, verb, path, body) == DENIED, (verb, path)
    for verb in ("HEAD", "OPTIONS"):
        assert (await it.call(who, verb, "/api/security/roles")).status_code == 403
    other = await make(it.core, "other")
    assert (await it.ask(who, "GET", f"{V}/{other.id}/snapshots"))[0] == 200
    assert await it.core.catalog.count(Volume, ALL) == 2
    assert await it.core.catalog.count(Snapshot, ALL) == 1


def test_every_command_has_the_path_whose_rules_hold_for_it() -> None:
    table = routes(load_schema(), Site(name="g", cluster_id=uuid4(), addresses=(), started=0.0))
    assert {template for template in table if template.startswith("private/")} == SAME.keys()
    assert set(SAME.values()) <= table.keys()
    assert set(NESTED.values()) <= table.keys()
    assert REACHES.keys() <= load_schema().keys()


async def test_a_rule_holds_for_parts_of_other_bodies(it: Scene) -> None:
    """What is ruled by a path of its own is not written through the record around it."""
    await it.role(
        "outer",
        {"/api/protocols": "all", "/api/protocols/nfs/export-policies/*/rules": "readonly", "/api/snapmirror": "all"},
    )
    await it.role("whole", {"/api/protocols/nfs": "read_create_modify"})
    who, whole = await it.account("olga", "outer"), await it.account("wilma", "whole")
    rules = [{"clients": [{"match": "0.0.0.0/0"}], "ro_rule": ["any"], "rw_rule": ["any"]}]
    at = "/api/protocols/nfs/export-policies"
    assert await it.ask(who, "POST", at, {"name": "p", "svm.name": "svm1", "rules": rules}) == DENIED
    assert await it.ask(who, "POST", at, {"name": "p", "svm.name": "svm1"}) == (201, "")
    assert await it.ask(who, "PATCH", f"{at}?name=p", {"rules": rules}) == DENIED
    assert await it.ask(who, "PATCH", at, {"records": [{"name": "p", "svm.name": "svm1", "rules": rules}]}) == DENIED
    assert await it.ask(whole, "PATCH", f"{at}?name=p", {"rules": rules}) == (200, "")
    mirror = {"source.path": "svm1:a", "destination.path": "svm2:b", "create_destination.enabled": True}
    assert await it.ask(who, "POST", "/api/snapmirror/relationships", mirror) == DENIED


async def test_a_role_of_this_door_opens_no_other(it: Scene) -> None:
    await it.role("all-but", {"/api": "all", "/api/cluster": "none"})
    who = await it.account("dora", "all-but")
    for path in ("/gateway/volumes", "/gateway/pools", "/metrics"):
        assert (await it.call(who, "GET", path)).status_code == 403, path
        assert (await it.call(ROOT, "GET", path)).status_code == 200, path
    assert (await it.call(who, "POST", "/gateway/volumes", {"name": "x"})).status_code == 403


async def test_nobody_gives_more_than_it_has(it: Scene) -> None:
    await it.role("warden", {"/api/security": "all", "/api/storage": "readonly"})
    await it.role("looker", {"/api/storage/volumes": "readonly"})
    await it.account("boss", "admin")
    who = await it.account("wanda", "warden")
    cluster = (await it.get("/api/security/accounts?name=boss"))["records"][0]["owner"]["uuid"]
    accounts, boss = "/api/security/accounts", f"/api/security/accounts/{cluster}/boss"
    new: dict[str, Any] = {"name": "mallory", "password": GOOD}
    everything = [{"path": "/api", "access": "all"}]
    for verb, path, body in (
        ("POST", accounts, {**new, "role.name": "admin"}),
        ("POST", accounts, {**new, "role.name": "readonly"}),
        ("POST", accounts, {"records": [{**new, "role.name": "admin"}]}),
        ("POST", accounts, new),
        ("PATCH", boss, {"password": "new-pass-12"}),
        ("PATCH", boss, {"locked": True}),
        ("PATCH", boss, {"role.name": "looker"}),
        ("DELETE", boss, None),
        ("PATCH", f"{accounts}?name=wanda", {"role.name": "admin"}),
        ("PATCH", f"{accounts}/{cluster}/root", {"locked": False}),
        ("POST", ROLES, {"name": "more", "privileges": everything}),
        ("POST", f"{ROLES}/{cluster}/warden/privileges", {"path": "/api/svm", "access": "readonly"}),
        ("PATCH", f"{ROLES}/{cluster}/warden/privileges/%2Fapi%2Fstorage", {"access": "all"}),
        ("POST", "/api/security/authentication/password", {"name": "boss", "password": "new-pass-12"}),
    ):
        answer = await it.call(who, verb, f"{path}{'' if '?' in path else '?return_timeout=60'}", body)
        code = answer.json()["error"]["code"]
        assert code == "6" or "not authorized" in answer.text, (verb, path, answer.text)
    assert (await it.ask(("boss", GOOD), "GET", "/api/cluster"))[0] == 200
    assert await it.ask(("mallory", GOOD), "GET", V) == UNKNOWN
    assert await it.ask(who, "POST", accounts, {**new, "role.name": "looker"}) == (201, "")
    assert (await it.ask(("mallory", GOOD), "GET", V))[0] == 200
    assert await it.ask(("mallory", GOOD), "GET", "/api/storage/aggregates") == DENIED
    assert await it.ask(who, "DELETE", f"{accounts}/{cluster}/mallory") == (200, "")


async def test_a_rule_that_falls_away_opens_nothing_that_its_remover_may_not(it: Scene) -> None:
    await it.role("warden", {"/api": "all", "/api/cluster": "none"})
    at = await it.role("boxed", {"/api": "all", "/api/cluster": "none"})
    who = await it.account("wanda", "warden")
    assert await it.ask(who, "DELETE", f"{at}/privileges/%2Fapi%2Fcluster") == DENIED
    assert await it.ask(who, "PATCH", f"{at}/privileges/%2Fapi", {"access": "none"}) == (200, "")


async def test_a_change_of_a_role_holds_at_once(it: Scene) -> None:
    at = await it.role("looks", {"/api/storage": "readonly"})
    who = await it.account("alice", "looks")
    for _ in range(2):
        assert (await it.ask(who, "GET", V))[0] == 200
    assert await it.ask(ROOT, "PATCH", f"{at}/privileges/%2Fapi%2Fstorage", {"access": "none"}) == (200, "")
    assert await it.ask(who, "GET", V) == DENIED


# --- accounts of SVMs ---


async def test_w02_an_svms_account_is_told_by_code_6_that_it_is_one(it: Scene) -> None:
    """Manila asks for the nodes, Cinder for each resource that it may or may not use."""
    who = await it.account("vic", "vsadmin", owner={"name": "svm1"})
    for path in (
        "/api/cluster/nodes",
        "/api/storage/aggregates?return_records=false?max_records=10000",
        "/api/cluster/licensing/licenses",
        "/api/cluster/peers",
        "/api/svm/peers",
        "/api/snapmirror/relationships",
        "/api/security/audit/messages",
        "/api/support/ems/events",
    ):
        assert await it.ask(who, "GET", path) == DENIED, path
    for path in ("/api/cluster?fields=version", "/api/cluster/schedules", "/api/cluster/jobs"):
        assert (await it.ask(who, "GET", path))[0] == 200, path
    assert await it.ask(who, "POST", "/api/cluster/schedules", {"name": "x", "interval": "PT1H"}) == DENIED


async def test_w03_an_svms_account_sees_that_svm_only(it: Scene) -> None:
    one = await make(it.core, "one")
    svm2 = await it.core.find(Tenant, name="svm2")
    assert svm2 is not None
    made = await it.call(
        ROOT,
        "POST",
        f"{V}?return_timeout=60",
        {"name": "two", "svm.name": "svm2", "aggregates": [{"name": "memory"}]},
    )
    assert made.status_code == 202
    two = await it.core.find(Volume, name="two")
    assert two is not None
    await snap(it.core, two, "s")
    who = await it.account("vic", "vsadmin", owner={"name": "svm1"})
    await it.account("val", "vsadmin", owner={"name": "svm2"})

    async def seen(path: str, **headers: str) -> list[str]:
        answer = await it.call(who, "GET", path, None, **headers)
        assert answer.status_code == 200, answer.text
        return [record["name"] for record in answer.json()["records"]]

    assert await seen("/api/svm/svms") == ["svm1"]
    assert await seen(V) == ["one"]
    assert await seen(f"{V}?svm.name=svm2") == []
    assert await seen(f"{V}?svm.uuid={svm2.id}") == []
    assert await seen(f"{V}/*/snapshots") == []
    assert await seen("/api/security/accounts") == ["vic"]
    assert set(await seen("/api/security/roles")) == {"vsadmin", "vsadmin-readonly"}
    assert await seen("/api/svm/svms", X_Dot_SVM_Name="svm1") == ["svm1"]
    assert (await it.call(who, "GET", f"{V}?return_records=false")).json()["num_records"] == 1
    assert await seen("/api/cluster/jobs?description=*svms*") == []
    for name in ("svm2", "nobody"):
        assert await it.ask(who, "GET", V, None, X_Dot_SVM_Name=name) == DENIED
    assert await it.ask(who, "GET", V, None, X_Dot_SVM_UUID=str(svm2.id)) == DENIED
    elsewhere = f"{V}/{two.id}"
    parent = {"parent_volume": {"name": "two"}, "parent_svm": {"name": "svm2"}, "is_flexclone": True}
    for verb, path, body, expected in (
        ("GET", elsewhere, None, 404),
        ("PATCH", elsewhere, {"comment": "x"}, 404),
        ("DELETE", elsewhere, None, 404),
        ("GET", f"{elsewhere}/snapshots", None, 404),
        ("POST", f"{elsewhere}/snapshots", {"name": "x"}, 404),
        ("GET", f"/api/svm/svms/{svm2.id}", None, 404),
        ("PATCH", f"/api/svm/svms/{svm2.id}", {"comment": "x"}, 404),
        ("GET", f"/api/cluster/jobs/{made.json()['job']['uuid']}", None, 404),
        ("POST", V, {"name": "x", "svm.name": "svm2", "aggregates": [{"name": "memory"}]}, 400),
        ("POST", V, {"records": [{"name": "x", "svm.uuid": str(svm2.id), "aggregates": [{"name": "memory"}]}]}, 400),
        ("POST", V, {"name": "x", "clone": parent}, 400),
        ("POST", "/api/svm/svms", {"name": "x"}, 403),
        ("POST", "/api/security/accounts", {"name": "eva", "password": GOOD, "owner.name": "svm2"}, 400),
        ("GET", f"/api/security/accounts/{svm2.id}/val", None, 404),
        ("PATCH", f"/api/security/accounts/{svm2.id}/val", {"password": "new-pass-12"}, 404),
        ("DELETE", f"/api/security/accounts/{svm2.id}/val", None, 404),
    ):
        assert (await it.ask(who, verb, path, body))[0] == expected, (verb, path)
    cluster = (await it.get("/api/security/accounts?name=root"))["records"][0]["owner"]["uuid"]
    assert await it.ask(who, "GET", f"/api/security/accounts/{cluster}/root") == GONE
    body = {"name": "eva", "password": GOOD, "owner.uuid": cluster, "role.name": "admin"}
    assert (await it.ask(who, "POST", "/api/security/accounts", body))[0] in {400, 404}
    assert (await it.ask(who, "PATCH", f"{V}/{one.id}?return_timeout=60", {"comment": "x"}))[0] == 202
    made = await it.call(who, "POST", f"{V}?return_timeout=60", {"name": "mine", "aggregates": [{"name": "memory"}]})
    assert made.status_code == 202, made.text
    assert (await it.ask(who, "GET", f"/api/cluster/jobs/{made.json()['job']['uuid']}"))[0] == 200
    mine = await it.core.find(Volume, name="mine")
    assert mine is not None
    assert mine.ownership is None
    assert await it.ask(who, "POST", "/api/security/accounts", {"name": "eva", "password": GOOD}) == (201, "")
    assert await it.ask(("eva", GOOD), "GET", "/api/cluster/nodes") == DENIED


async def test_no_collection_tells_an_svms_account_of_another_svm(it: Scene) -> None:
    svm2 = await it.core.find(Tenant, name="svm2")
    assert svm2 is not None
    base = {"svm.name": "svm2", "aggregates": [{"name": "memory"}], "size": "64MB"}
    copies = [{"schedule": {"name": "daily"}, "count": 2}]
    rules = [{"clients": [{"match": "0.0.0.0/0"}], "ro_rule": ["any"], "rw_rule": ["any"]}]
    rule = [{"path": "/api/cluster", "access": "all"}]
    for path, body in (
        ("storage/volumes", {**base, "name": "hidden_volume"}),
        ("storage/volumes", {**base, "name": "hidden_lun"}),
        ("protocols/nfs/export-policies", {"svm.name": "svm2", "name": "hidden_policy", "rules": rules}),
        ("storage/snapshot-policies", {"svm.name": "svm2", "name": "hidden_copies", "copies": copies}),
        ("protocols/san/igroups", {"svm.name": "svm2", "name": "hidden_hosts", "os_type": "linux"}),
        ("protocols/san/iscsi/services", {"svm.name": "svm2"}),
        ("storage/qos/policies", {"svm.name": "svm2", "name": "hidden_qos", "fixed.max_throughput_iops": 500}),
        ("security/roles", {"owner.name": "svm2", "name": "hidden_role", "privileges": rule}),
        ("security/accounts", {"owner.name": "svm2", "name": "hidden_account", "password": GOOD}),
    ):
        assert (await it.ask(ROOT, "POST", f"/api/{path}?return_timeout=60", body))[0] in {201, 202}, path
    hidden = await it.core.find(Volume, name="hidden_volume")
    assert hidden is not None
    await snap(it.core, hidden, "hidden_snapshot")
    who = await it.account("vic", "vsadmin", owner={"name": "svm1"})
    table = routes(load_schema(), Site(name="g", cluster_id=uuid4(), addresses=(), started=0.0))
    seen = set()
    for template, route in table.items():
        if Verb.GET in route.verbs:
            answer = await it.call(who, "GET", f"/api/{template.replace('{}', '*')}?fields=**")
            for secret in ("svm2", str(svm2.id), "hidden", str(hidden.id)):
                assert secret not in answer.text, (template, secret)
            if answer.status_code == 200:
                seen.add(route.endpoint.resource.name)
    assert seen >= {"volume", "snapshot", "svm", "export_policy", "igroup", "account", "role", "qos_policy"}


async def test_what_is_the_clusters_an_svms_account_may_see_and_not_change(it: Scene) -> None:
    who = await it.account("vic", "vsadmin", owner={"name": "svm1"})
    policy = await it.core.find(SnapshotPolicy, name="default")
    assert policy is not None
    at = f"/api/storage/snapshot-policies/{policy.id}"
    assert (await it.ask(who, "GET", at))[0] == 200
    line = (await it.get(f"{at}/schedules"))["records"][0]["schedule"]["uuid"]
    for verb, path, body in (
        ("PATCH", at, {"comment": "mine"}),
        ("DELETE", at, None),
        ("POST", f"{at}/schedules", {"schedule.name": "weekly", "count": 1}),
        ("PATCH", f"{at}/schedules/{line}", {"count": 1}),
        ("DELETE", f"{at}/schedules/{line}", None),
    ):
        assert await it.ask(who, verb, path, body) == DENIED, (verb, path)


async def test_a_readonly_account_of_an_svm(it: Scene) -> None:
    who = await it.account("rita", "vsadmin-readonly", owner={"name": "svm1"})
    assert (await it.ask(who, "GET", V))[0] == 200
    assert await it.ask(who, "POST", V, {"name": "x", "aggregates": [{"name": "memory"}]}) == DENIED


async def test_w03_a_tunnel_and_what_contradicts_it(it: Scene) -> None:
    svms = {record["name"]: record["uuid"] for record in (await it.get("/api/svm/svms"))["records"]}
    both = {"X_Dot_SVM_Name": "svm1", "X_Dot_SVM_UUID": svms["svm2"]}
    assert await it.ask(ROOT, "GET", V, None, **both) == (400, "2621706")
    both["X_Dot_SVM_UUID"] = svms["svm1"].upper()
    assert (await it.ask(ROOT, "GET", V, None, **both))[0] == 200
    for query in ("svm.name=svm2", f"svm.uuid={svms['svm2']}", "name=x&svm.name=nobody"):
        assert await it.ask(ROOT, "GET", f"{V}?{query}", None, X_Dot_SVM_Name="svm1") == (400, "2621706"), query
        assert await it.ask(ROOT, "DELETE", f"{V}?{query}", None, X_Dot_SVM_Name="svm1") == (400, "2621706"), query
    for query in ("svm.name=svm1", f"svm.uuid={svms['svm1'].upper()}", "svm.name=svm*", "svm.name=svm1|svm2"):
        assert (await it.ask(ROOT, "GET", f"{V}?{query}", None, X_Dot_SVM_Name="svm1"))[0] == 200, query
    volume = await make(it.core, "v")
    snapshots = f"{V}/{volume.id}/snapshots"
    body = {"name": "s", "svm.name": "svm2"}
    assert await it.ask(ROOT, "POST", snapshots, body, X_Dot_SVM_Name="svm1") == (400, "2621706")
    for path in ("/api/cluster/nodes", "/api/storage/aggregates", "/api/cluster"):
        assert (await it.ask(ROOT, "GET", path, None, X_Dot_SVM_Name="svm1"))[0] == 200
