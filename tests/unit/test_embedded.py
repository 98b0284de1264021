"""Gateways inside of another program: on its loop, in threads, and without a trace in its process."""

from __future__ import annotations

import asyncio
import gc
import logging
import re
import signal
import socket
import subprocess
import sys
import threading
from collections.abc import Iterator, Mapping
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import grpc
import httpx
import pytest
import structlog

from gateway.config import ConfigError
from gateway.embedded import gateway_in_thread, open_gateway
from gateway.frontends.openstorage.pb import volume_pb2
from gateway.testing.live import ACCOUNT, PASSWORD, LiveGateway

VOLUMES = "/api/storage/volumes"
BODY = {"name": "v", "svm": {"name": "svm1"}, "aggregates": [{"name": "memory"}], "size": 1 << 30}
OPENSTORAGE = '[frontend.openstorage]\ngrpc = "127.0.0.1:0"\nrest = ""\n'
PAGE = (Path(__file__).parents[2] / "docs/architectures.md").read_text(encoding="utf-8")
PROGRAM = """
import sys
from pathlib import Path
from gateway.embedded import gateway_in_thread
with gateway_in_thread(Path(sys.argv[1])) as doors:
    assert doors.addresses["ontap"].startswith("http://127.0.0.1:")
"""


@pytest.fixture(autouse=True)
def unconfigured() -> Iterator[None]:
    """Let structlog be as in a program that does not use it."""
    structlog.reset_defaults()
    yield
    structlog.reset_defaults()


@pytest.fixture
def config(tmp_path: Path) -> Path:
    return LiveGateway(tmp_path / "gateway", extra=OPENSTORAGE).config


def client(addresses: Mapping[str, str]) -> httpx.Client:
    return httpx.Client(base_url=addresses["ontap"], auth=(ACCOUNT, PASSWORD))


def make(addresses: Mapping[str, str]) -> str:
    """Make a volume, and give its id as the other door has it."""
    with client(addresses) as ontap:
        made = ontap.post(VOLUMES, params={"return_timeout": 15}, json=BODY)
        assert made.status_code == 202, made.text
    with grpc.insecure_channel(addresses["openstorage"].removeprefix("grpc://")) as channel:
        inspect = channel.unary_unary(
            "/openstorage.api.OpenStorageVolume/Inspect",
            request_serializer=volume_pb2.SdkVolumeInspectRequest.SerializeToString,
            response_deserializer=volume_pb2.SdkVolumeInspectResponse.FromString,
        )
        found: Any = inspect(volume_pb2.SdkVolumeInspectRequest(volume_id="v"), timeout=30)
        return str(found.volume.id)


def traces() -> Iterator[object]:
    """Give what belongs to the process and not to a gateway in it."""
    yield {number: signal.getsignal(number) for number in signal.valid_signals()}
    yield (list(logging.getLogger().handlers), logging.getLogger().level)
    yield (gc.get_threshold(), gc.get_freeze_count(), gc.isenabled())
    yield sys.excepthook, threading.excepthook


async def test_on_the_loop_of_the_program(config: Path) -> None:
    before = list(traces())
    async with open_gateway(config) as doors:
        assert await asyncio.to_thread(make, doors.addresses)
        assert list(traces()) == before
        doors.reload()
        doors.reconcile()
    assert list(traces()) == before
    # What is in the catalog is there again; what was in memory is not.
    async with open_gateway(config) as doors:
        with client(doors.addresses) as ontap:
            told = await asyncio.to_thread(ontap.get, VOLUMES)
        assert told.json()["num_records"] == 0


def test_in_threads_of_a_program_without_a_loop(tmp_path: Path) -> None:
    before = list(traces())
    configs = [LiveGateway(tmp_path / name, extra=OPENSTORAGE).config for name in ("one", "two")]
    with ExitStack() as stack:
        gateways = [stack.enter_context(gateway_in_thread(config)) for config in configs]
        assert len({make(doors.addresses) for doors in gateways}) == 2
        for doors in gateways:
            doors.reload()
            doors.reconcile()
        assert list(traces()) == before
    assert not [thread for thread in threading.enumerate() if thread.name.startswith("gateway")]


def test_two_on_one_catalog_and_one_pool(tmp_path: Path) -> None:
    (tmp_path / "pool").mkdir()
    pools = f'[backend.memory]\ndriver = "directory"\npath = "{tmp_path}/pool"\n'
    extra = f'{OPENSTORAGE}[catalog]\nurl = "sqlite://{tmp_path}/catalog/catalog.sqlite"\n'
    configs = [LiveGateway(tmp_path / name, pools=pools, extra=extra).config for name in ("one", "two")]
    with gateway_in_thread(configs[0]) as one, gateway_in_thread(configs[1]) as two:
        made = make(one.addresses)
        with client(two.addresses) as ontap:
            assert ontap.get(f"{VOLUMES}/{made}").json()["name"] == "v"
            assert ontap.delete(f"{VOLUMES}/{made}", params={"return_timeout": 15}).status_code == 202
        with client(one.addresses) as ontap:
            assert ontap.get(VOLUMES).json()["num_records"] == 0


def test_a_table_instead_of_a_file(config: Path) -> None:
    table = {
        "listen": "127.0.0.1:0",
        "tls": {"enabled": False},
        "accounts": str(config.parent / "accounts.toml"),
        "data_dir": str(config.parent / "data"),
        "backend": {"memory": {}},
    }
    with gateway_in_thread(table) as doors:
        assert list(doors.addresses) == ["ontap"]


def test_what_goes_wrong_at_the_start_is_raised(config: Path) -> None:
    with pytest.raises(ConfigError, match="meomry"), gateway_in_thread({"backend": {"meomry": {}}}):
        raise AssertionError
    with socket.create_server(("127.0.0.1", 0)) as taken:
        config.write_text(config.read_text().replace("127.0.0.1:0", f"127.0.0.1:{taken.getsockname()[1]}", 1))
        with pytest.raises(OSError, match="in use"), gateway_in_thread(config):
            raise AssertionError


def test_what_goes_wrong_in_the_program_stops_the_gateway(config: Path) -> None:
    with pytest.raises(ZeroDivisionError), gateway_in_thread(config):
        raise ZeroDivisionError
    with gateway_in_thread(config) as doors:
        assert make(doors.addresses)


def test_lines_come_from_loggers_of_the_standard_library(config: Path, caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.INFO, "gateway"), gateway_in_thread(config) as doors:
        make(doors.addresses)
    told = {record.name: record.getMessage() for record in caplog.records}
    assert "operation='volume.create'" in told["gateway.audit"]
    assert f'"path":"{VOLUMES}' in told["gateway.access"]


def test_a_program_that_sets_nothing_up_hears_nothing(config: Path) -> None:
    ended = subprocess.run(
        [sys.executable, "-W", "error", "-c", PROGRAM, config], capture_output=True, text=True, check=True
    )
    assert (ended.stdout, ended.stderr) == ("", "")


def test_what_the_page_shows(config: Path) -> None:
    loop, thread = re.findall(r"```python\n(.*?)```", PAGE, re.DOTALL)
    shown = f"{loop}\nimport asyncio\nasyncio.run(main())\n{thread}".replace("/run/my-program", str(config.parent))
    ended = subprocess.run(
        [sys.executable, "-W", "error", "-c", shown], cwd=config.parent, capture_output=True, text=True, check=True
    )
    first, second = ended.stdout.splitlines()
    assert first.startswith("http://127.0.0.1:")
    assert f"{config.parent}/libstorage.sock" in second
