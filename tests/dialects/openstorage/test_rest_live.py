"""The SDK's REST door on a real socket."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Iterator
from typing import Any
from urllib.parse import quote, urlencode

import aiohttp
import msgspec
import pytest
from google.protobuf.message import Message
from grpc import StatusCode
from openstorage_samples import filled
from rest_scene import LIMITS, METHODS, Rest, Script, rest_door

from gateway.frontends.openstorage.call import SdkError
from gateway.frontends.openstorage.pb import alerts_pb2, volume_pb2
from gateway.frontends.openstorage.rest import RestDoor
from gateway.frontends.openstorage.rest.described import entry, fields_of, is_map, is_timestamp
from gateway.frontends.openstorage.rest.encode import HTTP_STATUS, pieces
from gateway.frontends.openstorage.schema import Method

INSPECT = "/v1/volumes/inspect/v"
ALERTS = "/v1/alerts/filters"


@pytest.fixture
async def rest() -> AsyncIterator[Rest]:
    async with rest_door() as door:
        yield door


def as_query(message: Message, prefix: str = "") -> Iterator[tuple[str, str]]:
    """Yield a message's fields as parameters, and clear those that parameters cannot have."""
    for field in fields_of(message.DESCRIPTOR).values():
        name, value = f"{prefix}{field.name}", getattr(message, field.name)
        if is_map(field) and entry(field)[1].message_type is None:
            yield from ((f"{name}[{key}]", str(each)) for key, each in value.items())
        elif is_timestamp(field) and not field.is_repeated:
            yield name, value.ToJsonString()
        elif field.message_type is not None and not field.is_repeated:
            if message.HasField(field.name):
                yield from as_query(value, f"{name}.")
        elif field.message_type is not None:
            message.ClearField(field.name)
        elif field.is_repeated:
            yield from ((name, str(each)) for each in value)
        elif field.containing_oneof is None or message.HasField(field.name):
            yield name, str(value).lower() if isinstance(value, bool) else str(value)


def url(method: Method, request: Message) -> str:
    path = method.http.path
    for name in method.http.path_fields:
        path = path.replace(f"{{{name}}}", quote(str(getattr(request, name)), safe=""))
    return path


@pytest.mark.parametrize("method", METHODS, ids=lambda each: each.path)
async def test_every_call_arrives_and_is_answered(rest: Rest, method: Method) -> None:
    request, response = filled(method.request.DESCRIPTOR), filled(method.response.DESCRIPTOR)
    for name in method.http.path_fields:
        setattr(request, name, f"a/b? {name} ä%2F")
    rest.script.responses = [response]
    if method.http.whole_body:
        answer = await rest.ask(method.http.verb, url(method, request), b"".join(pieces(request)))
    else:
        parameters = urlencode(list(as_query(request)))
        answer = await rest.ask(method.http.verb, f"{url(method, request)}?{parameters}")
    assert answer.status_code == 200, answer.text
    assert answer.headers["Content-Type"] == "application/json"
    assert (rest.script.path, rest.script.request) == (method.path, request)
    expected = b"".join(pieces(response))
    assert answer.content == (b'{"result":' + expected + b"}\n" if method.streams else expected)
    assert rest.traces[-1].route == method.path.rpartition(".")[2]


async def test_the_examples_of_the_sheet(rest: Rest) -> None:
    rest.script.responses = [volume_pb2.SdkVolumeCreateResponse(volume_id="7")]
    body = {
        "name": "v1",
        "spec": {"size": "1073741824", "ha_level": "1", "format": "FS_TYPE_EXT4"},
        "labels": {"a": "b"},
    }
    assert (await rest.ask("POST", "/v1/volumes", body)).text == '{"volume_id":"7"}'
    request: Any = rest.script.request
    assert (request.name, request.spec.size, request.spec.ha_level, request.labels["a"]) == ("v1", 1 << 30, 1, "b")
    rest.script.responses = []
    gone = await rest.ask("DELETE", "/v1/volumes/unknown")
    assert (gone.status_code, gone.text) == (200, "{}")
    rest.script.error = SdkError(StatusCode.ALREADY_EXISTS, "there is one")
    there = await rest.ask("POST", "/v1/volumes", body)
    assert (there.status_code, there.text) == (409, '{"error":"there is one","code":6,"message":"there is one"}')


