from __future__ import annotations

import hashlib
import ipaddress
import re
import ssl
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec

from gateway.config import ConfigError, TlsSettings
from gateway.server.certificate import write_private, write_self_signed
from gateway.server.tls import Certificate, fingerprint, load_context, server_context


def make(folder: Path, *names: str, overwrite: bool = False) -> TlsSettings:
    settings = TlsSettings(certificate=folder / "tls/cert.pem", key=folder / "tls/key.pem")
    write_self_signed(
        certificate=settings.certificate, key=settings.key, names=names, now=datetime.now(UTC), overwrite=overwrite
    )
    return settings


def handshake(server: ssl.SSLContext, client: ssl.SSLContext, name: str) -> bytes:
    """Run a TLS handshake in memory; give the certificate that the client saw."""
    to_server, to_client = ssl.MemoryBIO(), ssl.MemoryBIO()
    near = client.wrap_bio(to_client, to_server, server_hostname=name)
    far = server.wrap_bio(to_server, to_client, server_side=True)
    open_ends = [near, far]
    for _ in range(10):
        for end in list(open_ends):
            try:
                end.do_handshake()
            except ssl.SSLWantReadError:
                continue
            open_ends.remove(end)
        if not open_ends:
            seen = near.getpeercert(binary_form=True)
            assert seen is not None
            return seen
    raise AssertionError("no end of the handshake")


def trusting(settings: TlsSettings) -> ssl.SSLContext:
    context = ssl.create_default_context(cafile=settings.certificate)
    context.verify_flags |= ssl.VERIFY_X509_STRICT
    return context


def test_the_fingerprint_is_found_whatever_else_is_in_the_file(tmp_path: Path) -> None:
    settings = make(tmp_path)
    plain = fingerprint(settings)
    settings.certificate.write_text(f"Schlüssel für alle\n{settings.certificate.read_text()}", encoding="utf-8")
    server_context(settings)
    assert fingerprint(settings) == plain


def test_the_certificate_says_what_it_should(tmp_path: Path) -> None:
    settings = make(tmp_path, "storage.example", "192.0.2.7", "0.0.0.0", "localhost", "", "x" * 300)
    certificate = x509.load_pem_x509_certificate(settings.certificate.read_bytes())
    names = certificate.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    assert names.get_values_for_type(x509.DNSName) == ["localhost", "storage.example"]
    addresses = [ipaddress.ip_address(text) for text in ("127.0.0.1", "::1", "192.0.2.7")]
    assert names.get_values_for_type(x509.IPAddress) == addresses
    key = certificate.public_key()
    assert isinstance(key, ec.EllipticCurvePublicKey)
    assert isinstance(key.curve, ec.SECP256R1)
    assert certificate.not_valid_after_utc - datetime.now(UTC) > timedelta(days=3650)
    assert settings.key.stat().st_mode & 0o777 == 0o600
    assert settings.certificate.stat().st_mode & 0o777 == 0o644
    assert sorted(path.name for path in settings.key.parent.iterdir()) == ["cert.pem", "key.pem"]


@pytest.mark.parametrize("name", ["localhost", "127.0.0.1", "::1", "storage.example"])
def test_a_client_that_trusts_the_certificate_connects(tmp_path: Path, name: str) -> None:
    settings = make(tmp_path, "storage.example")
    handshake(server_context(settings), trusting(settings), name)


def test_another_name_and_another_certificate_are_refused(tmp_path: Path) -> None:
    settings, other = make(tmp_path / "a"), make(tmp_path / "b")
    with pytest.raises(ssl.SSLCertVerificationError, match="mismatch"):
        handshake(server_context(settings), trusting(settings), "elsewhere.example")
    with pytest.raises(ssl.SSLCertVerificationError):
        handshake(server_context(settings), trusting(other), "localhost")


def test_old_protocols_are_refused(tmp_path: Path) -> None:
    assert server_context(make(tmp_path)).minimum_version is ssl.TLSVersion.TLSv1_2


def test_a_reload_serves_the_new_certificate(tmp_path: Path) -> None:
    settings = make(tmp_path)
    context = server_context(settings)
    before = handshake(context, trusting(settings), "localhost")
    make(tmp_path, overwrite=True)
    load_context(context, settings)
    assert handshake(context, trusting(settings), "localhost") != before


@pytest.mark.parametrize("broken", ["certificate", "key"])
def test_a_failed_reload_keeps_the_old_certificate(tmp_path: Path, broken: str) -> None:
    settings = make(tmp_path)
    context, client = server_context(settings), trusting(settings)
    getattr(settings, broken).write_bytes(b"rubbish")
    with pytest.raises(ConfigError):
        load_context(context, settings)
    handshake(context, client, "localhost")


