"""What the configuration says of peers, and the certificate that is made for them."""

from __future__ import annotations

from pathlib import Path

import msgspec
import pytest
from cryptography import x509
from cryptography.x509.oid import ExtendedKeyUsageOID

from gateway.config import ConfigError, PeerSettings, Settings, load_table
from gateway.peering.contexts import Identity, listening
from gateway.server.peering import check_peering, identity_of, told_address

POOL = {"backend": {"memory": {}}}


class NoOptions(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    pass


def read(tmp_path: Path, **peer: str) -> Settings:
    table = {**POOL, "peer": peer}
    return load_table(table, {}, base=tmp_path, drivers={"memory": NoOptions}, exporters={})


def test_a_certificate_is_made_once_below_data_dir(tmp_path: Path) -> None:
    settings = read(tmp_path, listen="127.0.0.1:0")
    check_peering(settings)
    made = identity_of(settings.peer)
    assert made == Identity(
        certificate=tmp_path / "data" / "peer" / "cert.pem", key=tmp_path / "data" / "peer" / "key.pem"
    )
    assert made.key.stat().st_mode & 0o777 == 0o600
    before = made.pem()
    assert identity_of(settings.peer).pem() == before
    check_peering(settings)
    usage = x509.load_pem_x509_certificate(before.encode()).extensions.get_extension_for_class(x509.ExtendedKeyUsage)
    assert list(usage.value) == [ExtendedKeyUsageOID.SERVER_AUTH, ExtendedKeyUsageOID.CLIENT_AUTH]
    listening(made)


def test_others_can_be_named(tmp_path: Path) -> None:
    settings = read(tmp_path, listen="127.0.0.1:0", certificate="a.pem", key="b.pem")
    assert (settings.peer.certificate, settings.peer.key) == (tmp_path / "a.pem", tmp_path / "b.pem")
    (tmp_path / "a.pem").write_text("nothing")
    for refused in (identity_of, lambda _peer: check_peering(settings)):
        with pytest.raises(ConfigError, match="come together"):
            refused(settings.peer)
    (tmp_path / "b.pem").write_text("nothing")
    with pytest.raises(ConfigError, match="cannot be used"):
        check_peering(settings)


def test_where_it_cannot_be_made(tmp_path: Path) -> None:
    (tmp_path / "data").write_text("a file")
    with pytest.raises(ConfigError, match="cannot be made"):
        identity_of(read(tmp_path, listen="127.0.0.1:0").peer)


@pytest.mark.parametrize("peer", [{"listen": "nowhere"}, {"listen": "127.0.0.1:0", "key": "b.pem"}])
def test_what_cannot_be(tmp_path: Path, peer: dict[str, str]) -> None:
    with pytest.raises(ConfigError, match="peer"):
        read(tmp_path, **peer)


@pytest.mark.parametrize(
    ("settings", "listening_at", "told"),
    [
        (PeerSettings(listen="127.0.0.1:0"), "127.0.0.1:5000", "127.0.0.1:5000"),
        (PeerSettings(listen="0.0.0.0:0"), "0.0.0.0:5000", ":5000"),
        (PeerSettings(listen="[::]:0"), "[::]:5000", ":5000"),
        (PeerSettings(listen="0.0.0.0:0", address="gw.example"), "0.0.0.0:5000", "gw.example:5000"),
        (PeerSettings(listen="[::1]:0"), "[::1]:5000", "[::1]:5000"),
    ],
)
def test_what_peers_are_told(settings: PeerSettings, listening_at: str, told: str) -> None:
    assert told_address(settings, listening_at) == told
