"""The pages for users name what is there."""

from __future__ import annotations

import re
import time
from pathlib import Path
from uuid import UUID

import pytest

from gateway.config import Settings
from gateway.frontends.ontap_rest.endpoints import Route, routes
from gateway.frontends.ontap_rest.schema import load_schema
from gateway.frontends.ontap_rest.sources import Site
from gateway.server.drivers import drivers

DOCS = Path(__file__).parents[2] / "docs"
SITE = Site(name="n", cluster_id=UUID(int=1), addresses=(), started=time.monotonic())
TABLE = dict(re.findall(r"^\| `/api/(\S+)` \| (.*) \|$", (DOCS / "ontap-rest.md").read_text(), re.MULTILINE))


def documented(template: str) -> str | None:
    """Give what the page says of a template: `a/b[/{uuid}]` stands for the collection and its records."""
    for path, verbs in TABLE.items():
        whole = re.sub(r"[\[\]]", "", re.sub(r"\{\w+\}", "{}", path))
        bare = re.sub(r"\{\w+\}", "{}", path)
        depths = {bare.split("[")[0]}
        for part in bare.split("[")[1:]:
            depths.add(max(depths, key=len) + part.rstrip("]"))
        if template in depths or template == whole:
            return verbs
    return None


@pytest.mark.parametrize("route", routes(load_schema(), SITE).values(), ids=lambda route: route.template)
def test_every_route_is_on_the_page(route: Route) -> None:
    verbs = documented(route.template)
    assert verbs is not None, route.template
    refused = "writes answer" in verbs
    for verb in route.verbs:
        assert verb.value in verbs or refused


def test_every_driver_has_its_section() -> None:
    page = (DOCS / "backends.md").read_text()
    assert all(f"## {name}\n" in page for name in drivers())


@pytest.mark.parametrize("key", ["listen", "data_dir", "tenants", "limits", "log"])
def test_documented_keys_exist(key: str) -> None:
    assert key in Settings.__struct_fields__
    assert f"`{key}`" in (DOCS / "operations.md").read_text() or f"`[{key}]`" in (DOCS / "operations.md").read_text()
