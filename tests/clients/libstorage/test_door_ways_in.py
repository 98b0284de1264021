"""Ways into the door: TLS with a certificate that clients pin, certificates of clients, tokens, UNIX sockets."""

from __future__ import annotations

import hashlib
import json
import socket
import ssl
import stat
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import suppress
from datetime import timedelta
from pathlib import Path
from typing import Any

import httpx
import jwt
import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from gateway.core.model import utc_now
from gateway.core.sockets import listen
from gateway.server.certificate import write_self_signed
from gateway.testing.live import LiveGateway, live_gateway

DOOR = '[frontend.libstorage]\nlisten = "127.0.0.1:0"\n'
SECRET = "a secret of more than thirty-two bytes"
AUTH = '[frontend.libstorage.auth]\nkey = "file:token-key"\nallow = ["akutz"]\n'


def trusting(folder: Path) -> ssl.SSLContext:
    return ssl.create_default_context(cafile=folder / "cert.pem")


def shown(gateway: LiveGateway) -> str:
    """Give the fingerprint of the certificate that the door shows, as `known_hosts` has it."""
    host, _, port = gateway.addresses["libstorage"].removeprefix("https://").rpartition(":")
    der = ssl.PEM_cert_to_DER_cert(ssl.get_server_certificate((host, int(port))))
    return hashlib.sha256(der).hexdigest().upper()


def checked(gateway: LiveGateway, *options: str) -> str:
    command = [sys.executable, "-m", "gateway", "check", "--config", str(gateway.config), *options]
    return subprocess.run(command, check=True, capture_output=True, text=True).stdout


def test_a_certificate_is_shown_that_check_tells_the_fingerprint_of(tmp_path: Path) -> None:
    with live_gateway(tmp_path, extra=f"{DOOR}tls = true\n", tls=True) as gateway:
        url = gateway.addresses["libstorage"]
        assert url.startswith("https://")
        answer = httpx.get(url, verify=trusting(tmp_path), trust_env=False)
        assert answer.json()[0] == f"{url}/services"
        with pytest.raises(httpx.TransportError):
            httpx.get(url.replace("https", "http"), trust_env=False)
        told = json.loads(checked(gateway, "--json"))["fingerprint"]
        assert told.replace(":", "") == shown(gateway)
        assert f"certificate: sha256 {told}\n" in checked(gateway)
        # Another certificate is used from the next connection on, once the gateway is told to look.
        write_self_signed(
            certificate=tmp_path / "cert.pem", key=tmp_path / "key.pem", names=(), now=utc_now(), overwrite=True
        )
        before = shown(gateway)
        subprocess.run(["kill", "-HUP", str(gateway.pid)], check=True)
        while shown(gateway) == before:
            pass
        assert shown(gateway) == json.loads(checked(gateway, "--json"))["fingerprint"].replace(":", "")


def authority(folder: Path, client: str) -> None:
    """Make `ca.pem`, and a certificate with a key that it signed for a client, in `client.pem`."""
    root, private = ec.generate_private_key(ec.SECP256R1()), ec.generate_private_key(ec.SECP256R1())

    def certificate(name: str, public: ec.EllipticCurvePublicKey, *, ca: bool) -> bytes:
        builder = (
            x509.CertificateBuilder()
            .subject_name(x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)]))
            .issuer_name(x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "authority")]))
            .public_key(public)
            .serial_number(x509.random_serial_number())
            .not_valid_before(utc_now() - timedelta(hours=1))
            .not_valid_after(utc_now() + timedelta(days=1))
            .add_extension(x509.BasicConstraints(ca=ca, path_length=None), critical=True)
        )
        return builder.sign(root, hashes.SHA256()).public_bytes(serialization.Encoding.PEM)

    (folder / "ca.pem").write_bytes(certificate("authority", root.public_key(), ca=True))
    key = private.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
    (folder / "client.pem").write_bytes(certificate(client, private.public_key(), ca=False) + key)


