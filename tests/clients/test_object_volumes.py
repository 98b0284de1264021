"""Volumes of objects in a real store, through a gateway: by ONTAP's words, the native door and the command line."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest
from click.testing import CliRunner, Result

from gateway.cli import main
from gateway.client import Client, ClientError, native
from gateway.testing.live import ACCOUNT, PASSWORD, LiveGateway, live_gateway
from gateway.testing.object_store import S3Server, fresh_options

pytestmark = pytest.mark.root

Run = Callable[..., Result]


@pytest.fixture
def gateway(tmp_path: Path, ceph: S3Server) -> Iterator[LiveGateway]:
    keys = tmp_path / "keys.toml"
    keys.write_text(f'access_key = "{ceph.access}"\nsecret_key = "{ceph.secret}"\n')
    options = fresh_options(ceph)
    pool = (
        f'[backend.archive]\ndriver = "s3"\nendpoint = "{ceph.url}"\nbucket = "{options.bucket}"\n'
        f'prefix = "{options.prefix}"\ncredentials = "file:{keys}"\n'
    )
    with live_gateway(tmp_path / "gw", tls=True, pools=pool) as gateway:
        yield gateway


@pytest.fixture
def run(gateway: LiveGateway) -> Run:
    environment = {
        "GATEWAY_URL": gateway.url,
        "GATEWAY_USER": ACCOUNT,
        "GATEWAY_PASSWORD": PASSWORD,
        "GATEWAY_CA": str(gateway.folder / "cert.pem"),
    }
    return lambda *arguments: CliRunner().invoke(main, arguments, env=environment)


def shown(result: Result) -> Any:
    assert result.exit_code == 0, result.output
    return json.loads(result.stdout)


def ask(signed: dict[str, Any], body: bytes | None = None) -> httpx.Response:
    return httpx.request(signed["method"], signed["url"], headers=signed["headers"], content=body, trust_env=False)


def test_objects_from_birth_to_death(run: Run, gateway: LiveGateway) -> None:
    made = shown(run("volume", "create", "photos", "--size", "1G", "--pool", "archive", "--json"))
    assert (made["size"], made["state"], made["nas"]["path"]) == (1 << 30, "online", "")
    put = shown(run("volume", "url", "photos", "2026/a.jpg", "--put", "--content-type", "image/jpeg", "--json"))
    assert ask(put, b"first").is_success
    shown(run("snapshot", "create", "photos", "s1", "--json"))
    assert ask(put, b"second").is_success
    assert ask(shown(run("volume", "url", "photos", "2026/a.jpg", "--json"))).content == b"second"
    plain = run("volume", "url", "photos", "2026/a.jpg").stdout.strip()
    assert httpx.get(plain, trust_env=False).content == b"second"
    old = shown(run("volume", "url", "photos", "2026/a.jpg", "--snapshot", "s1", "--json"))
    assert ask(old).content == b"first"
    assert [each["key"] for each in shown(run("volume", "objects", "photos", "--json"))] == ["2026/a.jpg"]
    (handle,) = shown(run("volume", "access", "photos", "--json"))
    assert (handle["type"], handle["partial"]) == ("objects", False)
    shown(run("clone", "create", "copy", "--from", "photos", "--snapshot", "s1", "--json"))
    assert ask(shown(run("volume", "url", "copy", "2026/a.jpg", "--json"))).content == b"first"
    assert ask(shown(run("volume", "url", "copy", "2026/a.jpg", "--delete", "--json"))).is_success
    assert shown(run("volume", "objects", "copy", "--json")) == []
    shown(run("volume", "restore", "photos", "s1", "--json"))
    assert ask(shown(run("volume", "url", "photos", "2026/a.jpg", "--json"))).content == b"first"
    for name in ("copy", "photos"):
        assert run("volume", "delete", name).exit_code == 0


def test_the_native_door_signs_for_who_may_and_what_can_be(gateway: LiveGateway, run: Run) -> None:
    shown(run("volume", "create", "photos", "--size", "1G", "--pool", "archive", "--json"))
    with Client(gateway.url, user=ACCOUNT, password=PASSWORD, verify=gateway.folder / "cert.pem") as client:
        volume = client.run(native.volume_named("photos", tenant="svm1"))
        assert volume is not None
        assert volume.kind == "objects"
        for number in range(5):
            signed = client.run(native.sign(volume.id, native.Signing(action="put", key=f"k{number}", size=1)))
            assert "Signature" not in repr(signed)
            assert httpx.put(signed.url, headers=dict(signed.headers), content=b"x", trust_env=False).is_success
        assert [each.key for each in client.each(native.objects(volume.id, prefix="k"))] == [f"k{n}" for n in range(5)]
        for wanted, code in (
            (native.Signing(action="get", key="x/../y"), "InvalidArgument"),
            (native.Signing(action="put", key="k", expires_s=700_000), "LimitExceeded"),
            (native.Signing(action="fetch", key="k"), "InvalidArgument"),
            (native.Signing(action="put", key=".gateway/tree"), "InvalidArgument"),
            (native.Signing(action="get", key="k", snapshot="00000000-0000-4000-8000-000000000000"), "NotFound"),
        ):
            with pytest.raises(ClientError) as refused:
                client.run(native.sign(volume.id, wanted))
            assert refused.value.code == code
        refusal = run("volume", "create", "nas", "--size", "1G", "--pool", "archive", "--path", "/nas")
        assert (refusal.exit_code, "nas.path" in refusal.output) == (1, True)
        body = {
            "name": "thick",
            "svm.name": "svm1",
            "aggregates": [{"name": "archive"}],
            "guarantee.type": "volume",
        }
        answer = httpx.post(
            f"{gateway.url}/api/storage/volumes", json=body, auth=(ACCOUNT, PASSWORD), verify=False, trust_env=False
        )
        assert (answer.status_code, answer.json()["error"]["target"]) == (400, "guarantee.type")
        assert run("volume", "offline", "photos").exit_code == 0
        with pytest.raises(ClientError, match="offline"):
            client.run(native.sign(volume.id, native.Signing(action="get", key="k0")))
