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
from gateway.testing.pages import SUBJECTS, files, kept, page_of, record_of, take

ROOT = Path(__file__).parents[2]
DOCS = ROOT / "docs"
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


def test_every_driver_has_its_page() -> None:
    index = (DOCS / "backends.md").read_text()
    for name in drivers():
        assert f"(backends/{name}.md)" in index
        assert page_of(DOCS, name).exists()


def test_what_is_made_is_up_to_date() -> None:
    stale = [str(path.relative_to(ROOT)) for path, text in files(ROOT, drivers()).items() if path.read_text() != text]
    assert stale == [], "run `make docs`"


INSTANCES = [
    pytest.param(name, title, id=f"{name} {title}".strip(), marks=[pytest.mark.root] if instance.root else [])
    for name, subject in SUBJECTS.items()
    for title, instance in subject.instances.items()
    if instance.here(root=True)
]


@pytest.mark.parametrize(("driver", "title"), INSTANCES)
def test_the_kept_record_is_what_opens(driver: str, title: str, tmp_path: Path) -> None:
    found = take(driver, drivers()[driver], SUBJECTS[driver].instances[title], tmp_path)
    assert kept(record_of(DOCS, driver))[title] == found, "run `make docs`"


@pytest.mark.parametrize("key", ["listen", "data_dir", "tenants", "limits", "log"])
def test_documented_keys_exist(key: str) -> None:
    assert key in Settings.__struct_fields__
    assert f"`{key}`" in (DOCS / "operations.md").read_text() or f"`[{key}]`" in (DOCS / "operations.md").read_text()
