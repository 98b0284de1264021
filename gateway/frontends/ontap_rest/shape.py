"""What the door serves, as data: fields that answers show, and those that bodies carry out or merely confirm.

Writable fields follow from the tables by which bodies are judged. What answers
show is kept in `shown.json`: `make docs` writes down what a gateway that has
one of everything shows, and a test does the same again.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from importlib.resources import files
from uuid import UUID

import msgspec

from gateway.frontends.ontap_rest.constants import CONSTANTS, SILENT
from gateway.frontends.ontap_rest.endpoint import Route
from gateway.frontends.ontap_rest.endpoints import routes
from gateway.frontends.ontap_rest.release import DEFAULT_RELEASE, Release
from gateway.frontends.ontap_rest.scalars import Scalar
from gateway.frontends.ontap_rest.schema import Resource, Verb, load_schema
from gateway.frontends.ontap_rest.settable import SETTABLE
from gateway.frontends.ontap_rest.sources import Site

SHOWN = "shown.json"

Shown = Mapping[str, frozenset[str]]
"""Resource -> the paths that answers show."""


def load_shown() -> Shown:
    """Read what answers were seen to show. A resource that nobody looked at is not in it."""
    text = files(__package__).joinpath(SHOWN).read_bytes()
    return msgspec.json.decode(text, type=dict[str, frozenset[str]])


def blueprint(release: Release = DEFAULT_RELEASE) -> Mapping[str, Route]:
    """Give the route table of no gateway in particular."""
    site = Site(name="gateway", cluster_id=UUID(int=0), addresses=(), started=0.0, release=release)
    return routes(load_schema(release), site)


def readable(resource: Resource, shown: Shown) -> Iterator[str]:
    """Yield the leaves that answers show; every documented one of a resource that nobody looked at."""
    seen = shown.get(resource.name)
    return (path for path, field in resource.fields.items() if (field.readable if seen is None else path in seen))


def documented(resource: Resource, verb: Verb) -> Iterator[str]:
    """Yield the leaves that the resource is documented to have in answers (GET) or bodies."""
    return (path for path, field in resource.fields.items() if verb.letter and verb.letter in field.access)


def carried_out(resource: Resource, verb: Verb) -> Iterator[str]:
    """Yield the leaves of a body that the door carries out."""
    settable = SETTABLE.get((resource.name, verb), frozenset())
    return (path for path in documented(resource, verb) if path in settable)


def confirmed(resource: Resource, verb: Verb) -> Mapping[str, Scalar]:
    """Give the leaves of a body that may only say what is so anyway, with what they have to say."""
    known = {**SILENT.get(resource.name, {}), **CONSTANTS.get(resource.name, {})}
    settable = SETTABLE.get((resource.name, verb), frozenset())
    return {path: known[path] for path in documented(resource, verb) if path in known and path not in settable}


def seen_in(records: Iterable[object], resource: Resource) -> frozenset[str]:
    """Give the leaves that some records have, as paths of the resource."""
    found: set[str] = set()
    waiting: list[tuple[str, object]] = [("", record) for record in records]
    while waiting:
        path, value = waiting.pop()
        if path in resource.fields:
            found.add(path)
        elif isinstance(value, Mapping):
            waiting += [(f"{path}.{name}" if path else name, inner) for name, inner in value.items()]
        elif isinstance(value, list):
            waiting += [(path, item) for item in value]
    return frozenset(found)