@pytest.mark.parametrize("code", [code for code in StatusCode if code is not StatusCode.OK], ids=lambda code: code.name)
async def test_errors_have_their_status(rest: Rest, code: StatusCode) -> None:
    rest.script.error = SdkError(code, "why")
    answer = await rest.ask("GET", INSPECT)
    assert answer.status_code == HTTP_STATUS[code]
    assert answer.json() == {"error": "why", "code": code.value[0], "message": "why"}
    assert answer.headers.get("WWW-Authenticate") == ("Bearer" if code is StatusCode.UNAUTHENTICATED else None)
    assert rest.traces[-1].outcome == code.name


async def test_a_wrong_body_or_parameter_never_reaches_the_call(rest: Rest) -> None:
    for answer in (
        await rest.ask("POST", "/v1/volumes", b"{"),
        await rest.ask("POST", "/v1/volumes", {"spec": {"size": -1}}),
        await rest.ask("POST", ALERTS, b"[]"),
        await rest.ask("GET", f"{INSPECT}?options.deep=perhaps"),
        await rest.ask("GET", "/v1/volumes/inspect/%ff"),
    ):
        assert (answer.status_code, answer.json()["code"]) == (400, 3), answer.text
    assert rest.script.request is None


async def test_what_leads_to_no_call_is_answered_in_plain_text(rest: Rest) -> None:
    lost = await rest.ask("GET", "/v1/nothing")
    assert (lost.status_code, lost.text, lost.headers["Content-Type"]) == (
        404,
        "Not Found\n",
        "text/plain; charset=utf-8",
    )
    wrong = await rest.ask("PUT", "/v1/volumes", {})
    assert (wrong.status_code, wrong.text) == (405, "Method Not Allowed\n")
    assert wrong.headers["Content-Type"] == "text/plain; charset=utf-8"
    assert wrong.headers["Allow"] == "GET, HEAD, POST, OPTIONS"
    asked = await rest.ask("OPTIONS", "/v1/volumes")
    assert (asked.status_code, asked.text, asked.headers["Allow"]) == (204, "", "GET, HEAD, POST, OPTIONS")
    assert rest.traces[-1].route == ""
    assert rest.script.request is None


async def test_head_is_get_without_the_body(rest: Rest) -> None:
    got, head = await rest.ask("GET", INSPECT), await rest.ask("HEAD", INSPECT)
    assert (head.status_code, head.content) == (200, b"")
    assert got.headers["Content-Type"] == head.headers["Content-Type"]
    rest.script.error = SdkError(StatusCode.NOT_FOUND, "gone")
    assert (await rest.ask("HEAD", INSPECT)).status_code == 404


async def test_the_token_is_passed_on_as_it_is(rest: Rest) -> None:
    await rest.ask("GET", INSPECT)
    assert rest.script.authorization is None
    await rest.ask("GET", INSPECT, authorization="bearer a.b.c")
    assert (rest.script.authorization, rest.script.peer) == ("bearer a.b.c", "127.0.0.1")
    await rest.ask("GET", INSPECT, grpc_metadata_authorization="Bearer d.e.f")
    assert rest.script.authorization == "Bearer d.e.f"
    await rest.ask("GET", INSPECT, authorization="")
    assert rest.script.authorization is None
    await rest.ask("POST", ALERTS, {}, authorization="Basic x")
    assert rest.script.authorization == "Basic x"


@pytest.mark.parametrize("text", ["1", "S", "1s", "-1S", "1.5S", "999999999S", "\N{ARABIC-INDIC DIGIT ONE}S"])
async def test_a_limit_that_cannot_be_read_is_refused(rest: Rest, text: str) -> None:
    where, headers = f"http://{rest.address}{INSPECT}", {"Grpc-Timeout": text}
    async with aiohttp.ClientSession() as client, client.get(where, headers=headers) as answer:
        told = await answer.json()
    assert (answer.status, told["code"]) == (400, 3)
    assert told["message"].startswith("invalid grpc-timeout")


