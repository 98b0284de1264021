"""Every field that a body may hold: it is taken, and a record then shows it, or it is refused by its name."""

from __future__ import annotations

import itertools
import json
import re
from collections.abc import Iterator, Mapping
from datetime import datetime
from typing import Any
from uuid import UUID

import pytest
from field_subjects import LATER, NOWHERE, SUBJECTS, UNMADE, Subject
from live_scene import MISSING
from wire_scene import EVERY_FIELD, Caller, Reply, check, furnish

from gateway.frontends.ontap_rest.constants import SILENT
from gateway.frontends.ontap_rest.endpoints import routes
from gateway.frontends.ontap_rest.options import UNSERVED
from gateway.frontends.ontap_rest.schema import Field, Kind, Resource, Verb, load_schema
from gateway.frontends.ontap_rest.sources import Site
from gateway.frontends.ontap_rest.tree import values_at
from gateway.testing.live import live_gateway

SCHEMA = load_schema()
SITE = Site(name="gateway", cluster_id=UUID(int=1), addresses=(), started=0)
WRITTEN = {
    template: route.endpoint
    for template, route in routes(SCHEMA, SITE).items()
    if not route.instance and (route.endpoint.create or route.endpoint.modify)
}
USUAL: Mapping[Kind, tuple[object, ...]] = {
    Kind.STRING: ("walked",),
    Kind.PASSWORD: ("a password of 20",),
    Kind.INTEGER: (3, 50, 0),
    Kind.NUMBER: (1.5,),
    Kind.BOOLEAN: (True, False),
    Kind.DATETIME: (LATER,),
    Kind.DURATION: ("PT5M",),
    Kind.UUID: ("00000000-0000-4000-8000-000000000001",),
}


def candidates(field: Field, subject: Subject) -> list[object]:
    """Give the values to try."""
    return list(subject.values.get(field.path) or field.enum or USUAL[field.kind])


def numbered(value: Any, number: int) -> Any:
    return json.loads(json.dumps(value).replace("{n}", str(number)))


class Walk:
    """Makes records, each with one field more than it needs, and looks what became of that."""

    def __init__(self, caller: Caller) -> None:
        self.caller = caller
        self.keys = furnish(caller)
        caller.do("POST", "/api/svm/svms", {"name": "svm2"})
        caller.do(
            "POST", "/api/security/roles", {"name": "kept", "privileges": [{"path": "/api", "access": "readonly"}]}
        )
        (role,) = caller.get("/api/security/roles?name=kept&fields=owner")["records"]
        self.keys |= {"security/roles": role["owner"]["uuid"], "security/roles/{}": "kept"}
        self.numbers = itertools.count(1)

    def path(self, template: str) -> str:
        parts = template.split("/")
        words = list(parts)
        for place in [place for place, part in enumerate(parts) if part == "{}"]:
            parts[place] = self.keys.get("/".join(words[:place])) or self.keys[parts[place - 1]]
        return "/api/" + "/".join(parts)

    def send(self, verb: str, target: str, body: object) -> Reply:
        mark = "&" if "?" in target else "?"
        return check(
            self.caller.ask(verb.encode(), f"{target}{mark}return_timeout=60".encode(), json.dumps(body).encode())
        )

    def prepare(self, subject: Subject, number: int) -> None:
        for template, body in subject.before:
            self.caller.do("POST", self.path(template), numbered(body, number))

    def clear(self, subject: Subject, number: int) -> None:
        for query in subject.after:
            self.send("DELETE", "/api/" + query.replace("{n}", str(number)), {})

    def make(self, template: str, body: Mapping[str, Any]) -> tuple[Reply, str]:
        reply = self.send("POST", self.path(template), body)
        assert reply.status >= 400 or "location" in reply.headers, (template, body, reply)
        place = reply.headers.get("location", "") if reply.status < 400 else ""
        return reply, place

    def gone(self, place: str, subject: Subject) -> None:
        while self.caller.get("/api/snapmirror/relationships/*/transfers")["num_records"]:
            pass
        if subject.ending:
            self.send("PATCH", place, subject.ending)
        assert self.send("DELETE", f"{place}?{subject.ending_query}", {}).status in {200, 202, 404, 405}, place


@pytest.fixture(scope="module")
def walk(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Walk]:
    with live_gateway(tmp_path_factory.mktemp("walk"), extra=EVERY_FIELD) as gateway:
        caller = Caller(gateway)
        yield Walk(caller)
        caller.close()
        assert gateway.alive


def bodies(resource: Resource, field: Field, value: object, subject: Subject) -> dict[str, Any]:
    """Build what adds a field to a body: through the arrays on its way, with what their elements need."""
    parts = field.path.split(".")
    node: Any = [value] if field.array and not isinstance(value, list) else value
    for depth in range(len(parts) - 1, 0, -1):
        above = ".".join(parts[:depth])
        node = {parts[depth]: node}
        if above in resource.arrays:
            node = [{**subject.beside.get(above, {}), **node}]
    return {parts[0]: node, **subject.beside.get(field.path, {})}


