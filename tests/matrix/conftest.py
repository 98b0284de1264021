"""One gateway with every door that joined, and a client of each."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

import pytest
from dialect import MOUNTS, Doors, Surroundings
from joined import DOORS

from gateway.testing.btrfs_pool import btrfs_pool
from gateway.testing.live import live_gateway

# A pool that takes no snapshots stands for substrates that cannot.
POOR = '[backend.poor]\ndriver = "memory"\ndisable = ["snapshot"]\n'


@contextmanager
def opened(folder: Path, pool: str, openstorage_python: Path) -> Iterator[Doors]:
    """Give the doors by name; they are those of one gateway."""
    mounts = folder / "mounts"
    mounts.mkdir(parents=True)
    tables = "".join(dict.fromkeys(door.table for door in DOORS)).replace(MOUNTS, str(mounts))
    with live_gateway(folder / "gateway", pools=f"{pool}\n{POOR}", extra=tables) as gateway, ExitStack() as stack:
        around = Surroundings(gateway, mounts, openstorage_python)
        yield {door.name: stack.enter_context(door.open(around)) for door in DOORS}


@pytest.fixture(scope="module")
def doors(tmp_path_factory: pytest.TempPathFactory, openstorage_python: Path) -> Iterator[Doors]:
    """Give the doors of a gateway on pools in memory."""
    with opened(tmp_path_factory.mktemp("matrix"), "[backend.memory]\n", openstorage_python) as found:
        yield found


@pytest.fixture(scope="module")
def doors_on_btrfs(tmp_path_factory: pytest.TempPathFactory, openstorage_python: Path) -> Iterator[Doors]:
    """Give the doors of a gateway on a real btrfs."""
    folder = tmp_path_factory.mktemp("matrix-btrfs")
    with btrfs_pool(folder / "disk") as mount:
        pool = f'[backend.memory]\ndriver = "btrfs"\npath = "{mount}"\n'
        with opened(folder / "gateway", pool, openstorage_python) as found:
            yield found
