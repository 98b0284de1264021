"""Accounts that a client's certificate lets in."""

from __future__ import annotations

import ssl
from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import httpx
import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat
from cryptography.x509.oid import NameOID
from security_scene import GOOD, ROOT, Scene, file_account, security_scene

from gateway.config import ClientCertificate, TlsSettings
from gateway.server.tls import Certificate

DAY = timedelta(days=1)


class Authority:
    """Signs certificates of clients."""

    def __init__(self, folder: Path, name: str = "clients") -> None:
        self._folder = folder
        self._key = ec.generate_private_key(ec.SECP256R1())
        self._name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])
        self.path = folder / f"{name}.pem"
        constraints = x509.BasicConstraints(ca=True, path_length=None)
        made = self._builder(self._name, self._key).add_extension(constraints, critical=True)
        self.path.write_bytes(made.sign(self._key, hashes.SHA256()).public_bytes(Encoding.PEM))

    def client(self, *names: str) -> tuple[str, str]:
        """Give certificate and key of a client with these common names."""
        key = ec.generate_private_key(ec.SECP256R1())
        subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name) for name in names])
        made = self._builder(subject, key).sign(self._key, hashes.SHA256())
        stem = self._folder / f"{self.path.stem}-{'-'.join(names)}"
        certificate, secret = stem.with_suffix(".crt"), stem.with_suffix(".key")
        certificate.write_bytes(made.public_bytes(Encoding.PEM))
        secret.write_bytes(key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()))
        return str(certificate), str(secret)

    def _builder(self, subject: x509.Name, key: ec.EllipticCurvePrivateKey) -> x509.CertificateBuilder:
        now = datetime.now(UTC)
        return (
            x509.CertificateBuilder()
            .subject_name(subject)
            .issuer_name(self._name)
            .public_key(key.public_key())
            .serial_number(x509.random_serial_number())
            .not_valid_before(now - DAY)
            .not_valid_after(now + DAY)
        )


@pytest.fixture
def authority(tmp_path: Path) -> Authority:
    return Authority(tmp_path)


@pytest.fixture
async def it(tmp_path: Path, authority: Authority) -> AsyncIterator[Scene]:
    certificate, key = Authority(tmp_path, "servers").client("localhost")
    settings = TlsSettings(
        certificate=Path(certificate),
        key=Path(key),
        client_ca=authority.path,
        client_certificate=ClientCertificate.OPTIONAL,
    )
    more = f'{file_account("cert", "admin")}certificate = true\n[account.only]\nrole = "readonly"\ncertificate = true\n'
    async with security_scene(tmp_path, more=more, tls=Certificate(settings).asking_context()) as scene:
        yield scene


async def ask(it: Scene, client: tuple[str, str] | None, auth: tuple[str, str] | None = None) -> tuple[int, str]:
    context = ssl.create_default_context()
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    if client is not None:
        context.load_cert_chain(*client)
    async with httpx.AsyncClient(verify=context, trust_env=False, timeout=60) as caller:
        answer = await caller.get(f"{it.url}/api/cluster", auth=auth or httpx.USE_CLIENT_DEFAULT)
    return answer.status_code, answer.json().get("error", {}).get("code", "")


async def test_a_certificate_lets_the_account_of_its_name_in(it: Scene, authority: Authority) -> None:
    refused = (401, "6691623")
    assert (await ask(it, authority.client("cert")))[0] == 200
    assert (await ask(it, authority.client("only")))[0] == 200
    # an account that is not for certificates, none at all, several names, no name
    for names in (("root",), ("nobody",), ("cert", "root"), ("root", "cert"), ("CERT",), ("cert ",), ("ce\nrt",)):
        assert await ask(it, authority.client(*names)) == refused, names
    assert await ask(it, None) == refused
    assert (await ask(it, None, ROOT))[0] == 200
    assert (await ask(it, None, ("only", "")))[0] == 401
    assert (await ask(it, None, ("only", "anything")))[0] == 401


async def test_a_header_decides(it: Scene, authority: Authority) -> None:
    cert = authority.client("cert")
    assert await ask(it, cert, ("root", "wrong")) == (401, "6691623")
    assert (await ask(it, authority.client("nobody"), ROOT))[0] == 200


async def test_certificates_of_others_do_not_count(it: Scene, tmp_path: Path) -> None:
    (tmp_path / "evil").mkdir()
    forged = Authority(tmp_path / "evil").client("cert")
    with pytest.raises(httpx.HTTPError):
        await ask(it, forged)


async def test_an_account_of_the_catalog_by_certificate(it: Scene, authority: Authority) -> None:
    http = {"application": "http", "authentication_methods": ["certificate"]}
    accounts = "/api/security/accounts"
    body = {"name": "robot", "role.name": "readonly", "applications": [http]}
    assert (await it.ask(ROOT, "POST", accounts, body))[0] == 201
    robot = authority.client("robot")
    assert (await ask(it, robot))[0] == 200
    shown = (await it.get(f"{accounts}?name=robot&fields=locked,applications"))["records"][0]
    assert "locked" not in shown
    assert shown["applications"][0]["authentication_methods"] == ["certificate"]
    at = shown["_links"]["self"]["href"]
    assert await it.ask(ROOT, "PATCH", at, {"locked": True}) == (400, "5636096")
    assert await it.ask(ROOT, "PATCH", at, {"password": GOOD}) == (200, "")
    assert (await ask(it, None, ("robot", GOOD)))[0] == 401  # it is not for passwords
    assert await it.ask(ROOT, "PATCH", at, {"locked": True}) == (200, "")
    assert (await ask(it, robot))[0] == 401
    both = [{**http, "authentication_methods": ["certificate", "password"]}]
    assert await it.ask(ROOT, "PATCH", at, {"locked": False, "applications": both}) == (200, "")
    assert (await ask(it, None, ("robot", GOOD)))[0] == 200
    assert (await ask(it, robot))[0] == 200
    assert await it.ask(ROOT, "DELETE", at) == (200, "")
    assert (await ask(it, robot))[0] == 401


def test_other_listeners_ask_for_a_certificate_all_the_same(tmp_path: Path, authority: Authority) -> None:
    certificate, key = authority.client("server")
    settings = TlsSettings(
        certificate=Path(certificate),
        key=Path(key),
        client_ca=authority.path,
        client_certificate=ClientCertificate.OPTIONAL,
    )
    found = Certificate(settings)
    asking, strict = found.asking_context(), found.context()
    for _ in range(2):
        assert (asking.verify_mode, strict.verify_mode) == (ssl.CERT_OPTIONAL, ssl.CERT_REQUIRED)
        found.reload()
    required = Certificate(TlsSettings(certificate=Path(certificate), key=Path(key), client_ca=authority.path))
    assert required.asking_context() is required.context()


def test_a_certificate_that_may_be_left_out_needs_an_authority() -> None:
    with pytest.raises(ValueError, match="client_ca"):
        TlsSettings(client_certificate=ClientCertificate.OPTIONAL)