def taken(resource: Resource, field: Field, value: object, record: Mapping[str, Any], subject: Subject) -> bool:
    """Tell whether a record shows what it was given."""
    path = subject.shown.get(field.path, field.path)
    if path == NOWHERE:
        return True
    found = list(values_at(record, tuple(path.split("."))))
    silent = SILENT.get(resource.name, {})
    if not found:
        return value == [] or (field.path in silent and silent[field.path] == value)
    wanted = value if isinstance(value, list) else [value]
    if field.kind is Kind.DATETIME:
        found = [datetime.fromisoformat(str(item)) for item in found]
        wanted = [datetime.fromisoformat(str(item)) for item in wanted]
    return all(item in found for item in wanted)


def refused(reply: Reply, field: Field) -> bool:
    """Tell whether a refusal names the field, or what it is a part of."""
    target, message = reply.error.get("target", ""), reply.error["message"]
    named = {field.path, *(field.path[: found.start()] for found in re.finditer(r"\.", field.path))}
    places = {target, target.rpartition(".")[0]} - {""}
    # What is an object of its own, and a part of another one, is called by its own name in both.
    return bool(places & named) or field.path.endswith(f".{target}") or any(f'"{name}"' in message for name in named)


def test_there_is_a_way_to_make_one_of_every_resource_that_can_be_written() -> None:
    assert set(WRITTEN) == set(SUBJECTS) | set(UNMADE)


@pytest.mark.parametrize("template", sorted(SUBJECTS))
def test_every_field_of_a_post_is_taken_and_shown_or_refused_by_name(walk: Walk, template: str) -> None:
    resource, subject, wrong = WRITTEN[template].resource, SUBJECTS[template], []
    number = next(walk.numbers)
    walk.prepare(subject, number)
    for field in resource.fields.values():
        for value in numbered(candidates(field, subject), number) if "c" in field.access else ():
            room = {field.path, *subject.without.get(field.path, ())}
            base = {name: given for name, given in subject.body.items() if name not in room}
            body = {**numbered(base, number), **numbered(bodies(resource, field, value, subject), number)}
            reply, place = walk.make(template, body)
            if reply.status >= 400:
                if not refused(reply, field):
                    wrong.append((field.path, value, reply))
                continue
            shown = walk.caller.get(f"{place}?fields=**")
            if not taken(resource, field, value, shown, subject):
                wrong.append((field.path, value, list(values_at(shown, tuple(field.path.split("."))))))
            walk.gone(place, subject)
            walk.clear(subject, number)
            number = next(walk.numbers)
            walk.prepare(subject, number)
    walk.clear(subject, number)
    assert not wrong, "\n".join(map(str, wrong))


@pytest.mark.parametrize("template", sorted(name for name in SUBJECTS if WRITTEN[name].modify is not None))
def test_every_field_of_a_patch_is_taken_and_shown_or_refused_by_name(walk: Walk, template: str) -> None:
    resource, subject, wrong, place, number = WRITTEN[template].resource, SUBJECTS[template], [], "", 0
    for field in resource.fields.values():
        for value in candidates(field, subject) if "m" in field.access else ():
            if not place:
                number = next(walk.numbers)
                walk.prepare(subject, number)
                reply, place = walk.make(template, numbered(subject.body, number))
                assert place, reply
            body = numbered(bodies(resource, field, value, subject), number)
            reply = walk.send("PATCH", place, body)
            if reply.status >= 400:
                if not refused(reply, field):
                    wrong.append((field.path, value, reply))
                continue
            found = walk.caller.ask(b"GET", f"{place}?fields=**".encode())
            if found.status == 404:  # the key was changed
                found = walk.caller.ask(b"GET", re.sub(rb"[^/]+$", str(value).encode(), place.encode()))
            shown = found.json
            if not taken(resource, field, numbered(value, number), shown, subject):
                wrong.append((field.path, value, list(values_at(shown, tuple(field.path.split("."))))))
            walk.gone(place, subject)
            walk.clear(subject, number)
            place = ""
    if place:
        walk.gone(place, subject)
        walk.clear(subject, number)
    assert not wrong, "\n".join(map(str, wrong))


@pytest.mark.parametrize(
    ("resource", "verb"), [(resource, verb) for resource, verb in UNSERVED if verb is not Verb.GET]
)
def test_a_parameter_that_is_not_carried_out_is_refused_by_name_unless_it_asks_for_what_is_so(
    walk: Walk, resource: str, verb: Verb
) -> None:
    template = next(name for name, endpoint in WRITTEN.items() if endpoint.resource.name == resource)
    for name, idle in UNSERVED[resource, verb].items():
        field = SCHEMA[resource].fields.get(name)
        others = {"none", "true", "5", *(field.enum if field else ())} - {str(idle).lower()}
        for other in others:
            target = f"{walk.path(template)}{'' if verb is Verb.POST else f'/{MISSING}'}?{name}={other}"
            reply = walk.caller.ask(verb.value.encode(), target.encode(), b"{}")
            assert reply.status == 400, (name, other, reply)
            assert name in (reply.error.get("target") or reply.error["message"]), (name, other, reply)
