from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import httpx
import pytest
from oslo_config import cfg

from gateway.client import ClientError, pools
from gateway.core.model import utc_now
from gateway.embedded import gateway_in_thread
from gateway.frontends.openstack.connection import OptionError, connect
from gateway.frontends.openstack.options import CINDER, CINDER_DRIVER, MANILA, MANILA_DRIVER, list_cinder, list_manila
from gateway.server.certificate import write_self_signed
from gateway.server.passwords import hash_password

ACCOUNT = {"gateway_url": "https://gateway.example:8443", "gateway_user": "cinder", "gateway_password": "hunter2"}


class Options:
    """A backend's options as the services hand them out: `safe_get` over a group of oslo.config."""

    def __init__(self, folder: Path, values: Mapping[str, object]) -> None:
        file = folder / "service.conf"
        file.write_text("[backend]\n" + "".join(f"{name} = {value}\n" for name, value in values.items()))
        self._conf = cfg.ConfigOpts()
        self._conf.register_opts(CINDER, "backend")
        self._conf(["--config-file", str(file)], project="service")

    def safe_get(self, name: str) -> object:
        try:
            return self._conf.backend[name]
        except cfg.NoSuchOptError:
            return None


def asked(folder: Path, environment: Mapping[str, str] = {}, **values: object) -> httpx.Request:
    """Give the request that a client made of these options sends."""
    requests: list[httpx.Request] = []

    def answer(request: httpx.Request) -> httpx.Response:
        requests.append(request)
        return httpx.Response(200, json={"records": []})

    transport = httpx.MockTransport(answer)
    with connect(Options(folder, {**ACCOUNT, **values}), environment=environment, transport=transport) as client:
        assert list(client.each(pools.every())) == []
    return requests[0]


def refused(folder: Path, environment: Mapping[str, str] = {}, **values: object) -> str:
    with pytest.raises(OptionError) as caught:
        connect(Options(folder, {**ACCOUNT, **values}), environment=environment)
    assert "hunter2" not in str(caught.value)
    assert str(caught.value) == f"{caught.value.option}: {caught.value.reason}"
    return str(caught.value)


def authorization(user: str, password: str) -> str:
    return next(httpx.BasicAuth(user, password).auth_flow(httpx.Request("GET", "http://x"))).headers["Authorization"]


def test_a_client_of_the_gateway_that_is_named(tmp_path: Path) -> None:
    request = asked(tmp_path, gateway_timeout_s=7)
    assert (request.url.host, request.url.port) == ("gateway.example", 8443)
    assert request.headers["Authorization"] == authorization("cinder", "hunter2")
    assert request.extensions["timeout"]["read"] == 7


@pytest.mark.parametrize("text", ["päss wörd\n", "päss wörd", "päss wörd\r\n"])
def test_the_password_is_in_a_file(tmp_path: Path, text: str) -> None:
    path = tmp_path / "password"
    path.write_bytes(text.encode())
    request = asked(tmp_path, gateway_password="", gateway_password_file=path)
    assert request.headers["Authorization"] == authorization("cinder", "päss wörd")


def test_the_password_is_in_the_environment(tmp_path: Path) -> None:
    request = asked(tmp_path, {"SECRET": "from there"}, gateway_password="", gateway_password_env="SECRET")
    assert request.headers["Authorization"] == authorization("cinder", "from there")


def test_a_dollar_in_a_password_is_written_twice(tmp_path: Path) -> None:
    request = asked(tmp_path, gateway_password="a$$b")
    assert request.headers["Authorization"] == authorization("cinder", "a$b")
    assert "set is none (a '$' is written '$$')" in refused(tmp_path, gateway_password="a$hunter2")
    assert refused(tmp_path, gateway_password="a$backend").startswith("gateway_password: a '$' in it names")


@pytest.mark.parametrize("url", ["http://127.0.0.1:8080", "http://[::1]:8080", "http://localhost:8080/"])
def test_this_host_may_be_asked_without_encryption(tmp_path: Path, url: str) -> None:
    assert asked(tmp_path, gateway_url=url).url.scheme == "http"


def test_any_host_may_be_asked_without_encryption_by_who_says_so(tmp_path: Path) -> None:
    assert asked(tmp_path, gateway_url="http://gateway.example", gateway_insecure=True).url.host == "gateway.example"


