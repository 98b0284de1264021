"""Values, names and bodies that cannot be used: the error names the field, and nothing changes."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping
from typing import Any

import pytest
from wire_scene import EVERY_FIELD, UNSAMPLED, Caller, check, everything, furnish, resident

from gateway.frontends.ontap_rest.release import DEFAULT_RELEASE
from gateway.frontends.ontap_rest.schema import Field, Kind, Resource, Verb, load_schema
from gateway.testing.live import LiveGateway, live_gateway

SCHEMA = load_schema(DEFAULT_RELEASE)
NEW_VOLUME: Mapping[str, Any] = {
    "name": "new",
    "svm": {"name": "svm1"},
    "aggregates": [{"name": "memory"}],
    "size": "64MB",
}
COMPLETE: Mapping[str, Mapping[str, Any]] = {
    "storage/volumes": NEW_VOLUME,
    "storage/volumes/{}/snapshots": {"name": "new"},
    "svm/svms": {"name": "new"},
    "protocols/nfs/export-policies": {"name": "new", "svm": {"name": "svm1"}},
    "protocols/nfs/export-policies/{}/rules": {"clients": [{"match": "::/0"}], "ro_rule": ["any"], "rw_rule": ["any"]},
    "storage/snapshot-policies": {"name": "new", "copies": [{"schedule": {"name": "daily"}, "count": 1}]},
    "storage/snapshot-policies/{}/schedules": {"schedule": {"name": "weekly"}, "count": 1},
    "cluster/schedules": {"name": "new", "cron": {"minutes": [7]}},
}
"""Collection -> a body that would be accepted; each case spoils one thing in it."""

RESOURCES = {re.sub(r"{[^}]*}", "{}", r.collection.removeprefix("/api/")): r for r in SCHEMA.values()}
HUGE = (2**63, 2**64, -(2**63) - 1, 10**400, -1)


class Scene:
    """A furnished gateway, and the check that a refusal was one."""

    def __init__(self, gateway: LiveGateway) -> None:
        self.gateway = gateway
        self.caller = Caller(gateway)
        self.keys = furnish(self.caller)

    def path(self, template: str) -> str:
        parts = template.split("/")
        for place in [place for place, part in enumerate(parts) if part == "{}"]:
            parts[place] = self.keys.get("/".join(parts[:place])) or self.keys[parts[place - 1]]
        return "/api/" + "/".join(parts)

    def refused(self, method: str, template: str, body: object, *, raw: bytes | None = None) -> dict[str, str]:
        """Send what must be refused; give the error after nothing changed."""
        sent = json.dumps(body).encode() if raw is None else raw
        before = everything(self.caller)
        reply = check(self.caller.ask(method.encode(), self.path(template).encode(), sent))
        assert reply.status in {400, 404, 405, 409, 413}, reply
        assert everything(self.caller) == before
        return reply.error


@pytest.fixture(scope="module")
def scene(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Scene]:
    with live_gateway(tmp_path_factory.mktemp("fields"), extra=EVERY_FIELD, periods=UNSAMPLED) as gateway:
        found = Scene(gateway)
        yield found
        found.caller.close()
        assert gateway.alive


@pytest.mark.parametrize(
    "raw",
    [
        pytest.param(b"{", id="open"),
        pytest.param(b"}", id="closed"),
        pytest.param(b"{'name': 'x'}", id="single quotes"),
        pytest.param(b'{"name": "x",}', id="comma"),
        pytest.param(b'{"name": "x"} {}', id="two documents"),
        pytest.param(b'{"name": "x"', id="cut"),
        pytest.param(b"[]", id="array"),
        pytest.param(b'"x"', id="text"),
        pytest.param(b"7", id="number"),
        pytest.param(b"null", id="null"),
        pytest.param(b'{"name": "\xff"}', id="broken UTF-8"),
        pytest.param(b"\xff\xfe{\x00}\x00", id="UTF-16"),
        pytest.param(b'\xef\xbb\xbf{"name": "x"}', id="byte order mark"),
        pytest.param(b'{"name": "\x01"}', id="control character"),
        pytest.param(b'{"size": NaN}', id="NaN"),
        pytest.param(b'{"size": Infinity}', id="infinity"),
        pytest.param(b'{"size": ' + b"9" * 5000 + b"}", id="5000 digits"),
        pytest.param(b"[" * 100_000, id="100,000 brackets"),
        pytest.param(b'{"a":' * 100_000, id="100,000 objects"),
        pytest.param(b'{"a":' * 100_000 + b"1" + b"}" * 100_000, id="100,000 balanced objects"),
        pytest.param(b'{"comment": "' + b"\\" * 500_000, id="half a million backslashes"),
        pytest.param(b'"' * 500_000 + b"[" * 100, id="half a million quotes"),
    ],
)
@pytest.mark.parametrize(
    ("method", "template"), [("POST", "storage/volumes"), ("PATCH", "storage/volumes/{}"), ("DELETE", "svm/svms/{}")]
)
def test_what_is_no_json_object_is_refused(scene: Scene, method: str, template: str, raw: bytes) -> None:
    assert scene.refused(method, template, None, raw=raw)["code"] in {"262199", "262198"}


NAMES = (
    "",
    " ",
    ".",
    "..",
    "a/b",
    "/",
    "a\0b",
    "\0",
    "a\nb",
    "a b",
    "😀",
    "ü",
    "\u202e",
    "\ud800",
    "x" * 10_000,
    "1" * 300,
    "a*",
    "a|b",
    "../../etc/passwd",
    "%2e%2e",
)


@pytest.mark.parametrize("name", NAMES, ids=[name.encode("unicode_escape").decode()[:20] for name in NAMES])
@pytest.mark.parametrize("template", [t for t, body in COMPLETE.items() if "name" in body])
def test_a_name_that_cannot_be_one_is_refused_by_name(scene: Scene, template: str, name: str) -> None:
    error = scene.refused("POST", template, {**COMPLETE[template], "name": name})
    assert error["target"] == "name"


@pytest.mark.parametrize("size", [*HUGE, 1e400, -1e400, 0, 1.5, "9999999PB", "-1GB", "1e400", "", "0x10", [], {}, True])
@pytest.mark.parametrize(("method", "template"), [("POST", "storage/volumes"), ("PATCH", "storage/volumes/{}")])
@pytest.mark.parametrize("field", ["size", "space.size"])
def test_a_size_that_cannot_be_one_is_refused_by_name(
    scene: Scene, method: str, template: str, field: str, size: object
) -> None:
    body = {**NEW_VOLUME, field: size} if method == "POST" else {field: size}
    if field != "size":
        body.pop("size", None)
    assert scene.refused(method, template, body).get("target", "size") in {"size", "space.size"}


def settable() -> Iterator[tuple[str, str, Resource, Field]]:
    for collection in COMPLETE:
        resource = RESOURCES[collection]
        for field in resource.fields.values():
            yield "POST", collection, resource, field
            yield "PATCH", f"{collection}/{{}}", resource, field


def wrong(kind: Kind) -> object:
    return {"not": "a value"} if kind in {Kind.STRING, Kind.UUID, Kind.PASSWORD} else "no such value"


def nested(resource: Resource, path: str, value: object) -> dict[str, Any]:
    """Build a body with one field, through the objects and arrays on its way."""
    parts = path.split(".")
    node: object = value
    for depth in reversed(range(len(parts))):
        node = {parts[depth]: node}
        if ".".join(parts[:depth]) in resource.arrays:
            node = [node]
    assert isinstance(node, dict)
    return node


CASES = list(settable())


@pytest.mark.parametrize(
    ("method", "template"), sorted({(method, template) for method, template, *_ in CASES}), ids=str
)
def test_a_value_of_the_wrong_type_is_refused_by_the_name_of_its_field(
    scene: Scene, method: str, template: str
) -> None:
    before, refused = everything(scene.caller), 0
    for verb, where, resource, field in CASES:
        if (verb, where) != (method, template):
            continue
        value = wrong(field.kind)
        body = nested(resource, field.path, [value] if field.array else value)
        whole = {**COMPLETE[template], **body} if method == "POST" else body
        sent = json.dumps(whole).encode()
        reply = check(scene.caller.ask(method.encode(), scene.path(template).encode(), sent))
        assert reply.status == 400, (field.path, reply)
        named = reply.error.get("target") or reply.error["message"]
        assert field.path in named or field.path.rpartition(".")[0] in named.split('"'), (field.path, reply)
        refused += 1
    assert refused
    assert everything(scene.caller) == before


@pytest.mark.parametrize(
    ("method", "template"), sorted({(method, template) for method, template, *_ in CASES}), ids=str
)
@pytest.mark.parametrize("name", ["nonsense", "name.nonsense", "__class__", "", "a" * 10_000, "😀", "\ud800", "a\0"])
def test_an_unknown_field_is_refused_by_its_name(scene: Scene, method: str, template: str, name: str) -> None:
    body = {**COMPLETE.get(template, {}), name: 1}
    error = scene.refused(method, template, body)
    assert error["code"] in {"262179", "262197"}
    assert name[:20].encode("utf-8", "replace").decode() in error["message"] + error.get("target", "")


def test_integers_beyond_64_bits_are_refused_wherever_a_number_may_be(scene: Scene) -> None:
    before = everything(scene.caller)
    for method, template, resource, field in CASES:
        letter = Verb(method).letter
        if field.kind is not Kind.INTEGER or letter not in field.access:
            continue
        for value in HUGE[:4]:
            body = nested(resource, field.path, [value] if field.array else value)
            whole = {**COMPLETE[template], **body} if method == "POST" else body
            sent = json.dumps(whole).encode()
            reply = check(scene.caller.ask(method.encode(), scene.path(template).encode(), sent))
            assert reply.status == 400, (field.path, value, reply)
            assert field.path in reply.error["target"], (field.path, value, reply)
    assert everything(scene.caller) == before


@pytest.mark.parametrize(
    ("method", "template", "body"),
    [
        pytest.param(
            "PATCH", "protocols/nfs/export-policies/{}", {"name": "default", "rules": []}, id="policy name taken"
        ),
        pytest.param(
            "PATCH",
            "storage/volumes/{}",
            {"name": "vol2", "size": "128MB", "comment": "new"},
            id="volume name taken",
        ),
        pytest.param("PATCH", "storage/volumes/{}", {"comment": "new", "nas.path": "bad"}, id="junction path"),
        pytest.param("PATCH", "storage/volumes/{}", {"comment": "new", "nas.export_policy.name": "?"}, id="no policy"),
        pytest.param("PATCH", "svm/svms/{}", {"name": "a b", "comment": "new"}, id="svm name malformed"),
        pytest.param("PATCH", "storage/volumes/{}", {"comment": "x" * 20_000}, id="comment too long"),
        pytest.param("PATCH", "storage/volumes/{}", {"_tags": [f"k{n}:v" for n in range(65)]}, id="too many tags"),
        pytest.param("PATCH", "storage/volumes/{}", {"_tags": ["no colon"]}, id="tag without a colon"),
        pytest.param("PATCH", "storage/volumes/{}", {"_tags": ["k:" + "v" * 40_000]}, id="tag too long"),
        pytest.param("DELETE", "storage/volumes/{}", {}, id="volume with clones"),
        pytest.param("DELETE", "storage/volumes/{}/snapshots/{}", {}, id="snapshot with clones"),
        pytest.param("DELETE", "svm/svms/{}", {}, id="svm with volumes"),
        pytest.param("DELETE", "storage/volumes", {}, id="delete everything"),
        pytest.param("PATCH", "storage/volumes", {"comment": "all"}, id="change everything"),
        pytest.param("POST", "storage/volumes/{}", {}, id="POST to a record"),
        pytest.param("PUT", "storage/volumes/{}", {}, id="PUT"),
        pytest.param("DELETE", "cluster", {}, id="delete the cluster"),
        pytest.param("POST", "cluster/nodes", {}, id="make a node"),
    ],
)
def test_a_refused_change_changes_nothing_at_all(scene: Scene, method: str, template: str, body: object) -> None:
    assert scene.refused(method, template, body)["message"]


def test_every_documented_word_is_taken_or_refused_by_the_name_of_its_field(scene: Scene) -> None:
    for method, template, resource, field in CASES:
        if Verb(method).letter not in field.access:
            continue
        for word in field.enum:
            if method == "PATCH" and word in {"offline", "stopped"}:
                continue  # taken, and the others of this module need the scene as it is
            body = nested(resource, field.path, [word] if field.array else word)
            whole = {**COMPLETE[template], "name": "", **body} if method == "POST" else body
            reply = check(scene.caller.ask(method.encode(), scene.path(template).encode(), json.dumps(whole).encode()))
            if reply.status >= 400:
                target = reply.error.get("target", "name")
                assert target == "name" or field.path.startswith(target), (whole, reply)
    everything(scene.caller)


def test_memory_stays_flat_over_thousands_of_refusals(scene: Scene) -> None:
    def refuse(times: int) -> None:
        for number in range(times):
            filler = f"{number}{'x' * 5000}"
            target = f"/api/storage/volumes?name={filler}&fields=name".encode()
            assert scene.caller.ask(b"GET", target).status == 200
            assert scene.caller.ask(b"GET", f"/api/storage/volumes/{filler}".encode()).status == 404
            body = json.dumps({filler: 1}).encode()
            assert scene.caller.ask(b"POST", b"/api/storage/volumes", body).status == 400

    refuse(1500)
    settled = resident(scene.gateway)
    refuse(1500)
    assert resident(scene.gateway) < settled + (16 << 20)
