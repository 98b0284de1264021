"""The one place that wires: catalog, pools, core, exporter, doors; and the order in which they start and stop."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager, suppress
from typing import cast
from uuid import UUID, uuid4

import msgspec

from gateway.backends.s3.stores import S3Stores
from gateway.catalog import SqliteCatalog
from gateway.config import Settings
from gateway.core import errors
from gateway.core.backend import FaultHook
from gateway.core.catalog import Catalog
from gateway.core.change import Changes
from gateway.core.context import Core
from gateway.core.exporter import BlockExporter, Exporter, Mounter, TreeExporter
from gateway.core.exports import Publisher
from gateway.core.known import Known
from gateway.core.manifest import CLUSTER_ID, ManifestKeeper
from gateway.core.model import Transport
from gateway.core.observer import Observer
from gateway.core.operation import Context
from gateway.core.pools import Configured, Pools
from gateway.core.reconcile import Finding, Reconciler
from gateway.core.recover import Recovery
from gateway.core.tenants import ensure_defaults
from gateway.exports.git import GitExporter, GitOptions
from gateway.exports.mounts import HostMounter, MountsOptions
from gateway.exports.nfs import NfsExporter, NfsOptions
from gateway.mover.client import ProcessMover
from gateway.peering.links import PeerLinks
from gateway.server.drivers import BLOCK_EXPORTERS, drivers
from gateway.server.peering import links_of


class Exporters(msgspec.Struct, frozen=True, kw_only=True):
    """The configured exporters."""

    nfs: Exporter | None = None
    block: Mapping[Transport, BlockExporter] = {}
    mounts: Mounter | None = None
    git: TreeExporter | None = None

    def all(self) -> Mapping[str, Exporter | BlockExporter | Mounter | TreeExporter]:
        """Give them by kind, as `[export.*]` names it."""
        one_each = {"nfs": self.nfs, "mounts": self.mounts, "git": self.git}
        found = {kind: exporter for kind, exporter in one_each.items() if exporter is not None}
        return found | {transport.value: exporter for transport, exporter in self.block.items()}


class House:
    """The running core with what surrounds it. Made by `furnished`."""

    def __init__(
        self,
        core: Core,
        recovery: Recovery,
        exporters: Exporters,
        observer: Observer,
        *,
        links: PeerLinks | None = None,
    ) -> None:
        self.links = links
        self.core = core
        self.recovery = recovery
        self.exporters = exporters
        self.observer = observer

    async def open_pool(self, name: str) -> None:
        """Open a pool, settle what was interrupted on it, and forget what a volatile one lost.

        A pool whose substrate does not answer stays closed and is tried again
        by `gateway.server.duties`; the others serve meanwhile.
        """
        try:
            pool = await self.core.pools.open(name)
        except errors.GatewayError as error:
            self.observer.event("pool_not_open", pool=name, error=str(error))
            return
        await self.recovery.settle(pool.id)
        if pool.substrate.volatile:
            await Reconciler(self.core, pool, self.observer).run(at_start=True)

    async def open_exporters(self) -> None:
        """Start the exporters that do not run. Without one everything but its publishing works; it is tried again."""
        for kind, exporter in self.exporters.all().items():
            try:
                await exporter.open()
            except errors.GatewayError as error:
                self.observer.event("exporter_not_open", kind=kind, error=str(error))

    async def reconcile(self) -> list[Finding]:
        """Compare every open pool with the catalog."""
        findings: list[Finding] = []
        for pool in self.core.pools:
            try:
                findings += await Reconciler(self.core, pool, self.observer).run()
            except errors.GatewayError as error:
                self.observer.event("reconcile_failed", pool=pool.name, error=str(error))
        return findings

    async def converge_exports(self) -> None:
        """Publish what the catalog wishes, withdraw what it does not; volumes that change right now come next time."""
        publisher, locks = self.core.publisher, self.core.changes.locks
        await self.open_exporters()
        for volume_id in await publisher.stale():
            await self.converge_volume(volume_id)
        async for volume_id in publisher.wished():
            if not locks.held(volume_id):
                await self._converge(volume_id)

    async def converge_volume(self, volume_id: UUID) -> None:
        """The same for one volume, after what this gateway is changing about it unless that lasts too long."""
        with suppress(errors.Conflict):
            async with self.core.changes.holding(volume_id):
                await self._converge(volume_id)

    async def _converge(self, volume_id: UUID) -> None:
        """Converge by force: a node may have lost its right to a gateway that died before it could act on that."""
        try:
            await self.core.publisher.converge(volume_id, force=True)
        except errors.GatewayError as error:
            self.observer.event("export_failed", volume=str(volume_id), error=str(error))


def open_catalog(settings: Settings, fault: FaultHook) -> Catalog:
    """Give the catalog that the configuration names, not opened yet."""
    return SqliteCatalog(settings.catalog_file, fault=fault)


def configured_pools(settings: Settings, fault: FaultHook) -> list[Configured]:
    """Make the backend of every configured pool."""
    known = drivers()
    return [
        Configured(item.name, known[item.driver](item.name, item.options, fault=fault), item.disable)
        for item in settings.backend.values()
    ]


def make_exporters(settings: Settings, fault: FaultHook) -> Exporters:
    """Make the configured exporters; each has a folder of its own in `data_dir`."""
    options = cast("NfsOptions | None", settings.export.get("nfs"))
    nfs = None if options is None else NfsExporter(options, settings.data_dir / "nfs", fault=fault)
    block = {
        transport: driver(settings.export[transport.value], settings.data_dir / transport.value, fault=fault)
        for transport, driver in BLOCK_EXPORTERS.items()
        if transport.value in settings.export
    }
    wanted = cast("MountsOptions | None", settings.export.get("mounts"))
    mounts = None if wanted is None else HostMounter(wanted, settings.data_dir / "mounts", fault=fault)
    over_git = cast("GitOptions | None", settings.export.get("git"))
    git = None if over_git is None else GitExporter(over_git, settings.data_dir / "git", fault=fault)
    return Exporters(nfs=nfs, block=block, mounts=mounts, git=git)


NO_EXPORTERS = Exporters()


@asynccontextmanager
async def furnished(settings: Settings, observer: Observer, fault: FaultHook) -> AsyncIterator[House]:
    """Open catalog, pools and exporters in the order that recovery needs, and close them in reverse.

    Interrupted changes are settled before anything new is let in.
    """
    async with bare(settings, observer, fault, make_exporters(settings, fault)) as house:
        await _start(house, settings)
        yield house


@asynccontextmanager
async def bare(
    settings: Settings, observer: Observer, fault: FaultHook, exporters: Exporters = NO_EXPORTERS
) -> AsyncIterator[House]:
    """Wire a core around the opened catalog; its pools and exporters are not opened yet."""
    for folder in (settings.data_dir, settings.catalog_file.parent):
        folder.mkdir(parents=True, exist_ok=True, mode=0o700)
    catalog = open_catalog(settings, fault)
    await catalog.open()
    try:
        pools = Pools(catalog, configured_pools(settings, fault))
        publisher = Publisher(
            catalog, pools, exporters.nfs, exporters.block, mounter=exporters.mounts, trees=exporters.git
        )
        mover = ProcessMover()
        links = links_of(settings, catalog)
        changes = Changes(catalog, Context(catalog, pools, publisher, fault, mover, links), observer, fault)
        stores = S3Stores()
        manifest = ManifestKeeper(catalog, pools, observer)
        core = Core(catalog, pools, changes, publisher, manifest, Known(catalog), stores=stores)
        try:
            yield House(core, Recovery(core, observer), exporters, observer, links=links)
        finally:
            await changes.close()
            await mover.close()
            if links is not None:
                await links.close()
            await stores.close()
            for exporter in exporters.all().values():
                await exporter.close()
            await pools.close()
    finally:
        await catalog.close()


async def _start(house: House, settings: Settings) -> None:
    core = house.core
    if await core.catalog.setting(CLUSTER_ID) is None:
        await core.catalog.put_setting(CLUSTER_ID, str(uuid4()))
    await house.open_exporters()
    await house.recovery.adopt()
    async with asyncio.TaskGroup() as opening:
        for name in settings.backend:
            opening.create_task(house.open_pool(name))
    await ensure_defaults(core, settings.tenants)
    await core.manifest.write()
