from __future__ import annotations

from collections.abc import Iterator

import pytest
from cinder_scene import client, gateway, started

from gateway.client import Client
from gateway.frontends.cinder_driver import GatewayVolumeDriver


@pytest.fixture(scope="module")
def url(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """Give a gateway with two pools in memory."""
    with gateway(tmp_path_factory.mktemp("gateway")) as url:
        yield url


@pytest.fixture(scope="module")
def driver(url: str) -> Iterator[GatewayVolumeDriver]:
    with started(url) as driver:
        yield driver


@pytest.fixture(scope="module")
def gw(url: str) -> Iterator[Client]:
    with client(url) as gw:
        yield gw
