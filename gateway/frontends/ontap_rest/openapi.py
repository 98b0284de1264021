"""The OpenAPI 3.0 document of the door, made from the route table and from what is served.

Fields that no answer shows and no body takes are not in it, although queries
may name every documented one.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping
from typing import Any

import msgspec

from gateway.frontends.ontap_rest.endpoint import Route
from gateway.frontends.ontap_rest.query import COUNT_CONTROLS, OPTION_KINDS
from gateway.frontends.ontap_rest.release import Release
from gateway.frontends.ontap_rest.rules import REQUIRED
from gateway.frontends.ontap_rest.scalars import INTEGER_MAX, Scalar
from gateway.frontends.ontap_rest.schema import Field, Kind, Resource, Verb
from gateway.frontends.ontap_rest.shape import Shown, carried_out, confirmed, readable

Json = dict[str, Any]

JSON, HAL = "application/json", "application/hal+json"
_NAMED = re.compile(r"\{([^{}]*)\}")
_KINDS: Mapping[Kind, Json] = {
    Kind.STRING: {"type": "string"},
    Kind.INTEGER: {"type": "integer", "format": "int64"},
    Kind.NUMBER: {"type": "number"},
    Kind.BOOLEAN: {"type": "boolean"},
    Kind.DATETIME: {"type": "string", "format": "date-time"},
    Kind.DURATION: {"type": "string", "description": "An ISO 8601 duration."},
    Kind.UUID: {"type": "string", "format": "uuid"},
    Kind.PASSWORD: {"type": "string", "format": "password"},
}
_COUNT: Json = {"type": "integer", "minimum": 1, "maximum": INTEGER_MAX}
_READ: Mapping[str, Json] = {
    "ignore_unknown_fields": {"type": "boolean"},
    "max_records": _COUNT,
    "offset": {**_COUNT, "minimum": 0},
    "order_by": {"type": "string", "description": "Names of fields, each with ` desc` behind it or not."},
    "return_records": {"type": "boolean"},
    "query": {"type": "string"},
    "query_fields": {"type": "string"},
}
_ONE: Mapping[str, Json] = {"ignore_unknown_fields": {"type": "boolean"}}
_MADE: Mapping[str, Json] = {"return_records": {"type": "boolean"}}
_MANY: Mapping[str, Json] = {
    "continue_on_failure": {"type": "boolean"},
    "max_records": _COUNT,
    "serial_records": {"type": "boolean"},
}
_TIMEOUT: Json = dict(zip(("type", "minimum", "maximum"), ("integer", *COUNT_CONTROLS["return_timeout"]), strict=True))
_EVERY: Mapping[str, Json] = {"pretty": {"type": "boolean"}, "return_timeout": _TIMEOUT}
_FIXED: Mapping[str, Json] = {
    "href": {"type": "object", "properties": {"href": {"type": "string"}}, "required": ["href"]},
    "links": {
        "type": "object",
        "properties": {name: {"$ref": "#/components/schemas/href"} for name in ("self", "next", "results")},
    },
    "error": {
        "type": "object",
        "properties": {
            "error": {
                "type": "object",
                "properties": {
                    "message": {"type": "string"},
                    "code": {"type": "string", "pattern": "^[0-9]+$"},
                    "target": {"type": "string"},
                    "arguments": {"type": "array", "items": {"type": "object"}},
                },
                "required": ["message", "code"],
            }
        },
        "required": ["error"],
    },
    "job_link": {
        "type": "object",
        "properties": {
            "uuid": {"type": "string", "format": "uuid"},
            "_links": {"$ref": "#/components/schemas/links"},
        },
        "required": ["uuid", "_links"],
    },
}


def document(table: Mapping[str, Route], shown: Shown, *, release: Release, product: str) -> bytes:
    """Give the document as JSON."""
    parts = dict(components(table, shown))
    return assemble(table, parts, release=release, product=product)


def components(table: Mapping[str, Route], shown: Shown) -> Iterator[tuple[str, msgspec.Raw]]:
    """Yield the named schemas, encoded; each step takes about a millisecond."""
    for name, fixed in _FIXED.items():
        yield name, _encoded(fixed)
    for resource, verbs in _resources(table):
        for name, schema in _schemas(resource, verbs, shown):
            yield name, _encoded(schema)


def assemble(table: Mapping[str, Route], parts: Mapping[str, msgspec.Raw], *, release: Release, product: str) -> bytes:
    """Give the document that has these named schemas."""
    whole = {
        "openapi": "3.0.3",
        "info": {
            "title": f"ONTAP REST as {product} serves it",
            "version": str(release),
            "description": "Every documented field of a resource may be named in queries, with ONTAP's operators.",
        },
        "servers": [{"url": "/"}],
        "security": [{"basic": []}, {"bearer": []}],
        "paths": {path_of(route): _encoded(_path(route)) for route in table.values()},
        "components": {
            "schemas": parts,
            "securitySchemes": {
                "basic": {"type": "http", "scheme": "basic"},
                "bearer": {"type": "http", "scheme": "bearer"},
            },
        },
    }
    return bytes(_encoded(whole))


def path_of(route: Route) -> str:
    """Give the route's path with its keys by name, such as `/api/storage/volumes/{volume_uuid}/snapshots/{uuid}`.

    Names have no dots, which some programs that read such documents take for code.
    """
    names = iter(_key_names(route))
    return "/api/" + re.sub(r"\{\}", lambda _: f"{{{next(names)}}}", route.template)


def _key_names(route: Route) -> list[str]:
    return [key.replace(".", "_") for key in key_names(route)]


def key_names(route: Route) -> tuple[str, ...]:
    """Give what the keys of a route's template are, in order."""
    resource = route.endpoint.resource
    parents = _NAMED.findall(resource.collection)
    names = [*parents, *(key for key in resource.keys if key not in parents)]
    count = route.template.count("{}")
    return tuple([*names, *(f"key{number}" for number in range(len(names), count))][:count])


