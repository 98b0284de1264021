"""The official SDK says what is kept; a second gateway on the same catalog, under an injected clock, keeps it."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from netapp_ontap.resources import Schedule, Snapshot, SnapshotPolicy, SnapshotPolicySchedule, Volume
from sdk_scene import OWN_WARNINGS, patch, refused, sdk, volume

from gateway.backends.qcow2 import Qcow2Backend, Qcow2Options
from gateway.core.observer import SilentObserver
from gateway.core.pools import Configured
from gateway.core.scheduler import Scheduler
from gateway.testing.cores import core_on
from gateway.testing.live import LiveGateway, live_gateway

pytestmark = [OWN_WARNINGS, pytest.mark.root]
HOUR = timedelta(hours=1)


@pytest.fixture
def gateway(tmp_path: Path) -> Iterator[LiveGateway]:
    folder = tmp_path / "pool"
    folder.mkdir()
    with live_gateway(tmp_path / "gw", pools=f'[backend.disk]\ndriver = "qcow2"\npath = "{folder}"\n') as running:
        yield running


@asynccontextmanager
async def scheduler(gateway: LiveGateway) -> AsyncIterator[Scheduler]:
    """Give the scheduler of a second gateway on the same catalog and pool."""
    backend = Qcow2Backend("disk", Qcow2Options(path=gateway.folder.parent / "pool"))
    try:
        async with core_on(gateway.data, [Configured("disk", backend)]) as core:
            yield Scheduler(core, SilentObserver())
    finally:
        await backend.close()


def taken(made: Volume) -> list[str]:
    """Give the names of the snapshots that the SDK lists."""
    return sorted(snapshot.name for snapshot in Snapshot.get_collection(made.uuid))


async def test_schedule_policy_volume_and_what_becomes_of_them(gateway: LiveGateway) -> None:
    tomorrow = datetime.now(UTC).replace(hour=0, minute=1, second=0, microsecond=0) + timedelta(days=2)
    with sdk(gateway):
        often = Schedule(name="often", cron={"minutes": [0, 30]})
        often.post(hydrate=True)
        assert (often.type, often.cron.minutes) == ("cron", [0, 30])
        policy = SnapshotPolicy(name="keep", copies=[{"schedule": {"name": "often"}, "count": 2}])
        policy.post(hydrate=True)
        made = volume("v", "disk", snapshot_policy={"name": "keep"})
        assert made.snapshot_policy.name == "keep"
        async with scheduler(gateway) as passes:
            for number in range(6):
                await passes.run(tomorrow + number * HOUR / 2)
            day = f"often.{tomorrow:%Y-%m-%d}_"
            assert taken(made) == [f"{day}0200", f"{day}0230"]
            line = SnapshotPolicySchedule(policy.uuid, **{"schedule.uuid": often.uuid})
            line.get()
            assert (line.count, line.schedule.name, line.prefix) == (2, "often", "often")
            line.count = 1
            line.patch()
            daily = SnapshotPolicySchedule(policy.uuid, schedule={"name": "daily"}, count=1, snapmirror_label="d")
            daily.post()
            await passes.run(tomorrow + 24 * HOUR + timedelta(minutes=10))
            night = f"{tomorrow + 24 * HOUR:%Y-%m-%d}_"
            assert taken(made) == [f"daily.{night}0010", f"often.{night}0000"]
            (labelled,) = Snapshot.get_collection(made.uuid, snapmirror_label="d", fields="snapmirror_label")
            assert labelled.name == f"daily.{night}0010"
            with refused("459758", status=409):
                often.delete()
            with refused("1638415", status=409):
                policy.delete()
            patch(made.uuid, snapshot_policy={"name": "none"})
            await passes.run(tomorrow + 48 * HOUR)
            assert len(taken(made)) == 2
        policy.delete()
        often.delete()
        assert "often" not in [schedule.name for schedule in Schedule.get_collection()]
        made.delete()
