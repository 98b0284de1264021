"""What all tests share."""

from __future__ import annotations

import os
from collections.abc import Iterator
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from gateway.testing.object_store import S3Server

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
    """Add what `make test-ansible`, `-zfs` and `-swift` give: the tests in these folders are not for every run."""
    parser.addoption("--ansible", action="store_true", help="collect tests/ansible too: each file is for one worker")
    parser.addoption("--zfs", action="store_true", help="collect tests/zfs too: it takes over the disk POOL_DISK")
    parser.addoption("--swift", action="store_true", help="collect tests/swift too: it takes minutes")


def pytest_ignore_collect(collection_path: Path, config: pytest.Config) -> bool | None:
    """Leave `tests/openstack` to an environment of its own, and others out unless they are asked for."""
    here = Path(__file__).parent
    asked_for = {here / name: config.getoption(f"--{name}") for name in ("ansible", "zfs", "swift")}
    if collection_path == here / "openstack" or not asked_for.get(collection_path, True):
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


@pytest.fixture(scope="session")
def ceph(tmp_path_factory: pytest.TempPathFactory) -> Iterator[S3Server]:
    """Give a real S3 server, which all workers of a run share."""
    from gateway.testing.radosgw import radosgw

    base = tmp_path_factory.getbasetemp()
    shared = base.parent if "PYTEST_XDIST_WORKER" in os.environ else base
    with radosgw(shared / "radosgw") as server:
        yield server


@pytest.fixture(scope="session")
def moto() -> Iterator[S3Server]:
    """Give an S3 emulator of this process. It checks no signatures."""
    from gateway.testing.moto_store import moto_store

    with moto_store() as server:
        yield server


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Begin with the slow tests, so that no worker is left with a long one when the others have nothing more to do."""
    items.sort(key=lambda item: item.get_closest_marker("slow") is None)
