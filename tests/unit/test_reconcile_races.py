"""Changes go on while catalog and substrate are compared: what a scan saw may be over when it is looked at."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path

import pytest
from core_scene import scripted_pool

from gateway.backends.memory import MemoryBackend, MemoryOptions
from gateway.core import snapshots, volumes
from gateway.core.backend import Observed, ObservedSnapshot, no_fault
from gateway.core.context import Core
from gateway.core.model import Pool, PoolState, Snapshot, Tenant, Volume
from gateway.core.observer import SilentObserver
from gateway.core.pools import Configured
from gateway.core.query import Query
from gateway.core.reconcile import Reconciler
from gateway.testing.cores import core_on

MIB = 1 << 20


class Overtaken(MemoryBackend):
    """A substrate on which something happens between each scan and what is made of it."""

    after_volumes: Callable[[], Awaitable[object]] | None = None
    after_snapshots: Callable[[], Awaitable[object]] | None = None

    async def scan(self) -> AsyncIterator[Observed]:
        seen = [observed async for observed in super().scan()]
        if self.after_volumes is not None:
            await self.after_volumes()
        for observed in seen:
            yield observed

    async def scan_snapshots(self) -> AsyncIterator[ObservedSnapshot]:
        seen = [observed async for observed in super().scan_snapshots()]
        if self.after_snapshots is not None:
            await self.after_snapshots()
        for observed in seen:
            yield observed


@pytest.fixture
def backend() -> Overtaken:
    return Overtaken("memory", MemoryOptions())


@pytest.fixture
async def core(tmp_path: Path, backend: Overtaken):
    async with core_on(tmp_path, [Configured("memory", backend)]) as made:
        yield made


async def make(core: Core) -> tuple[Volume, Snapshot]:
    tenant = await core.find(Tenant, name="svm1")
    (pool,) = core.pools
    assert tenant is not None
    new = volumes.NewVolume(name="v", tenant_id=tenant.id, pool_id=pool.id, size=20 * MIB)
    job = await (await volumes.create(core, new, description="t")).result()
    taken = snapshots.NewSnapshot(name="s", volume_id=job.target_id)
    other = await (await snapshots.create(core, taken, description="t")).result()
    return await core.get(Volume, job.target_id), await core.get(Snapshot, other.target_id)


async def compare(core: Core) -> list[object]:
    (pool,) = core.pools
    return [*await Reconciler(core, pool, SilentObserver()).run()]


async def test_a_volume_deleted_meanwhile_does_not_come_back(core: Core, backend: Overtaken) -> None:
    volume, _ = await make(core)

    async def gone() -> None:
        await (await volumes.delete(core, volume.id, description="t")).result()

    backend.after_volumes = gone
    assert await compare(core) == []
    assert (await core.catalog.page(Volume, Query())).records == ()
    assert (await core.catalog.page(Snapshot, Query())).records == ()


async def test_a_snapshot_deleted_meanwhile_does_not_come_back(core: Core, backend: Overtaken) -> None:
    volume, snapshot = await make(core)

    async def gone() -> None:
        await (await snapshots.delete(core, snapshot.id, description="t")).result()

    backend.after_snapshots = gone
    assert await compare(core) == []
    assert (await core.catalog.page(Snapshot, Query())).records == ()
    assert (await core.get(Volume, volume.id)).snapshot_count == 0


async def test_a_size_changed_meanwhile_stays(core: Core, backend: Overtaken) -> None:
    volume, _ = await make(core)

    async def grown() -> None:
        change = volumes.VolumeChange(size=40 * MIB)
        await (await volumes.update(core, volume.id, change, description="t")).result()

    backend.after_volumes = grown
    assert await compare(core) == []
    assert (await core.get(Volume, volume.id)).size == 40 * MIB


async def test_a_size_changed_outside_is_corrected(core: Core, backend: Overtaken) -> None:
    volume, _ = await make(core)
    await backend.resize(volume.id, 50 * MIB)
    (found,) = await compare(core)
    assert (found.did, found.ref) == ("corrected", "v")
    assert (await core.get(Volume, volume.id)).size == 50 * MIB


async def test_two_processes_may_open_a_pool_at_once(tmp_path: Path) -> None:
    """Each writes what it sees of the pool; neither may fail because the other one wrote meanwhile."""
    pool = scripted_pool(no_fault)
    async with core_on(tmp_path, [pool]) as one, core_on(tmp_path, [pool]) as two:
        await asyncio.gather(*(core.pools.open("memory") for core in (one, two) for _ in range(8)))
        (row,) = (await one.catalog.page(Pool, Query())).records
        assert row.state is PoolState.ONLINE
