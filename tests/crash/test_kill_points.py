"""The gateway is killed at every point of every operation: each has happened or has not, and nothing is left over."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

import pytest
from crash_points import FILES, OPERATIONS, Case, assert_all_or_nothing, cases
from crash_scene import Scene, scene

import gateway
from gateway.backends.btrfs.faults import STEPS
from gateway.backends.files.faults import INSIDE_STEPS
from gateway.core import operations as core_operations
from gateway.testing.forks import ForkServer

pytestmark = pytest.mark.root

EVERY = {**OPERATIONS, **FILES}
SOURCE = Path(gateway.__file__).parent
ELSEWHERE = (
    "volume.convert.",
    "volume.move.",
    "volume.update.narrowed",
    "volume.update.remounted",
    "volume.retire.",
    "snapshot.group.",
    "snapshot.receive.",
    "transfer.",
    "backup.",
    "btrfs.receive.",
    "scheduler.",
    "file.update.",
    "file.delete.",
    "file.make.",
    "btrfs.make_directory.",
    "btrfs.rename_file.",
    "btrfs.delete_file.",
)
"""Points that no request of this door to a btrfs pool passes.

They are visited by test_kill_pools.py, test_kill_moves.py, test_kill_replications.py, test_kill_schedules.py,
test_changes.py, test_single_files.py, test_inside_crashes.py, test_mounted_volumes.py, test_groups.py,
test_zfs_groups.py and test_backups.py.
"""
FAULT = re.compile(r'[._]fault\(\s*f?"([^"]+)"')


@pytest.fixture(scope="module")
def at(tmp_path_factory: pytest.TempPathFactory, forks: ForkServer) -> Iterator[Scene]:
    with scene(tmp_path_factory.mktemp("crash"), forks, trace=True) as found:
        yield found


@pytest.mark.parametrize("name", EVERY)
def test_an_operation_passes_exactly_its_points(at: Scene, name: str) -> None:
    operation = EVERY[name]
    at.start()
    at.clean()
    assert at.look().view == {}
    before = at.furnish()
    at.gateway.passed()
    at.perform(operation.change)
    assert tuple(at.gateway.passed()) == operation.passes
    world = at.look(reconcile=True)
    assert world.findings == []
    assert world.view == operation.outcome(before) != before or name == "make a tenant"
    assert {tenant.name for tenant in world.tenants.values()} == set(operation.tenants)


@pytest.mark.parametrize("case", cases(EVERY), ids=str)
def test_death_at_any_point_leaves_all_or_nothing(at: Scene, case: Case) -> None:
    operation = EVERY[case.operation]
    at.start()
    before = at.fresh()
    known = at.jobs()
    at.die(operation.change, case.point, case.count)
    at.start()

    world = at.look(reconcile=True)
    assert world.findings == []
    jobs = [job for key, job in world.jobs.items() if key not in known]
    assert_all_or_nothing(EVERY, case, jobs, before=before, after=world.view)
    assert {tenant.name for tenant in world.tenants.values()} <= set(operation.tenants)


def test_every_point_is_visited() -> None:
    visited = {case.point for case in cases(EVERY)}
    core = "".join(path.read_text() for path in (SOURCE / "core").glob("*.py"))
    passed = {
        point.replace("{intent.operation}", operation)
        for point in FAULT.findall(core)
        for operation in core_operations.OPERATIONS
    }
    passed |= {point for path in (SOURCE / "catalog").glob("*.py") for point in FAULT.findall(path.read_text())}
    passed |= {f"btrfs.{operation}.{step}" for operation, steps in {**STEPS, **INSIDE_STEPS}.items() for step in steps}
    passed -= {point for point in passed if point.startswith(ELSEWHERE)}
    assert {point for point in passed if not point.startswith("btrfs.settle_restore.")} == visited
