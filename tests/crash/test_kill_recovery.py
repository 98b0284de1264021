"""The gateway is killed again while it recovers: in the end it is as if it had died once."""

from __future__ import annotations

import fcntl
import signal
from collections.abc import Iterator
from pathlib import Path

import pytest
from crash_points import OPERATIONS
from crash_scene import Scene, scene

from gateway.core.model import Job, JobState
from gateway.testing.forks import ForkServer

pytestmark = pytest.mark.root

JOURNALLED = {name: operation for name, operation in OPERATIONS.items() if not operation.job.startswith("svm.")}
FORWARD = {"volume.delete", "volume.split", "snapshot.delete"}
"""What is finished even if the substrate was not touched yet."""
STARTING = ("catalog.commit.begun", "catalog.commit.durable")


@pytest.fixture(scope="module")
def at(tmp_path_factory: pytest.TempPathFactory, forks: ForkServer) -> Iterator[Scene]:
    with scene(tmp_path_factory.mktemp("recovery"), forks) as found:
        yield found


def dies_starting(at: Scene, point: str, count: int = 1) -> bool:
    """Start with a point armed; tell whether the process died there, before anybody was let in."""
    try:
        at.start(armed=point, count=count)
    except RuntimeError:
        assert at.gateway.wait() == -signal.SIGKILL
        return True
    at.gateway.kill()
    return False


def ended(jobs: dict[object, Job], known: object) -> Job:
    (job,) = [job for key, job in jobs.items() if key not in known]  # type: ignore[operator]
    return job


@pytest.mark.parametrize("step", ["journalled", "applied"])
@pytest.mark.parametrize("name", JOURNALLED)
def test_death_in_recovery_changes_nothing(at: Scene, name: str, step: str) -> None:
    operation = JOURNALLED[name]
    at.start()
    before = at.fresh()
    known = at.jobs()
    at.die(operation.change, f"{operation.job}.{step}")
    # The first commit of a start adopts what the dead process left, the last one of a recovery ends it.
    for point in STARTING:
        assert dies_starting(at, point)
    forward = step == "applied" or operation.job in FORWARD
    if forward:
        assert dies_starting(at, f"{operation.job}.applied")
    assert dies_starting(at, f"{operation.job}.committed")
    at.start()

    world = at.look(reconcile=True)
    assert world.findings == []
    job = ended(world.jobs, known)
    assert (job.operation, job.state is JobState.SUCCESS) == (operation.job, forward)
    assert world.view == (operation.outcome(before) if forward else before)


@pytest.mark.parametrize("point", ["btrfs.settle_restore.begun", "btrfs.settle_restore.removed"])
@pytest.mark.parametrize("first", ["btrfs.restore.noted", "btrfs.restore.exchanged"])
def test_a_restore_is_settled_although_another_process_uses_the_pool(at: Scene, first: str, point: str) -> None:
    """Opening the pool then removes nothing, as it may be the other one's; the recovery removes its own."""
    operation = OPERATIONS["restore"]
    at.start()
    before = at.fresh()
    known = at.jobs()
    at.die(operation.change, first)
    with (at.mount / ".gateway" / "lock").open("r+") as lock:
        fcntl.flock(lock, fcntl.LOCK_SH)
        assert dies_starting(at, point)
        at.start()
        world = at.look(reconcile=True)
    assert world.findings == []
    happened = first == "btrfs.restore.exchanged"
    assert (ended(world.jobs, known).state is JobState.SUCCESS) == happened
    assert world.view == (operation.outcome(before) if happened else before)


def test_a_first_start_may_be_interrupted_at_any_commit(tmp_path: Path, forks: ForkServer) -> None:
    with scene(tmp_path, forks) as at:
        died = 0
        while dies_starting(at, "catalog.commit.written", died + 1):
            died += 1
        assert died > 2
        at.start()
        at.furnish()
        world = at.look(reconcile=True)
        assert world.findings == []
        assert [tenant.name for tenant in world.tenants.values()] == ["svm1"]