@pytest.mark.parametrize(
    ("values", "wrong"),
    [
        ({"gateway_url": ""}, "gateway_url: is not set"),
        ({"gateway_url": "gateway.example"}, "is no address such as https://gateway.example:8443"),
        ({"gateway_url": "ftp://gateway.example"}, "is no address such as"),
        ({"gateway_url": "https://:8443"}, "is no address such as"),
        ({"gateway_url": "https://a:99999"}, "gateway_url: is no address"),
        ({"gateway_url": "https://[::1"}, "gateway_url: is no address"),
        ({"gateway_url": "https://a/api"}, "an address ends after host and port"),
        ({"gateway_url": "https://u:hunter2@a"}, "gateway_url: the account has options of its own"),
        ({"gateway_url": "http://gateway.example"}, "gateway_url: http:// would send the password"),
        ({"gateway_user": ""}, "gateway_user: is not set"),
        ({"gateway_user": "a:b"}, "gateway_user: an account has no ':'"),
        ({"gateway_password": ""}, "gateway_password: one of gateway_password, gateway_password_file"),
        ({"gateway_password_env": "X"}, "set is gateway_password and gateway_password_env"),
        ({"gateway_password": "", "gateway_password_env": "X"}, "no variable 'X', or an empty one"),
        ({"gateway_password": "", "gateway_password_file": "/absent"}, "/absent cannot be read: No such file"),
        ({"gateway_password": "", "gateway_password_file": "/dev/null"}, "gateway_password_file: /dev/null is empty"),
        ({"gateway_ca": "/absent"}, "gateway_ca: /absent cannot be used as certificate"),
        ({"gateway_ca": "/dev/null"}, "gateway_ca: /dev/null cannot be used as certificate"),
        ({"gateway_ca": "/absent", "gateway_insecure": True}, "gateway_insecure: trusts any certificate"),
        ({"gateway_insecure": "perhaps"}, "gateway_insecure: Value for option gateway_insecure"),
        ({"gateway_timeout_s": 0}, "greater than or equal to 1"),
    ],
)
def test_an_option_that_cannot_be_used_is_named(tmp_path: Path, values: dict[str, object], wrong: str) -> None:
    assert wrong in refused(tmp_path, **values)


def test_a_password_file_that_is_no_text(tmp_path: Path) -> None:
    path = tmp_path / "password"
    path.write_bytes(b"\xff")
    assert refused(tmp_path, gateway_password="", gateway_password_file=path).endswith("is not UTF-8")


def test_certificates_are_verified(tmp_path: Path) -> None:
    certificate, key = tmp_path / "cert.pem", tmp_path / "key.pem"
    write_self_signed(certificate=certificate, key=key, names=(), now=utc_now(), overwrite=True)
    (tmp_path / "accounts.toml").write_text(
        f'[account.cinder]\npassword = "{hash_password("hunter2", n=1 << 10)}"\nrole = "admin"\n'
    )
    table = {
        "listen": "127.0.0.1:0",
        "data_dir": str(tmp_path / "data"),
        "accounts": str(tmp_path / "accounts.toml"),
        "tls": {"certificate": str(certificate), "key": str(key)},
        "backend": {"memory": {}},
    }

    def found(**values: object) -> list[str]:
        with connect(Options(tmp_path, {**ACCOUNT, **values})) as client:
            return [pool.name for pool in client.each(pools.every())]

    with gateway_in_thread(table) as doors:
        url = doors.addresses["ontap"]
        assert found(gateway_url=url, gateway_ca=certificate) == ["memory"]
        assert found(gateway_url=url, gateway_insecure=True) == ["memory"]
        with pytest.raises(ClientError, match="certificate verify failed") as caught:
            found(gateway_url=url)
    assert "hunter2" not in str(caught.value)


def test_options_have_names_and_help_of_their_own() -> None:
    for options in (CINDER, MANILA):
        names = [option.name for option in options]
        assert len(set(names)) == len(names)
        for option in options:
            assert option.name.startswith("gateway_")
            assert option.help is not None
            assert option.help.endswith(".")
            assert option.secret == (option.name == "gateway_password")


def test_the_stanza_of_a_sample_begins_with_the_driver() -> None:
    [(group, options)] = list_cinder()
    assert (group.name, options[0].sample_default) == ("gateway", CINDER_DRIVER)
    [(group, options)] = list_manila()
    assert (group.name, options[0].sample_default) == ("gateway", MANILA_DRIVER)
