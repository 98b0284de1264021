"""The door over the wire: what is answered in which order, with which headers, in which form."""

from __future__ import annotations

import asyncio
import base64
import json
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
from ls_door_scene import KEY, Scene, bearer, scene, token

from gateway.core import errors
from gateway.core.secret import Secret
from gateway.frontends.libstorage.ask import Ask
from gateway.frontends.libstorage.routes import ROUTES, Route
from gateway.frontends.libstorage.settings import LibstorageAuth, LibstorageOptions, ServiceOptions

TX = "txID=6ba7b810-9dad-11d1-80b4-00c04fd430c8, txCR=1500000000"
HOST = {"Libstorage-Instanceid": "vfs=,," + base64.b64encode(b'"host-a"').decode()}


async def _fails(_ask: Ask) -> object:
    raise errors.OutOfSpace(pool="memory", wanted=2, free=1)


async def _breaks(_ask: Ask) -> object:
    raise ZeroDivisionError("what nobody may see")


async def _tells(ask: Ask) -> object:
    return {
        "keys": dict(ask.keys),
        "service": ask.service and ask.service.name,
        "instances": [each.text() for each in ask.instances],
        "devices": [dict(each.devices) for each in ask.devices],
        "body": ask.body.decode(),
        "caller": ask.core.caller and ask.core.caller.name,
        "open": sorted(ask.open_services),
        "peer": ask.peer,
    }


async def _nothing(_ask: Ask) -> object:
    return None


OWN = (
    Route("GET", "/own/fails", _fails, task=True),
    Route("GET", "/own/breaks", _breaks, task=True),
    Route("GET", "/own/tells", _tells),
    Route("POST", "/own/tells", _tells, "loudly", 205, "own.tell", task=True),
    Route("POST", "/volumes/{service}/{volume}", _tells, "tell", 201, "own.tell", task=True),
    Route("DELETE", "/own/nothing", _nothing, status=204),
    Route("DELETE", "/own/null", _nothing, status=205),
)


@pytest.fixture
async def at(tmp_path: Path) -> AsyncIterator[Scene]:
    async with scene(tmp_path, routes=OWN) as made:
        yield made


# --- what is not routed ---


@pytest.mark.parametrize(
    ("verb", "path"),
    [
        ("GET", "/nope"),
        ("GET", "/services/"),
        ("GET", "/volumes/memory/x/y"),
        ("HEAD", "/"),
        ("HEAD", "/services"),
        ("OPTIONS", "/volumes"),
        ("PUT", "/volumes/memory"),
        ("POST", "/volumes"),
        ("POST", "/volumes?detatch"),
        ("POST", "/volumes/memory/x"),
        ("POST", "/volumes/memory/x?create"),
        ("POST", "/snapshots/memory"),
        ("POST", "/snapshots/memory/x"),
        ("DELETE", "/volumes/memory"),
        ("GET", "/executors/"),
        ("GET", "/help/nothing"),
        ("POST", "/own/tells"),
    ],
)
async def test_what_is_nowhere_is_a_text(at: Scene, verb: str, path: str) -> None:
    answer = await at.ask(verb, path)
    assert answer.status_code == 404
    assert answer.text == ("" if verb == "HEAD" else "404 page not found\n")
    assert answer.headers["Content-Type"] == "text/plain; charset=utf-8"
    assert answer.headers["X-Content-Type-Options"] == "nosniff"
    assert "Libstorage-Servername" not in answer.headers
    assert at.traces[-1].route == ""


@pytest.mark.parametrize(
    ("path", "clean"),
    [
        ("//services", "/services"),
        ("/services//memory?instance&a=b%20c", "/services/memory?instance&a=b%20c"),
        ("/volumes//", "/volumes/"),
        ("///", "/"),
        ("/help/../services/./memory", "/services/memory"),
        ("/../..", "/"),
        ("//evil.example/%2F", "/evil.example/%2F"),
        ("/nowhere//x", "/nowhere/x"),
    ],
)
async def test_a_path_that_is_not_clean_is_elsewhere(at: Scene, path: str, clean: str) -> None:
    answer = await raw(at, f"GET {path} HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n")
    assert answer.startswith("HTTP/1.1 301 Moved Permanently\r\n")
    assert f"\r\nLocation: {clean}\r\n" in answer


async def raw(at: Scene, text: str) -> str:
    url = at.client.base_url
    reader, writer = await asyncio.open_connection(url.host, url.port)
    writer.write(text.encode("utf-8", "surrogateescape"))
    answer = await reader.read()
    writer.close()
    await writer.wait_closed()
    return answer.decode()


