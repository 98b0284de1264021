from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar

import httpx
import pytest
from click.testing import CliRunner, Result

from gateway.cli import main
from gateway.cli.session import Size, human
from gateway.client import AsyncClient, Client, ClientError, Flow, Job, jobs, policies, pools, snapshots, volumes
from gateway.client.flows import page
from gateway.client.wire import Call, Pause, Reply, exactly

T = TypeVar("T")
UUID = "00000000-0000-0000-0000-000000000001"
VOLUME = {"uuid": UUID, "name": "vol1", "svm": {"name": "svm1", "uuid": "s"}, "size": 1 << 30, "_tags": ["a:b"]}
CLONED = {"is_flexclone": True, "parent_volume": {"name": "vol1"}, "parent_snapshot": {"name": "s1"}}
JOB = {"job": {"uuid": "j1", "_links": {}}}


def reply(body: object, status: int = 200, *, retry_after_s: float | None = None) -> Reply:
    return Reply(status=status, body=json.dumps(body).encode(), retry_after_s=retry_after_s)


def records(*found: object, following: str = "") -> Reply:
    links = {"_links": {"next": {"href": following}}} if following else {}
    return reply({"records": list(found), "num_records": len(found), **links})


def drive(flow: Flow[T], *replies: Reply) -> tuple[T | ClientError, list[Call | Pause]]:
    """Play an operation against scripted answers; pauses are answered without waiting."""
    steps: list[Call | Pause] = []
    waiting = list(replies)
    try:
        step = next(flow)
        while True:
            steps.append(step)
            step = flow.send(Reply(status=0) if isinstance(step, Pause) else waiting.pop(0))
    except StopIteration as end:
        assert waiting == []
        return end.value, steps
    except ClientError as error:
        assert waiting == []
        return error, steps


def calls(steps: list[Call | Pause]) -> list[tuple[str, str]]:
    return [(step.method, step.path) for step in steps if isinstance(step, Call)]


def test_a_volume_is_found_by_name_over_pages() -> None:
    found, steps = drive(
        volumes.show("vol1", tenant="svm1"),
        records(following="/api/storage/volumes?start.uuid=1&name=vol1"),
        records(VOLUME),
    )
    assert isinstance(found, volumes.Volume)
    assert (found.uuid, found.svm.name, found.tags) == (UUID, "svm1", ("a:b",))
    assert isinstance(steps[0], Call)
    assert ("name", "vol1") in steps[0].query
    assert ("svm.name", "svm1") in steps[0].query
    assert steps[1] == Call(method="GET", path="/api/storage/volumes?start.uuid=1&name=vol1")


@pytest.mark.parametrize(
    ("replies", "status", "word"),
    [
        ([records()], 404, "there is no volume 'vol1'"),
        ([records({**VOLUME, "name": "VOL1"})], 404, "there is no volume"),
        ([records(VOLUME, {**VOLUME, "uuid": "2"})], 0, "say in which tenant"),
        ([records(following="https://elsewhere.example/api/x")], 0, "link of the next page is wrong"),
        ([records(following="//elsewhere.example/api/x")], 0, "link of the next page is wrong"),
        ([records(following="/api/a"), records(following="/api/a")], 0, "link of the next page is wrong"),
        ([Reply(status=200, body=b"<html>")], 0, "cannot be understood"),
        ([Reply(status=200, body=b"[" * 100_000)], 0, "cannot be understood"),
        ([reply({"records": [{"name": "vol1"}]})], 0, "uuid"),
        ([reply({"records": 5})], 0, "cannot be understood"),
        ([Reply(status=500, body=b"")], 500, "HTTP status 500"),
        ([Reply(status=502, body=b"<html>bad gateway")], 502, "HTTP status 502"),
        ([reply({"error": {"message": "who?", "code": "6691623"}}, 401)], 401, "who?"),
        ([reply({"error": "odd"}, 400)], 400, "HTTP status 400"),
        ([Reply(status=302, body=b"")], 302, "HTTP status 302"),
    ],
)
def test_answers_that_are_no_help(replies: list[Reply], status: int, word: str) -> None:
    error, _ = drive(volumes.show("vol1"), *replies)
    assert isinstance(error, ClientError)
    assert error.status == status
    assert word in str(error)


