"""The table of the native door's page, from its routes, what they take and what their handlers say."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import msgspec

from gateway.frontends.native.bodies import WAIT
from gateway.frontends.native.routes import ROUTES, Route
from gateway.testing.pages.page import rows
from gateway.testing.pages.words import first_sentence


def resources() -> str:
    """Give a row for every route."""
    return rows(["request", "", "parameters", "body", "right"], map(_row, ROUTES))


def _row(route: Route[Any, Any]) -> list[str]:
    parameters = [*_fields(route.query), *([f"`{WAIT}`"] if route.operation else [])]
    return [
        f"`{route.verb} {route.template}`",
        first_sentence(route.handler).rstrip("."),
        ", ".join(parameters),
        ", ".join(_fields(route.body)),
        f"`{'.'.join(route.call)}`",
    ]


def _fields(kind: type[msgspec.Struct]) -> Iterator[str]:
    """Yield the names of fields, those that must be given in bold."""
    for field in msgspec.structs.fields(kind):
        yield f"**`{field.name}`**" if field.required else f"`{field.name}`"
