"""What the gateways and other processes that are killed here are forked from."""

from __future__ import annotations

from collections.abc import Iterator
from importlib.metadata import entry_points
from pathlib import Path

import pytest

from gateway.testing import kills, live
from gateway.testing.forks import ForkServer


@pytest.fixture(scope="session")
def forks() -> Iterator[ForkServer]:
    drivers = [point.module for point in entry_points(group="gateway.backends")]
    modules = [*live.MODULES, *kills.MODULES, *drivers, "following_scene", "schedule_scene"]
    with ForkServer(modules, folders=[Path(__file__).parent]) as server:
        yield server