def _resources(table: Mapping[str, Route]) -> Iterator[tuple[Resource, frozenset[Verb]]]:
    """Yield each resource once, with the verbs that any of its routes has."""
    found: dict[str, tuple[Resource, set[Verb]]] = {}
    for route in table.values():
        resource = route.endpoint.resource
        found.setdefault(resource.name, (resource, set()))[1].update(route.verbs)
    return ((resource, frozenset(verbs)) for resource, verbs in found.values())


# --- named schemas ---


def _schemas(resource: Resource, verbs: Iterable[Verb], shown: Shown) -> Iterator[tuple[str, Json]]:
    name = resource.name
    record = _tree(resource, {path: _leaf(resource.fields[path]) for path in readable(resource, shown)})
    record["properties"]["_links"] = _ref("links")
    yield name, record
    paths = [*readable(resource, shown)]
    yield f"{name}_query", _filters(resource, paths)
    yield f"{name}_fields", {"type": "string", "enum": _selectable(paths)}
    yield f"{name}_records", _records(name)
    for verb in (Verb.POST, Verb.PATCH):
        if verb in verbs:
            taken = {path: _leaf(resource.fields[path]) for path in carried_out(resource, verb)}
            fixed = {path: _only(resource.fields[path], value) for path, value in confirmed(resource, verb).items()}
            body = _closed(_tree(resource, {**taken, **fixed}))
            needed = REQUIRED.get(name, ()) if verb is Verb.POST else ()
            alone = [each.paths[0] for each in needed if len(each.paths) == 1 and not each.unless]
            given = sorted({path for path in alone if path in body["properties"]})
            yield _body_name(resource, verb), body | ({"required": given} if given else {})


def _body_name(resource: Resource, verb: Verb) -> str:
    return f"{resource.name}_{'create' if verb is Verb.POST else 'modify'}"


def _tree(resource: Resource, leaves: Mapping[str, Json]) -> Json:
    """Give the schema of an object from those of its leaves by path."""
    root: Json = {"type": "object", "properties": {}}
    for path, leaf in leaves.items():
        place, walked = root, ""
        *parents, last = path.split(".")
        for name in parents:
            walked = f"{walked}.{name}" if walked else name
            inner = place["properties"].setdefault(name, _node(array=walked in resource.arrays))
            place = inner.get("items", inner)
        if path not in resource.arrays:
            place["properties"][last] = leaf
    return root


def _node(*, array: bool) -> Json:
    node: Json = {"type": "object", "properties": {}}
    return {"type": "array", "items": node} if array else node


def _closed(schema: Json) -> Json:
    """Give the schema with nothing allowed in its objects that it does not name."""
    if "items" in schema:
        return {**schema, "items": _closed(schema["items"])}
    if "properties" not in schema:
        return schema
    inner = {name: _closed(each) for name, each in schema["properties"].items()}
    return {**schema, "properties": inner, "additionalProperties": False}


def _leaf(field: Field) -> Json:
    schema = dict(_KINDS[field.kind])
    limits = {
        "enum": list(field.enum) or None,
        "minimum": field.minimum,
        "maximum": field.maximum,
        "minLength": field.min_length,
        "maxLength": field.max_length,
    }
    schema |= {name: limit for name, limit in limits.items() if limit is not None}
    if not field.array:
        return schema
    return {"type": "array", "items": schema} | ({"maxItems": field.max_items} if field.max_items is not None else {})