def test_an_error_carries_what_the_door_said() -> None:
    body = {"error": {"message": "taken", "code": 917927, "target": "name"}}
    error, steps = drive(volumes.create("v", tenant="s", pool="p", size=1), reply(body, 409))
    assert isinstance(error, ClientError)
    assert (error.status, error.code, error.message, error.target) == (409, "917927", "taken", "name")
    assert calls(steps) == [("POST", "/api/storage/volumes")]


def test_a_change_waits_for_its_job_and_reports_progress() -> None:
    seen: list[str] = []
    flow = volumes.create(
        "vol1",
        tenant="svm1",
        pool="p",
        size=5,
        comment="c",
        path="/v",
        export_policy="e",
        tags={"a": "b"},
        progress=lambda job: seen.append(job.state),
    )
    states = ["queued", "running", "running", "success"]
    replies = [reply({"uuid": "j1", "state": state}) for state in states]
    made, steps = drive(flow, reply(JOB, 202), *replies, records(VOLUME))
    assert isinstance(made, volumes.Volume)
    assert seen == states
    assert isinstance(steps[0], Call)
    assert steps[0].query == (("return_timeout", "0"),)
    assert steps[0].body == {
        "name": "vol1",
        "svm": {"name": "svm1"},
        "aggregates": [{"name": "p"}],
        "size": 5,
        "comment": "c",
        "nas": {"path": "/v", "export_policy": {"name": "e"}},
        "_tags": ["a:b"],
    }
    pauses = [step.seconds for step in steps if isinstance(step, Pause)]
    assert len(pauses) == 3
    assert pauses == sorted(pauses)


@pytest.mark.parametrize(
    ("job", "code", "message"),
    [
        (
            {"state": "failure", "error": {"message": "no room", "code": "917", "target": "size"}, "code": 1},
            "917",
            "no room",
        ),
        ({"state": "failure", "message": "no room", "code": 4}, "4", "no room"),
        ({"state": "failure"}, "", "the job ended as 'failure'"),
        ({"state": "cancelled"}, "", "the job ended as 'cancelled'"),
    ],
)
def test_a_job_that_fails_is_an_error(job: dict[str, Any], code: str, message: str) -> None:
    error, _ = drive(volumes.delete(UUID), reply(JOB, 202), reply({"uuid": "j1", **job}))
    assert isinstance(error, ClientError)
    assert (error.status, error.code, error.message) == (0, code, message)


def test_a_busy_gateway_is_asked_again_but_a_change_is_sent_once() -> None:
    busy = reply({"error": {"message": "busy", "code": "1"}}, 503, retry_after_s=7)
    found, steps = drive(pools.show("p"), busy, busy, records({"uuid": "1", "name": "p"}))
    assert isinstance(found, pools.Pool)
    assert [step.seconds for step in steps if isinstance(step, Pause)] == [7, 7]
    error, steps = drive(volumes.delete(UUID), busy)
    assert isinstance(error, ClientError)
    assert error.status == 503
    assert len(steps) == 1


def test_a_gateway_that_stays_busy_is_given_up() -> None:
    busy = Reply(status=429, retry_after_s=86_400)
    error, steps = drive(jobs.show("j"), busy, busy, busy, busy)
    assert isinstance(error, ClientError)
    assert error.status == 429
    assert all(step.seconds <= 30 for step in steps if isinstance(step, Pause))


