"""What ONTAP documents about each resource: paths, types, access, limits.

The facts are in `fields.json`, the releases that brought fields after 9.6 in
`since.json`; `load_schema` reads them once at start and the result is passed
to whoever needs it. A path joins names with dots and carries
no array index (`aggregates.name`).
"""

from __future__ import annotations

import enum
from collections.abc import Collection, Mapping
from importlib.resources import files

import msgspec

from gateway.frontends.ontap_rest.release import Release

_COMMANDS = "/api/private/cli/"


class Kind(enum.StrEnum):
    """The type of one value of a field."""

    STRING = "string"
    INTEGER = "integer"
    NUMBER = "number"
    BOOLEAN = "boolean"
    DATETIME = "datetime"
    DURATION = "duration"
    UUID = "uuid"
    PASSWORD = "password"  # noqa: S105 - a type's name


class Verb(enum.StrEnum):
    """The methods with a query or body of this dialect. `access` letter: g reads, c creates, m modifies."""

    GET = "GET"
    POST = "POST"
    PATCH = "PATCH"
    DELETE = "DELETE"

    @property
    def letter(self) -> str:
        """Give the access letter that a body field needs; empty where bodies carry no fields."""
        return {"GET": "g", "POST": "c", "PATCH": "m"}.get(self.value, "")


class Field(msgspec.Struct, frozen=True, kw_only=True):
    """One documented path. `access` holds the letters g, c, m. `trigger`: starts an action, is never shown.

    `expensive` fields are shown only when named or asked for with `**`.
    """

    path: str
    kind: Kind
    array: bool = False
    access: str = ""
    enum: tuple[str, ...] = ()
    minimum: int | None = None
    maximum: int | None = None
    min_length: int | None = None
    max_length: int | None = None
    min_items: int | None = None
    max_items: int | None = None
    expensive: bool = False
    trigger: bool = False

    @property
    def readable(self) -> bool:
        """Tell whether GET shows the field and queries may use it."""
        return "g" in self.access


class Resource(msgspec.Struct, frozen=True, kw_only=True):
    """One kind of object of this dialect.

    `collection` is the path template, `keys` the paths that identify a record
    (the last one names its place in the collection). `objects` maps every
    object and array of objects to the leaves below it. `parameters` are the
    query parameters per verb that belong to this resource alone.
    """

    name: str
    collection: str
    keys: tuple[str, ...]
    fields: Mapping[str, Field]
    objects: Mapping[str, tuple[str, ...]]
    arrays: frozenset[str]
    parameters: Mapping[str, frozenset[str]]

    def field(self, path: str) -> Field | None:
        """Give the leaf at this path, or None."""
        return self.fields.get(path)

    def spelled(self, path: str) -> str:
        """Give a path as the fields spell it: `private/cli` takes the hyphens of its commands' options, too."""
        return path.replace("-", "_") if self.collection.startswith(_COMMANDS) else path

    def leaves(self, path: str) -> tuple[str, ...]:
        """Give the leaves that a name stands for: itself, or everything below an object; empty when unknown."""
        path = self.spelled(path)
        return (path,) if path in self.fields else self.objects.get(path, ())

    def named(self, path: str) -> str | None:
        """Give the leaf that a query means: the path, or `path.name` when the path is an object with a name."""
        path = self.spelled(path)
        if path in self.fields:
            return path
        name = f"{path}.name"
        return name if name in self.fields else None


Schema = Mapping[str, Resource]


class _RawField(msgspec.Struct, forbid_unknown_fields=True):
    type: str
    access: str
    enum: tuple[str, ...] = ()
    minimum: int | None = None
    maximum: int | None = None
    min_length: int | None = None
    max_length: int | None = None
    min_items: int | None = None
    max_items: int | None = None
    expensive: bool = False
    trigger: bool = False


class _RawResource(msgspec.Struct, forbid_unknown_fields=True):
    endpoint: str
    keys: tuple[str, ...]
    parameters: dict[str, tuple[str, ...]]
    fields: dict[str, _RawField]


def load_schema(release: Release | None = None) -> Schema:
    """Read the packaged facts. Takes a few milliseconds; call it once and pass the result on.

    Fields that came after `release` are not in it, as if nobody had ever heard
    of them; None: everything that is documented.
    """
    raw = msgspec.json.decode(_packaged("fields.json"), type=dict[str, _RawResource])
    since = msgspec.json.decode(_packaged("since.json"), type=dict[str, dict[str, tuple[str, ...]]])
    schema: dict[str, Resource] = {}
    for name, facts in raw.items():
        unborn = {
            path
            for first, paths in since.get(name, {}).items()
            if release is not None and release < Release.parse(first)
            for path in paths
        }
        schema[name] = _resource(name, facts, without=unborn.difference(facts.keys))
    return schema


def _packaged(name: str) -> bytes:
    return files(__package__).joinpath(name).read_bytes()


def _resource(name: str, raw: _RawResource, *, without: Collection[str]) -> Resource:
    known = {path: facts for path, facts in raw.fields.items() if path not in without}
    fields = {
        path: _field(path, facts)
        for path, facts in known.items()
        if facts.type != "object[]"  # the array itself is no leaf
    }
    objects: dict[str, list[str]] = {path: [] for path, facts in known.items() if facts.type == "object[]"}
    for path in fields:
        parts = path.split(".")
        for depth in range(1, len(parts)):
            objects.setdefault(".".join(parts[:depth]), []).append(path)
    return Resource(
        name=name,
        collection=raw.endpoint,
        keys=raw.keys,
        fields=fields,
        objects={path: tuple(leaves) for path, leaves in objects.items()},
        arrays=frozenset(path for path, facts in known.items() if facts.type == "object[]"),
        parameters={verb: frozenset(names) for verb, names in raw.parameters.items()},
    )


def _field(path: str, raw: _RawField) -> Field:
    return Field(
        path=path,
        kind=Kind(raw.type.removesuffix("[]")),
        array=raw.type.endswith("[]"),
        access=raw.access,
        enum=raw.enum,
        minimum=raw.minimum,
        maximum=raw.maximum,
        min_length=raw.min_length,
        max_length=raw.max_length,
        min_items=raw.min_items,
        max_items=raw.max_items,
        expensive=raw.expensive,
        trigger=raw.trigger,
    )
