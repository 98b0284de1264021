"""The LUN flow of the official SDK on zvols, with bytes over iSCSI: the tests are those of the other pools."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from uuid import uuid4

import pytest
from sdk_scene import OWN_WARNINGS
from test_lun_flow import (
    Bed,
    bed_on,
    test_a_killed_gateway_interrupts_nobody_and_forgets_nothing,
    test_bytes_live_through_snapshot_clone_growth_and_restore,
    test_who_is_not_asked_in_stays_out,
)
from zfs_scene import remove

pytestmark = OWN_WARNINGS

__all__ = [
    "test_a_killed_gateway_interrupts_nobody_and_forgets_nothing",
    "test_bytes_live_through_snapshot_clone_growth_and_restore",
    "test_who_is_not_asked_in_stays_out",
]


@pytest.fixture
def bed(zpool: str, tmp_path: Path) -> Iterator[Bed]:
    parent = f"luns-{uuid4().hex[:12]}"
    try:
        with bed_on(tmp_path, f'[backend.blocks]\ndriver = "zfs"\npool = "{zpool}"\nparent = "{parent}"\n') as bed:
            yield bed
    finally:
        remove(f"{zpool}/{parent}")
