"""SIGKILL at every step: afterwards a change has happened or has not, and nothing is left over."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from zfs_changes import CHANGES, prepared
from zfs_scene import scene

from gateway.backends.zfs import FAULT_POINTS
from gateway.backends.zfs.faults import SOMETIMES, STEPS
from gateway.core.model import VolumeKind
from gateway.testing.faults import Recorder

HERE = Path(__file__).parent
CASES = [pytest.param(name, kind, id=f"{name}-{kind}") for name, change in CHANGES.items() for kind in change.kinds]

Kill = Callable[[str, str, VolumeKind, str, str], int]


@pytest.fixture(scope="module")
def killed(zpool: str) -> Iterator[Kill]:
    """Make a change in a process of its own that is killed at a point; give how it ended."""
    with subprocess.Popen(
        [sys.executable, HERE / "zfs_victim.py"], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as server:

        def kill(parent: str, engine: str, kind: VolumeKind, change: str, point: str) -> int:
            assert server.stdin is not None
            assert server.stdout is not None
            server.stdin.write(json.dumps([zpool, parent, engine, kind, change, point]) + "\n")
            server.stdin.flush()
            return int(server.stdout.readline())

        yield kill
        assert server.stdin is not None
        server.stdin.close()


def test_every_operation_is_here() -> None:
    assert {change.operation for change in CHANGES.values()} == set(STEPS)
    assert set(SOMETIMES) <= set(STEPS)
    assert all(steps <= set(STEPS[operation]) for operation, steps in SOMETIMES.items())
    assert len(set(FAULT_POINTS)) == len(FAULT_POINTS)


@pytest.mark.parametrize("engine", ["cli", "lzc"])
@pytest.mark.parametrize(("name", "kind"), CASES)
async def test_death_at_any_point_leaves_all_or_nothing(
    zpool: str, killed: Kill, name: str, kind: VolumeKind, engine: str
) -> None:
    change, passed = CHANGES[name], Recorder()
    async with scene(zpool, kind=kind, fault=passed, engine=engine) as at:
        await prepared(at, change)
        before = await at.picture()
        passed.points.clear()
        await change.act(at)
        points = list(passed.points)
        after = await at.picture()
        await at.assert_tidy()
    assert before != after
    steps = [f"zfs.{change.operation}.{step}" for step in STEPS[change.operation]]
    assert points == [point for point in steps if point in points]
    optional = {f"zfs.{change.operation}.{step}" for step in SOMETIMES.get(change.operation, ())}
    assert set(steps) - set(points) <= optional
    halfway = {name: seen for name, seen in before.items() if name != f"volume {change.between}"}
    happened = []
    for point in points:
        async with scene(zpool, kind=kind, engine=engine) as at:
            await prepared(at, change)
            await at.backend.close()
            status = killed(at.options.parent, engine, kind, name, point)
            assert status == -signal.SIGKILL, point
            await at.backend.open()
            await at.assert_tidy()
            found = await at.picture()
            assert found in (before, after, halfway), point
            happened.append(found == after)
            await change.act(at)
            assert await at.picture() == after, point
            await at.assert_tidy()
    assert happened == sorted(happened), "a later step undid an earlier one"
    assert happened[-1]
