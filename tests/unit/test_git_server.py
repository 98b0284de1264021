"""What the server of published trees answers, beside what the stock clients ask it."""

from __future__ import annotations

import asyncio
import base64
import hashlib
import os
import subprocess
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any
from uuid import UUID, uuid4

import aiohttp
import pytest

from gateway.core.errors import Unavailable
from gateway.exports.git.application import Application
from gateway.exports.git.records import EXPORTS, Record, Settings
from gateway.exports.git.serve import listening
from gateway.exports.git.tokens import Tokens, key_of
from gateway.exports.records import Records
from gateway.testing.loop_pool import run

BASE = "https://git.example/trees"
VOLUME = uuid4()
NOW = 1_700_000_000.0


class Bed:
    """A server in this process over an empty repository, and a client."""

    def __init__(self, folder: Path, client: aiohttp.ClientSession, port: int, application: Application) -> None:
        self.folder = folder
        self.now = NOW
        self.application = application
        self._client = client
        self._port = port

    def token(self, volume: UUID = VOLUME, *, write: bool = True, lifetime_s: int = 60) -> str:
        return Tokens(b"k" * 32, lambda: self.now).make(volume, write=write, lifetime_s=lifetime_s)

    async def ask(
        self, verb: str, path: str, body: Any = None, *, token: str | None = None, user: str = "me", **headers: str
    ) -> tuple[int, Any, dict[str, str]]:
        allowed = {"Authorization": login(user, self.token() if token is None else token)}
        url = f"http://127.0.0.1:{self._port}{path}"
        content = {"data": body} if isinstance(body, bytes) else {"json": body} if body is not None else {}
        async with self._client.request(verb, url, headers={**allowed, **headers}, **content) as got:
            found = await got.json() if got.content_type.endswith("json") else await got.read()
            return got.status, found, dict(got.headers)

    async def lfs(self, verb: str, path: str, body: Any = None, **more: Any) -> tuple[int, Any]:
        status, found, _ = await self.ask(verb, f"/{VOLUME}.git/info/lfs/{path}", body, **more)
        return status, found

    def stored(self) -> dict[str, bytes]:
        found = (self.folder / "repository" / "lfs").rglob("*")
        return {path.name: path.read_bytes() for path in found if path.is_file() and path.name != "collect.lock"}


@pytest.fixture
async def bed(tmp_path: Path) -> AsyncIterator[Bed]:
    records = Records(tmp_path / EXPORTS, Record)
    records.load()
    (tmp_path / "repository").mkdir()
    records.put(Record(id=VOLUME, repository=str(tmp_path / "repository"), namespace=f"{VOLUME}/x", write=True))
    tokens = Tokens(b"k" * 32, lambda: NOW)
    application = Application(tmp_path, tokens=tokens, base=BASE, processes=2, silent_s=0.5)
    settings = Settings(bind="127.0.0.1", port=0, base=BASE, processes=2)
    async with listening(application, settings) as port, aiohttp.ClientSession() as client:
        yield Bed(tmp_path, client, port, application)


def login(user: str, token: str) -> str:
    return f"Basic {base64.b64encode(f'{user}:{token}'.encode()).decode()}"


