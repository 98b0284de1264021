"""TLS, certificates of clients, UNIX sockets, and addresses that the door does not open."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import grpc
import pytest
from openstorage_client import DOOR, official_client

from gateway.frontends.openstorage.pb import identity_pb2
from gateway.testing.live import LiveGateway, live_gateway

VERSION = "/openstorage.api.OpenStorageIdentity/Version"


def version(channel: grpc.Channel) -> str:
    call = channel.unary_unary(
        VERSION,
        request_serializer=identity_pb2.SdkIdentityVersionRequest.SerializeToString,
        response_deserializer=identity_pb2.SdkIdentityVersionResponse.FromString,
    )
    return str(call(identity_pb2.SdkIdentityVersionRequest(), timeout=20).sdk_version.version)


def test_the_official_client_comes_in_by_tls(tmp_path: Path, openstorage_python: Path) -> None:
    with live_gateway(tmp_path, extra=f"{DOOR}tls = true\n", tls=True) as gateway:
        target = gateway.addresses["openstorage"]
        assert target.startswith("grpcs://")
        assert gateway.addresses["openstorage-rest"].startswith("https://")
        with official_client(openstorage_python, target, ca=str(tmp_path / "cert.pem")) as client:
            assert client("Identity/Version")["sdk_version"]["version"] == "0.101.39"
        with grpc.insecure_channel(target.removeprefix("grpcs://")) as channel, pytest.raises(grpc.RpcError):
            version(channel)


@pytest.fixture
def demanding(tmp_path: Path) -> Iterator[LiveGateway]:
    """Give a gateway that lets in only those whose certificate its own has signed."""
    gateway = LiveGateway(tmp_path, extra=f"{DOOR}tls = true\n", tls=True)
    text = gateway.config.read_text()
    gateway.config.write_text(text.replace('key = "key.pem"\n', 'key = "key.pem"\nclient_ca = "cert.pem"\n'))
    gateway.start()
    try:
        yield gateway
    finally:
        gateway.stop()


def test_clients_show_a_certificate_where_one_is_asked_for(demanding: LiveGateway) -> None:
    target = demanding.addresses["openstorage"].removeprefix("grpcs://")
    certificate, key = (demanding.folder / "cert.pem").read_bytes(), (demanding.folder / "key.pem").read_bytes()
    with grpc.secure_channel(target, grpc.ssl_channel_credentials(certificate, key, certificate)) as channel:
        assert version(channel) == "0.101.39"
    with (
        grpc.secure_channel(target, grpc.ssl_channel_credentials(certificate)) as channel,
        pytest.raises(grpc.RpcError) as caught,
    ):
        version(channel)
    assert caught.value.code() is grpc.StatusCode.UNAVAILABLE


def test_the_official_client_comes_in_by_a_unix_socket(
    tmp_path_factory: pytest.TempPathFactory, openstorage_python: Path
) -> None:
    folder = tmp_path_factory.mktemp("s")
    with live_gateway(folder / "gateway", extra=f'{DOOR}sockets = "{folder}"\ndriver = "mine"\n'):
        with official_client(openstorage_python, f"unix:{folder}/driver/mine-sdk.sock") as client:
            assert client("Identity/Version")["sdk_version"]["version"] == "0.101.39"
        assert (folder / "cluster/osd.sock").is_socket()
    assert not (folder / "cluster/osd.sock").exists()


@pytest.mark.parametrize(
    ("options", "word"),
    [
        ('grpc = "0.0.0.0:0"\n', "no [auth.issuer.NAME]"),
        ('grpc = "0.0.0.0:0"\nanonymous = true\n', "tls is off"),
        ('grpc = "nowhere"\n', "is not HOST:PORT"),
    ],
)
def test_an_address_that_others_could_reach_is_not_opened_for_everybody(
    tmp_path: Path, options: str, word: str
) -> None:
    gateway = LiveGateway(tmp_path, extra=f"[frontend.openstorage]\n{options}", faults=False)
    with pytest.raises(RuntimeError) as caught:
        gateway.start()
    assert word in str(caught.value)
