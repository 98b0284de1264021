"""The documents that describe the SDK's REST door, and requests made of nothing but them."""

from __future__ import annotations

import asyncio
import json
import re
from collections.abc import Callable, Iterator
from typing import Any
from urllib.parse import quote, urlencode

import httpx
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from jsonschema import Draft4Validator
from openapi_spec_validator import OpenAPIV2SpecValidator, OpenAPIV30SpecValidator
from openstorage_descriptors import every_enum, every_message
from openstorage_samples import filled
from rest_scene import METHODS, SCHEMA, method, rest_door

from gateway.frontends.openstorage.rest.encode import pieces
from gateway.frontends.openstorage.rest.openapi import load_words, openapi, swagger
from gateway.frontends.openstorage.schema import Method

ALL = frozenset(each.path for each in METHODS)
SWAGGER: dict[str, Any] = json.loads(swagger(SCHEMA, ALL, load_words()))
OPENAPI: dict[str, Any] = json.loads(openapi(SCHEMA, ALL, load_words()))
OPERATIONS = [
    (verb.upper(), path, operation) for path, verbs in OPENAPI["paths"].items() for verb, operation in verbs.items()
]
LEAKS = re.compile(r"Traceback|\.py\b|<class |object at 0x|NoneType|google\.|msgspec|DESCRIPTOR")
ODD = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(),
    st.floats(),
    st.text(max_size=8),
    st.lists(st.integers(), max_size=2),
    st.dictionaries(st.text(max_size=4), st.none(), max_size=2),
)


def test_the_documents_are_valid() -> None:
    OpenAPIV2SpecValidator(SWAGGER).validate()
    OpenAPIV30SpecValidator(OPENAPI).validate()


@pytest.mark.parametrize("document", [SWAGGER, OPENAPI], ids=["swagger", "openapi"])
def test_every_call_is_in_them(document: dict[str, Any]) -> None:
    found = {(verb.upper(), path) for path, verbs in document["paths"].items() for verb in verbs}
    assert found == {(each.http.verb, each.http.path) for each in METHODS}
    names = [operation["operationId"] for verbs in document["paths"].values() for operation in verbs.values()]
    assert len(set(names)) == len(METHODS)
    assert {tag["name"] for tag in document["tags"]} == set(SCHEMA)


def test_only_what_is_served_is_in_them_with_only_what_that_needs() -> None:
    served = [method("Volume/Inspect").path, "/none"]
    document = json.loads(swagger(SCHEMA, served, {}))
    assert {path: list(verbs) for path, verbs in document["paths"].items()} == {
        "/v1/volumes/inspect/{volume_id}": ["get"]
    }
    assert [tag["name"] for tag in document["tags"]] == ["OpenStorageVolume"]
    assert "apiVolumeSpec" in document["definitions"]
    assert "apiSdkVolumeCreateRequest" not in document["definitions"]
    assert json.loads(openapi(SCHEMA, (), {}))["paths"] == {}


def test_types_are_told_as_they_are_on_the_wire() -> None:
    types = SWAGGER["definitions"]
    spec = types["apiVolumeSpec"]["properties"]
    assert spec["size"] == {
        "type": "string",
        "format": "uint64",
        "description": load_words()["openstorage.api.VolumeSpec.size"],
    }
    assert spec["ha_level"]["format"] == "int64"
    assert spec["encrypted"]["type"] == "boolean"
    assert spec["volume_labels"]["additionalProperties"] == {"type": "string"}
    assert types["apiVolume"]["properties"]["ctime"]["format"] == "date-time"
    assert "FS_TYPE_EXT4" in types["apiFSType"]["enum"]
    assert types["OwnershipAccessType"]["enum"] == ["Read", "Write", "Admin"]
    assert types["apiCatalog"]["properties"]["children"]["items"] == {"$ref": "#/definitions/apiCatalog"}


def test_parameters_are_those_of_path_and_query() -> None:
    def told(document: dict[str, Any], path: str, verb: str) -> dict[str, tuple[str, bool]]:
        return {each["name"]: (each["in"], each["required"]) for each in document["paths"][path][verb]["parameters"]}

    for document in (SWAGGER, OPENAPI):
        assert told(document, "/v1/volumes/inspect/{volume_id}", "get") == {
            "volume_id": ("path", True),
            "options.deep": ("query", False),
        }
    assert told(SWAGGER, "/v1/volumes/{volume_id}", "put") == {"volume_id": ("path", True), "body": ("body", True)}


def test_what_the_definitions_say_is_told() -> None:
    words = load_words()
    create = SWAGGER["paths"]["/v1/volumes"]["post"]
    assert create["description"] == words["openstorage.api.OpenStorageVolume.Create"]
    assert (
        next(tag for tag in SWAGGER["tags"] if tag["name"] == "OpenStorageVolume")["description"]
        == words["openstorage.api.OpenStorageVolume"]
    )