@pytest.fixture
def demanding(tmp_path: Path) -> Iterator[LiveGateway]:
    """Give a gateway that lets in only those whose certificate an authority has signed, from any machine."""
    extra = '[frontend.libstorage]\nlisten = "0.0.0.0:0"\ntls = true\n'
    gateway = LiveGateway(tmp_path, extra=f"{extra}\n[log]\naccess_sample = 1\n", tls=True)
    authority(tmp_path, "node-a")
    text = gateway.config.read_text()
    gateway.config.write_text(text.replace('key = "key.pem"\n', f'key = "key.pem"\nclient_ca = "{tmp_path}/ca.pem"\n'))
    gateway.start()
    try:
        yield gateway
    finally:
        gateway.stop()


def test_clients_show_a_certificate_and_are_known_by_its_name(demanding: LiveGateway) -> None:
    url = demanding.addresses["libstorage"].replace("0.0.0.0", "127.0.0.1")
    context = trusting(demanding.folder)
    with pytest.raises(httpx.TransportError):
        httpx.get(url, verify=context, trust_env=False)
    context.load_cert_chain(demanding.folder / "client.pem")
    assert httpx.get(url, verify=context, trust_env=False).status_code == 200
    assert '"who":"node-a"' in demanding.log.read_text()


def token(**claims: Any) -> dict[str, str]:
    now = int(time.time())
    told = {"sub": "akutz", "iat": now - 5, "nbf": now - 5, "exp": now + 3600, **claims}
    return {"Authorization": f"Bearer {jwt.encode(told, SECRET)}"}


def test_tokens_are_asked_for_before_anything_is_looked_up(tmp_path: Path) -> None:
    (tmp_path / "token-key").write_text(f"{SECRET}\n")
    extra = f"{DOOR}{AUTH}\n[log]\naccess_sample = 1\n"
    with (
        live_gateway(tmp_path, extra=extra) as gateway,
        httpx.Client(base_url=gateway.addresses["libstorage"], trust_env=False) as door,
    ):
        for path in ("/", "/services/nowhere", "/volumes/memory/nowhere", "/tasks", "/help/version"):
            refused = door.get(path)
            assert (refused.status_code, refused.json()["error"]) == (401, "invalid security token")
            assert door.get(path, headers=token(sub="eve")).status_code == 401
            assert door.get(path, headers=token(exp=0)).status_code == 401
            assert door.get(path, headers=token()).status_code in {200, 404}
        assert door.get("/nowhere").text == "404 page not found\n"
        made = door.post("/volumes/memory", json={"name": "mine", "size": 1}, headers=token())
        assert made.status_code == 201
        log = gateway.log.read_text()
        assert '"who":"akutz"' in log
        assert SECRET not in log
        assert token()["Authorization"].split()[1].split(".")[1] not in log


def test_with_tokens_it_may_be_reached_from_elsewhere_by_tls(tmp_path: Path) -> None:
    (tmp_path / "token-key").write_text(SECRET)
    extra = f'[frontend.libstorage]\nlisten = "0.0.0.0:0"\ntls = true\n{AUTH}'
    with live_gateway(tmp_path, extra=extra, tls=True) as gateway:
        url = gateway.addresses["libstorage"].replace("0.0.0.0", "127.0.0.1")
        assert httpx.get(url, verify=trusting(tmp_path), trust_env=False, headers=token()).status_code == 200


# --- UNIX sockets ---