# --- what is told of nothing else ---


async def test_the_root_has_five_entries(at: Scene) -> None:
    answer = await at.ask("GET", "/")
    base = str(at.client.base_url).rstrip("/")
    assert answer.json() == [f"{base}/{name}" for name in ("services", "snapshots", "tasks", "help", "volumes")]
    assert answer.text.startswith('[\n  "http://')
    assert answer.headers["Content-Type"] == "application/json"
    assert answer.headers["Libstorage-Servername"] == "here"
    told = await at.ask("GET", "/help", {"Host": "libstorage-server"})
    assert told.json() == [f"http://libstorage-server/help/{name}" for name in ("config", "env", "version")]
    assert (await at.ask("GET", "/help/version")).text == '"0.11.4"'


async def test_a_host_that_is_no_text_is_told_as_one(at: Scene) -> None:
    answer = await raw(at, "GET / HTTP/1.1\r\nHost: h\udcff\r\nConnection: close\r\n\r\n")
    assert answer.startswith("HTTP/1.1 200 ")
    assert '"http://h?/services"' in answer


async def test_configuration_and_environment_are_nobodys(at: Scene) -> None:
    for path in ("/help/config", "/help/env"):
        assert await at.refused("GET", path, 401) == ("invalid admin token", {"token": ""})
        assert await at.refused("GET", f"{path}?admin=abc", 401) == ("invalid admin token", {"token": "abc"})


async def test_there_are_no_executors(at: Scene) -> None:
    assert (await at.ask("GET", "/executors")).json() == {}
    assert await at.refused("GET", "/executors/lsx-linux", 404) == ("resource not found", {"resourceID": "lsx-linux"})
    head = await at.ask("HEAD", "/executors/lsx-linux")
    assert (head.status_code, head.headers["Content-Type"], head.content) == (404, "application/json", b"")


# --- services ---


async def test_services_are_told_with_the_executor_that_they_need(at: Scene) -> None:
    told = (await at.ask("GET", "/services")).json()
    driver = {"name": "vfs", "type": "object", "nextDevice": {"ignore": True, "prefix": "", "pattern": ""}}
    assert told == {name: {"name": name, "driver": driver} for name in ("memory", "spare")}
    assert (await at.ask("GET", "/services/MeMory")).json() == told["memory"]
    assert await at.refused("GET", "/services/x%2Fy", 404) == ("resource not found", {"resourceID": "x/y"})


@pytest.mark.parametrize(
    ("header", "told"),
    [
        (HOST["Libstorage-Instanceid"], {"id": "host-a", "driver": "vfs", "service": ""}),
        ("vfs=host-b", {"id": "host-b", "driver": "vfs", "service": ""}),
        ("VFS:Memory=host-c", {"id": "host-c", "driver": "vfs", "service": "Memory"}),
        ("vfs=h,region=us", {"id": "h", "driver": "vfs", "service": "", "fields": {"region": "us"}}),
    ],
)
async def test_an_instance_is_told_as_the_service_knows_it(at: Scene, header: str, told: Any) -> None:
    answer = await at.ask("GET", "/services/memory?instance", {"Libstorage-Instanceid": header})
    assert answer.json()["instance"] == {"instanceID": told, "name": "vfsInstance", "providerName": ""}


@pytest.mark.parametrize("header", [None, "ebs=i-1", "vfs:spare=h", "vfs=", "vfs=,,e30="])
async def test_a_service_that_knows_no_instance_says_so(at: Scene, header: str | None) -> None:
    headers = {} if header is None else {"Libstorage-Instanceid": header}
    refused = ("missing instance ID", {"service": "memory"})
    assert await at.refused("GET", "/services/memory?instance", 400, headers) == refused
    assert await at.refused("GET", "/services?instance", 400, headers) == refused
    for off in ("instance=false", "instance=0", "other"):
        assert (await at.ask("GET", f"/services/memory?{off}", headers)).status_code == 200


async def test_every_service_wants_an_instance(at: Scene) -> None:
    assert len((await at.ask("GET", "/services?instance", HOST)).json()) == 2
    only_one = {"Libstorage-Instanceid": "vfs:memory=h"}
    assert await at.refused("GET", "/services?instance", 400, only_one) == ("missing instance ID", {"service": "spare"})


# --- headers ---


