"""A core in one process for tests: a SQLite catalog in a folder, pools from given backends, no doors."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from contextlib import asynccontextmanager
from pathlib import Path

from gateway.backends.memory import MemoryBackend, MemoryOptions
from gateway.catalog import SqliteCatalog
from gateway.core.backend import FaultHook, no_fault
from gateway.core.catalog import Catalog
from gateway.core.change import Changes
from gateway.core.context import Core
from gateway.core.exporter import BlockExporter, Exporter, Mounter, TreeExporter
from gateway.core.exports import Publisher
from gateway.core.known import Known
from gateway.core.manifest import ManifestKeeper
from gateway.core.model import Transport
from gateway.core.mover import Mover
from gateway.core.observer import Observer, SilentObserver
from gateway.core.operation import Context
from gateway.core.peering import Peers
from gateway.core.pools import Configured, Pools
from gateway.core.recover import Recovery
from gateway.core.tenants import ensure_defaults

CATALOG = "catalog.sqlite"


@asynccontextmanager
async def core_on(
    directory: Path,
    configured: Sequence[Configured],
    *,
    observer: Observer | None = None,
    exporter: Exporter | None = None,
    block: Mapping[Transport, BlockExporter] = {},
    mounter: Mounter | None = None,
    trees: TreeExporter | None = None,
    mover: Mover | None = None,
    peers: Callable[[Catalog], Peers] | None = None,
    fault: FaultHook = no_fault,
    tenants: tuple[str, ...] = ("svm1",),
) -> AsyncIterator[Core]:
    """Give a core with its tenants (none: an empty catalog), its pools open and what a predecessor left settled.

    The backends are opened but not closed: a test may go on with them in the
    next core, as a substrate outlives a gateway.
    """
    watcher = observer or SilentObserver()
    catalog = SqliteCatalog(directory / CATALOG, fault=fault)
    await catalog.open()
    pools = Pools(catalog, configured)
    publisher = Publisher(catalog, pools, exporter, block, mounter=mounter, trees=trees)
    links = None if peers is None else peers(catalog)
    changes = Changes(catalog, Context(catalog, pools, publisher, fault, mover, links), watcher, fault)
    core = Core(catalog, pools, changes, publisher, ManifestKeeper(catalog, pools, watcher), Known(catalog))
    try:
        recovery = Recovery(core, watcher)
        await recovery.adopt()
        for item in configured:
            pool = await pools.open(item.name)
            await recovery.settle(pool.id)
        if tenants:
            await ensure_defaults(core, tenants)
        yield core
    finally:
        await changes.close()
        await catalog.close()


def memory_pool(name: str = "memory", *, fault: FaultHook = no_fault, disabled: tuple[str, ...] = ()) -> Configured:
    """Give a memory pool to configure a core with."""
    return Configured(name, MemoryBackend(name, MemoryOptions(), fault=fault), disabled)