@pytest.mark.parametrize(
    ("flow", "replies", "wanted"),
    [
        (
            lambda: volumes.clone("c", tenant="svm1", parent="vol1", snapshot="s1"),
            [reply(JOB, 202), reply({"uuid": "j1", "state": "success"}), records({**VOLUME, "name": "c"})],
            ("POST", "/api/storage/volumes", CLONED, "clone"),
        ),
        (
            lambda: volumes.split(UUID),
            [reply({}), reply(VOLUME)],
            ("PATCH", f"/api/storage/volumes/{UUID}", {"split_initiated": True}, "clone"),
        ),
        (
            lambda: volumes.restore(UUID, "s1"),
            [reply({}), reply(VOLUME)],
            ("PATCH", f"/api/storage/volumes/{UUID}", {"snapshot": {"name": "s1"}}, "restore_to"),
        ),
        (
            lambda: snapshots.create(UUID, "s1", comment="why"),
            [reply(JOB, 201), reply({"uuid": "j1", "state": "success"}), records({"uuid": "x", "name": "s1"})],
            ("POST", f"/api/storage/volumes/{UUID}/snapshots", "why", "comment"),
        ),
        (
            lambda: snapshots.patch(UUID, "x", {"name": "s2"}),
            [reply({}), reply({"uuid": "x", "name": "s2"})],
            ("PATCH", f"/api/storage/volumes/{UUID}/snapshots/x", "s2", "name"),
        ),
        (
            lambda: policies.create("e", tenant="svm1", rules=[{"clients": [{"match": "0.0.0.0/0"}]}]),
            [reply({}, 201), records({"id": 7, "name": "e"})],
            ("POST", "/api/protocols/nfs/export-policies", [{"clients": [{"match": "0.0.0.0/0"}]}], "rules"),
        ),
        (
            lambda: policies.patch(7, {"name": "f"}),
            [reply({})],
            ("PATCH", "/api/protocols/nfs/export-policies/7", "f", "name"),
        ),
    ],
)
def test_what_is_sent(
    flow: Callable[[], Flow[Any]], replies: list[Reply], wanted: tuple[str, str, object, str]
) -> None:
    result, steps = drive(flow(), *replies)
    method, path, value, key = wanted
    assert not isinstance(result, ClientError)
    assert isinstance(steps[0], Call)
    assert steps[0].body is not None
    assert (steps[0].method, steps[0].path, steps[0].body[key]) == (method, path, value)


@pytest.mark.parametrize(
    ("flow", "path"),
    [
        (lambda: snapshots.delete(UUID, "x"), f"/api/storage/volumes/{UUID}/snapshots/x"),
        (lambda: policies.delete(7), "/api/protocols/nfs/export-policies/7"),
        (lambda: volumes.delete(UUID), f"/api/storage/volumes/{UUID}"),
    ],
)
def test_what_is_deleted(flow: Callable[[], Flow[None]], path: str) -> None:
    _, steps = drive(flow(), reply({}))
    assert calls(steps) == [("DELETE", path)]


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("vol_1", "vol_1"),
        ("a*", "{a*}"),
        ("a|b", "{a|b}"),
        ("null", "{null}"),
        ("!x", "{!x}"),
        ("1..2", "{1..2}"),
        ("", "{}"),
        ("a{b", '"a{b"'),
        ("ä", "ä"),
    ],
)
def test_names_are_searched_for_literally(text: str, value: str) -> None:
    assert exactly(text) == value


def test_a_name_that_cannot_be_quoted() -> None:
    with pytest.raises(ClientError):
        exactly('{"')


# --- the halves that do I/O ---


class Door:
    """A scripted door: answers by method and path, and remembers what it was asked."""

    def __init__(self, answers: dict[tuple[str, str], tuple[int, object]]) -> None:
        self.answers = answers
        self.asked: list[httpx.Request] = []

    def __call__(self, request: httpx.Request) -> httpx.Response:
        self.asked.append(request)
        found = self.answers.get((request.method, request.url.path))
        if found is None:
            return httpx.Response(404, json={"error": {"message": "entry doesn't exist", "code": "4"}})
        return httpx.Response(found[0], json=found[1])


LIST = ("GET", "/api/storage/volumes")


def test_the_client_sends_account_and_query() -> None:
    door = Door({LIST: (200, {"records": [VOLUME]})})
    with Client(
        "https://gw.example:8443", user="läser", password="pä:ss", transport=httpx.MockTransport(door)
    ) as client:
        assert [volume.name for volume in client.each(volumes.every())] == ["vol1"]
    [request] = door.asked
    assert request.headers["Authorization"] == "Basic bMOkc2VyOnDDpDpzcw=="
    assert request.headers["Accept"] == "application/json"
    assert request.url.params["fields"].startswith("uuid,name")


def test_pages_are_asked_for_only_when_needed() -> None:
    def door(request: httpx.Request) -> httpx.Response:
        assert "start.uuid" not in request.url.params
        following = {"_links": {"next": {"href": "/api/storage/volumes?start.uuid=1"}}}
        return httpx.Response(200, json={"records": [VOLUME], **following})

    with Client("http://gw", transport=httpx.MockTransport(door)) as client:
        assert next(client.each(volumes.every())).name == "vol1"


