"""Resource by resource and verb by verb: which documented fields are served, which only confirmed, refused, unknown."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

import msgspec

from gateway.frontends.ontap_rest.endpoint import Route
from gateway.frontends.ontap_rest.openapi import path_of
from gateway.frontends.ontap_rest.release import DEFAULT_RELEASE, Release
from gateway.frontends.ontap_rest.schema import Resource, Verb, load_schema
from gateway.frontends.ontap_rest.shape import (
    Shown,
    blueprint,
    carried_out,
    confirmed,
    documented,
    load_shown,
    readable,
)


class Coverage(msgspec.Struct, frozen=True, kw_only=True):
    """One verb of one resource.

    `served` are shown, or carried out; `confirmed` may only say what is so
    anyway; `refused` are documented and have no counterpart here (of a GET:
    never shown); `unknown` came with a later release. `offered` False: the
    verb is documented and refused as a whole.
    """

    path: str
    verb: str
    offered: bool = True
    served: Sequence[str] = ()
    confirmed: Sequence[str] = ()
    refused: Sequence[str] = ()
    unknown: Sequence[str] = ()


def coverage(release: Release = DEFAULT_RELEASE) -> list[Coverage]:
    """Give a line for every verb of every resource, in the order of the route table."""
    every, shown = load_schema(), load_shown()
    return [
        _line(route, verb, _path(route), every[route.endpoint.resource.name], shown)
        for route in blueprint(release).values()
        if not route.instance or route.endpoint.singleton
        for verb in Verb
        if verb in route.verbs or any(documented(route.endpoint.resource, verb))
    ]


def _path(route: Route) -> str:
    collection = path_of(route)
    if route.endpoint.singleton:
        return collection
    one = msgspec.structs.replace(route, template=f"{route.template}/{route.endpoint.instance}", instance=True)
    return f"{collection}[{path_of(one).removeprefix(collection)}]"


def _line(route: Route, verb: Verb, path: str, whole: Resource, shown: Shown) -> Coverage:
    resource = route.endpoint.resource
    told = [*documented(resource, verb)]
    unknown = [each for each in documented(whole, verb) if each not in resource.fields]
    if verb not in route.verbs or (verb is not Verb.GET and route.endpoint.refuses):
        return Coverage(path=path, verb=verb.value, offered=False, refused=told, unknown=unknown)
    served = [*(readable(resource, shown) if verb is Verb.GET else carried_out(resource, verb))]
    fixed = [*confirmed(resource, verb)] if verb in {Verb.POST, Verb.PATCH} else []
    refused = [each for each in told if each not in {*served, *fixed}]
    return Coverage(path=path, verb=verb.value, served=served, confirmed=fixed, refused=refused, unknown=unknown)


def summary(lines: Iterable[Coverage]) -> Iterator[Sequence[str]]:
    """Yield a row of a table per line: numbers of fields."""
    for line in lines:
        if line.offered and line.verb != Verb.DELETE:
            numbers = [str(len(each)) for each in (line.served, line.confirmed, line.refused, line.unknown)]
        else:
            numbers = ["yes" if line.offered else "no", "", "", ""]
        yield [line.path, line.verb, *numbers]


def braced(paths: Iterable[str]) -> list[str]:
    """Give paths in the grammar of `fields`, what has an object in common together: `nas.{gid,path}`."""
    tree: dict[str, Any] = {}
    for path in sorted(paths):
        place = tree
        for name in path.split("."):
            place = place.setdefault(name, {})
    return [*_braced(tree)]


def _braced(tree: Mapping[str, Any]) -> Iterator[str]:
    for name, below in tree.items():
        inner = [*_braced(below)]
        if not inner:
            yield name
        elif len(inner) == 1:
            yield f"{name}.{inner[0]}"
        else:
            yield f"{name}.{{{','.join(inner)}}}"
