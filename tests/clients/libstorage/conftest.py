"""The libStorage door over every way to the bytes of a volume."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from libstorage_scene import Bed, blocks_bed, files_bed, memory_bed

BEDS = {"memory": memory_bed, "files": files_bed, "blocks": blocks_bed}


@pytest.fixture(
    scope="module",
    params=["memory", *(pytest.param(name, marks=pytest.mark.root) for name in BEDS if name != "memory")],
)
def whole_bed(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Bed]:
    with BEDS[request.param](tmp_path_factory.mktemp(request.param)) as bed:
        yield bed


@pytest.fixture
def bed(whole_bed: Bed) -> Iterator[Bed]:
    """Give a bed without volumes; what a test leaves behind is taken away."""
    yield whole_bed
    whole_bed.clean()
