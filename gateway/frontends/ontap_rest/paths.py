"""Request paths: normalised as ONTAP does, split into decoded segments, matched against templates."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Generic, TypeVar
from urllib.parse import unquote

import msgspec

T = TypeVar("T")

ROOT = "api"


def segments(raw_path: str) -> tuple[str, ...]:
    """Split a raw path.

    Repeated and trailing slashes vanish (Cinder sends `/api//storage/volumes/`)
    and dot segments are resolved before anything is decoded, so an escaped
    slash or dot belongs to a key.
    """
    found: list[str] = []
    for part in raw_path.split("/"):
        if part in {"", "."}:
            continue
        if part == "..":
            if found:
                found.pop()
            continue
        found.append(part)
    return tuple(unquote(part, errors="replace") if "%" in part else part for part in found)


class Found(msgspec.Struct, Generic[T], frozen=True):
    """A match: what was registered, and the values of the template's keys in order."""

    target: T
    keys: tuple[str, ...]


class Router(Generic[T]):
    """Templates such as `storage/volumes/{}/snapshots/{}` and what they lead to."""

    def __init__(self, templates: Mapping[str, T]) -> None:
        self._exact: dict[tuple[str, ...], T] = {}
        self._keyed: dict[int, dict[tuple[int, ...], dict[tuple[str, ...], T]]] = {}
        for template, target in templates.items():
            parts = tuple(template.split("/"))
            if "{}" in parts:
                fixed = tuple(place for place, part in enumerate(parts) if part != "{}")
                alike = self._keyed.setdefault(len(parts), {}).setdefault(fixed, {})
                alike[tuple(parts[place] for place in fixed)] = target
            else:
                self._exact[parts] = target

    def find(self, path: Sequence[str]) -> Found[T] | None:
        """Give what a path without the root leads to, or None. Fixed names go before keys."""
        parts = tuple(path)
        exact = self._exact.get(parts)
        if exact is not None:
            return Found(exact, ())
        for fixed, targets in self._keyed.get(len(parts), {}).items():
            target = targets.get(tuple([parts[place] for place in fixed]))
            if target is not None:
                return Found(target, tuple([part for place, part in enumerate(parts) if place not in fixed]))
        return None
