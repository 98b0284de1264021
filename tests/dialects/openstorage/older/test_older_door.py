"""The door itself: paths, sockets, tokens, bodies, and what is no request."""

from __future__ import annotations

import asyncio
import json
import re
from collections.abc import AsyncIterator
from pathlib import Path

import httpx
import pytest
from google.protobuf.message import Message
from older_scene import ID, NODE, SHOWN, UNKNOWN, Scene, cluster_replies, scene, shows, volume

from gateway.frontends.openstorage.older.routes import ROUTES, place
from gateway.frontends.openstorage.pb import volume_pb2 as pb
from gateway.frontends.routing import Found, Router

VOLUMES = "/v1/osd-volumes"
PLACE = re.compile(r"\{\w+\}")


@pytest.fixture
async def at() -> AsyncIterator[Scene]:
    async with scene() as made:
        made.sdk.say(Volume_Inspect=shows(volume()))
        yield made


# --- paths ---


@pytest.mark.parametrize("path", ["/", "/v1", "/v1/osd-volumes//x", "/v2/osd-volumes", "/v1/osd-volumes/a/b/c", "/x"])
async def test_what_is_nowhere_is_404_in_the_words_of_gos_library(at: Scene, path: str) -> None:
    assert await at.golden("GET", path, status=404) == "404 page not found\n"
    assert at.traces[-1].route == ""


async def test_a_verb_that_a_path_has_not_is_405_without_a_word(at: Scene) -> None:
    for verb, path in (("PATCH", VOLUMES), ("POST", f"{VOLUMES}/{ID}"), ("HEAD", VOLUMES), ("OPTIONS", VOLUMES)):
        answer = await at.ask(verb, path)
        assert (answer.status_code, answer.content) == (405, b"")
    assert (await at.ask("PATCH", VOLUMES)).headers["allow"] == "POST, GET"
    assert at.traces[-1].route == VOLUMES


@pytest.mark.parametrize("route", ROUTES, ids=lambda route: f"{route.verb} {route.template}")
async def test_a_slash_at_the_end_says_nothing(route: object) -> None:
    verb, template = route[0], route[1]  # type: ignore[index]
    path = PLACE.sub("k", template)
    found = [Router(ROUTES).find(verb, place(each)) for each in (path, f"{path}/")]
    assert found == [Found(route, {each[1:-1]: "k" for each in PLACE.findall(template)})] * 2  # type: ignore[arg-type]


async def test_a_slash_at_the_end_says_nothing_over_the_wire_either(at: Scene) -> None:
    assert await at.golden("GET", f"{VOLUMES}/{ID}/") == f"[{SHOWN}]\n"
    assert await at.golden("GET", "/osd-volumes/versions/") == '["v1"]\n'


async def test_metrics_know_the_route_and_not_the_id(at: Scene) -> None:
    await at.golden("GET", f"{VOLUMES}/{ID}")
    assert at.traces[-1].route == f"{VOLUMES}/{{id}}"
    assert at.traces[-1].who == "somebody"


# --- tokens ---


async def test_a_token_is_passed_on_as_it_came_and_none_is_none(at: Scene) -> None:
    for given, passed in (("bearer a.b.c", "bearer a.b.c"), ("Basic x", "Basic x"), ("", None), (None, None)):
        await at.golden("GET", f"{VOLUMES}/{ID}", headers={} if given is None else {"Authorization": given})
        assert at.sdk.asked[-1].authorization == passed
        assert at.sdk.asked[-1].peer == "127.0.0.1"


async def test_nobody_is_trusted_for_calling_himself_a_scheduler(at: Scene) -> None:
    labels = {"openstorage.io/auth-secret-name": "admin", "openstorage.io/auth-secret-namespace": "kube-system"}
    at.sdk.say(Volume_Create=pb.SdkVolumeCreateResponse(volume_id=ID))
    body = {"locator": {"name": "v", "volume_labels": labels}, "spec": {"size": 1}}
    await at.golden("POST", VOLUMES, body, headers={"User-Agent": "pxd-sched/v1"})
    assert at.sdk.asked[-1].authorization is None


