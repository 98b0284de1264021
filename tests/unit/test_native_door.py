"""Who is let in, what there is, and how the door refuses."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
from native_scene import NOWHERE, Scene, native_door, new

from gateway.client import native
from gateway.core import errors
from gateway.core.roles import BUILTIN, allows
from gateway.frontends.native import errors as native_errors
from gateway.frontends.native.routes import ROUTES

VOLUMES = "/gateway/volumes"
FULL = {"name": "v", "tenant": "svm1", "pool": "memory", "size": 1 << 20}


@pytest.fixture
async def door(tmp_path: Path) -> AsyncIterator[Scene]:
    async with native_door(tmp_path) as scene:
        yield scene


def test_every_error_has_a_status() -> None:
    assert set(native_errors.STATUS) == set(errors.tree().values())


def test_only_reasons_of_our_own_are_told() -> None:
    for kind in errors.tree().values():
        told = native_errors.told(kind(**dict.fromkeys(kind.names, "secret")))
        ours = kind in {errors.InvalidArgument, errors.Unsupported, errors.Unauthenticated}
        assert set(told.fields) == set(kind.names) - (set() if ours else {"reason"})
        assert told.code == kind.__name__
    assert native_errors.told(errors.Unavailable(what="pool", reason="/dev/sdx: i/o error")).message == (
        "pool is not available"
    )


def test_fields_are_called_as_this_door_calls_them() -> None:
    assert native_errors.told(errors.InvalidArgument(field="junction_path", reason="x")).fields["field"] == "path"


def test_every_change_is_audited_and_every_call_is_one_of_the_roles() -> None:
    for route in ROUTES:
        assert bool(route.operation) is (route.verb != "GET"), route
        assert allows(BUILTIN["system.view"], *route.call) is (route.verb == "GET"), route


ABSENT = [
    ("GET", "/gateway/", 404, None),
    ("GET", "/gateway/nothing", 404, None),
    ("GET", f"{VOLUMES}/", 404, None),
    ("GET", f"{VOLUMES}/not-an-id", 404, None),
    ("GET", f"{VOLUMES}/{NOWHERE}", 404, None),
    ("GET", f"{VOLUMES}/{NOWHERE}/access", 404, None),
    ("DELETE", f"{VOLUMES}/{NOWHERE}/access", 405, "GET, HEAD"),
    ("PUT", VOLUMES, 405, "GET, HEAD, POST"),
    ("OPTIONS", VOLUMES, 405, "GET, HEAD, POST"),
    ("GET", f"/gateway/jobs/{NOWHERE}", 404, None),
    ("GET", "/gateway/jobs/x", 404, None),
    ("GET", f"/gateway/snapshots/{NOWHERE}", 404, None),
    ("GET", "/gateway/tenants/none/export-policies/default", 404, None),
    ("GET", "/gateway/tenants/svm1/export-policies/none", 404, None),
]


async def test_what_is_not_there(door: Scene) -> None:
    for verb, path, status, allow in ABSENT:
        nobody = await door.ask(verb, path, who="")
        assert (nobody.status_code, nobody.json()["error"]["code"]) == (401, "Unauthenticated")
        assert nobody.headers["WWW-Authenticate"].startswith("Basic")
        answer = await door.ask(verb, path)
        assert (answer.status_code, answer.headers.get("Allow")) == (status, allow), path
        if status == 404:
            assert answer.json()["error"]["code"] == "NotFound"


WRONG: list[tuple[str, str, Any, str]] = [
    ("GET", f"{VOLUMES}?nmae=v", None, "nmae"),
    ("GET", f"{VOLUMES}?limit=0", None, "limit"),
    ("GET", f"{VOLUMES}?limit=1001", None, "limit"),
    ("GET", f"{VOLUMES}?limit=x", None, "limit"),
    ("GET", f"{VOLUMES}?kind=tape", None, "kind"),
    ("GET", f"{VOLUMES}?name=a&name=b", None, "name"),
    ("GET", f"{VOLUMES}?after=nonsense", None, "after"),
    ("GET", f"{VOLUMES}?wait=1", None, "wait"),
    ("GET", f"{VOLUMES}?{'&'.join(f'a{n}=' for n in range(40))}", None, "query"),
    ("GET", "/gateway/snapshots?volume=x", None, "volume"),
    ("DELETE", f"{VOLUMES}/{NOWHERE}?force=perhaps", None, "force"),
    ("POST", f"{VOLUMES}?wait=121", FULL, "wait"),
    ("POST", f"{VOLUMES}?wait=-1", FULL, "wait"),
    ("POST", f"{VOLUMES}?wait=nan", FULL, "wait"),
    ("POST", VOLUMES, None, "name"),
    ("POST", VOLUMES, b"", "name"),
    ("POST", VOLUMES, b"\xff", "body"),
    ("POST", VOLUMES, b"[" * 100_000, "body"),
    ("POST", VOLUMES, [], "body"),
    ("POST", VOLUMES, {**FULL, "siez": 1}, "siez"),
    ("POST", VOLUMES, {**FULL, "size": "1GB"}, "size"),
    ("POST", VOLUMES, {**FULL, "labels": {"a": 1}}, "labels[...]"),
    ("POST", VOLUMES, {**FULL, "labels": {"\0": ""}}, "labels"),
    ("POST", VOLUMES, {**FULL, "name": "a/b"}, "name"),
    ("POST", VOLUMES, {**FULL, "path": "nowhere"}, "path"),
    ("PATCH", f"{VOLUMES}/{NOWHERE}", {"state": "error"}, "state"),
    ("PATCH", f"{VOLUMES}/{NOWHERE}", {"kind": "block"}, "kind"),
    ("POST", f"{VOLUMES}/{NOWHERE}/attachments", {"node": "n", "ways": ["pigeon"]}, "ways[0]"),
    ("PUT", "/gateway/tenants/svm1/export-policies/p", {"rules": [{"clients": ["a b"]}]}, "rules[0].clients[0]"),
    ("PUT", "/gateway/tenants/svm1/export-policies/p", {"rules": [{"clients": []}]}, "rules[0].clients"),
    ("PUT", "/gateway/tenants/svm1/export-policies/p", {"rules": [{"clients": [], "x": 1}]}, "rules[0].x"),
]


async def test_what_cannot_be_said(door: Scene) -> None:
    for verb, path, body, field in WRONG:
        status, error = await door.told(verb, path, body)
        assert (status, error["code"], error["fields"]["field"]) == (400, "InvalidArgument", field), (path, error)
        assert error["message"].startswith(f"{field}: ")


async def test_a_body_that_is_too_large_is_not_read(door: Scene) -> None:
    status, error = await door.told("POST", VOLUMES, b" " * (2 << 20))
    assert (status, error["code"]) == (413, "InvalidArgument")


async def test_head_is_answered_like_get(door: Scene) -> None:
    answer = await door.ask("HEAD", VOLUMES)
    assert (answer.status_code, answer.content) == (200, b"")


async def test_pages_of_other_origins_are_refused(door: Scene) -> None:
    for verb, body in (("GET", None), ("POST", FULL)):
        status, error = await door.told(verb, VOLUMES, body, headers={"Origin": "http://elsewhere.example"})
        assert (status, error["code"]) == (403, "PermissionDenied")


async def test_roles_say_who_may_call_what(door: Scene) -> None:
    made = await door.make("mine", who="alice")
    for route in ROUTES:
        path = route.template.format(
            volume=made.id,
            snapshot=NOWHERE,
            tenant="svm1",
            policy="default",
            job=NOWHERE,
            node="n",
            replication=NOWHERE,
            transfer=NOWHERE,
        )
        status = (await door.ask(route.verb, path, who="viewer")).status_code
        assert (status == 403) is (route.verb != "GET"), route.template
    await door.refused(native.set_export_policy("svm1", "p", ()), "PermissionDenied", "alice")


async def test_what_belongs_to_others_is_not_there(door: Scene) -> None:
    made = await door.make("mine", who="alice")
    taken = await door.run(native.create_snapshot(made.id, "s"), "alice")
    for flow in (
        native.volume(made.id),
        native.handles(made.id),
        native.change_volume(made.id, {"comment": "x"}),
        native.create_snapshot(made.id, "t"),
        native.clone_volume(made.id, native.NewClone(name="c")),
        native.attach(made.id, native.NewAttachment(node="n", ways=("local",))),
    ):
        await door.refused(flow, "NotFound", "bob", kind="volume")
    await door.refused(native.snapshot(taken.id), "NotFound", "bob", kind="snapshot")
    assert await door.all(native.volumes(), "bob") == []
    assert await door.all(native.snapshots(), "bob") == []
    await door.run(native.delete_volume(made.id), "bob")
    assert [one.name for one in await door.all(native.volumes(), "alice")] == ["mine"]
    assert [one.name for one in await door.all(native.volumes(), "viewer")] == ["mine"]


async def test_changes_leave_what_the_audit_needs(door: Scene) -> None:
    made = await door.make("v")
    trace = door.traces[-1]
    assert (trace.who, trace.operation, trace.target, trace.outcome) == ("root", "volume.create", made.id, "success")
    assert trace.job
    await door.refused(native.create_volume(new("v")), "AlreadyExists")
    assert door.traces[-1].outcome == "AlreadyExists"
    await door.all(native.volumes())
    assert (door.traces[-1].route, door.traces[-1].operation) == (VOLUMES, "")