def named(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()


async def test_a_large_file_comes_and_goes(bed: Bed) -> None:
    data = os.urandom(900_000)
    oid, wanted = named(data), {"oid": named(data), "size": len(data)}
    batch = {"operation": "upload", "transfers": ["basic"], "objects": [wanted], "ref": {"name": "refs/heads/main"}}
    status, found = await bed.lfs("POST", "objects/batch", batch)
    (said,) = found["objects"]
    assert (status, found["transfer"], said["authenticated"]) == (200, "basic", True)
    where = f"{BASE}/{VOLUME}.git/info/lfs"
    assert {name: action["href"] for name, action in said["actions"].items()} == {
        "upload": f"{where}/objects/{oid}",
        "verify": f"{where}/verify",
    }
    assert said["actions"]["upload"]["header"]["Authorization"].startswith("Basic ")
    assert (await bed.lfs("POST", "verify", wanted))[0] == 404
    assert (await bed.lfs("PUT", f"objects/{oid}", data))[0] == 200
    assert bed.stored() == {oid: data}
    assert await bed.lfs("POST", "verify", wanted) == (200, {})
    assert (await bed.lfs("POST", "verify", {**wanted, "size": 1}))[0] == 404
    # Who is told that it is here already can count on that.
    place = bed.folder / "repository" / "lfs" / "objects" / oid[:2] / oid[2:4] / oid
    os.utime(place, (NOW, NOW))
    status, found = await bed.lfs("POST", "objects/batch", batch)
    assert found["objects"] == [wanted]
    assert place.stat().st_mtime > NOW
    status, found = await bed.lfs("POST", "objects/batch", {**batch, "operation": "download"})
    assert found["objects"][0]["actions"]["download"]["href"] == f"{where}/objects/{oid}"
    assert await bed.lfs("GET", f"objects/{oid}") == (200, data)
    assert await bed.lfs("GET", f"objects/{oid}", Range="bytes=1000-1999") == (206, data[1000:2000])


async def test_what_is_wrong_is_refused_and_leaves_nothing(bed: Bed) -> None:
    good = {"oid": named(b"a"), "size": 1}
    for body, status in (
        ({"operation": "upload"}, 422),
        ({"operation": "delete", "objects": []}, 422),
        ({"operation": "upload", "objects": [{**good, "size": -1}]}, 422),
        ({"operation": "upload", "objects": [good], "hash_algo": "sha1"}, 409),
        (b"{", 422),
    ):
        assert (await bed.lfs("POST", "objects/batch", body))[0] == status, body
    for operation, one, code in (
        ("upload", {"oid": "../../etc/passwd", "size": 1}, 422),
        ("download", {"oid": "../../etc/passwd", "size": 1}, 404),
        ("download", good, 404),
    ):
        status, found = await bed.lfs("POST", "objects/batch", {"operation": operation, "objects": [one]})
        assert (status, found["objects"][0]["error"]["code"]) == (200, code)
    assert (await bed.lfs("PUT", f"objects/{named(b'a')}", b"b"))[0] == 422
    assert (await bed.lfs("PUT", "objects/x", b"b"))[0] == 422
    assert (await bed.lfs("GET", f"objects/{named(b'a')}"))[0] == 404
    assert bed.stored() == {}
    for verb, path in (("GET", "objects/batch"), ("DELETE", f"objects/{named(b'a')}"), ("GET", "nothing")):
        assert (await bed.lfs(verb, path))[0] == 404, path
    for verb, path in (
        ("GET", f"/{VOLUME}.git/HEAD"),
        ("GET", f"/{VOLUME}.git/objects/info/packs"),
        ("GET", f"/{VOLUME}.git/info/refs"),
        ("GET", f"/{VOLUME}.git/info/refs?service=git-upload-archive"),
        ("POST", f"/{VOLUME}.git/info/refs?service=git-upload-pack"),
        ("GET", f"/{VOLUME}.git/git-upload-pack"),
        ("GET", f"/{VOLUME}/{uuid4()}.git/info/refs?service=git-upload-pack"),
        ("GET", f"/{VOLUME}.git/../../exports"),
        ("GET", "/"),
    ):
        assert (await bed.ask(verb, path))[0] == 404, path


async def test_a_token_is_good_for_one_volume_and_a_while(bed: Bed) -> None:
    path = f"/{VOLUME}.git/info/lfs/locks"
    good = bed.token()
    for bad in ("", "x", "a.b.c.d.e", good + "x", "ü" + good, good.replace("vgt", "vgu"), bed.token(lifetime_s=0)):
        status, _, headers = await bed.ask("GET", path, token=bad)
        assert (status, headers["WWW-Authenticate"]) == (401, 'Basic realm="volume-gateway"'), bad
    for header in ("Basic !", "Bearer x", "Basic", f"Basic {base64.b64encode(b'no colon').decode()}"):
        assert (await bed.ask("GET", path, Authorization=header))[0] == 401
    assert (await bed.ask("GET", path, Authorization="Basic \u00fc"))[0] == 401
    assert (await bed.ask("GET", path, token=bed.token(uuid4())))[0] == 404
    assert (await bed.ask("GET", path, user=""))[0] == 200
    bed.now = NOW + 10
    assert (await bed.ask("GET", path, token=bed.token(lifetime_s=-9)))[0] == 200
    reader = bed.token(write=False)
    assert (await bed.lfs("GET", "locks", token=reader))[0] == 200
    oid = named(b"a")
    upload = {"operation": "upload", "objects": [{"oid": oid, "size": 1}]}
    for verb, what, body in (
        ("POST", "objects/batch", upload),
        ("PUT", f"objects/{oid}", b"a"),
        ("POST", "locks", {"path": "a"}),
        ("POST", "locks/x/unlock", {}),
    ):
        assert await bed.lfs(verb, what, body, token=reader) == (403, {"message": "read only"}), what
    assert bed.stored() == {}


async def test_who_says_nothing_does_not_keep_a_place_for_ever(bed: Bed) -> None:
    never = asyncio.Event()
    await asyncio.to_thread(subprocess.run, ["git", "init", "--quiet", "--bare", bed.folder / "repository"], check=True)

    async def stall() -> None:
        _, writer = await asyncio.open_connection("127.0.0.1", bed._port)
        writer.write(
            f"POST /{VOLUME}.git/git-upload-pack HTTP/1.1\r\nHost: x\r\nContent-Length: 9\r\n"
            f"Content-Type: application/x-git-upload-pack-request\r\n"
            f"Authorization: {login('me', bed.token(write=False))}\r\n\r\n00".encode()
        )
        try:
            await never.wait()
        finally:
            writer.close()

    stalled = [asyncio.create_task(stall()) for _ in range(2)]
    while len(bed.application._running.get(VOLUME, ())) < len(stalled):
        assert not any(one.done() for one in stalled)
        await asyncio.sleep(0)
    try:
        status, found, _ = await bed.ask("GET", f"/{VOLUME}.git/info/refs?service=git-upload-pack")
        assert (status, found[:8]) == (200, b"001e# se")
    finally:
        for one in stalled:
            one.cancel()
        await asyncio.gather(*stalled, return_exceptions=True)


async def test_files_are_locked_by_one_at_a_time(bed: Bed) -> None:
    status, made = await bed.lfs("POST", "locks", {"path": "a/b.bin", "ref": {"name": "refs/heads/main"}})
    assert (status, made["lock"]["path"], made["lock"]["owner"]) == (201, "a/b.bin", {"name": "me"})
    status, told = await bed.lfs("POST", "locks", {"path": "a/b.bin"}, user="you")
    assert (status, told["lock"]) == (409, made["lock"])
    for number in range(3):
        assert (await bed.lfs("POST", "locks", {"path": f"{number}"}, user="you"))[0] == 201
    listed = (await bed.lfs("GET", "locks?limit=3"))[1]
    assert [one["path"] for one in listed["locks"]] == ["a/b.bin", "0", "1"]
    rest = (await bed.lfs("GET", f"locks?limit=3&cursor={listed['next_cursor']}"))[1]
    assert ([one["path"] for one in rest["locks"]], "next_cursor" in rest) == (["2"], False)
    assert (await bed.lfs("GET", f"locks?cursor={'9' * 5000}"))[0] == 200
    assert [one["path"] for one in (await bed.lfs("GET", "locks?path=1"))[1]["locks"]] == ["1"]
    assert (await bed.lfs("GET", f"locks?id={made['lock']['id']}"))[1] == {"locks": [made["lock"]]}
    verified = (await bed.lfs("POST", "locks/verify", {"limit": 2}))[1]
    assert (verified["ours"], [one["path"] for one in verified["theirs"]]) == ([made["lock"]], ["0"])
    unlock = f"locks/{made['lock']['id']}/unlock"
    assert (await bed.lfs("POST", unlock, {}, user="you"))[0] == 403
    assert await bed.lfs("POST", unlock, {"force": True}, user="you") == (200, {"lock": made["lock"]})
    assert (await bed.lfs("POST", unlock, {}))[0] == 404


async def test_what_is_under_way_ends_with_the_publication(bed: Bed) -> None:
    never = asyncio.Event()

    async def slowly() -> AsyncIterator[bytes]:
        for _ in range(20):
            yield b"x" * 100_000
        await never.wait()

    async def send() -> None:
        url = f"http://127.0.0.1:{bed._port}/{VOLUME}.git/info/lfs/objects/{named(b'x')}"
        async with bed._client.put(url, data=slowly(), headers={"Authorization": login("me", bed.token())}) as got:
            await got.read()

    sending = asyncio.create_task(send())
    while not bed.stored():
        assert not sending.done()
        await asyncio.sleep(0)
    (bed.folder / EXPORTS / f"{VOLUME}.json").unlink()
    await bed.application.end(VOLUME)
    assert bed.stored() == {}
    with pytest.raises(aiohttp.ClientError):
        await sending
    assert (await bed.lfs("GET", "locks"))[0] == 404
    await bed.application.end(VOLUME)


async def test_a_client_that_is_gone_leaves_nothing_running(bed: Bed) -> None:
    run("git", "init", "--quiet", "--bare", str(bed.folder / "repository"))
    _, writer = await asyncio.open_connection("127.0.0.1", bed._port)
    head = f"POST /{VOLUME}.git/git-receive-pack HTTP/1.1\r\nHost: x\r\nAuthorization: {login('me', bed.token())}\r\n"
    kind = "Content-Type: application/x-git-receive-pack-request\r\nTransfer-Encoding: chunked\r\n\r\n"
    writer.write(f"{head}{kind}4\r\n00a0\r\n".encode())
    await writer.drain()
    while not bed.application._running:  # noqa: ASYNC110 - the loop is about to
        await asyncio.sleep(0)
    writer.close()
    await writer.wait_closed()
    while bed.application._running:  # noqa: ASYNC110 - a program of another process is about to end
        await asyncio.sleep(0)


def test_the_key_is_made_once_and_for_its_owner_only(tmp_path: Path) -> None:
    place = tmp_path / "key"
    key = key_of(place, what="git")
    assert (len(key), key_of(place, what="git")) == (32, key)
    place.chmod(0o644)
    with pytest.raises(Unavailable):
        key_of(place, what="git")
    place.chmod(0o600)
    place.write_bytes(b"short")
    with pytest.raises(Unavailable):
        key_of(place, what="git")