def test_what_is_told_is_about_something_that_is_there() -> None:
    there = {""}
    for message in every_message():
        there |= {message.full_name, *(each.full_name for each in [*message.fields, *message.oneofs])}
    for enum in every_enum():
        beside = enum.full_name.removesuffix(enum.name)
        there |= {enum.full_name, *(f"{beside}{value.name}" for value in enum.values)}
    for service in SCHEMA.values():
        there |= {service.full_name, *(f"{service.full_name}.{name}" for name in service.methods)}
    assert set(load_words()) - there == set()


@pytest.mark.parametrize("method", METHODS, ids=lambda each: each.path)
def test_what_is_written_is_what_the_document_says(method: Method) -> None:
    told = SWAGGER["paths"][method.http.path][method.http.verb.lower()]["responses"]["200"]["schema"]
    validator = Draft4Validator({**told, "definitions": strict(SWAGGER["definitions"])})
    written = json.loads(b"".join(pieces(filled(method.response.DESCRIPTOR))))
    validator.validate({"result": written} if method.streams else written)


def strict(definitions: dict[str, Any]) -> dict[str, Any]:
    """Give the definitions with nothing allowed that they do not name."""
    return {
        name: {**each, "additionalProperties": False} if each["type"] == "object" else each
        for name, each in definitions.items()
    }


def body_of(schema: dict[str, Any], depth: int = 0) -> st.SearchStrategy[Any]:
    """Give bodies that a schema describes, with something odd here and there."""
    if "allOf" in schema:
        return body_of(schema["allOf"][0], depth)
    if "$ref" in schema:
        return body_of(OPENAPI["components"]["schemas"][schema["$ref"].rpartition("/")[2]], depth)
    if depth > 4:
        return ODD
    kinds: dict[str, st.SearchStrategy[Any]] = {
        "string": st.sampled_from(schema["enum"]) if "enum" in schema else st.text(max_size=12),
        "integer": st.integers(),
        "number": st.floats(),
        "boolean": st.booleans(),
    }
    if schema["type"] == "array":
        plain: Any = st.lists(st.deferred(lambda: body_of(schema["items"], depth + 1)), max_size=2)
    elif schema["type"] == "object" and "additionalProperties" in schema:
        inner = schema["additionalProperties"]
        plain = st.dictionaries(st.text(max_size=4), st.deferred(lambda: body_of(inner, depth + 1)), max_size=2)
    elif schema["type"] == "object":
        optional = {name: body_of(each, depth + 1) for name, each in list(schema.get("properties", {}).items())[:12]}
        plain = st.fixed_dictionaries({}, optional=optional)
    else:
        plain = kinds[schema["type"]]
    return plain if depth == 0 else st.one_of(plain, plain, plain, ODD)


@st.composite
def requests(draw: st.DrawFn) -> tuple[str, str, bytes]:
    verb, path, operation = draw(st.sampled_from(OPERATIONS))
    query = []
    for each in operation["parameters"]:
        text = draw(st.text(max_size=8) | st.sampled_from(["true", "0", "-1", "18446744073709551616", ""]))
        if each["in"] == "path":
            path = path.replace(f"{{{each['name']}}}", quote(text, safe=""))
        elif draw(st.booleans()):
            query.append((each["name"], text))
    body = b""
    if "requestBody" in operation:
        schema = operation["requestBody"]["content"]["application/json"]["schema"]
        body = draw(body_of(schema).map(lambda value: json.dumps(value).encode()) | st.binary(max_size=20))
    return verb, f"{path}?{urlencode(query)}", body


@pytest.fixture(scope="module")
def ask() -> Iterator[Callable[[str, str, bytes], tuple[httpx.Response, bool]]]:
    """Give what sends a request, and tells the answer and whether it reached its call."""
    with asyncio.Runner() as runner:
        door = rest_door()
        rest = runner.run(door.__aenter__())

        async def answered(verb: str, path: str, body: bytes) -> tuple[httpx.Response, bool]:
            rest.script.request = None
            answer = await rest.ask(verb, path, body)
            return answer, rest.script.request is not None

        yield lambda *asked: runner.run(answered(*asked))
        runner.run(door.__aexit__(None, None, None))


@settings(max_examples=200, deadline=None)
@given(asked=requests())
def test_no_request_breaks_the_door(
    ask: Callable[[str, str, bytes], tuple[httpx.Response, bool]], asked: tuple[str, str, bytes]
) -> None:
    answer, arrived = ask(*asked)
    assert answer.status_code == 200 if arrived else answer.status_code in {400, 404, 405}, answer.text
    if answer.status_code == 400:
        told = answer.json()
        assert told == {"error": told["message"], "code": 3, "message": told["message"]}
    assert not LEAKS.search(answer.text)
