"""Rules of the original tests, and of the protocol's description, about who may come in, and how."""

from __future__ import annotations

import ssl
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import httpx
import jwt
import pytest
from libstorage_client import Client, client_of, refused
from libstorage_scene import DOOR, service

from gateway.testing.live import live_gateway

SECRET = "0123456789abcdef" * 4
OTHER_SECRET = SECRET[::-1]
DAY = 86_400
ROUTES = ("/", "/help", "/help/version", "/help/config", "/tasks", "/tasks/1", "/services", "/services/svc", "/volumes")
OF_SERVICE = ("/services/{0}", "/volumes/{0}", "/volumes/{0}/id", "/snapshots/{0}", "/snapshots/{0}/id")
ACROSS = (("GET", "/services"), ("GET", "/volumes"), ("GET", "/snapshots"), ("POST", "/volumes?detach"))


def token(
    subject: object = "akutz", *, key: str = SECRET, alg: str = "HS256", without: str = "", **claims: object
) -> str:
    """Give a token; `without` a claim."""
    now = int(time.time())
    whole = {"sub": subject, "iat": now - 10, "nbf": now - 10, "exp": now + DAY, **claims}
    whole.pop(without, None)
    return jwt.encode(whole, key, algorithm=alg, headers={"typ": "JWT"})


@contextmanager
def guarded(folder: Path, auth: str, *services: str) -> Iterator[Client]:
    """Give a client without a token; `SECRET` and `OTHER` in the tables are the keys."""
    paths = {"SECRET": folder / "secret", "OTHER": folder / "other"}
    for path, text in zip(paths.values(), (SECRET, OTHER_SECRET), strict=True):
        path.write_text(text)
        path.chmod(0o600)
    tables = "".join((*(services or (service("svc", pool="memory"),)), auth))
    for name, path in paths.items():
        tables = tables.replace(f'"{name}"', f'"file:{path}"')
    with (
        live_gateway(folder / "gateway", extra=DOOR + tables) as gateway,
        client_of(gateway.addresses["libstorage"], "vfs=host-a") as client,
    ):
        yield client


def shows(client: Client, text: str) -> Client:
    return client.with_headers(Authorization=f"Bearer {text}")


def statuses(client: Client, paths: Sequence[str]) -> set[bool]:
    """Tell for each path whether it lets the client in."""
    return {client.raw("GET", path).status_code != 401 for path in paths}


@pytest.fixture(scope="module")
def door(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Client]:
    auth = '[frontend.libstorage.auth]\nkey = "SECRET"\nallow = ["akutz", "bob"]\n'
    closed = service("closed", pool="memory") + '[frontend.libstorage.service.closed.auth]\ndeny = ["Bob"]\n'
    with guarded(tmp_path_factory.mktemp("door"), auth, service("svc", pool="memory"), closed) as client:
        yield client


def test_a_token_is_asked_for_on_all_routes_and_before_anything_else(door: Client) -> None:
    for path in (*ROUTES, "/services/none", "/volumes/none/id"):
        with refused(401, "invalid security token", "invalid security token"):
            door.call("GET", path)
    assert door.as_instance("broken").raw("GET", "/services").status_code == 401
    assert door.raw("GET", "/nothing").content == b"404 page not found\n"
    known = shows(door, token())
    assert statuses(known, [route for route in ROUTES if "config" not in route]) == {True}
    assert set(known.services()) == {"svc", "closed"}


BAD = {
    "word": lambda: "x",
    "dots": lambda: "a.b.c",
    "other key": lambda: token(key=OTHER_SECRET),
    "stranger": lambda: token("carol"),
    "nobody": lambda: token(""),
    "number": lambda: token(7),
    "other algorithm": lambda: token(alg="HS384"),
    "no algorithm": lambda: token(key="", alg="none"),
    "no end": lambda: token(exp=0),
    "ended": lambda: token(exp=int(time.time()) - 5),
    "not begun": lambda: token(nbf=int(time.time()) + DAY),
    "without sub": lambda: token(without="sub"),
    "without iat": lambda: token(without="iat"),
    "without exp": lambda: token(without="exp"),
    "without nbf": lambda: token(without="nbf"),
    "longer": lambda: f"{token()}x",
    "two spaces": lambda: f" {token()}",
}


@pytest.mark.parametrize("kind", BAD)
def test_tokens_that_do_not_hold_are_answered_alike(door: Client, kind: str) -> None:
    for path in ("/services", "/volumes/svc"):
        with refused(401, "invalid security token", "invalid security token"):
            shows(door, BAD[kind]()).call("GET", path)


@pytest.mark.parametrize("word", ["bearer ", "BEARER ", "Basic ", ""])
def test_the_word_before_the_token_is_just_so(door: Client, word: str) -> None:
    assert door.with_headers(Authorization=f"{word}{token()}").raw("GET", "/services").status_code == 401