async def test_the_async_client_does_the_same() -> None:
    asked: list[str] = []

    def door(request: httpx.Request) -> httpx.Response:
        asked.append(request.url.raw_path.decode())
        if "start.uuid" in request.url.params:
            return httpx.Response(200, json={"records": [{**VOLUME, "name": "vol2"}]})
        following = {"_links": {"next": {"href": "/api/storage/volumes?start.uuid=a%2Eb&max_records=1"}}}
        return httpx.Response(200, json={"records": [VOLUME], **following})

    async with AsyncClient("http://gw", transport=httpx.MockTransport(door)) as client:
        assert [volume.name async for volume in client.each(volumes.every())] == ["vol1", "vol2"]
        assert isinstance(await client.run(page(volumes.every())), object)
    assert asked[1] == "/api/storage/volumes?start.uuid=a%2Eb&max_records=1"


def failing(error: Exception) -> httpx.MockTransport:
    def door(_request: httpx.Request) -> httpx.Response:
        raise error

    return httpx.MockTransport(door)


@pytest.mark.parametrize(
    "error", [httpx.ConnectError("refused"), httpx.ReadTimeout(""), httpx.RemoteProtocolError("x")]
)
async def test_a_gateway_that_is_not_there(error: Exception) -> None:
    with (
        Client("http://gw", transport=failing(error)) as client,
        pytest.raises(ClientError, match="http://gw cannot be reached"),
    ):
        client.run(jobs.show("j"))
    async with AsyncClient("http://gw", transport=failing(error)) as other:
        with pytest.raises(ClientError, match="cannot be reached"):
            await other.run(jobs.show("j"))


@pytest.mark.parametrize("url", ["", "gw", "ftp://gw", "https://", "http://[::1", "http://a:b:c", "/path"])
def test_an_address_that_is_none(url: str) -> None:
    with pytest.raises(ClientError, match="is no address"):
        Client(url)


def test_a_certificate_that_is_none(tmp_path: Path) -> None:
    (tmp_path / "bad").write_text("rubbish")
    for name in ("bad", "missing"):
        with pytest.raises(ClientError, match="cannot be used as certificate"):
            Client("https://gw", verify=tmp_path / name)


# --- the command line ---


@pytest.fixture
def gateway() -> Callable[..., Result]:
    def run(*arguments: str, url: str, **environment: str) -> Result:
        given = {"GATEWAY_URL": url, "GATEWAY_USER": "admin", "GATEWAY_PASSWORD": "x", **environment}
        return CliRunner().invoke(main, arguments, env=given)

    return run


@pytest.mark.parametrize(
    ("text", "size"),
    [("1", 1), ("10G", 10 << 30), ("10GB", 10 << 30), ("10gib", 10 << 30), ("5 M", 5 << 20), ("1kb", 1024)],
)
def test_sizes(text: str, size: int) -> None:
    assert Size().convert(text, None, None) == size


@pytest.mark.parametrize("text", ["", "G", "-1", "1.5G", "1X", "0x10", "1e3", "1" * 30])
def test_sizes_that_are_none(gateway: Callable[..., Result], text: str) -> None:
    result = gateway("volume", "resize", "v", text, url="http://127.0.0.1:1")
    assert result.exit_code == 2


@pytest.mark.parametrize(
    ("size", "text"),
    [(0, "0B"), (1023, "1023B"), (1024, "1KiB"), (1536, "1.5KiB"), (1 << 30, "1GiB"), (1 << 60, "1048576TiB")],
)
def test_sizes_for_people(size: int, text: str) -> None:
    assert human(size) == text


def test_a_gateway_that_is_not_there_is_a_sentence(gateway: Callable[..., Result]) -> None:
    result = gateway("volume", "list", url="http://127.0.0.1:1")
    assert result.exit_code == 1
    assert result.output.startswith("Error: the gateway at http://127.0.0.1:1 cannot be reached")


def test_progress_is_given_jobs() -> None:
    seen: list[Job] = []
    flow = jobs.finished("j1", progress=seen.append)
    drive(flow, reply({"uuid": "j1", "state": "success", "description": "POST /x"}))
    assert [job.description for job in seen] == ["POST /x"]
