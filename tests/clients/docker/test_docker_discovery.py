"""How a real Docker daemon finds the plugin on an address: by a file that comes and goes with the gateway."""

from __future__ import annotations

import json
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID
from docker_scene import Docker, docker_daemon, new_driver

from gateway.core.model import utc_now
from gateway.testing.live import LiveGateway

pytestmark = pytest.mark.root

CLIENT = "client certificate"
FOLDER = Path("/etc/docker/plugins")
"""Where every daemon looks; it cannot be told otherwise."""


@pytest.fixture(scope="module")
def fresh() -> Iterator[Docker]:
    """Give a daemon of its own: one goes on asking for every plugin that it once knew."""
    with docker_daemon() as docker:
        yield docker


def write_client(folder: Path) -> None:
    """Make a certificate for a client, its own authority."""
    private = ec.generate_private_key(ec.SECP256R1())
    who = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "docker")])
    signed = (
        x509.CertificateBuilder()
        .subject_name(who)
        .issuer_name(who)
        .public_key(private.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(utc_now() - timedelta(hours=1))
        .not_valid_after(utc_now() + timedelta(days=1))
        .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
        .sign(private, hashes.SHA256())
    )
    pem = serialization.Encoding.PEM
    (folder / "client.pem").write_bytes(signed.public_bytes(pem))
    (folder / "client-key.pem").write_bytes(
        private.private_bytes(pem, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
    )


@pytest.fixture(params=["plain", "tls", CLIENT])
def gateway(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[tuple[LiveGateway, str]]:
    """Give a gateway that listens on TCP, and the plugin's name."""
    driver = new_driver()
    tls = request.param != "plain"
    shown = 'client_certificate = "client.pem"\nclient_key = "client-key.pem"\n' if request.param == CLIENT else ""
    (tmp_path / "mnt").mkdir()
    gateway = LiveGateway(
        tmp_path,
        tls=tls,
        extra=f'[export.mounts]\npaths = ["{tmp_path}/mnt"]\n[frontend.docker]\nsocket = ""\nlisten = "127.0.0.1:0"\n'
        f'discovery = "{FOLDER}"\nname = "{driver}"\ntls = {str(tls).lower()}\n{shown}',
    )
    if shown:
        write_client(tmp_path)
        text = gateway.config.read_text()
        gateway.config.write_text(text.replace('key = "key.pem"\n', 'key = "key.pem"\nclient_ca = "client.pem"\n', 1))
    gateway.start()
    try:
        yield gateway, driver
    finally:
        gateway.kill()
        for path in FOLDER.glob(f"{driver}.*"):
            path.unlink()


def test_a_daemon_finds_the_plugin_by_its_file(fresh: Docker, gateway: tuple[LiveGateway, str]) -> None:
    running, driver = gateway
    (found,) = FOLDER.glob(f"{driver}.*")
    address = running.addresses["docker-tcp"]
    if found.suffix == ".spec":
        assert found.read_text() == f"{address.replace('http', 'tcp')}\n"
    else:
        told = json.loads(found.read_text())
        assert (told["Name"], told["Addr"]) == (driver, address)
    assert fresh("volume", "create", "--driver", driver, "--opt=size=1GiB", "far") == "far"
    (shown,) = json.loads(fresh("volume", "inspect", "far"))
    assert shown["Status"]["size"] == 1 << 30
    fresh("volume", "rm", "far")
    # What a gateway that was killed left is replaced, whatever it was.
    running.kill()
    assert found.exists()
    (FOLDER / f"{driver}.spec").write_text("tcp://127.0.0.1:1\n")
    running.start()
    (again,) = FOLDER.glob(f"{driver}.*")
    assert running.addresses["docker-tcp"].rpartition(":")[2].rstrip("/") in again.read_text()
    running.stop()
    assert not list(FOLDER.glob(f"*{driver}*"))


def test_a_file_that_somebody_else_wrote_stays(gateway: tuple[LiveGateway, str]) -> None:
    running, driver = gateway
    (found,) = FOLDER.glob(f"{driver}.*")
    found.write_text("tcp://127.0.0.1:1\n")
    running.stop()
    assert found.read_text() == "tcp://127.0.0.1:1\n"
