"""One Docker daemon for all tests of a process, and gateways on real pools in front of it."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from docker_client import PluginClient, plugin_at
from docker_scene import Bed, Docker, bed_on, docker_daemon, new_driver

from gateway.testing.btrfs_pool import btrfs_pool
from gateway.testing.loop_pool import loop_pool


@pytest.fixture(scope="session")
def daemon() -> Iterator[Docker]:
    with docker_daemon() as docker:
        yield docker


@pytest.fixture(scope="session")
def pools(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """Give a pool of files on btrfs and one of blocks on XFS, as configuration."""
    folder = tmp_path_factory.mktemp("pools")
    with btrfs_pool(folder) as files, loop_pool(folder, "xfs") as blocks:
        yield (
            f'[backend.files]\ndriver = "btrfs"\npath = "{files}"\n'
            f'[backend.images]\ndriver = "directory"\npath = "{blocks}"\n'
        )


@pytest.fixture(scope="session")
def driver() -> str:
    """Give the name of every bed's plugin: a daemon goes on asking for those that it once knew."""
    return new_driver()


@pytest.fixture
def bed(pools: str, driver: str, tmp_path: Path) -> Iterator[Bed]:
    """Give a running gateway on both; its volumes are removed afterwards."""
    with bed_on(tmp_path, driver, pools=pools) as bed:
        yield bed
        bed.remove_all()


@pytest.fixture
def docker(daemon: Docker, bed: Bed) -> Iterator[Docker]:
    """Give a daemon that has used nothing of the gateway yet; its containers are ended before the gateway."""
    yield daemon
    daemon.end_containers()


@pytest.fixture
def plugin(bed: Bed) -> Iterator[PluginClient]:
    with plugin_at(bed.socket) as plugin:
        yield plugin
