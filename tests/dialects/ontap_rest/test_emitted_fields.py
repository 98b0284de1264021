"""Every field of every record: documented, of its documented type and words, and known to the official client."""

from __future__ import annotations

import functools
import re
from collections.abc import Iterator, Mapping
from datetime import datetime
from typing import Any
from uuid import UUID

import netapp_ontap.resources
import pytest
from wire_scene import EVERY_FIELD, Caller, furnish

from gateway.frontends.ontap_rest.endpoints import routes
from gateway.frontends.ontap_rest.schema import Field, Kind, Resource, Verb, load_schema
from gateway.frontends.ontap_rest.sources import Site
from gateway.testing.live import live_gateway

pytestmark = pytest.mark.filterwarnings("ignore::marshmallow.warnings.ChangedInMarshmallow4Warning")

SITE = Site(name="gateway", cluster_id=UUID(int=1), addresses=(), started=0)
READ = {
    template: route.endpoint.resource
    for template, route in routes(load_schema(), SITE).items()
    if Verb.GET in route.verbs and (not route.instance or route.endpoint.singleton)
}
POOLS = '[backend.memory]\n[backend.second]\ndriver = "memory"\n'
OWN = "private/"
"""Below it the client has no classes."""
NUMBERS: Mapping[Kind, tuple[type, ...]] = {Kind.INTEGER: (int,), Kind.NUMBER: (int, float), Kind.BOOLEAN: (bool,)}
STRANGERS = frozenset({"is_all_flash_optimized", "is_all_flash_select_optimized"})
"""What Cinder asks of nodes, and the official client has no word for."""


def placeless(path: str) -> str:
    return re.sub(r"{[^}]*}", "{}", path)


@functools.cache
def classes() -> Mapping[str, Any]:
    """Give the client's class by the path of its collection."""
    every = [found for found in vars(netapp_ontap.resources).values() if isinstance(found, type)]
    return {placeless(found._path): found for found in every if isinstance(getattr(found, "_path", None), str)}


@pytest.fixture(scope="module")
def furnished(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Caller, Mapping[str, str]]]:
    with live_gateway(tmp_path_factory.mktemp("emitted"), pools=POOLS, extra=EVERY_FIELD) as gateway:
        caller = Caller(gateway)
        keys = furnish(caller)
        yield caller, {**keys, **more(caller), "protocols/fpolicy": keys["svm/svms"]}
        caller.close()


def more(caller: Caller) -> dict[str, str]:
    """Make what shows the rest of the fields; give the keys that its paths need."""
    privilege = {"path": "/api", "access": "readonly"}
    caller.do("POST", "/api/security/roles", {"name": "kept", "privileges": [privilege]})
    caller.do("POST", "/api/storage/qos/policies", {"name": "q", "svm.name": "svm1", "fixed.max_throughput_iops": 5})
    volume = {"name": "kept", "svm.name": "svm1", "aggregates": [{"name": "memory"}], "size": "64MB"}
    settings = {"autosize.mode": "grow", "space.snapshot.reserve_percent": 5, "space.full_threshold_percent": 90}
    caller.do("POST", "/api/storage/volumes", {**volume, **settings})
    caller.do("PATCH", "/api/storage/volumes?name=kept", {"movement.destination_aggregate.name": "second"})
    (role,) = caller.get("/api/security/roles?name=kept&fields=owner")["records"]
    table = caller.get("/api/cluster/counter/tables")["records"][0]["name"]
    return {
        "security/roles": role["owner"]["uuid"],
        "security/roles/{}": "kept",
        "cluster/counter/tables": table,
    }


def records(furnished: tuple[Caller, Mapping[str, str]], template: str) -> list[dict[str, Any]]:
    caller, keys = furnished
    words = template.split("/")
    parts = list(words)
    for place in [place for place, part in enumerate(parts) if part == "{}"]:
        parts[place] = keys.get("/".join(words[:place])) or keys[parts[place - 1]]
    found = caller.get(f"/api/{'/'.join(parts)}?fields=**")
    return found.get("records", [found])


def leaves(node: object, resource: Resource, path: str = "") -> Iterator[tuple[str, object]]:
    if isinstance(node, dict):
        for name, value in node.items():
            if name != "_links":
                yield from leaves(value, resource, f"{path}.{name}" if path else name)
    elif isinstance(node, list) and path in resource.arrays:
        for item in node:
            yield from leaves(item, resource, path)
    else:
        yield path, node


def documented(field: Field | None, value: object) -> bool:
    """Tell whether a value is one that the documentation of its field allows."""
    if field is None or not field.readable or field.array != isinstance(value, list):
        return False
    for item in value if isinstance(value, list) else [value]:
        if type(item) not in NUMBERS.get(field.kind, (str,)):
            return False
        if field.enum and item not in field.enum:
            return False
        if isinstance(item, int) and not (field.minimum or 0) <= item <= (field.maximum or 1 << 63):
            return False
        if field.kind is Kind.DATETIME:
            datetime.fromisoformat(str(item))
        if field.kind is Kind.UUID:
            UUID(str(item))
    return True


def known(schema: Any, path: str) -> bool:
    """Tell whether a class of the client has a word for a path."""
    for name in path.split("."):
        field = next((f for n, f in schema.fields.items() if name in {n, f.data_key}), None)
        if field is None:
            return False
        inner = getattr(field, "inner", field)
        schema = getattr(inner, "schema", None)
    return True


@pytest.mark.parametrize("template", sorted(READ))
def test_every_field_of_every_record_is_documented_and_has_a_documented_value(
    furnished: tuple[Caller, Mapping[str, str]], template: str
) -> None:
    resource = READ[template]
    found = [leaf for record in records(furnished, template) for leaf in leaves(record, resource)]
    assert [leaf for leaf in found if not documented(resource.fields.get(leaf[0]), leaf[1])] == []


@pytest.mark.parametrize("template", sorted(name for name in READ if not name.startswith(OWN)))
def test_the_official_client_takes_every_record_and_knows_every_field(
    furnished: tuple[Caller, Mapping[str, str]], template: str
) -> None:
    resource, client = READ[template], classes()[f"/api/{template}"]
    schema, unknown = client._schema(), set()
    for record in records(furnished, template):
        client.from_dict(record)
        unknown |= {path for path, _ in leaves(record, resource) if not known(schema, path)}
    assert unknown - STRANGERS == set()
