"""Deletes volumes while snapshots and clones still need them, on a real pool, and looks at what becomes of all of them.

For authors of backends whose pools can clone; see `gateway.testing.kills` for the scene.
"""

from __future__ import annotations

import pytest

from gateway.core import clones, errors, retired, snapshots
from gateway.core.context import Core
from gateway.core.model import Snapshot, Volume
from gateway.core.observer import SilentObserver
from gateway.core.query import Query
from gateway.core.reconcile import Reconciler
from gateway.testing.kills import GONE, KillScene


async def assert_clones_outlive_their_source(scene: KillScene) -> None:
    """Fail unless everything keeps its bytes after its source was deleted, and nothing is left in the end."""
    async with scene.core() as core:
        await scene.clean(core)
        await scene.furnish(core)
        before = await scene.view(core)
        await _remove(core, "parent")
        await _clone(core, "heir", of=await _snapshot(core, "g1"))
        await _clone(core, "second", of=await _snapshot(core, "s2"))
        for name in ("heir", "second"):
            await scene.write(core, await _volume(core, name), "more")
    async with scene.core() as core:
        after = await scene.view(core)
        assert {name for name, seen in after.items() if seen.retired} == {"parent", GONE}
        for name in ("parent", GONE):
            assert after[name].snapshots == before[name].snapshots
        assert after["kid"] == before["kid"]
        for name, source, base in (("heir", GONE, "g1"), ("second", "parent", "s2")):
            assert after[name].origin == (source, base)
            assert after[name].files == before[source].snapshots[base] | {"a": b"more" * 1000, "more": b"more"}
        await _remove(core, "kid", "heir", "other", "empty")
        with pytest.raises(errors.InUse):
            await snapshots.delete(core, (await _snapshot(core, "s2")).id, description="test")
        await _remove(core, "second")
        for name in ("s1", "s2", "g1", "o1", "o2"):
            await (await snapshots.delete(core, (await _snapshot(core, name)).id, description="test")).result()
        assert await retired.collect(core) == 3
        assert await scene.view(core) == {}
        (pool,) = core.pools
        assert await Reconciler(core, pool, SilentObserver()).run() == []
        assert [seen async for seen in pool.backend.scan()] == []


async def _remove(core: Core, *names: str) -> None:
    for name in names:
        found = await core.find(Volume, name=name)
        if found is not None:
            await (await retired.remove(core, found.id, description="test", force=True)).result()


async def _clone(core: Core, name: str, *, of: Snapshot) -> None:
    new = clones.NewClone(name=name, tenant_id=of.tenant_id, source_id=of.volume_id, snapshot_id=of.id)
    await (await clones.create(core, new, description="test")).result()


async def _volume(core: Core, name: str) -> Volume:
    (found,) = [v for v in (await core.catalog.page(Volume, Query())).records if v.name == name]
    return found


async def _snapshot(core: Core, name: str) -> Snapshot:
    (found,) = [s for s in (await core.catalog.page(Snapshot, Query())).records if s.name == name]
    return found
