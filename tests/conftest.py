"""What all tests share."""

from __future__ import annotations

import os
from importlib.util import find_spec
from pathlib import Path

import pytest

# The shipped suites assert like tests, so their assertions explain themselves like those of tests.
# Here, because whatever is imported first decides: the suites are used from several folders.
pytest.register_assert_rewrite("gateway.testing")

if find_spec("hypothesis"):  # the machine of `make test-zfs` has none
    from hypothesis import settings

    settings.register_profile("untimed", deadline=None)
    settings.load_profile("untimed")

MEMORY = Path("/dev/shm")
ROOM = 4 << 30


def pytest_configure() -> None:
    """Keep the tests' folders in memory where there is room: every change waits for what it wrote to be on disk.

    Nothing is proven less by that. A killed process leaves behind what it wrote,
    whatever it lies on, and a power is cut by telling a file system in an image
    to forget what it has not written.
    """
    if MEMORY.is_dir() and os.access(MEMORY, os.W_OK | os.X_OK):
        found = os.statvfs(MEMORY)
        if found.f_bavail * found.f_frsize >= ROOM and not found.f_flag & os.ST_NOEXEC:
            os.environ.setdefault("PYTEST_DEBUG_TEMPROOT", str(MEMORY))


def pytest_addoption(parser: pytest.Parser) -> None:
    """Add `--zfs`, which `make test-zfs` gives: the tests in `tests/zfs` need a machine of their own."""
    parser.addoption("--zfs", action="store_true", help="collect tests/zfs too: it takes over the disk POOL_DISK")


def pytest_ignore_collect(collection_path: Path, config: pytest.Config) -> bool | None:
    """Leave `tests/openstack` to an environment of its own, and `tests/zfs` out unless it is asked for."""
    here = Path(__file__).parent
    if collection_path == here / "openstack" or (collection_path == here / "zfs" and not config.getoption("--zfs")):
        return True
    return None


@pytest.fixture(scope="session")
def openstorage_python() -> Path:
    """Give the interpreter that has the official openstorage client, beside grpcio and protobuf of the lock file."""
    interpreter = Path(__file__).parents[1] / "build/openstorage-client/bin/python"
    assert (interpreter.parents[1] / ".installed").exists(), "run `make build/openstorage-client/.installed`"
    return interpreter


@pytest.fixture(scope="session")
def rexray() -> Path:
    """Give the stock REX-Ray client."""
    program = Path(__file__).parents[1] / "build/rexray"
    assert program.exists(), "run `make build/rexray`"
    return program


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Begin with the slow tests, so that no worker is left with a long one when the others have nothing more to do."""
    items.sort(key=lambda item: item.get_closest_marker("slow") is None)
