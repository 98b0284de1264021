"""The page about OpenStack, and what the tools of oslo.config make of the options."""

from __future__ import annotations

import json
import re
import subprocess
import sys
import tomllib
from collections.abc import Collection, Mapping, Sequence
from pathlib import Path
from typing import Any

import httpx
import msgspec
import pytest
import yaml
from oslo_config import cfg

from gateway.client import Client, native
from gateway.core.capability import FLAGS, OPERATIONS
from gateway.frontends.cinder_driver import stats as cinder_stats
from gateway.frontends.cinder_driver.site import Settings, Site
from gateway.frontends.manila_driver import stats as manila_stats
from gateway.frontends.openstack.options import CINDER, MANILA, list_cinder, list_manila
from gateway.testing.pages.openstack import SHARES, VOLUMES

PAGE = (Path(__file__).parents[2] / "docs/openstack.md").read_text()
BLOCKS: Sequence[tuple[str, str]] = re.findall(r"^```(\w+)\n(.*?)^```$", PAGE, re.MULTILINE | re.DOTALL)
STANZAS = [text for language, text in BLOCKS if language == "ini" and re.search(r"^\[gateway\]$", text, re.MULTILINE)]
FILES = [(language, text) for language, text in BLOCKS if "volume_driver" in text and language in {"toml", "yaml"}]


def service_of(text: str) -> tuple[str, Sequence[cfg.Opt], cfg.Opt]:
    """Give a service's name, the options of a stanza, and the one that lists stanzas."""
    if "volume_driver" in text:
        return "cinder", list_cinder()[0][1], cfg.ListOpt("enabled_backends")
    return "manila", list_manila()[0][1], cfg.ListOpt("enabled_share_backends")


def configured(folder: Path, text: str) -> tuple[cfg.ConfigOpts, Sequence[cfg.Opt]]:
    _, options, backends = service_of(text)
    file = folder / "service.conf"
    file.write_text(text)
    conf = cfg.ConfigOpts()
    conf.register_opts(options, "gateway")
    conf.register_opts([backends, cfg.ListOpt("enabled_share_protocols")])
    conf(["--config-file", str(file)], project="service")
    return conf, options


def tool(name: str, *arguments: object) -> subprocess.CompletedProcess[str]:
    program = Path(sys.executable).with_name(name)
    return subprocess.run([program, *map(str, arguments)], capture_output=True, text=True, check=False)


def test_there_are_stanzas_for_both_services() -> None:
    assert [service_of(text)[0] for text in STANZAS if "[DEFAULT]" in text] == ["cinder", "manila"]
    assert {language for language, _ in FILES} == {"toml", "yaml"}


@pytest.mark.parametrize("text", [text for text in STANZAS if "[DEFAULT]" in text])
def test_a_stanza_says_what_its_driver_understands(tmp_path: Path, text: str) -> None:
    conf, options = configured(tmp_path, text)
    said = re.findall(r"^(\w+) = ", text.partition("[gateway]")[2], re.MULTILINE)
    assert set(said) <= {option.name for option in options}
    assert all(conf.gateway[name] not in (None, "") for name in said)
    assert (conf.enabled_backends if "enabled_backends" in conf else conf.enabled_share_backends) == ["gateway"]


@pytest.mark.parametrize("text", [text for text in STANZAS if "[DEFAULT]" in text])
def test_the_validator_takes_a_stanza(tmp_path: Path, text: str) -> None:
    service, _, _ = service_of(text)
    stanza = "[gateway]" + text.partition("[gateway]")[2]
    file = tmp_path / "stanza.conf"
    for lines, status in ((stanza, 0), (f"{stanza}gateway_pool = misspelt\n", 1)):
        file.write_text(lines)
        done = tool("oslo-config-validator", "--namespace", f"gateway.{service}", "--input-file", file)
        assert done.returncode == status, done.stderr
        assert ("gateway/gateway_pool is not part of the sample config" in done.stderr) is (status == 1)