async def test_a_client_waits_no_longer_than_it_wants(rest: Rest) -> None:
    assert (await rest.ask("GET", INSPECT, grpc_timeout="1H")).status_code == 200
    assert (await rest.ask("GET", INSPECT, grpc_timeout="0m")).status_code == 200
    rest.script.stalls = True
    late = await rest.ask("GET", INSPECT, grpc_timeout="20m")
    assert (late.status_code, late.json()["code"]) == (504, 4)
    rest.script.responses = [alerts_pb2.SdkAlertsEnumerateWithFiltersResponse()]
    stream = await rest.ask("POST", ALERTS, {}, grpc_timeout="20m")
    assert stream.status_code == 200
    first, last = [json.loads(line) for line in stream.text.splitlines()]
    assert (first, last["error"]["grpc_code"], last["error"]["http_code"]) == ({"result": {}}, 4, 504)
    assert rest.script.closed == 1


async def test_streams(rest: Rest) -> None:
    def alerts(*ids: int) -> Message:
        return alerts_pb2.SdkAlertsEnumerateWithFiltersResponse(alerts=[alerts_pb2.Alert(id=each) for each in ids])

    rest.script.responses = [alerts(1), alerts(), alerts(*range(1, 100))]
    answer = await rest.ask("POST", ALERTS, {"queries": []})
    assert answer.headers["Content-Type"] == "application/json"
    lines = [json.loads(line) for line in answer.text.splitlines()]
    assert lines[:2] == [{"result": {"alerts": [{"id": "1"}]}}, {"result": {}}]
    assert len(lines[2]["result"]["alerts"]) == 99
    rest.script.error = SdkError(StatusCode.UNAVAILABLE, "no more")
    answer = await rest.ask("POST", ALERTS, {})
    assert answer.status_code == 200
    assert json.loads(answer.text.splitlines()[-1]) == {
        "error": {"grpc_code": 14, "http_code": 503, "message": "no more", "http_status": "Service Unavailable"}
    }
    rest.script.responses = []
    answer = await rest.ask("POST", ALERTS, {})
    assert (answer.status_code, answer.json()["error"]["grpc_code"]) == (503, 14)
    rest.script.error = None
    answer = await rest.ask("POST", ALERTS, {})
    assert (answer.status_code, answer.text) == (200, "")
    assert rest.script.closed == 4


async def test_a_stream_ends_when_its_client_goes(rest: Rest) -> None:
    rest.script.responses = [filled(alerts_pb2.SdkAlertsEnumerateWithFiltersResponse.DESCRIPTOR)] * 20_000
    reader, writer = await asyncio.open_connection(rest.address.host, rest.address.port)
    writer.write(f"POST {ALERTS} HTTP/1.1\r\nHost: x\r\nContent-Length: 0\r\n\r\n".encode())
    assert (await reader.readline()).startswith(b"HTTP/1.1 200")
    writer.transport.abort()
    async with asyncio.timeout(30):
        while not rest.script.closed:
            await rest.ask("GET", INSPECT)


async def test_a_body_has_bounds(rest: Rest) -> None:
    large = await rest.ask("POST", "/v1/volumes", b" " * (5 << 20))
    assert large.status_code == 413
    assert large.json() == {
        "error": f"The body is larger than {LIMITS.max_body_bytes} bytes",
        "code": 8,
        "message": f"The body is larger than {LIMITS.max_body_bytes} bytes",
    }

    async def chunks() -> AsyncIterator[bytes]:
        for _ in range(100):
            yield b" " * 1024

    chunked = await rest.client.post("/v1/volumes", content=chunks())
    assert chunked.status_code == 413
    most = json.dumps({"labels": {f"k{n}": "v" for n in range(4000)}}).encode()
    assert len(most) <= LIMITS.max_body_bytes
    whole = await rest.ask("PUT", "/v1/volumes/v", most)
    assert whole.status_code == 200
    assert len(rest.script.request.labels) == 4000
    broken = await rest.ask("PUT", "/v1/volumes/v", most[:-1])
    assert (broken.status_code, broken.json()["code"]) == (400, 3)


async def test_a_body_that_does_not_come_is_not_waited_for() -> None:
    async with rest_door(msgspec.structs.replace(LIMITS, receive_timeout_s=0.5)) as rest:
        reader, writer = await asyncio.open_connection(rest.address.host, rest.address.port)
        writer.write(b'POST /v1/volumes HTTP/1.1\r\nHost: x\r\nContent-Length: 50\r\n\r\n{"name"')
        answer = await reader.read()
        writer.close()
    assert answer.startswith(b"HTTP/1.1 408")
    assert answer.endswith(
        b'{"error":"The body did not arrive in time","code":4,"message":"The body did not arrive in time"}'
    )