async def test_the_clients_operation_is_named_in_the_answer_and_to_the_log(at: Scene) -> None:
    answer = await at.ask("GET", "/", {"Libstorage-Tx": TX.replace(", ", ",").replace("txID", "TXID")})
    assert answer.headers["Libstorage-Tx"] == TX
    assert at.traces[-1].client_id == "6ba7b810-9dad-11d1-80b4-00c04fd430c8"
    missing = await at.ask("GET", "/services/x", {"Libstorage-Tx": TX})
    assert (missing.status_code, missing.headers["Libstorage-Tx"]) == (404, TX)
    assert "Libstorage-Tx" not in (await at.ask("GET", "/")).headers


async def test_an_operation_that_cannot_be_read_is_refused_in_a_text(at: Scene) -> None:
    answer = await at.ask("GET", "/services/x", {"Libstorage-Tx": "nonsense", "Libstorage-Instanceid": "x"})
    assert (answer.status_code, answer.text) == (500, "invalid transaction\n")
    assert answer.headers["Content-Type"] == "text/plain; charset=utf-8"
    assert (await at.ask("GET", "/nowhere", {"Libstorage-Tx": "nonsense"})).status_code == 404


async def test_headers_count_before_the_service(at: Scene) -> None:
    for name, kind in (("Libstorage-Instanceid", "InstanceID"), ("Libstorage-Localdevices", "LocalDevices")):
        assert await at.refused("GET", "/services/x", 500, {name: "non sense"}) == (
            f"invalid {kind}",
            {"value": "non sense"},
        )


async def test_each_header_line_is_one_instance(at: Scene) -> None:
    headers = [
        ("Libstorage-Instanceid", "vfs=a"),
        ("libstorage-instanceid", "ebs:gold=b,x=y"),
        ("Libstorage-Localdevices", "vfs="),
        ("Libstorage-Localdevices", "ebs=/dev/xvda::,/dev/xvdb::/mnt"),
    ]
    told = (await at.client.get("/own/tells", headers=headers)).json()
    assert told["instances"] == ["vfs=a", "ebs:gold=b,x=y"]
    assert told["devices"] == [{}, {"/dev/xvda": "", "/dev/xvdb": "/mnt"}]
    assert told["peer"] == "127.0.0.1"


async def test_bodies_are_taken_of_any_type_and_only_with_a_post(at: Scene) -> None:
    answer = await at.ask("POST", "/own/tells?loudly=false", {"Content-Type": "text/plain"}, content=b"{ }")
    assert (answer.status_code, answer.json()["body"]) == (205, "{ }")
    assert int(answer.headers["Content-Length"]) == len(answer.content)
    assert (await at.ask("GET", "/own/tells", content=b"{ }")).json()["body"] == ""
    message, _ = await at.refused("POST", "/own/tells?loudly", 413, content=b"x" * 70_000)
    assert message == "The body is larger than 65536 bytes"


async def test_keys_are_decoded_once_and_changes_are_audited(at: Scene) -> None:
    answer = await at.ask("POST", "/volumes/MEMORY/a%252Fb%20c?tell&async=false")
    assert answer.status_code == 201
    assert answer.json()["keys"] == {"service": "MEMORY", "volume": "a%2Fb c"}
    assert answer.json()["service"] == "memory"
    trace = at.traces[-1]
    assert (trace.route, trace.operation) == ("/volumes/{service}/{volume}?tell", "own.tell")
    assert (trace.target, trace.outcome, trace.who) == ("MEMORY/a%2Fb c", "success", "")


async def test_no_content_has_no_body_and_reset_content_has_one(at: Scene) -> None:
    nothing = await at.ask("DELETE", "/own/nothing")
    assert (nothing.status_code, nothing.content) == (204, b"")
    assert nothing.headers["Libstorage-Servername"] == "here"
    null = await at.ask("DELETE", "/own/null")
    assert (null.status_code, null.content, null.headers["Content-Length"]) == (205, b"null", "4")


# --- failures ---


async def test_errors_of_the_core_have_the_tables_words(at: Scene) -> None:
    assert await at.refused("GET", "/own/fails", 507) == ("no space left", {"pool": "memory", "wanted": 2, "free": 1})
    assert at.traces[-1].outcome == "no space left"


async def test_a_defect_shows_where_the_log_has_it_and_nothing_else(at: Scene) -> None:
    message, error = await at.refused("GET", "/own/breaks", 500)
    assert (message, list(error)) == ("internal error", ["incident"])
    assert [type(each) for each in at.watcher.defects] == [ZeroDivisionError]


async def test_what_is_no_http_is_refused_in_the_dialects_form(at: Scene) -> None:
    head, _, body = (await raw(at, "GET / HTTP/1.1\r\nHost: x\r\nbad header\r\n\r\n")).partition("\r\n\r\n")
    assert head.split(" ")[1] == "400"
    assert "Libstorage-Servername: here" in head
    assert json.loads(body) == {
        "message": "The request is not valid HTTP/1.1",
        "status": 400,
        "error": "The request is not valid HTTP/1.1",
    }


