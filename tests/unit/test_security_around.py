"""Ways around accounts and roles that were open once."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from security_scene import DENIED, GOOD, ROOT, Scene, security_scene

from gateway.core.model import Tenant


@pytest.fixture
async def it(tmp_path: Path) -> AsyncIterator[Scene]:
    async with security_scene(tmp_path) as scene:
        yield scene


async def test_a_page_of_another_origin_changes_nothing(it: Scene) -> None:
    """A browser that knows a password, or has a certificate, sends it along for every page that asks."""
    path, body = "/api/security/accounts", {"name": "mallory", "password": GOOD, "role.name": "admin"}
    for origin in ("https://evil.example", "null", f"{it.url}0"):
        assert await it.ask(ROOT, "POST", path, body, Origin=origin) == DENIED, origin
    assert it.trail.entries()[-1].outcome == "PermissionDenied"
    assert (await it.ask(ROOT, "GET", path, None, Origin="https://evil.example"))[0] == 200
    assert await it.ask(ROOT, "POST", path, body, Origin=it.url) == (201, "")


async def test_an_svms_account_does_not_change_what_the_cluster_grants_its_svm(it: Scene) -> None:
    svm = await it.core.find(Tenant, name="svm1")
    assert svm is not None
    who = await it.account("vic", "vsadmin", owner={"name": "svm1"})
    at, pools = f"/api/svm/svms/{svm.id}", [{"name": "memory"}]
    for path, body in (
        (at, {"aggregates": pools}),
        (at, {"aggregates": []}),
        (at, {"name": "svm2"}),
        ("/api/svm/svms?name=svm1", {"aggregates": pools}),
        ("/api/svm/svms", {"records": [{"uuid": str(svm.id), "aggregates": pools}]}),
        ("/api/svm/svms", {"records": [{"uuid": str(svm.id), "name": "mine"}]}),
    ):
        assert await it.ask(who, "PATCH", path, body) == DENIED, (path, body)
    assert (await it.ask(who, "PATCH", at, {"comment": "mine"}))[0] == 202
    after = await it.core.get(Tenant, svm.id)
    assert (after.name, after.pool_ids, after.comment) == ("svm1", (), "mine")


async def test_a_rule_about_nfs_services_holds_for_new_svms(it: Scene) -> None:
    await it.role("maker", {"/api/svm": "all", "/api/protocols": "none"})
    who = await it.account("mia", "maker")
    for service in ("nfs", "iscsi"):
        assert await it.ask(who, "POST", "/api/svm/svms", {"name": "new", f"{service}.enabled": True}) == DENIED
    assert (await it.ask(who, "POST", "/api/svm/svms", {"name": "new", "nfs.allowed": False}))[0] == 202