async def test_pages_of_other_origins_may_call_where_tokens_are_asked_for_and_nowhere_else() -> None:
    for pages in (True, False):
        async with scene(pages=pages) as at:
            own = str(at.http.base_url).removesuffix("/")
            at.sdk.say(Volume_Delete=pb.SdkVolumeDeleteResponse())
            for origin, allowed in (("http://evil.example", pages), ("null", pages), (own, True), (None, True)):
                headers = {} if origin is None else {"Origin": origin}
                answer = await at.ask("DELETE", f"{VOLUMES}/{ID}", headers=headers)
                assert answer.status_code == (200 if allowed else 403), origin
            assert len(at.sdk.asked) == (4 if pages else 2)


# --- sockets ---


async def test_a_unix_socket_serves_the_same(tmp_path: Path) -> None:
    async with scene(address=tmp_path / "osd.sock") as at:
        at.sdk.say(Volume_Inspect=shows(volume()), **cluster_replies())
        assert await at.golden("GET", f"{VOLUMES}/{ID}") == f"[{SHOWN}]\n"
        assert at.sdk.asked[-1].peer == ""
        assert json.loads(await at.golden("GET", "/v1/cluster/enumerate"))["NodeId"] == NODE
        assert await at.golden("GET", "/nothing", status=404) == "404 page not found\n"
    assert not (tmp_path / "osd.sock").exists()


# --- bodies ---


async def test_a_body_that_is_too_large_is_413_and_nothing_is_done() -> None:
    async with scene(max_body_bytes=1000) as at:
        answer = await at.ask("POST", VOLUMES, b'{"locator":{"name":"%s"}}' % (b"x" * 1000))
        assert (answer.status_code, answer.text) == (413, "The body is larger than 1000 bytes\n")
        assert answer.headers["connection"] == "close"
        assert at.sdk.asked == []


async def test_a_large_body_arrives_whole(at: Scene) -> None:
    at.sdk.say(Volume_Create=pb.SdkVolumeCreateResponse(volume_id=ID))
    labels = {f"key-{number}": "x" * 20 for number in range(5000)}
    await at.golden("POST", VOLUMES, {"locator": {"name": "v", "volume_labels": labels}, "spec": {}})
    assert dict(at.sdk.request("Volume/Create").labels) == labels


async def test_a_body_without_a_type_or_with_any_is_json(at: Scene) -> None:
    at.sdk.say(Volume_Create=pb.SdkVolumeCreateResponse(volume_id=ID))
    for kind in ("text/plain", "application/x-www-form-urlencoded", "nonsense"):
        told = await at.golden("POST", VOLUMES, {"locator": {"name": "v"}}, headers={"Content-Type": kind})
        assert json.loads(told)["id"] == ID


async def test_a_large_list_lets_others_have_their_turn(at: Scene) -> None:
    every = pb.SdkVolumeInspectWithFiltersResponse(volumes=[pb.SdkVolumeInspectResponse(volume=volume())] * 4000)
    at.sdk.say(Volume_InspectWithFilters=every)
    done: list[str] = []

    async def ask(path: str) -> httpx.Response:
        answer = await at.http.get(path)
        done.append(path)
        return answer

    large, _ = await asyncio.gather(ask(VOLUMES), ask(f"{VOLUMES}/{ID}"))
    assert done == [f"{VOLUMES}/{ID}", VOLUMES]
    found = large.json()
    assert len(found) == 4000
    assert found[-1] == json.loads(SHOWN)


# --- what is no request, and defects ---


async def test_what_is_no_http_is_refused_in_plain_text(at: Scene) -> None:
    url = httpx.URL(str(at.http.base_url))
    reader, writer = await asyncio.open_connection(url.host, url.port)
    writer.write(b"nonsense\r\n\r\n")
    answer = (await reader.read()).decode()
    writer.close()
    assert re.match(r"HTTP/1.[01] 400", answer)
    assert answer.endswith("\r\n\r\nThe request is not valid HTTP/1.1\n")
    assert "text/plain" in answer


async def test_an_sdk_that_answers_with_something_else_is_a_defect_and_not_a_guess(at: Scene) -> None:
    def wrong(_request: object) -> Message:
        return pb.SdkVolumeDeleteResponse()

    at.sdk.say(Volume_Inspect=wrong)
    answer = await at.http.get(f"{VOLUMES}/{ID}")
    assert answer.status_code == 500
    at.sdk.say(Volume_Inspect=UNKNOWN)
    assert await at.golden("GET", f"{VOLUMES}/{ID}") == "[]\n"
