"""A qcow2 pool with volumes on hourly schedules, and a child process that dies at a point of a pass."""

from __future__ import annotations

import asyncio
import os
import signal
import subprocess
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from pathlib import Path
from uuid import uuid4

import msgspec

from gateway.backends.qcow2 import Qcow2Backend
from gateway.core import volumes
from gateway.core.backend import FaultHook, no_fault
from gateway.core.catalog import put
from gateway.core.context import Core
from gateway.core.model import Pool, Schedule, Snapshot, SnapshotPolicy, SnapshotSchedule, Tenant, VolumeKind
from gateway.core.observer import SilentObserver
from gateway.core.pools import Configured
from gateway.core.query import Query
from gateway.core.retention import Outcome
from gateway.core.scheduler import Scheduler
from gateway.testing.cores import core_on
from gateway.testing.faults import KillAt
from gateway.testing.forks import ForkServer

LONG_AGO = datetime(2020, 1, 1, tzinfo=UTC)
SIZE = 20 << 20
CHILD_LIMIT_S = 120
KEPT = {"policy": 2, "own": 1}


class Order(msgspec.Struct, frozen=True, kw_only=True):
    """What the child does: one pass at `now`, until the `count`-th time of `point`."""

    folder: str
    now: datetime
    point: str
    count: int


class _Later:
    """Passes nothing on until it is armed: opening a pool passes points, too."""

    def __init__(self) -> None:
        self.hook: FaultHook = no_fault

    def __call__(self, point: str) -> None:
        self.hook(point)


@asynccontextmanager
async def opened(folder: Path, fault: FaultHook = no_fault) -> AsyncIterator[Core]:
    """Give the core as a start finds it: what a predecessor left is settled."""
    options = Qcow2Backend.Options(path=folder / "pool")
    backend = Qcow2Backend("pool", options, fault=fault)
    try:
        async with core_on(folder, [Configured("pool", backend)], fault=fault) as core:
            yield core
    finally:
        await backend.close()


async def furnish(core: Core) -> None:
    """Make a volume whose policy keeps two hourly snapshots, and one that keeps one by a line of its own."""
    pool, tenant = await core.find(Pool, name="pool"), await core.find(Tenant, name="svm1")
    hourly = await core.find(Schedule, name="hourly")
    assert pool is not None
    assert tenant is not None
    assert hourly is not None
    lines = {name: SnapshotSchedule(schedule="hourly", count=count) for name, count in KEPT.items()}
    policy = SnapshotPolicy(id=uuid4(), name="p", created=LONG_AGO, copies=(lines["policy"],))
    await core.catalog.commit(put(policy, msgspec.structs.replace(hourly, created=LONG_AGO)))
    for name in KEPT:
        new = volumes.NewVolume(
            name=name,
            tenant_id=tenant.id,
            pool_id=pool.id,
            size=SIZE,
            kind=VolumeKind.BLOCK,
            snapshot_policy_id=policy.id if name == "policy" else None,
            schedules=(lines["own"],) if name == "own" else (),
        )
        job = await (await volumes.create(core, new, description="furnish")).result()
        made = await core.get(volumes.Volume, job.target_id or uuid4())
        await core.catalog.commit(put(msgspec.structs.replace(made, created=LONG_AGO)))


async def perform(core: Core, now: datetime, fault: FaultHook = no_fault) -> Outcome:
    """Perform one pass, as a scheduler that has just started does."""
    return await Scheduler(core, SilentObserver(), fault=fault).run(now)


async def shown(core: Core) -> dict[str, list[datetime]]:
    """Give the instants of which there are snapshots, by the name of the volume."""
    names = {volume.id: volume.name for volume in (await core.catalog.page(volumes.Volume, Query())).records}
    found: dict[str, list[datetime]] = {name: [] for name in names.values()}
    for snapshot in (await core.catalog.page(Snapshot, Query())).records:
        assert snapshot.due is not None
        found[names[snapshot.volume_id]].append(snapshot.due)
    return {name: sorted(instants) for name, instants in found.items()}


def die(order: Order, forks: ForkServer) -> None:
    """Let a process die where the order says."""
    with (Path(order.folder) / "victim.log").open("wb+") as log:
        entry, document = f"{__name__}:victim", msgspec.json.encode(order).decode()
        process = forks.start(entry, document, environment=os.environ, stdout=log.fileno(), stderr=log.fileno())
        try:
            status = process.wait(CHILD_LIMIT_S)
        except subprocess.TimeoutExpired:
            process.kill()
            raise
        log.seek(0)
        said = log.read().decode()[-2000:]
    assert status == -signal.SIGKILL, f"{order} did not die: {status}\n{said}"


def victim(document: str) -> None:
    """Perform the pass of an order and die in it."""
    asyncio.run(_die(msgspec.json.decode(document, type=Order)))


async def _die(order: Order) -> None:
    fault = _Later()
    async with opened(Path(order.folder), fault) as core:
        fault.hook = KillAt(order.point, order.count)
        await perform(core, order.now, fault)