def _only(field: Field, value: Scalar) -> Json:
    """Give the schema of a field that takes one value."""
    schema = {**_KINDS[field.kind], "enum": [value]}
    return {"type": "array", "items": schema} if field.array else schema


def _filters(resource: Resource, paths: Iterable[str]) -> Json:
    """Give what may be filtered by; besides a value there may be ONTAP's operators."""
    kinds = {path: _KINDS[resource.fields[path].kind] for path in paths}
    schemas = {path: {"type": "string"} if kind["type"] == "string" else kind for path, kind in kinds.items()}
    return {"type": "object", "properties": schemas, "additionalProperties": False}


def _selectable(paths: Iterable[str]) -> list[str]:
    """Give what `fields` may hold: everything, objects, and leaves."""
    found = {"*": None, "**": None}
    for path in paths:
        parts = path.split(".")
        found |= {".".join(parts[: depth + 1]): None for depth in range(len(parts))}
    return [*found]


def _records(name: str) -> Json:
    return {
        "type": "object",
        "properties": {
            "records": {"type": "array", "items": _ref(name)},
            "num_records": {"type": "integer"},
            "_links": _ref("links"),
        },
        "required": ["num_records"],
    }


# --- paths ---


def _path(route: Route) -> Json:
    keys = [
        {"name": name, "in": "path", "required": True, "schema": _key(route.endpoint.resource, key)}
        for name, key in zip(_key_names(route), key_names(route), strict=True)
    ]
    operations = {verb.value.lower(): _operation(route, verb) for verb in route.verbs}
    return {**({"parameters": keys} if keys else {}), **operations}


def _key(resource: Resource, key: str) -> Json:
    field = resource.fields.get(key)
    kind = Kind.STRING if field is None else field.kind
    return {**_KINDS[kind], "minLength": 1} if kind is Kind.STRING else {**_KINDS[kind]}


def _operation(route: Route, verb: Verb) -> Json:
    resource = route.endpoint.resource
    kind = "instance" if route.instance else "collection"
    found: Json = {
        "operationId": f"{resource.name}_{kind}_{verb.value.lower()}",
        "tags": [route.template.partition("/")[0]],
        "parameters": [*_parameters(route, verb)],
        "responses": {**dict(_answers(route, verb)), "default": _answer("A refusal.", _ref("error"))},
    }
    if verb in {Verb.POST, Verb.PATCH}:
        found["requestBody"] = {"content": {JSON: {"schema": _ref(_body_name(resource, verb))}}}
    return found


def _parameters(route: Route, verb: Verb) -> Iterator[Json]:
    resource = route.endpoint.resource
    controls = dict(_EVERY)
    if verb is Verb.GET:
        controls |= _ONE if route.single else _READ
    elif verb is Verb.POST:
        controls |= _MADE
    elif not route.instance:
        controls |= _MANY
    for name, schema in controls.items():
        yield {"name": name, "in": "query", "schema": schema}
    if verb is Verb.GET:
        listed = {"name": "fields", "in": "query", "style": "form", "explode": False}
        yield {**listed, "schema": {"type": "array", "items": _ref(f"{resource.name}_fields")}}
    for name in sorted(resource.parameters.get(verb, ())):
        field = resource.fields.get(name) or Field(path=name, kind=OPTION_KINDS.get(name, Kind.STRING))
        yield {"name": name, "in": "query", "schema": _leaf(field)}
    if verb is not Verb.POST:
        filters = {"name": "filter", "in": "query", "style": "form", "explode": True}
        yield {**filters, "schema": _ref(f"{resource.name}_query")}


def _answers(route: Route, verb: Verb) -> Iterator[tuple[str, Json]]:
    name = route.endpoint.resource.name
    if verb is Verb.GET:
        yield "200", _answer("What was found.", _ref(name if route.single else f"{name}_records"))
        return
    if verb is Verb.POST:
        yield "201", _answer("It is made.", {"type": "object", "properties": _records(name)["properties"]})
    else:
        yield "200", _answer("It is done.", {"type": "object"})
    begun = {"type": "object", "properties": {"job": _ref("job_link")}, "required": ["job"]}
    yield "202", _answer("A job does it.", begun)


def _answer(description: str, schema: Json) -> Json:
    return {"description": description, "content": {media: {"schema": schema} for media in (HAL, JSON)}}


def _ref(name: str) -> Json:
    return {"$ref": f"#/components/schemas/{name}"}


def _encoded(part: object) -> msgspec.Raw:
    return msgspec.Raw(msgspec.json.encode(part))
