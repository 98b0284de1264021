"""The table of the openstorage door's page: which calls are served, by the handlers that there are."""

from __future__ import annotations

from gateway.frontends.openstorage.schema import Service, load_schema
from gateway.frontends.openstorage.services import HANDLERS
from gateway.testing.pages.page import rows


def calls() -> str:
    """Give a row for every service of the SDK."""
    return rows(["service", "served", "answered UNIMPLEMENTED"], [_row(service) for service in load_schema().values()])


def _row(service: Service) -> list[str]:
    served = [name for name in service.methods if f"{service.name}/{name}" in HANDLERS]
    others = [name for name in service.methods if name not in served]
    return [
        f"`{service.name}`",
        ", ".join(served) or "-",
        ", ".join(others) if served and others else ("-" if served else "all"),
    ]
