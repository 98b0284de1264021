"""Documents that describe the door: swagger 2.0, as the reference serves it, and OpenAPI 3.0, both made of the schema.

Names of types are those of the reference's document, so that what was
generated from the one works with the other.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Iterator, Mapping
from importlib.resources import files
from typing import Any

import msgspec
from google.protobuf.descriptor import Descriptor, EnumDescriptor, FieldDescriptor

from gateway.frontends.openstorage.rest.described import descriptor, entry, fields_of, is_map, is_timestamp
from gateway.frontends.openstorage.schema import SDK_VERSION, Method, Schema

F = FieldDescriptor
Words = Mapping[str, str]
"""Full name of a service, method, message, field, enum or value -> what it is."""

WORDS = "descriptions.json"

_ERROR, _STREAM_ERROR = "runtimeError", "runtimeStreamError"
_SCALARS: Mapping[int, Mapping[str, str]] = {
    F.TYPE_BOOL: {"type": "boolean"},
    F.TYPE_BYTES: {"type": "string", "format": "byte"},
    F.TYPE_DOUBLE: {"type": "number", "format": "double"},
    F.TYPE_FLOAT: {"type": "number", "format": "float"},
    F.TYPE_INT32: {"type": "integer", "format": "int32"},
    F.TYPE_INT64: {"type": "string", "format": "int64"},
    F.TYPE_STRING: {"type": "string"},
    F.TYPE_UINT32: {"type": "integer", "format": "int64"},
    F.TYPE_UINT64: {"type": "string", "format": "uint64"},
}
_TIME: Mapping[str, str] = {"type": "string", "format": "date-time"}
_ERRORS: Mapping[str, Any] = {
    _ERROR: {
        "type": "object",
        "description": "Why a call failed.",
        "properties": {
            "error": {"type": "string", "description": "The same as message."},
            "code": {"type": "integer", "format": "int32", "description": "The number of the gRPC status."},
            "message": {"type": "string"},
        },
    },
    _STREAM_ERROR: {
        "type": "object",
        "description": "Why a stream ended early.",
        "properties": {
            "grpc_code": {"type": "integer", "format": "int32"},
            "http_code": {"type": "integer", "format": "int32"},
            "message": {"type": "string"},
            "http_status": {"type": "string"},
        },
    },
}
_GOOD, _BAD = "The call was carried out.", "The call failed; the status follows from the code."
_TOKEN = "A JSON Web Token: `Bearer TOKEN`. Without one a caller is a guest."  # noqa: S105 - explains it
_INFO = {
    "title": "openstorage SDK",
    "description": "openstorage's SDK over HTTP and JSON. 64-bit numbers are texts, defaults are left out.",
    "version": ".".join(map(str, SDK_VERSION)),
}


class _Parameter(msgspec.Struct, frozen=True, kw_only=True):
    name: str
    where: str
    schema: Mapping[str, Any]
    description: str = ""

    @property
    def head(self) -> dict[str, Any]:
        """Give what every revision says of it alike."""
        about = {"description": self.description} if self.description else {}
        return {"name": self.name, "in": self.where, "required": self.where == "path", **about}


class _Types:
    """Schemas of fields. `found` gathers those of the messages and enums that were referred to, by name."""

    def __init__(self, prefix: str, words: Words) -> None:
        self._prefix = prefix
        self.words = words
        self.found: dict[str, Any] = dict(_ERRORS)

    def refer(self, described: Descriptor | EnumDescriptor) -> dict[str, Any]:
        """Give a reference to a message or an enum."""
        name = _type_name(described)
        if name not in self.found:
            self.found[name] = {}  # a message may hold itself
            self.found[name] = (
                _enum(described, self.words) if isinstance(described, EnumDescriptor) else self._message(described)
            )
        return self.named(name)

    def named(self, name: str) -> dict[str, Any]:
        """Give a reference by name."""
        return {"$ref": f"{self._prefix}{name}"}

    def field(self, field: FieldDescriptor) -> dict[str, Any]:
        """Give the schema of a field."""
        if is_map(field):
            return {"type": "object", "additionalProperties": self._one(entry(field)[1])}
        one = self._one(field)
        return {"type": "array", "items": one} if field.is_repeated else one

    def _one(self, field: FieldDescriptor) -> dict[str, Any]:
        if field.enum_type is not None:
            return self.refer(field.enum_type)
        if field.message_type is None:
            return dict(_SCALARS[field.type])
        if is_timestamp(field):
            return dict(_TIME)
        return self.refer(field.message_type)

    def _message(self, described: Descriptor) -> dict[str, Any]:
        properties = {field.name: self._told(field) for field in fields_of(described).values()}
        return {
            "type": "object",
            **self.about(described.full_name),
            **({"properties": properties} if properties else {}),
        }

    def _told(self, field: FieldDescriptor) -> dict[str, Any]:
        schema, about = self.field(field), self.about(field.full_name)
        # Nothing may stand beside a reference.
        return {"allOf": [schema], **about} if about and "$ref" in schema else {**schema, **about}

    def about(self, full_name: str) -> dict[str, str]:
        """Give the description of something that has one."""
        return {"description": self.words[full_name]} if full_name in self.words else {}


def load_words() -> Words:
    """Give what the comments of the definitions say."""
    text = files("gateway.frontends.openstorage.pb").joinpath(WORDS).read_bytes()
    return msgspec.json.decode(text, type=dict[str, str])


def swagger(schema: Schema, served: Collection[str], words: Words) -> bytes:
    """Give the swagger 2.0 document of the calls in `served` (as gRPC names them)."""
    types = _Types("#/definitions/", words)
    paths = _paths(schema, served, types, _swagger_operation)
    document = {
        "swagger": "2.0",
        "info": _INFO,
        "consumes": ["application/json"],
        "produces": ["application/json"],
        "tags": _tags(schema, served, words),
        "paths": paths,
        "definitions": dict(sorted(types.found.items())),
        "securityDefinitions": {
            "Bearer": {"type": "apiKey", "in": "header", "name": "Authorization", "description": _TOKEN}
        },
        "security": [{"Bearer": []}, {}],
    }
    return msgspec.json.encode(document)


def openapi(schema: Schema, served: Collection[str], words: Words) -> bytes:
    """Give the OpenAPI 3.0 document of the calls in `served` (as gRPC names them)."""
    types = _Types("#/components/schemas/", words)
    paths = _paths(schema, served, types, _openapi_operation)
    document = {
        "openapi": "3.0.3",
        "info": _INFO,
        "tags": _tags(schema, served, words),
        "paths": paths,
        "components": {
            "schemas": dict(sorted(types.found.items())),
            "securitySchemes": {
                "Bearer": {"type": "http", "scheme": "bearer", "bearerFormat": "JWT", "description": _TOKEN}
            },
        },
        "security": [{"Bearer": []}, {}],
    }
    return msgspec.json.encode(document)


def _paths(
    schema: Schema, served: Collection[str], types: _Types, operation: Callable[[Method, _Types], dict[str, Any]]
) -> dict[str, dict[str, Any]]:
    found: dict[str, dict[str, Any]] = {}
    for service in schema.values():
        for method in service.methods.values():
            if method.path in served:
                described = {
                    "operationId": f"{service.name}_{method.name}",
                    "summary": f"{service.name.removeprefix('OpenStorage')}: {method.name}",
                    **types.about(method.path.removeprefix("/").replace("/", ".")),
                    "tags": [service.name],
                    **operation(method, types),
                }
                found.setdefault(method.http.path, {}).setdefault(method.http.verb.lower(), described)
    return dict(sorted(found.items()))


def _tags(schema: Schema, served: Collection[str], words: Words) -> list[dict[str, str]]:
    shown = [each for each in schema.values() if any(method.path in served for method in each.methods.values())]
    return [
        {"name": each.name, **({"description": words[each.full_name]} if each.full_name in words else {})}
        for each in shown
    ]


def _swagger_operation(method: Method, types: _Types) -> dict[str, Any]:
    parameters = [_swagger_parameter(each) for each in _parameters(method, types)]
    if method.http.whole_body:
        body = {"name": "body", "in": "body", "required": True, "schema": types.refer(descriptor(method.request))}
        parameters.append(body)
    return {
        "parameters": parameters,
        "responses": {
            "200": {"description": _GOOD, "schema": _answer(method, types)},
            "default": {"description": _BAD, "schema": types.named(_ERROR)},
        },
    }


def _swagger_parameter(parameter: _Parameter) -> dict[str, Any]:
    several = {"collectionFormat": "multi"} if parameter.schema["type"] == "array" else {}
    return {**parameter.head, **parameter.schema, **several}


def _openapi_operation(method: Method, types: _Types) -> dict[str, Any]:
    described: dict[str, Any] = {"parameters": [_openapi_parameter(each) for each in _parameters(method, types)]}
    if method.http.whole_body:
        described["requestBody"] = {"required": True, **_json(types.refer(descriptor(method.request)))}
    described["responses"] = {
        "200": {"description": _GOOD, **_json(_answer(method, types))},
        "default": {"description": _BAD, **_json(types.named(_ERROR))},
    }
    return described


def _openapi_parameter(parameter: _Parameter) -> dict[str, Any]:
    return {**parameter.head, "schema": parameter.schema}


def _json(schema: Mapping[str, Any]) -> dict[str, Any]:
    return {"content": {"application/json": {"schema": schema}}}


def _answer(method: Method, types: _Types) -> dict[str, Any]:
    answer = types.refer(descriptor(method.response))
    if not method.streams:
        return answer
    return {
        "type": "object",
        "description": "One such object per line.",
        "properties": {"result": answer, "error": types.named(_STREAM_ERROR)},
    }


def _parameters(method: Method, types: _Types) -> Iterator[_Parameter]:
    described = descriptor(method.request)
    for name in method.http.path_fields:
        field = fields_of(described)[name]
        yield _parameter(field, name, where="path", words=types.words)
    if not method.http.whole_body:
        rest = [field for field in fields_of(described).values() if field.name not in method.http.path_fields]
        yield from _in_query(rest, types.words, above=(described.full_name,), prefix="")


def _in_query(
    fields: Iterable[FieldDescriptor], words: Words, *, above: tuple[str, ...], prefix: str
) -> Iterator[_Parameter]:
    """Yield the fields that a query can have: of messages by their path; lists of messages and maps it cannot."""
    for field in fields:
        inner = field.message_type
        name = f"{prefix}{field.name}"
        if inner is None or is_timestamp(field):
            yield _parameter(field, name, where="query", words=words)
        elif not field.is_repeated and inner.full_name not in above:
            yield from _in_query(fields_of(inner).values(), words, above=(*above, inner.full_name), prefix=f"{name}.")


def _parameter(field: FieldDescriptor, name: str, *, where: str, words: Words) -> _Parameter:
    one: Mapping[str, Any]
    if field.enum_type is not None:
        one = _enum(field.enum_type, {})
    elif is_timestamp(field):
        one = _TIME
    else:
        one = _SCALARS[field.type]
    if field.is_repeated:
        one = {"type": "array", "items": one}
    return _Parameter(name=name, where=where, schema=one, description=words.get(field.full_name, ""))


def _enum(described: EnumDescriptor, words: Words) -> dict[str, Any]:
    names = [value.name for value in described.values]
    own = [words[described.full_name]] if described.full_name in words else []
    # Values stand beside their enum, not inside of it.
    beside = described.full_name.removesuffix(described.name)
    told = [f"- {name}: {words[beside + name]}" for name in names if beside + name in words]
    about = {"description": "\n".join([*own, *told])} if own or told else {}
    return {"type": "string", "enum": names, "default": described.values[0].name, **about}


def _type_name(described: Descriptor | EnumDescriptor) -> str:
    """Give the name a type has in the reference's document: those inside of others carry the others' names."""
    outer, names = described.containing_type, [described.name]
    while outer is not None:
        names.insert(0, outer.name)
        outer = outer.containing_type
    return "".join(names) if len(names) > 1 else f"api{described.name}"