def test_clients_must_show_a_certificate_when_an_authority_is_set(tmp_path: Path) -> None:
    own = make(tmp_path / "a")
    server = server_context(TlsSettings(certificate=own.certificate, key=own.key, client_ca=own.certificate))
    assert server.verify_mode is ssl.CERT_REQUIRED


def test_nothing_is_overwritten_unasked(tmp_path: Path) -> None:
    settings = make(tmp_path)
    before = settings.certificate.read_bytes(), settings.key.read_bytes()
    with pytest.raises(FileExistsError):
        make(tmp_path)
    assert (settings.certificate.read_bytes(), settings.key.read_bytes()) == before
    settings.certificate.unlink()
    with pytest.raises(FileExistsError):
        make(tmp_path)
    assert not settings.certificate.exists()


@pytest.mark.parametrize(
    ("broken", "content", "word"),
    [
        ("certificate", None, "cannot be read"),
        ("key", None, "cannot be read"),
        ("certificate", b"", "cannot be used"),
        ("key", b"not pem", "cannot be used"),
        ("client_ca", None, "cannot be read"),
        ("client_ca", b"not pem", "is no certificate"),
    ],
)
def test_files_that_cannot_be_used(tmp_path: Path, broken: str, content: bytes | None, word: str) -> None:
    made = make(tmp_path)
    settings = TlsSettings(certificate=made.certificate, key=made.key, client_ca=tmp_path / "ca.pem")
    settings.client_ca.write_bytes(made.certificate.read_bytes()) if settings.client_ca else None
    path = getattr(settings, broken)
    if content is None:
        path.unlink()
    else:
        path.write_bytes(content)
    with pytest.raises(ConfigError, match=word):
        server_context(settings)


def test_key_of_another_certificate(tmp_path: Path) -> None:
    one, other = make(tmp_path / "a"), make(tmp_path / "b")
    with pytest.raises(ConfigError, match="KEY_VALUES_MISMATCH"):
        server_context(TlsSettings(certificate=one.certificate, key=other.key))


def test_an_encrypted_key_is_an_error_and_not_a_question(tmp_path: Path) -> None:
    settings = make(tmp_path)
    key = serialization.load_pem_private_key(settings.key.read_bytes(), password=None)
    settings.key.write_bytes(
        key.private_bytes(
            serialization.Encoding.PEM,
            serialization.PrivateFormat.PKCS8,
            serialization.BestAvailableEncryption(b"secret"),
        )
    )
    with pytest.raises(ConfigError, match="encrypted"):
        server_context(settings)


def test_a_private_file_replaces_a_link_and_not_its_target(tmp_path: Path) -> None:
    target = tmp_path / "target"
    target.write_bytes(b"old")
    (tmp_path / "link").symlink_to(target)
    write_private(tmp_path / "link", b"new")
    assert target.read_bytes() == b"old"
    assert (tmp_path / "link").read_bytes() == b"new"


def test_one_context_serves_all_and_is_renewed_at_once(tmp_path: Path) -> None:
    settings = make(tmp_path)
    certificate = Certificate(settings)
    context = certificate.context()
    assert certificate.context() is context
    first = handshake(context, trusting(settings), "localhost")
    make(tmp_path, overwrite=True)
    certificate.reload()
    second = handshake(context, trusting(settings), "localhost")
    assert first != second
    assert hashlib.sha256(second).hexdigest().upper() == fingerprint(settings).replace(":", "")
    settings.key.write_text("nonsense")
    with pytest.raises(ConfigError):
        certificate.reload()
    assert handshake(context, trusting(settings), "localhost") == second


def test_what_nobody_uses_is_not_read(tmp_path: Path) -> None:
    missing = Certificate(TlsSettings(certificate=tmp_path / "none", key=tmp_path / "none"))
    missing.reload()
    with pytest.raises(ConfigError):
        missing.context()


def test_of_a_chain_the_first_one_is_pinned(tmp_path: Path) -> None:
    settings, other = make(tmp_path / "a"), make(tmp_path / "b")
    alone = fingerprint(settings)
    chain = f"a note\n{settings.certificate.read_text()}{other.certificate.read_text()}"
    settings.certificate.write_text(chain)
    assert fingerprint(settings) == alone
    assert re.fullmatch(r"(?:[0-9A-F]{2}:){31}[0-9A-F]{2}", alone)
