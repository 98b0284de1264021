"""`/docs/api`: an OpenAPI document of what is served, and a page that needs nothing but itself."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from typing import Any

import httpx
import pytest
from live_scene import Door, door, refusal

from gateway.frontends.ontap_rest.openapi import document, path_of
from gateway.frontends.ontap_rest.release import DEFAULT_RELEASE
from gateway.frontends.ontap_rest.shape import blueprint, load_shown
from gateway.testing.live import live_gateway

pytestmark = pytest.mark.filterwarnings("ignore::DeprecationWarning")


@pytest.fixture(scope="module")
def live(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Door]:
    with live_gateway(tmp_path_factory.mktemp("docs")) as gateway, door(gateway) as found:
        yield found


def made() -> Any:
    table = blueprint()
    return json.loads(document(table, load_shown(), release=DEFAULT_RELEASE, product="volume-gateway"))


def test_the_document_is_that_of_the_route_table(live: Door) -> None:
    answer = live.ask("GET", "/docs/api/openapi.json")
    assert answer.headers["content-type"] == "application/json"
    assert answer.json() == made()
    assert answer.json()["info"]["version"] == str(DEFAULT_RELEASE)


def test_every_route_has_its_verbs() -> None:
    paths = made()["paths"]
    assert {path: sorted(set(found) - {"parameters"}) for path, found in paths.items()} == {
        path_of(route): sorted(verb.value.lower() for verb in route.verbs) for route in blueprint().values()
    }


def test_every_path_names_its_keys() -> None:
    for path, found in made()["paths"].items():
        assert re.findall(r"\{(.*?)\}", path) == [each["name"] for each in found.get("parameters", [])], path
        assert not re.search(r"\{key[0-9]", path), path


def test_the_page_is_whole_by_itself(live: Door) -> None:
    for path in ("/docs/api", "/docs/api/"):
        answer = live.ask("GET", path)
        assert answer.headers["content-type"] == "text/html; charset=utf-8"
        assert "default-src 'none'" in answer.headers["content-security-policy"]
        assert not re.search(r"<script|\ssrc=|@import|url\(|https?://", answer.text)
        assert all(f"<code>{name}</code>" in answer.text for name in made()["paths"])


def test_only_callers_with_an_account_read_it(live: Door) -> None:
    answer = httpx.get(f"{live.client.base_url}/docs/api", trust_env=False)
    assert refusal(answer) == (401, "6691623")
    assert refusal(live.ask("GET", "/docs/api/other")) == (404, "3")
    assert refusal(live.ask("GET", "/docs")) == (404, "3")
    assert refusal(live.ask("POST", "/docs/api", {})) == (405, "3")
