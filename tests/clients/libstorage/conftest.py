"""The libStorage door over every way to the bytes of a volume."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from libstorage_scene import Bed, blocks_bed, files_bed, memory_bed, units_bed

BEDS = {"memory": memory_bed, "files": files_bed, "blocks": blocks_bed, "units": units_bed}
OF_ATTACHMENTS = ("test_sheet_rules_attach", "test_sheet_races")
"""The modules for which it matters how blocks are reached."""


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    """Have rules kept by every bed; what needs a file system or a server of data needs root."""
    if "whole_bed" in metafunc.fixturenames:
        names = [name for name in BEDS if name != "units" or metafunc.module.__name__ in OF_ATTACHMENTS]
        beds = [pytest.param(name, marks=[pytest.mark.root] if name != "memory" else []) for name in names]
        metafunc.parametrize("whole_bed", beds, indirect=True, scope="module")


@pytest.fixture(scope="module")
def whole_bed(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Bed]:
    with BEDS[request.param](tmp_path_factory.mktemp(request.param)) as bed:
        yield bed


@pytest.fixture
def bed(whole_bed: Bed) -> Iterator[Bed]:
    """Give a bed without volumes; what a test leaves behind is taken away."""
    yield whole_bed
    whole_bed.clean()
