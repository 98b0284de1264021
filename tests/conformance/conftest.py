"""The object stores that the cases of a process share."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from gateway.testing.moto_store import moto_store
from gateway.testing.object_store import S3Server
from gateway.testing.radosgw import radosgw


@pytest.fixture(scope="session")
def moto() -> Iterator[S3Server]:
    with moto_store() as server:
        yield server


@pytest.fixture(scope="session")
def ceph(tmp_path_factory: pytest.TempPathFactory) -> Iterator[S3Server]:
    base = tmp_path_factory.getbasetemp()
    # The workers of a run have bases of their own below the run's.
    shared = base.parent if "popen-gw" in base.name else base
    with radosgw(shared / "radosgw") as server:
        yield server