@pytest.fixture
def short(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("s")


def by_socket(path: Path) -> httpx.Client:
    transport = httpx.HTTPTransport(uds=str(path))
    return httpx.Client(base_url="http://libstorage-server", transport=transport, trust_env=False)


def test_a_socket_replaces_what_a_dead_process_left(short: Path) -> None:
    path = short / "run/ls.sock"
    path.parent.mkdir()
    listen(path).close()
    extra = f'[frontend.libstorage]\nlisten = ""\nsocket = "{path}"\n'
    gateway = LiveGateway(short / "gateway", extra=extra)
    gateway.start()
    try:
        assert gateway.addresses["libstorage-socket"] == f"unix://{path}"
        assert "libstorage" not in gateway.addresses
        assert stat.S_IMODE(path.stat().st_mode) == 0o660
        with by_socket(path) as door:
            assert door.get("/").json()[4] == "http://libstorage-server/volumes"
            metadata = {"Libstorage-Instanceid": "vfs=node-a"}
            assert door.post("/volumes/memory", json={"name": "v", "size": 1}).status_code == 201
            (volume,) = door.get("/volumes/memory").json()
            assert door.post(f"/volumes/memory/{volume}?attach", json={}, headers=metadata).status_code == 200
        gateway.kill()
        assert path.is_socket()
        gateway.start()
        with by_socket(path) as door:
            assert door.get("/services").status_code == 200
        gateway.stop()
        assert not path.exists()
    finally:
        gateway.stop()


def test_a_socket_that_somebody_serves_is_left_alone(short: Path) -> None:
    path = short / "ls.sock"
    with listen(path):
        gateway = LiveGateway(short / "gateway", extra=f'[frontend.libstorage]\nsocket = "{path}"\n')
        with pytest.raises(RuntimeError, match="not ready"):
            gateway.start()
        assert path.is_socket()


def test_the_socket_has_no_tls_beside_an_address_that_has(short: Path) -> None:
    path = short / "ls.sock"
    extra = f'{DOOR}tls = true\nsocket = "{path}"\n'
    with live_gateway(short / "gateway", extra=extra, tls=True) as gateway, by_socket(path) as door:
        assert gateway.addresses["libstorage"].startswith("https://")
        assert door.get("/").json()[0] == "http://libstorage-server/services"


# --- heads ---


@pytest.fixture(scope="module")
def open_gateway(tmp_path_factory: pytest.TempPathFactory) -> Iterator[LiveGateway]:
    with live_gateway(tmp_path_factory.mktemp("heads"), extra=DOOR) as running:
        yield running


def mount_table(size: int) -> str:
    """Give what a node with a long mount table says of its devices."""
    entries = []
    while sum(map(len, entries)) + len(entries) < size:
        entries.append(f"192.0.2.1:/exports/volume-{len(entries):06}::/var/lib/mounts/volume-{len(entries):06}")
    return f"isilon={','.join(entries)}"


@pytest.mark.parametrize("size", [100_000, 256 * 1024, 1_000_000])
def test_a_mount_table_of_any_sane_length_is_taken(open_gateway: LiveGateway, size: int) -> None:
    headers = {"Libstorage-Localdevices": mount_table(size), "Libstorage-Instanceid": "vfs=node-a"}
    with httpx.Client(base_url=open_gateway.addresses["libstorage"], trust_env=False, headers=headers) as door:
        assert door.get("/volumes/memory?attachments=15").json() == {}
        # The next request on the same connection is taken as well.
        assert door.get("/services/memory?instance").json()["instance"]["instanceID"]["id"] == "node-a"


def sent(url: str, head: bytes) -> bytes:
    host, _, port = url.removeprefix("http://").rpartition(":")
    answer = b""
    with socket.create_connection((host, int(port)), 30) as client:
        with suppress(ConnectionError):  # it has heard enough
            client.sendall(head)
        with suppress(ConnectionError):
            while part := client.recv(65536):
                answer += part
    return answer


def test_one_that_is_longer_is_refused_in_the_dialects_form(open_gateway: LiveGateway) -> None:
    url = open_gateway.addresses["libstorage"]
    long = b"GET /services HTTP/1.1\r\nHost: x\r\nLibstorage-Localdevices: vfs=" + b"x" * (1024 * 1024)
    head, _, body = sent(url, long).partition(b"\r\n\r\n")
    assert head.split(b" ")[1] == b"400"
    assert b"Libstorage-Servername: gateway" in head
    assert json.loads(body)["message"] == "A line of the request's head is too long"


def test_many_long_ones_are_refused_together(open_gateway: LiveGateway) -> None:
    url = open_gateway.addresses["libstorage"]
    many = b"GET /services HTTP/1.1\r\nHost: x\r\n" + b"".join(
        b"X-%d: %s\r\n" % (number, b"x" * 500_000) for number in range(8)
    )
    answer = sent(url, many)
    assert answer.startswith(b"HTTP/1.1 400") or answer == b"", answer[:200]
    assert httpx.get(f"{url}/services", trust_env=False).status_code == 200


def test_other_doors_take_what_they_took(open_gateway: LiveGateway) -> None:
    headers = {"X-Long": "x" * 70_000}
    assert httpx.get(f"{open_gateway.url}/api/cluster", trust_env=False, headers=headers).status_code == 400
