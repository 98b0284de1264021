"""How the stock REX-Ray client gets in: TLS with what it knows of the server, tokens, UNIX sockets."""

from __future__ import annotations

import hashlib
import ssl
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import jwt
import pytest
from libstorage_scene import DOOR, service
from rexray_scene import Host

from gateway.testing.live import LiveGateway, live_gateway

pytestmark = pytest.mark.root

SECRET = "0123456789abcdef" * 4
PLAIN = "server gave HTTP response to HTTPS client"
SERVED = service("svc", pool="memory", driver="vfs")


def fingerprint(gateway: LiveGateway) -> str:
    """Give what the client pins: SHA-256 of the certificate."""
    der = ssl.PEM_cert_to_DER_cert((gateway.folder / "cert.pem").read_text())
    return hashlib.sha256(der).digest().hex(":").upper()


@pytest.fixture(scope="module")
def secured(tmp_path_factory: pytest.TempPathFactory) -> Iterator[LiveGateway]:
    with live_gateway(tmp_path_factory.mktemp("gateway"), tls=True, extra=f"{DOOR}tls = true\n{SERVED}") as gateway:
        yield gateway


@pytest.fixture
def host(rexray: Path, tmp_path: Path) -> Iterator[Host]:
    with Host(rexray, tmp_path / "host", "host-a") as host:
        yield host


def address(gateway: LiveGateway) -> str:
    return "tcp://" + gateway.addresses["libstorage"].partition("://")[2]


def pointed(host: Host, gateway: LiveGateway, **settings: Any) -> Host:
    """Give the machine with a client that uses a gateway."""
    host.configure(host=address(gateway), service="svc", **settings)
    return host


def test_a_client_that_is_told_nothing_speaks_no_plain_http(host: Host, tmp_path: Path) -> None:
    with live_gateway(tmp_path / "gateway", extra=f"{DOOR}{SERVED}") as gateway:
        assert PLAIN in pointed(host, gateway).fails("volume", "ls")
        assert pointed(host, gateway, tls=False).listed() == {}


def test_a_plain_client_cannot_talk_to_a_server_with_tls(host: Host, secured: LiveGateway) -> None:
    pointed(host, secured, tls=False).fails("volume", "ls")


def test_a_pinned_fingerprint(host: Host, secured: LiveGateway) -> None:
    good = fingerprint(secured)
    for written in (good, good.replace(":", ""), good.lower()):
        assert pointed(host, secured, tls=f"127.0.0.1 sha256 {written}").listed() == {}
    # It takes all bytes that are no ASCII for the same, so one that differs in such a one would do.
    pointed(host, secured, tls=f"127.0.0.1 sha256 {'00:' * 31}00").fails("volume", "ls")


def test_known_hosts_are_asked_for_once(host: Host, secured: LiveGateway) -> None:
    pointed(host, secured)
    host.fails("volume", "ls")
    asked = host.try_rexray("volume", "ls", answer="yes\n")
    assert "unknown host 127.0.0.1" in asked.stdout
    assert host.listed() == {}
    known = host.run("cat", str(host.known_hosts)).stdout.split()
    assert known[:2] == ["127.0.0.1", "sha256"]
    assert known[2].replace(":", "").lower() == fingerprint(secured).replace(":", "").lower()


def test_a_known_host_with_another_certificate_is_refused(host: Host, secured: LiveGateway, tmp_path: Path) -> None:
    pointed(host, secured).try_rexray("volume", "ls", answer="yes\n")
    assert host.listed() == {}
    with live_gateway(tmp_path / "other", tls=True, extra=f"{DOOR}tls = true\n{SERVED}") as other:
        pointed(host, other).fails("volume", "ls")


def test_an_authority_is_enough_where_known_hosts_are_not_asked(host: Host, secured: LiveGateway) -> None:
    authority = str(secured.folder / "cert.pem")
    assert pointed(host, secured, tls={"verifyPeers": False, "trustedCertsFile": authority}).listed() == {}
    pointed(host, secured, tls={"trustedCertsFile": authority}).fails("volume", "ls")
    pointed(host, secured, tls="insecure").fails("volume", "ls")


