"""The drivers' options, and configuration files of other formats, in Cinder and Manila as they are installed."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

BIN = Path(sys.executable).parent
TOML = """
[DEFAULT]
enabled_backends = ["gateway"]
enabled_share_backends = ["gateway"]
debug = true
backup_compression_algorithm = "zlib"

[backend_defaults]
gateway_user = "cinder"
gateway_timeout_s = 7

[gateway]
volume_backend_name = "volumes"
share_backend_name = "shares"
driver_handles_share_servers = false
gateway_url = "https://gateway.example:8443"
gateway_pools = ["fast"]
max_over_subscription_ratio = "auto"

[[gateway.replication_device]]
target_device_id = "other"
port = 5
"""
CINDER = """
import json, sys
from cinder.cmd import volume as command
from cinder.volume import configuration, driver
from gateway.frontends.openstack.options import CINDER
command.CONF(["--config-file", sys.argv[1]], project="cinder")
command.CONF.register_opts(CINDER, group=configuration.SHARED_CONF_GROUP)
options = configuration.Configuration(driver.volume_opts, config_group="gateway")
options.append_config_values(CINDER)
names = ["gateway_url", "gateway_user", "gateway_timeout_s", "gateway_pools", "gateway_ways", "volume_backend_name"]
names += ["max_over_subscription_ratio", "reserved_percentage", "replication_device"]
found = {name: options.safe_get(name) for name in names}
print(json.dumps([command.CONF.enabled_backends, command.CONF.debug, found]))
"""
MANILA = """
import json, sys
from manila.common import config
from manila.share import configuration, driver
from gateway.frontends.openstack.options import MANILA
config.CONF(["--config-file", sys.argv[1]], project="manila")
options = configuration.Configuration(driver.share_opts, config_group="gateway")
options.append_config_values(MANILA)
names = ["gateway_url", "gateway_user", "gateway_timeout_s", "gateway_pools", "share_backend_name"]
names += ["driver_handles_share_servers", "reserved_share_percentage"]
found = {name: options.safe_get(name) for name in names}
print(json.dumps([config.CONF.enabled_share_backends, config.CONF.debug, found]))
"""

LOADED = """
import importlib, json, sys
importlib.import_module(sys.argv[1])
before = {name.partition(".")[0] for name in sys.modules}
package, name = sys.argv[2].rsplit(".", 1)
getattr(importlib.import_module(package), name)
print(json.dumps(sorted({name.partition(".")[0] for name in sys.modules} - before)))
"""


def sourced(folder: Path, text: str, *, ini: str = "") -> Path:
    """Give the configuration of a service that has the rest of it as TOML."""
    (folder / "site.toml").write_text(text)
    file = folder / "service.conf"
    file.write_text(f"[DEFAULT]\nconfig_source = site\n[site]\ndriver = gateway\npath = {folder}/site.toml\n{ini}")
    return file


def run(*arguments: object, environment: Mapping[str, str] = {}) -> subprocess.CompletedProcess[str]:
    program, around = [str(each) for each in arguments], {**os.environ, **environment}
    return subprocess.run(program, capture_output=True, text=True, timeout=90, check=False, env=around)


def told(script: str, *arguments: object, environment: Mapping[str, str] = {}) -> Any:
    done = run(sys.executable, "-W", "ignore", "-c", script, *arguments, environment=environment)
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout.splitlines()[-1])


def test_cinder_has_its_options_from_a_source(tmp_path: Path) -> None:
    file = sourced(tmp_path, TOML, ini="[gateway]\nreserved_percentage = 9\n[backend_defaults]\nvolume_clear = none\n")
    assert told(CINDER, file, environment={"OS_GATEWAY__GATEWAY_URL": "https://environment.example"}) == [
        ["gateway"],
        True,
        {
            "gateway_url": "https://environment.example",
            "gateway_user": "cinder",
            "gateway_timeout_s": 7,
            "gateway_pools": ["fast"],
            "gateway_ways": ["local", "iscsi", "nfs"],
            "volume_backend_name": "volumes",
            "max_over_subscription_ratio": "auto",
            "reserved_percentage": 9,
            "replication_device": [{"target_device_id": "other", "port": "5"}],
        },
    ]


def test_manila_has_its_options_from_a_source(tmp_path: Path) -> None:
    assert told(MANILA, sourced(tmp_path, TOML)) == [
        ["gateway"],
        True,
        {
            "gateway_url": "https://gateway.example:8443",
            "gateway_user": None,
            "gateway_timeout_s": 60,
            "gateway_pools": ["fast"],
            "share_backend_name": "shares",
            "driver_handles_share_servers": False,
            "reserved_share_percentage": 0,
        },
    ]


@pytest.mark.parametrize("program", ["cinder-volume", "manila-share"])
def test_no_service_starts_with_a_source_that_cannot_be_read(tmp_path: Path, program: str) -> None:
    done = run(BIN / program, "--config-file", sourced(tmp_path, "[DEFAULT\npassword = 'hunter2'"))
    assert done.returncode != 0
    assert f"{tmp_path}/site.toml: is not TOML: " in done.stderr.splitlines()[-1]
    assert "hunter2" not in done.stderr


def test_the_validator_takes_a_stanza_among_the_options_of_the_service(tmp_path: Path) -> None:
    # Not of Cinder: its own list of options needs what all its drivers need.
    file = tmp_path / "manila.conf"
    file.write_text(
        "[DEFAULT]\nenabled_share_backends = gateway\n"
        "[gateway]\ngateway_url = https://gateway.example\nmax_over_subscription_ratio = 2\ngateway_pool = misspelt\n"
    )
    namespaces = ["--namespace", "manila", "--namespace", "gateway.manila"]
    done = run(BIN / "oslo-config-validator", *namespaces, "--input-file", file)
    assert done.returncode == 1
    assert [line for line in done.stderr.splitlines() if "is not part" in line] == [
        "ERROR:oslo_config.validator:gateway/gateway_pool is not part of the sample config"
    ]


def test_a_sample_has_stanza_service_and_source_together() -> None:
    namespaces = ["--namespace", "manila", "--namespace", "gateway.manila", "--namespace", "oslo.config"]
    done = run(BIN / "oslo-config-generator", *namespaces)
    assert done.returncode == 0, done.stderr
    stanza = done.stdout.partition("\n[gateway]\n")[2].partition("\n[")[0]
    assert all(f"\n#{option} = " in stanza for option in ("gateway_url", "share_driver"))
    assert "\n[sample_gateway_source]\n" in done.stdout


@pytest.mark.parametrize(
    ("service", "driver"),
    [
        ("cinder.cmd.volume", "gateway.frontends.cinder_driver.GatewayVolumeDriver"),
        ("manila.cmd.share", "gateway.frontends.manila_driver.GatewayShareDriver"),
    ],
)
def test_a_driver_loads_none_of_what_a_gateway_needs(service: str, driver: str) -> None:
    loaded = set(told(LOADED, service, driver))
    assert {"gateway", "httpx", "msgspec"} <= loaded
    assert loaded.isdisjoint(
        {"aiohttp", "google", "grpc", "jwt", "multidict", "prometheus_client", "structlog", "uvloop"}
    )
