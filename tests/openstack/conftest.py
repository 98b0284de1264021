"""What the tests of real services share: one database server, and one cloud of each project, per process of tests."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from database import MariaDb, mariadb
from glanceclient import Client as Glance
from processes import Service, running
from processes import glance as glance_in

pytest_plugins = ["cinder_bed", "manila_bed"]


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Begin with the slow ones."""
    items.sort(key=lambda item: item.get_closest_marker("slow") is None)


@pytest.fixture(scope="session")
def database(tmp_path_factory: pytest.TempPathFactory) -> Iterator[MariaDb]:
    """Give a database server."""
    with mariadb(tmp_path_factory.mktemp("db")) as server:
        yield server


@pytest.fixture(scope="session")
def images(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Service]:
    """Give a running Glance."""
    with running(glance_in(tmp_path_factory.mktemp("images") / "glance")) as service:
        yield service


@pytest.fixture
def glance(images: Service) -> Glance:
    """Give the stock client of Glance."""
    return Glance("2", endpoint=images.url, token="none")
