"""Finds the route of a request by the segments of its path, for every door that has a table of them."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Generic, Protocol, TypeVar
from urllib.parse import unquote

import msgspec


class Routed(Protocol):
    """What a route has at least: a verb, and a path with keys in braces, each one segment."""

    @property
    def verb(self) -> str:
        """Give the method."""

    @property
    def template(self) -> str:
        """Give the path."""


R = TypeVar("R", bound=Routed)


class Found(msgspec.Struct, Generic[R], frozen=True):
    """A route with what the path has for its keys, by name and in their order."""

    route: R
    keys: Mapping[str, str]


class Wrong(msgspec.Struct, frozen=True):
    """A path that is known, by other verbs. `template`: one of its routes."""

    template: str
    verbs: tuple[str, ...]


class Router(Generic[R]):
    """Finds routes. The first that fits has a request, so names come before keys; no path begins with a key."""

    def __init__(self, routes: Iterable[R]) -> None:
        self._by_start: dict[tuple[int, str], list[tuple[tuple[str, ...], R]]] = {}
        for route in routes:
            parts = tuple(route.template.strip("/").split("/"))
            if parts[0].startswith("{"):
                raise ValueError(f"{route.template} begins with a key")
            self._by_start.setdefault((len(parts), parts[0]), []).append((parts, route))

    def find(
        self, verb: str, path: Sequence[str], *, fits: Callable[[R], bool] = lambda _route: True
    ) -> Found[R] | Wrong | None:
        """Give the route; `Wrong` when the path has other verbs only, None when there is no such path.

        `fits`: says of a route whether all else that it asks for is there.
        """
        others: list[R] = []
        for parts, route in self._by_start.get((len(path), path[0]), ()):
            keys = _keys(parts, path)
            if keys is None or not fits(route):
                continue
            if route.verb == verb:
                return Found(route, keys)
            others.append(route)
        return Wrong(others[0].template, tuple(dict.fromkeys(each.verb for each in others))) if others else None


def segments(raw_path: str) -> tuple[str, ...]:
    """Split a path and decode its segments; one that ends with a slash has an empty last one."""
    return tuple(map(unquote, raw_path.removeprefix("/").split("/")))


def _keys(parts: tuple[str, ...], path: Sequence[str]) -> dict[str, str] | None:
    """Give what the path has for the keys of a template, None when it does not fit. A key is never empty."""
    keys = {}
    for want, got in zip(parts, path, strict=True):
        if want.startswith("{"):
            if not got:
                return None
            keys[want[1:-1]] = got
        elif want != got:
            return None
    return keys
