"""Accounts that callers make through the ONTAP door."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
from security_scene import DENIED, GONE, GOOD, OWN, ROOT, UNKNOWN, Scene, security_scene

from gateway.core.manifest import everything
from gateway.core.model import Document, Tenant

ACCOUNTS = "/api/security/accounts"


@pytest.fixture
async def it(tmp_path: Path) -> AsyncIterator[Scene]:
    async with security_scene(tmp_path) as scene:
        yield scene


async def test_the_life_of_an_account(it: Scene) -> None:
    made = await it.call(
        ROOT,
        "POST",
        f"{ACCOUNTS}?return_records=true",
        {
            "name": "alice",
            "role.name": "admin",
            "applications": [{"application": "http", "authentication_methods": ["password"]}],
            "password": GOOD,
            "comment": "of the team",
        },
    )
    assert made.status_code == 201
    (record,) = made.json()["records"]
    assert GOOD not in made.text
    at = made.headers["Location"]
    assert at == f"{ACCOUNTS}/{record['owner']['uuid']}/alice"
    assert record["scope"] == "cluster"
    assert record["locked"] is False
    assert record["applications"] == [
        {"application": "http", "authentication_methods": ["password"], "second_authentication_method": "none"}
    ]
    alice = "alice", GOOD
    assert (await it.ask(alice, "GET", "/api/cluster"))[0] == 200
    assert await it.ask(("alice", "wrong-pass-1"), "GET", "/api/cluster") == UNKNOWN
    query = f"{at}?name=alice&owner.uuid={record['owner']['uuid']}"
    assert await it.ask(ROOT, "PATCH", query, {"password": "tortoise-2"}) == (200, "")
    assert await it.ask(alice, "GET", "/api/cluster") == UNKNOWN
    alice = "alice", "tortoise-2"
    assert (await it.ask(alice, "GET", "/api/cluster"))[0] == 200
    assert await it.ask(ROOT, "PATCH", at, {"locked": True}) == (200, "")
    assert await it.ask(alice, "GET", "/api/cluster") == UNKNOWN
    assert (await it.get(at))["locked"] is True
    assert await it.ask(ROOT, "PATCH", at, {"locked": "false", "role": {"name": "readonly"}}) == (200, "")
    assert (await it.ask(alice, "GET", "/api/cluster"))[0] == 200
    assert await it.ask(alice, "POST", "/api/svm/svms", {"name": "x"}) == DENIED
    assert await it.ask(ROOT, "DELETE", at) == (200, "")
    assert await it.ask(alice, "GET", "/api/cluster") == UNKNOWN
    assert await it.ask(ROOT, "GET", at) == GONE
    assert [d for d in await everything(it.core.catalog, Document) if "alice" in d.name] == []


async def test_the_operators_accounts_are_shown_and_stay_the_operators(it: Scene) -> None:
    listed = await it.get(f"{ACCOUNTS}?fields=role,locked,applications&scope=cluster")
    assert [(a["name"], a["role"]["name"]) for a in listed["records"]] == [
        ("eve", "readonly"),
        ("root", "admin"),
        ("uma", "user"),
    ]
    at = f"{ACCOUNTS}/{listed['records'][0]['owner']['uuid']}"
    assert await it.ask(ROOT, "PATCH", f"{at}/eve", {"password": GOOD}) == (405, "262144017")
    assert await it.ask(ROOT, "PATCH", f"{at}/eve", {"locked": True}) == (405, "262144017")
    assert await it.ask(ROOT, "PATCH", f"{at}/eve", {"locked": False}) == (200, "")
    assert await it.ask(ROOT, "DELETE", f"{at}/eve") == (405, "262144017")
    body = {"name": "eve", "password": GOOD, "role.name": "admin"}
    assert await it.ask(ROOT, "POST", ACCOUNTS, body) == (409, "1")
    assert await it.ask(ROOT, "POST", "/api/security/authentication/password", body | {"role.name": None}) != (201, "")


@pytest.mark.parametrize(
    ("change", "code"),
    [
        ({"password": None}, "7078900"),
        ({"password": "short-1"}, "7077919"),
        ({"password": "x1" * 65}, "7077940"),
        ({"password": "onlyletters"}, "7077920"),
        ({"password": "12345678"}, "7077920"),
        ({"password": "my-Alice-1"}, "7077918"),
        ({"name": "al"}, "7077899"),
        ({"name": "a" * 65}, "262197"),
        ({"name": "al:ice"}, "7077897"),
        ({"name": "al/ice"}, "7077897"),
        ({"name": None}, "262212"),
        ({"role.name": "nobody"}, "5636129"),
        ({"owner.name": "svm1", "role.name": "admin"}, "7077906"),
        ({"owner.name": "svm9"}, "2621462"),
        ({"applications": []}, "262212"),
        ({"applications": [{"application": "ssh"}]}, "262144017"),
        ({"applications": [{"application": "http"}, {"application": "http"}]}, "262144017"),
        ({"applications": [{"application": "http", "authentication_methods": ["saml"]}]}, "262144017"),
        ({"applications": [{"application": "http", "second_authentication_method": "totp"}]}, "262144017"),
        ({"applications": [{"application": "http", "is_ldap_fastbind": True}]}, "262144017"),
        ({"scope": "svm"}, "262196"),
    ],
)
async def test_accounts_that_cannot_be(it: Scene, change: dict[str, Any], code: str) -> None:
    body = {"name": "alice", "password": GOOD, "role.name": "admin", **change}
    answer = await it.call(ROOT, "POST", ACCOUNTS, body)
    assert answer.json()["error"]["code"] == code
    assert str(body["password"]) not in answer.text
    assert (await it.get(f"{ACCOUNTS}?name=alice"))["num_records"] == 0


async def test_a_password_cannot_be_what_it_was(it: Scene) -> None:
    await it.account("alice")
    at = (await it.get(f"{ACCOUNTS}?name=alice"))["records"][0]["_links"]["self"]["href"]
    answer = await it.call(ROOT, "PATCH", at, {"password": GOOD})
    assert answer.json()["error"]["code"] == "7077925"
    assert answer.json()["error"]["message"].startswith("New password must be different than the old password.")


async def test_callers_change_their_own_password(it: Scene) -> None:
    await it.role("own", {"/api/security/authentication/password": "read_create"})
    alice, bob = await it.account("alice", "own"), await it.account("bob")
    at = "/api/security/authentication/password"
    assert await it.ask(alice, "POST", at, {"name": "bob", "password": "new-pass-1"}) == DENIED
    assert await it.ask(alice, "POST", at, {"name": "root", "password": "new-pass-1"}) == DENIED
    assert (await it.ask(bob, "GET", "/api/cluster"))[0] == 200
    assert await it.ask(alice, "POST", at, {"name": "alice", "password": "new-pass-1"}) == (201, "")
    assert await it.ask(alice, "POST", at, {"name": "alice", "password": "new-pass-2"}) == UNKNOWN
    assert await it.ask(("alice", "new-pass-1"), "GET", at) == (405, "3")


async def test_a_password_is_in_no_answer_no_log_no_trail_and_no_pool(it: Scene) -> None:
    secret = "correct-horse-77"
    body = {"name": "alice", "password": secret, "role.name": "admin"}
    texts = [(await it.call(ROOT, "POST", f"{ACCOUNTS}?return_records=true", body)).text]
    texts.append((await it.call(ROOT, "POST", ACCOUNTS, {"records": [body, {**body, "name": "bob"}]})).text)
    at = (await it.get(f"{ACCOUNTS}?name=alice"))["records"][0]["_links"]["self"]["href"]
    texts.append((await it.call(ROOT, "PATCH", at, {"password": secret})).text)
    texts.append((await it.call(ROOT, "PATCH", at, {"password": [secret]})).text)
    texts.append((await it.call(ROOT, "PATCH", at, {"password": {"x": secret}})).text)
    texts.append((await it.call(ROOT, "POST", ACCOUNTS, {"name": {"password": secret}})).text)
    texts.append((await it.call(ROOT, "GET", f"{ACCOUNTS}?password={secret}")).text)
    texts.append((await it.call(ROOT, "GET", f"{ACCOUNTS}?fields=password")).text)
    texts.append((await it.call(ROOT, "GET", f"{ACCOUNTS}?fields=**")).text)
    texts.append((await it.call(ROOT, "GET", "/api/cluster/jobs?fields=**")).text)
    texts.append((await it.call(ROOT, "GET", "/api/security/audit/messages?fields=**")).text)
    texts.append((await it.call(ROOT, "GET", "/api/support/ems/events?fields=**")).text)
    stored = repr(await everything(it.core.catalog, Document))
    for text in (*texts, it.log.decode(), repr(it.trail.entries()), stored):
        assert secret not in text
    for pool in it.core.pools:
        manifest = await pool.backend.manifest() or b""
        assert b"alice" in manifest
        assert b"scrypt" not in manifest
    assert all("scrypt" not in text for text in texts)


async def test_a_change_of_an_account_holds_for_checks_that_run(it: Scene) -> None:
    """Whoever comes with the old password while it is changed is not let in once the change is answered."""
    alice = await it.account("alice")
    at = (await it.get(f"{ACCOUNTS}?name=alice"))["records"][0]["_links"]["self"]["href"]
    early = [asyncio.ensure_future(it.ask(alice, "GET", "/api/cluster")) for _ in range(4)]
    assert await it.ask(ROOT, "PATCH", at, {"password": "tortoise-2"}) == (200, "")
    assert await it.ask(alice, "GET", "/api/cluster") == UNKNOWN
    await asyncio.gather(*early)
    assert await it.ask(alice, "GET", "/api/cluster") == UNKNOWN


async def test_a_name_is_one_accounts_until_its_svm_is_gone(it: Scene) -> None:
    await it.role("looks", {"/api/storage": "readonly"}, owner={"name": "svm1"})
    vic = await it.account("vic", "looks", owner={"name": "svm1"})
    assert await it.ask(ROOT, "PATCH", f"{ACCOUNTS}?name=vic", {"role.name": "vsadmin"}) == (200, "")
    body = {"name": "vic", "password": GOOD, "role.name": "vsadmin", "owner.name": "svm2"}
    assert await it.ask(ROOT, "POST", ACCOUNTS, body) == (409, "1")
    assert (await it.ask(vic, "GET", "/api/svm/svms"))[0] == 200
    svm = await it.core.find(Tenant, name="svm1")
    assert svm is not None
    assert (await it.ask(ROOT, "DELETE", f"/api/svm/svms/{svm.id}"))[0] == 202
    assert await it.ask(vic, "GET", "/api/svm/svms") == UNKNOWN
    assert [d for d in await everything(it.core.catalog, Document) if "vic" in d.name or str(svm.id) in d.name] == []
    assert await it.ask(ROOT, "POST", ACCOUNTS, body) == (201, "")
    assert (await it.ask(vic, "GET", "/api/svm/svms"))[0] == 200


async def test_accounts_of_the_file_that_have_volumes_of_their_own_see_no_accounts(it: Scene) -> None:
    for verb, path in (("GET", ACCOUNTS), ("POST", ACCOUNTS), ("GET", "/api/security/roles")):
        assert await it.ask(OWN, verb, path, {} if verb == "POST" else None) == DENIED
    assert await it.ask(OWN, "GET", "/api/security/audit/messages") == DENIED


async def test_several_at_once_and_by_query(it: Scene) -> None:
    records = [{"name": name, "password": GOOD, "role.name": "readonly"} for name in ("anna", "anton")]
    answer = await it.call(ROOT, "POST", f"{ACCOUNTS}?return_timeout=60", {"records": records})
    assert answer.status_code == 202, answer.text
    assert (await it.get(f"{ACCOUNTS}?name=an*"))["num_records"] == 2
    assert await it.ask(ROOT, "PATCH", f"{ACCOUNTS}?name=an*", {"comment": "both"}) == (200, "")
    assert (await it.get(f"{ACCOUNTS}?comment=both"))["num_records"] == 2
    listed = [{"name": "anna"}, {"name": "anton"}]
    answer = await it.call(ROOT, "DELETE", f"{ACCOUNTS}?return_timeout=60", {"records": listed})
    assert answer.status_code == 202, answer.text
    assert (await it.get(f"{ACCOUNTS}?name=an*"))["num_records"] == 0