@pytest.mark.parametrize("target", ["/\udcff/..//x?\udcff", "*", "http://h/services", "/services/%ff", "/%00//"])
async def test_targets_of_any_kind_have_an_answer(at: Scene, target: str) -> None:
    answer = await raw(at, f"GET {target} HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n")
    assert answer.split(" ", 2)[1] in {"200", "301", "400", "404"}


async def test_pages_may_not_call_where_everybody_may(at: Scene) -> None:
    own = str(at.client.base_url).rstrip("/")
    # The address may be one that a page made its own name lead to.
    for origin, host in (("http://evil.example", "x"), (own, own), ("http://evil.example", "evil.example")):
        refused = await at.refused("POST", "/volumes?detach", 403, {"Origin": origin, "Host": host})
        assert "pages in browsers" in refused[0]


# --- who may come in ---


def closed(**services: LibstorageAuth | None) -> LibstorageOptions:
    auth = LibstorageAuth(key=Secret(KEY), allow=("akutz", "bob"))
    return LibstorageOptions(
        auth=auth, service={name: ServiceOptions(pool="memory", auth=own) for name, own in services.items()}
    )


UNPROVEN = ("invalid security token", "invalid security token")


async def test_who_calls_counts_before_all_else_that_is_routed(tmp_path: Path) -> None:
    async with scene(tmp_path, closed(a=None), OWN) as at:
        for each in ROUTES:
            path = each.template.format(service="nowhere", volume="v", snapshot="s", task="1", executor="e")
            answer = await at.ask(each.verb, f"{path}?{each.query}", {"Libstorage-Instanceid": "non sense"})
            assert answer.status_code == 401, each
            assert answer.headers["WWW-Authenticate"] == "Bearer"
        assert await at.refused("GET", "/services/nowhere", 401) == UNPROVEN
        assert (await at.ask("GET", "/nowhere")).status_code == 404
        assert (await at.ask("GET", "/services", {"Libstorage-Tx": "x"})).text == "invalid transaction\n"
        assert (await at.ask("GET", "/services", {"Origin": "http://x", **bearer(token())})).status_code == 200
        told = await at.ask("GET", "/own/tells", bearer(token("Akutz")))
        assert told.json()["caller"] == at.traces[-1].who == "Akutz"


async def test_a_service_keeps_out_whom_it_denies_and_with_it_every_call_over_all(tmp_path: Path) -> None:
    async with scene(tmp_path, closed(open=None, shut=LibstorageAuth(deny=("BOB",)))) as at:
        bob, akutz = bearer(token("bob")), bearer(token("akutz"))
        assert (await at.ask("GET", "/services/open", bob)).status_code == 200
        assert (await at.ask("GET", "/volumes/open", bob)).status_code == 200
        for path in ("/services/shut", "/volumes/shut", "/snapshots/SHUT/x", "/services", "/volumes", "/snapshots"):
            assert await at.refused("GET", path, 401, bob) == UNPROVEN
            assert (await at.ask("GET", path, akutz)).status_code in {200, 404}
        assert await at.refused("POST", "/volumes?detach", 401, bob) == UNPROVEN
        assert await at.refused("GET", "/services/nowhere", 404, bob) == (
            "resource not found",
            {"resourceID": "nowhere"},
        )
        assert (await at.ask("GET", "/", bob)).status_code == 200


async def test_services_ask_where_the_door_does_not(tmp_path: Path) -> None:
    own = LibstorageAuth(key=Secret(KEY), allow=("akutz",))
    options = LibstorageOptions(
        service={"shut": ServiceOptions(pool="memory", auth=own), "open": ServiceOptions(pool="spare")}
    )
    async with scene(tmp_path, options, OWN) as at:
        assert await at.refused("GET", "/services/shut", 401) == UNPROVEN
        assert await at.refused("GET", "/services", 401) == UNPROVEN
        assert (await at.ask("GET", "/services", bearer(token()))).status_code == 200
        assert (await at.ask("GET", "/services/open")).status_code == 200
        assert (await at.ask("GET", "/own/tells")).json()["open"] == ["open"]
        told = (await at.ask("GET", "/own/tells", bearer(token()))).json()
        assert (told["open"], told["caller"]) == (["open", "shut"], None)
        told = (await at.ask("POST", "/volumes/shut/v?tell", bearer(token()))).json()
        assert (told["caller"], at.traces[-1].who) == ("akutz", "akutz")