def test_subjects_count_in_any_case(door: Client) -> None:
    for subject in ("akutz", "AKutz"):
        assert shows(door, token(subject)).volumes("svc") == {}


def test_a_service_inherits_what_it_does_not_say_and_may_deny(door: Client) -> None:
    akutz, bob = shows(door, token("akutz")), shows(door, token("bob"))
    for name, lets_bob_in in (("svc", True), ("closed", False)):
        paths = [path.format(name) for path in OF_SERVICE]
        assert statuses(akutz, paths) == {True}
        assert statuses(bob, paths) == {lets_bob_in}


def test_calls_over_services_need_every_one_of_them(door: Client) -> None:
    for method, path in ACROSS:
        assert shows(door, token("akutz")).raw(method, path).status_code in (200, 205)
        with refused(401, "invalid security token", "invalid security token"):
            shows(door, token("bob")).call(method, path)


def test_nobody_comes_in_where_only_denials_are_listed(tmp_path: Path) -> None:
    with guarded(tmp_path, '[frontend.libstorage.auth]\nkey = "SECRET"\ndeny = ["bob"]\n') as client:
        for subject in ("akutz", "bob"):
            assert statuses(shows(client, token(subject)), ROUTES) == {False}


def test_without_lists_nobody_is_asked(tmp_path: Path) -> None:
    with guarded(tmp_path, '[frontend.libstorage.auth]\nkey = "SECRET"\n') as client:
        assert client.create("svc", "data").name == "data"
        assert shows(client, "nonsense").volumes("svc")


def test_entries_may_be_tokens_with_or_without_a_name(tmp_path: Path) -> None:
    listed = f'allow = ["{token("akutz")}", "second:{token("bob")}"]'
    with guarded(tmp_path, f'[frontend.libstorage.auth]\nkey = "SECRET"\n{listed}\n') as client:
        for subject, status in (("akutz", 200), ("BOB", 200), ("second", 401)):
            assert shows(client, token(subject)).raw("GET", "/services").status_code == status


def test_a_key_of_a_service_counts_where_the_door_asks_for_no_token(tmp_path: Path) -> None:
    own = service("own", pool="memory") + (
        '[frontend.libstorage.service.own.auth]\nkey = "OTHER"\nalg = "HS512"\nallow = ["akutz"]\n'
    )
    with guarded(tmp_path, "", service("open", pool="memory"), own) as client:
        good = shows(client, token(key=OTHER_SECRET, alg="HS512"))
        wrong = [shows(client, token()), shows(client, token(key=OTHER_SECRET)), client]
        assert statuses(client, ("/", "/help/version", "/tasks", "/volumes/open")) == {True}
        assert good.volumes("own") == {}
        assert set(good.everywhere()) == {"open", "own"}
        for each in wrong:
            assert statuses(each, [path.format("own") for path in OF_SERVICE]) == {False}
            assert [each.raw(*call).status_code for call in ACROSS] == [401] * len(ACROSS)


def test_tls_and_its_name_in_the_links(tmp_path: Path) -> None:
    with live_gateway(tmp_path, tls=True, extra=f"{DOOR}tls = true\n") as gateway:
        address = gateway.addresses["libstorage"]
        assert address.startswith("https://")
        with client_of(address, verify=ssl.create_default_context(cafile=gateway.folder / "cert.pem")) as client:
            assert client.root()[0] == f"{address}/services"
        with client_of(address) as client, pytest.raises(httpx.ConnectError):
            client.root()
        with client_of(address.replace("https", "http")) as client, pytest.raises((httpx.HTTPError, AssertionError)):
            client.root()


def test_a_socket_serves_what_tcp_does_and_goes_with_the_gateway(tmp_path: Path) -> None:
    socket = tmp_path / "door.sock"
    extra = f'{DOOR}socket = "{socket}"\n'
    with live_gateway(tmp_path / "gateway", extra=extra) as gateway:
        with client_of(str(socket), "vfs=host-a") as near, client_of(gateway.addresses["libstorage"]) as far:
            made = near.create("memory", "data")
            near.attach("memory", made.id)
            assert far.volume("memory", made.id, 1).holders == ["host-a"]
            assert near.root()[0] == "http://libstorage-server/services"
        gateway.kill()
        assert socket.exists()
        gateway.start()
        with client_of(str(socket)) as near:
            assert near.everywhere() == {"memory": {}}
        gateway.stop()
        assert not socket.exists()


def test_a_header_beyond_all_measure_is_refused_and_the_door_stays(tmp_path: Path) -> None:
    with live_gateway(tmp_path, extra=DOOR) as gateway, client_of(gateway.addresses["libstorage"]) as client:
        answer = client.with_devices(f"vfs={'x' * (2 << 20)}::").raw("GET", "/volumes")
        assert 400 <= answer.status_code < 500
        assert client.everywhere() == {"memory": {}}
