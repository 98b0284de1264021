from __future__ import annotations

from collections.abc import Iterator

import pytest
from cinder.db import api, models
from cinder.volume import volume_types
from cinder_scene import ADMIN, CONF, client, gateway, started

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


@pytest.fixture(scope="session")
def database(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """Give Cinder a database, for what it looks up by itself: types of groups, records of volumes."""
    file = tmp_path_factory.mktemp("database") / "cinder.sqlite"
    CONF.set_override("connection", f"sqlite:///{file}", group="database")
    models.BASE.metadata.create_all(api.get_engine())
    volume_types.create(ADMIN, "__DEFAULT__", {})
    yield
    api.dispose_engine()
    CONF.clear_override("connection", group="database")
