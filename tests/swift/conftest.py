"""Swift as `make test-swift` installs it, one for each worker."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from gateway.testing.object_store import S3Server
from gateway.testing.swift import swift

ROOT = Path(__file__).parents[2]

# The instance is made as for the other stores.
sys.path.insert(0, str(ROOT / "tests/conformance"))


@pytest.fixture(scope="session")
def store(tmp_path_factory: pytest.TempPathFactory) -> Iterator[S3Server]:
    programs = ROOT / "build/swift/bin"
    assert (programs.parent / ".installed").exists(), "run `make build/swift/.installed`"
    with swift(tmp_path_factory.mktemp("swift") / "store", programs) as server:
        yield server
