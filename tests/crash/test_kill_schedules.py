"""A process is killed at every point of a scheduler's pass; the next one finds and does just what is missing."""

from __future__ import annotations

from collections import Counter
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from schedule_scene import KEPT, Order, die, furnish, opened, perform, shown

from gateway.core.model import Intent
from gateway.core.observer import SilentObserver
from gateway.core.query import Query
from gateway.core.reconcile import Reconciler
from gateway.core.scheduler import FAULTS
from gateway.testing.faults import Recorder
from gateway.testing.forks import ForkServer

pytestmark = [pytest.mark.root, pytest.mark.slow, pytest.mark.timeout(900)]

START = datetime(2026, 3, 1, 0, 6, tzinfo=UTC)
HOUR = timedelta(hours=1)


def promised(now: datetime) -> dict[str, list[datetime]]:
    """Give what is kept after a pass a minute behind the instant."""
    last = now.replace(minute=5)
    return {name: [last - HOUR * n for n in reversed(range(count))] for name, count in KEPT.items()}


async def test_death_at_any_point_of_a_pass(tmp_path: Path, forks: ForkServer) -> None:
    (tmp_path / "pool").mkdir()
    now, recorder = START, Recorder()
    async with opened(tmp_path, recorder) as core:
        await furnish(core)
        for _ in range(4):
            recorder.points.clear()
            await perform(core, now, recorder)
            now += HOUR
        assert await shown(core) == promised(now - HOUR)
    counts = Counter(recorder.points)
    assert set(FAULTS) <= counts.keys()
    # Both volumes are served at once, so the order of the points varies, but not their number.
    for point, most in counts.items():
        for count in {1, most}:
            die(Order(folder=str(tmp_path), now=now, point=point, count=count), forks)
            async with opened(tmp_path) as core:
                await perform(core, now + timedelta(seconds=20))
                assert await shown(core) == promised(now), f"killed at {point} {count}"
                await assert_settled(core)
            now += HOUR


async def assert_settled(core) -> None:
    (pool,) = core.pools
    assert (await core.catalog.page(Intent, Query())).records == ()
    assert await Reconciler(core, pool, SilentObserver()).run() == []