def test_a_client_certificate_names_who_calls(host: Host, tmp_path: Path) -> None:
    certificate, key = tmp_path / "node.crt", tmp_path / "node.key"
    made = ["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes"]
    named = ["-subj", "/CN=node-7", "-days", "2", "-out", certificate, "-keyout", key]
    subprocess.run([*made, *named], check=True, capture_output=True)
    gateway = LiveGateway(tmp_path / "gateway", tls=True, extra=f"{DOOR}tls = true\n{SERVED}")
    written = gateway.config.read_text()
    gateway.config.write_text(written.replace("[tls]", f'[tls]\nclient_ca = "{certificate}"'))
    gateway.start()
    try:
        checked = {"verifyPeers": False, "trustedCertsFile": str(gateway.folder / "cert.pem")}
        pointed(host, gateway, tls=checked).fails("volume", "ls")
        shown = {"certFile": str(certificate), "keyFile": str(key)}
        pointed(host, gateway, tls={**checked, **shown}).rexray("volume", "create", "data")
    finally:
        gateway.stop()
    (line,) = (line for line in gateway.log.read_text().splitlines() if '"operation":"volume.create"' in line)
    assert '"who":"node-7"' in line


def test_a_unix_socket_needs_neither(host: Host, tmp_path: Path) -> None:
    socket = tmp_path / "door.sock"
    extra = f'[frontend.libstorage]\nlisten = ""\nsocket = "{socket}"\n{SERVED}'
    with live_gateway(tmp_path / "gateway", extra=extra):
        host.configure(host=f"unix://{socket}", service="svc")
        host.rexray("volume", "create", "data")
        host.rexray("volume", "attach", "data")
        assert host.listed("--attached").keys() == {"data"}


def token(subject: str, key: str = SECRET, **claims: int) -> str:
    now = int(time.time())
    return jwt.encode({"sub": subject, "iat": now - 10, "nbf": now - 10, "exp": now + 86_400, **claims}, key)


@pytest.fixture(scope="module")
def guarded(tmp_path_factory: pytest.TempPathFactory) -> Iterator[LiveGateway]:
    folder = tmp_path_factory.mktemp("guarded")
    secret = folder / "secret"
    secret.write_text(SECRET)
    secret.chmod(0o600)
    auth = f'[frontend.libstorage.auth]\nkey = "file:{secret}"\nallow = ["akutz", "bob"]\n'
    with live_gateway(folder / "gateway", extra=f"{DOOR}{SERVED}{auth}") as gateway:
        yield gateway


def test_a_token_lets_its_subject_in(host: Host, guarded: LiveGateway, tmp_path: Path) -> None:
    kept = tmp_path / "token"
    kept.write_text(token("Akutz"))
    for shown in (token("akutz"), str(kept)):
        client = pointed(host, guarded, tls=False, client={"auth": {"token": shown}})
        client.rexray("volume", "create", "data")
        client.rexray("volume", "attach", "data")
        client.rexray("volume", "rm", "data", "--force")


def test_a_token_that_the_client_made_itself(host: Host, guarded: LiveGateway) -> None:
    host.configure(server={"auth": {"key": SECRET}})
    made = host.rexray("token", "new", "bob").strip()
    assert pointed(host, guarded, tls=False, client={"auth": {"token": made}}).listed() == {}


def test_tokens_that_do_not_hold_end_the_client_at_its_start(host: Host, guarded: LiveGateway) -> None:
    good = token("akutz")
    bad = {
        "stranger": token("carol"),
        "expired": token("akutz", exp=1),
        "of another key": token("akutz", key=SECRET[::-1]),
        "corrupted": good[:-3] + ("AAA" if not good.endswith("AAA") else "BBB"),
    }
    for shown in bad.values():
        client = pointed(host, guarded, tls=False, client={"auth": {"token": shown}})
        assert "invalid security token" in client.fails("volume", "ls")
    assert "invalid security token" in pointed(host, guarded, tls=False).fails("volume", "ls")


def test_a_subject_that_one_service_denies_cannot_start(host: Host, tmp_path: Path) -> None:
    secret = tmp_path / "secret"
    secret.write_text(SECRET)
    secret.chmod(0o600)
    auth = f'[frontend.libstorage.auth]\nkey = "file:{secret}"\nallow = ["akutz", "bob"]\n'
    closed = '[frontend.libstorage.service.closed]\npool = "memory"\n'
    denied = '[frontend.libstorage.service.closed.auth]\ndeny = ["bob"]\n'
    with live_gateway(tmp_path / "gateway", extra=f"{DOOR}{SERVED}{closed}{denied}{auth}") as gateway:
        for subject, may in (("akutz", True), ("bob", False)):
            client = pointed(host, gateway, tls=False, client={"auth": {"token": token(subject)}})
            assert (client.try_rexray("volume", "ls").returncode == 0) is may