async def test_who_asks_before_sending_is_told_to_go_on(rest: Rest) -> None:
    where = f"http://{rest.address}/v1/volumes"
    async with aiohttp.ClientSession() as client, client.post(where, json={"name": "v"}, expect100=True) as answer:
        assert answer.status == 200
    assert rest.script.request == volume_pb2.SdkVolumeCreateRequest(name="v")


async def test_what_is_no_request_is_refused_in_json(rest: Rest) -> None:
    reader, writer = await asyncio.open_connection(rest.address.host, rest.address.port)
    writer.write(b"\x16\x03\x01 no request\r\n\r\n")
    head, _, body = (await reader.read()).partition(b"\r\n\r\n")
    writer.close()
    assert head.split()[1] == b"400"
    assert json.loads(body)["code"] == 3


@pytest.mark.parametrize(("status", "code"), [(400, 3), (408, 4), (413, 8), (500, 13), (503, 14)])
async def test_what_the_server_refuses_by_itself_has_the_form_of_errors(status: int, code: int) -> None:
    door = RestDoor(Script(), served=(), max_body_bytes=1, receive_timeout_s=1)
    refused = door.refuse(status, "why")
    await door.close()
    assert (refused.status, refused.content_type) == (status, "application/json")
    assert json.loads(refused.body) == {"error": "why", "code": code, "message": "why"}
    assert refused.headers.get("Retry-After") == ("1" if status == 503 else None)


@pytest.mark.parametrize("kind", ["", "text/plain", "application/x-www-form-urlencoded", "application/xml"])
async def test_the_type_of_a_body_is_not_looked_at(rest: Rest, kind: str) -> None:
    assert (await rest.ask("POST", "/v1/volumes", {"name": "v"}, content_type=kind)).status_code == 200
    assert rest.script.request == volume_pb2.SdkVolumeCreateRequest(name="v")


async def test_pages_of_every_origin_may_ask(rest: Rest) -> None:
    origin = "https://console.example"
    asked = await rest.ask(
        "OPTIONS",
        "/v1/volumes/v",
        origin=origin,
        access_control_request_method="DELETE",
        access_control_request_headers="authorization, content-type",
    )
    assert (asked.status_code, asked.content) == (204, b"")
    assert asked.headers["Access-Control-Allow-Origin"] == origin
    assert asked.headers["Access-Control-Allow-Credentials"] == "true"
    assert asked.headers["Access-Control-Allow-Methods"] == "GET, POST, DELETE, HEAD, PUT, OPTIONS"
    assert asked.headers["Access-Control-Allow-Headers"] == "authorization, content-type"
    assert asked.headers["Vary"] == "Origin"
    assert rest.script.request is None
    for verb, path in (
        ("GET", INSPECT),
        ("POST", ALERTS),
        ("GET", "/swagger.json"),
        ("GET", "/lost"),
        ("PATCH", INSPECT),
    ):
        answer = await rest.ask(verb, path, origin=origin)
        assert answer.headers["Access-Control-Allow-Origin"] == origin
        assert "Access-Control-Allow-Origin" not in (await rest.ask(verb, path)).headers
    rest.script.error = SdkError(StatusCode.NOT_FOUND, "gone")
    assert (await rest.ask("GET", INSPECT, origin="null")).headers["Access-Control-Allow-Origin"] == "null"


async def test_documents_are_there_for_everyone(rest: Rest) -> None:
    rest.script.error = SdkError(StatusCode.UNAUTHENTICATED, "no")
    for path, key, value in (("/swagger.json", "swagger", "2.0"), ("/openapi.json", "openapi", "3.0.3")):
        answer = await rest.ask("GET", path)
        assert (answer.status_code, answer.json()[key]) == (200, value)
        assert (await rest.ask("HEAD", path)).content == b""
        assert (await rest.ask("POST", path, {})).status_code == 405
        assert rest.traces[-1].route == path


async def test_one_connection_carries_many_requests(rest: Rest) -> None:
    reader, writer = await asyncio.open_connection(rest.address.host, rest.address.port)
    for _ in range(3):
        # A body where none belongs is read past.
        writer.write(f"GET {INSPECT} HTTP/1.1\r\nHost: x\r\nContent-Length: 2\r\n\r\n[]".encode())
        head = await reader.readuntil(b"\r\n\r\n")
        assert head.startswith(b"HTTP/1.1 200")
        assert await reader.readexactly(2) == b"{}"
    writer.close()
