"""Two memory pools, `old` and `new`, with a volume to move, and all that can be seen of them."""

from __future__ import annotations

from typing import Any

import msgspec
from core_scene import LocalMemory, make, scripted_pool, tenant_and_pool

from gateway.core import moves
from gateway.core.backend import FaultHook, no_fault
from gateway.core.change import Started
from gateway.core.context import Core
from gateway.core.model import Intent, Snapshot, Volume
from gateway.core.observer import SilentObserver
from gateway.core.pools import Configured
from gateway.core.query import Query
from gateway.core.reconcile import Finding, Reconciler

DATA = {"f": b"content"}
IN_OLD = {"old": {"v": DATA, "stays": {}}, "new": {"there": {}}}
IN_NEW = {"old": {"stays": {}}, "new": {"there": {}, "v": DATA}}
"""What the pools hold before the move of `v`, and after it."""


class Nth:
    """Writes down the points that are passed once it is armed, and raises at the one of that number, from 1."""

    def __init__(self) -> None:
        self.points: list[str] = []
        self._number = 0
        self._error: BaseException | None = None
        self._armed = False

    def arm(self, number: int = 0, error: BaseException | None = None) -> None:
        """Begin to count."""
        self.points, self._number, self._error, self._armed = [], number, error, True

    def __call__(self, point: str) -> None:
        if self._armed:
            self.points.append(point)
            if len(self.points) == self._number and self._error is not None:
                raise self._error


def two_pools(fault: FaultHook = no_fault) -> list[Configured]:
    return [scripted_pool(fault, "old"), scripted_pool(fault, "new")]


def memory(core: Core, name: str) -> LocalMemory:
    backend = next(pool.backend for pool in core.pools if pool.name == name)
    assert isinstance(backend, LocalMemory)
    return backend


async def furnished(core: Core, **more: Any) -> Volume:
    """Make a volume in the old pool with a file in it, and one in each pool that nobody moves."""
    volume = await make(core, "v", pool="old", labels={"a": "b"}, **more)
    for name, data in DATA.items():
        memory(core, "old").write(volume.id, name, data)
    await make(core, "stays", pool="old")
    await make(core, "there", pool="new")
    return volume


async def start(core: Core, volume: Volume, pool: str = "new") -> Started:
    _, found = await tenant_and_pool(core, pool)
    return await moves.move(core, volume.id, found.id, description="test")


async def moved(core: Core, volume: Volume, pool: str = "new") -> Volume:
    await (await start(core, volume, pool)).result()
    return await core.get(Volume, volume.id)


async def held(core: Core) -> dict[str, Any]:
    """Give what the pools hold, by name: volumes with their files, and the names of snapshots if there are any."""
    found: dict[str, Any] = {}
    for pool in core.pools:
        backend = memory(core, pool.name)
        seen = [one async for one in backend.scan()]
        found[pool.name] = {one.note.name: dict(backend.files(one.id)) for one in seen if one.note and one.id}
        taken = [one.note.name async for one in backend.scan_snapshots() if one.note]
        found |= {f"snapshots of {pool.name}": taken} if taken else {}
    return found


async def rows(core: Core) -> dict[str, list[Any]]:
    """Give what the catalog holds."""
    return {
        kind.__name__: [
            msgspec.structs.replace(row, revision=0) for row in (await core.catalog.page(kind, Query())).records
        ]
        for kind in (Volume, Snapshot, Intent)
    }


async def compared(core: Core) -> list[Finding]:
    """Compare the catalog with each pool."""
    return [finding for pool in core.pools for finding in await Reconciler(core, pool, SilentObserver()).run()]


async def assert_whole(core: Core, *, at: str) -> None:
    """Fail unless the volume is in that pool, with nothing of the move left anywhere."""
    assert await held(core) == (IN_NEW if at == "new" else IN_OLD)
    found = await rows(core)
    assert found["Snapshot"] == found["Intent"] == []
    _, pool = await tenant_and_pool(core, at)
    (volume,) = [row for row in found["Volume"] if row.name == "v"]
    assert (volume.pool_id, volume.snapshot_count, volume.clone_count) == (pool.id, 0, 0)
    assert await compared(core) == []
