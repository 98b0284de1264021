"""A gateway with the openstorage door, and the official client in front of it."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from openstorage_client import DOOR, Client, official_client

from gateway.testing.live import LiveGateway, live_gateway


@pytest.fixture(scope="module")
def gateway(tmp_path_factory: pytest.TempPathFactory) -> Iterator[LiveGateway]:
    """Give a gateway on a pool in memory; everybody may come in."""
    with live_gateway(tmp_path_factory.mktemp("gateway"), extra=DOOR) as running:
        yield running


@pytest.fixture(scope="module")
def process(gateway: LiveGateway, openstorage_python: Path) -> Iterator[Client]:
    with official_client(openstorage_python, gateway.addresses["openstorage"]) as client:
        yield client


@pytest.fixture
def sdk(process: Client) -> Iterator[Client]:
    """Give the client; what a test leaves behind is deleted, clones and snapshots before what they came from."""
    yield process
    left = process("Volume/Enumerate")["volume_ids"]
    for _ in range(4):
        for volume_id in left:
            process("MountAttach/Detach", volume_id=volume_id, options={"force": True})
            inspected = process("Volume/Inspect", volume_id=volume_id)["volume"]
            if inspected["spec"]["sticky"]:
                process("Volume/Update", volume_id=volume_id, spec={"sticky": False})
            process("Volume/Delete", volume_id=volume_id)
        left = process("Volume/Enumerate")["volume_ids"]
        if not left:
            return
    raise AssertionError(left)