@pytest.mark.parametrize(("language", "text"), FILES)
def test_files_for_a_source_say_the_same_as_the_stanza(tmp_path: Path, language: str, text: str) -> None:
    (tmp_path / f"site.{language}").write_text(text)
    source = f"[DEFAULT]\nconfig_source = site\n[site]\ndriver = gateway\npath = {tmp_path}/site.{language}\n"
    (tmp_path / "volume_driver.conf").write_text(source)
    plain, _ = configured(tmp_path, STANZAS[0])
    conf = cfg.ConfigOpts()
    conf.register_opts(list_cinder()[0][1], "gateway")
    conf.register_opt(cfg.ListOpt("enabled_backends"))
    conf(["--config-file", str(tmp_path / "volume_driver.conf")], project="service")
    assert conf.enabled_backends == ["gateway"]
    for name in ("volume_driver", "volume_backend_name", "gateway_url", "gateway_user", "gateway_password_file"):
        assert conf.gateway[name] == plain.gateway[name]
    tables = yaml.safe_load(text) if language == "yaml" else tomllib.loads(text)
    assert set(tables["gateway"]) <= {option.name for option in list_cinder()[0][1]}


def test_devstack_is_told_options_that_there_are() -> None:
    [text] = [text for text in STANZAS if "localrc" in text]
    shares = {option.name for option in list_manila()[0][1]}
    assert set(re.findall(r"^MANILA_OPTGROUP_gateway_(\w+)=", text, re.MULTILINE)) <= shares
    volumes = {option.name for option in list_cinder()[0][1]}
    assert set(re.findall(r"^(\w+) = ", text, re.MULTILINE)) <= volumes


@pytest.mark.parametrize(("service", "options"), [("cinder", CINDER), ("manila", MANILA)])
def test_samples_name_every_option(tmp_path: Path, service: str, options: Sequence[cfg.Opt]) -> None:
    read: Mapping[str, object] = {
        "ini": lambda text: set(re.findall(r"^#(\w+) = ", text, re.MULTILINE)),
        "json": lambda text: {option["name"] for option in json.loads(text)["options"]["gateway"]["opts"]},
        "yaml": lambda text: {option["name"] for option in yaml.safe_load(text)["options"]["gateway"]["opts"]},
    }
    for form, names in read.items():
        file = tmp_path / f"sample.{form}"
        done = tool(
            "oslo-config-generator", "--namespace", f"gateway.{service}", "--format", form, "--output-file", file
        )
        assert done.returncode == 0, done.stderr
        assert {option.name for option in options} <= names(file.read_text())
    assert "sample_gateway_source" in tool("oslo-config-generator", "--namespace", "oslo.config").stdout


def pool_with(can: Collection[str]) -> native.Pool:
    able = native.Abilities(can=tuple(can), ways=("local", "iscsi"), addresses=("192.0.2.1",))
    return native.Pool(id="1", name="fast", driver="zfs", state="online", kinds={"block": able, "filesystem": able})


def told_to_cinder(can: Collection[str]) -> Mapping[str, Any]:
    content = msgspec.json.encode({"records": [pool_with(can)]})
    transport = httpx.MockTransport(lambda _: httpx.Response(200, content=content))
    with Client("http://127.0.0.1", transport=transport) as client:
        site = Site(client, native.Tenant(id="1", name="svm1"), Settings())
        [pool] = cinder_stats.stats(site, cinder_stats.Words(backend_name="gateway"))["pools"]
    return pool


def told_to_manila(can: Collection[str]) -> Mapping[str, Any]:
    [pool] = manila_stats.described([pool_with(can)], manila_stats.Reserve())
    thin = pool["thin_provisioning"]
    flags = thin if isinstance(thin, list) else [thin]
    return {**pool, "thin_provisioning` True": True in flags, "thin_provisioning` False": False in flags}


@pytest.mark.parametrize(
    ("told", "words", "needed"),
    [
        pytest.param(told, words.strip("`"), needed, id=words)
        for told, shown in ((told_to_cinder, VOLUMES), (told_to_manila, SHARES))
        for words, needed in shown.items()
        if words.startswith("`")
    ],
)
def test_tables_say_what_the_scheduler_is_told(told: Any, words: str, needed: Collection[str]) -> None:
    everything = {*OPERATIONS, *FLAGS}
    assert told(everything)[words] is True
    assert told(needed)[words] is True
    for name in needed:
        assert told(everything - {name})[words] is False
