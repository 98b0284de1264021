"""Which call a verb and a path are, by the HTTP rules of the schema."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence

import msgspec

from gateway.frontends.openstorage.schema import Method, Schema

_READ, _READ_HEAD = "GET", "HEAD"

Verbs = Mapping[str, Method]


class Found(msgspec.Struct, frozen=True, kw_only=True):
    """A call, and the values of its path's fields in their order."""

    method: Method
    values: tuple[str, ...]


class Wrong(msgspec.Struct, frozen=True, kw_only=True):
    """A path that is known, but not with the verb: `allow` are the verbs it has, none for a path that is not known."""

    allow: tuple[str, ...] = ()


class Router:
    """Templates of paths and what they lead to. A fixed segment goes before a field, the earlier the stronger.

    Where two calls have verb and template alike, the schema's first one is
    meant: the reference's 0.186 lets a GET purge by declaring it after a
    reading one.
    """

    def __init__(self, schema: Schema) -> None:
        self._shapes: dict[int, dict[tuple[int, ...], dict[tuple[str, ...], dict[str, Method]]]] = {}
        for service in schema.values():
            for method in service.methods.values():
                self._add(method)
        for length, shapes in self._shapes.items():
            places = range(length)
            fixed_first = sorted(shapes, key=lambda fields: [place in fields for place in places])
            self._shapes[length] = {fields: shapes[fields] for fields in fixed_first}

    def find(self, verb: str, path: Sequence[str]) -> Found | Wrong:
        """Give the call. HEAD asks for what GET does."""
        wanted = _READ if verb == _READ_HEAD else verb
        allow: set[str] = set()
        for verbs, values in self._matches(path):
            method = verbs.get(wanted)
            if method is not None:
                return Found(method=method, values=values)
            allow.update(verbs)
        if _READ in allow:
            allow.add(_READ_HEAD)
        return Wrong(allow=tuple(sorted(allow)))

    def _matches(self, path: Sequence[str]) -> Iterator[tuple[Verbs, tuple[str, ...]]]:
        for fields, alike in self._shapes.get(len(path), {}).items():
            fixed = tuple(part for place, part in enumerate(path) if place not in fields)
            verbs = alike.get(fixed)
            if verbs is not None:
                yield verbs, tuple(path[place] for place in fields)

    def _add(self, method: Method) -> None:
        parts = method.http.path.removeprefix("/").split("/")
        fields = tuple(place for place, part in enumerate(parts) if part.startswith("{"))
        fixed = tuple(part for place, part in enumerate(parts) if place not in fields)
        verbs = self._shapes.setdefault(len(parts), {}).setdefault(fields, {}).setdefault(fixed, {})
        verbs.setdefault(method.http.verb, method)
