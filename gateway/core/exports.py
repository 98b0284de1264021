"""Publications are desired state: the catalog says what should be reachable, this makes it so.

A filesystem volume is published when it is online and has a junction path and
an export policy, its tenant runs and serves NFS, and an exporter is configured: to the nodes
that it is attached to, and as the policy says; a block volume when it is online
and has attachments; either is mounted on this host when it is online and has
mounts here. For trees under version control see `gateway.core.trees`. Export
servers forget and get restarted, so the same step serves a change, the start
and a timer.
"""

from __future__ import annotations

import asyncio
import enum
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable, Mapping
from contextlib import suppress
from functools import partial
from uuid import UUID

import msgspec

from gateway.core import errors
from gateway.core.backend import HostBackend
from gateway.core.catalog import Catalog, walk
from gateway.core.exporter import BlockExport, BlockExporter, Export, ExportAccess, Exporter, Mounter, TreeExporter
from gateway.core.handles import AccessHandle, LocalPath, NfsExport
from gateway.core.locks import KeyLocks
from gateway.core.model import (
    Attachment,
    AttachMode,
    ExportPolicy,
    ExportRule,
    Intent,
    Tenant,
    TenantState,
    Transport,
    Volume,
    VolumeKind,
    VolumeState,
)
from gateway.core.mounting import Mounting
from gateway.core.pools import Pools
from gateway.core.query import And, Compare, Filter, IsNull, Not, Op, Or, Order, Query
from gateway.core.targets import block_access, file_access, serial_of
from gateway.core.trees import Trees

_FILES, _OWN_SERVER = "local_path", "nfs"
_NFS = frozenset({"any", "nfs", "nfs4"})
_MAY = frozenset({"any", "sys"})
_WAYS = (Transport.LOCAL, Transport.NFS, Transport.ISCSI, Transport.NBD)
_WISHED = Or((Not(IsNull("junction_path")), Compare("attachment_count", Op.GT, 0), Compare("mount_count", Op.GT, 0)))
_TREES = Compare("kind", Op.EQ, VolumeKind.TREE)


class NfsServer(enum.Enum):
    """Who serves a pool's volumes over NFS: the gateway's exporter, or the server on which the pool itself is."""

    EXPORTER = enum.auto()
    OWN = enum.auto()


def access_of(rule: ExportRule) -> ExportAccess | None:
    """Give what a rule means to an exporter of NFSv4 with system authentication; None when it grants nothing."""
    if not _NFS & set(rule.protocols) or not _MAY & set(rule.read):
        return None
    return ExportAccess(
        clients=rule.clients,
        write=bool(_MAY & set(rule.write)),
        squash_root=not _MAY & set(rule.superuser),
        anonymous_uid=int(rule.anonymous_user) if rule.anonymous_user.isdigit() else 65534,
    )


class Publisher:
    """Makes publications follow the catalog. Without an exporter it publishes nothing and says so in `handles`."""

    def __init__(
        self,
        catalog: Catalog,
        pools: Pools,
        exporter: Exporter | None,
        block: Mapping[Transport, BlockExporter] = {},
        *,
        mounter: Mounter | None = None,
        trees: TreeExporter | None = None,
        patience_s: float = 30,
    ) -> None:
        self._catalog = catalog
        self._pools = pools
        self._exporter = exporter
        self._block = block
        self.mounting = None if mounter is None else Mounting(mounter, self._here)
        self.trees = None if trees is None else Trees(trees, self._found)
        self._wished = _WISHED if trees is None else Or((_WISHED, _TREES))
        self._patience_s = patience_s
        self._locks = KeyLocks()

    @property
    def idle(self) -> bool:
        """Whether there is no exporter at all."""
        return self._exporter is None and not self._block and self.mounting is None and self.trees is None

    def files_by(self, pool_id: UUID, kind: VolumeKind = VolumeKind.FILESYSTEM) -> NfsServer | None:
        """Tell who serves a pool's volumes over NFS, None when nobody can. Unavailable while the pool is not open.

        Blocks are raw files there, which only a server of the pool's own serves.
        """
        handles = self._pools.get(pool_id).substrate.handles
        if _OWN_SERVER in handles:
            return NfsServer.OWN
        published = self._exporter is not None and _FILES in handles and kind is VolumeKind.FILESYSTEM
        return NfsServer.EXPORTER if published else None

    def ways(self, pool_id: UUID, kind: VolumeKind) -> tuple[Transport, ...]:
        """Give how volumes of a kind in a pool can be attached, the shortest way first. Unavailable: as `files_by`.

        Blocks that a file server has are nearer there than by way of this host.
        """
        found: set[Transport] = set()
        if _FILES in self._pools.get(pool_id).substrate.handles:
            found = {Transport.LOCAL} | (self._block.keys() if kind is VolumeKind.BLOCK else set())
        if self.files_by(pool_id, kind) is not None:
            found.add(Transport.NFS)
        return tuple(transport for transport in _WAYS if transport in found)

    def addresses(self, pool_id: UUID) -> tuple[str, ...]:
        """Give where clients reach files of a pool that the exporter publishes. Unavailable: as `files_by`."""
        if self._exporter is None or self.files_by(pool_id) is not NfsServer.EXPORTER:
            return ()
        handle = self._exporter.handle(_somewhere(pool_id, "/"))
        return (handle.address,) if isinstance(handle, NfsExport) else ()

    def concerns(self, intent: Intent) -> bool:
        """Tell whether what is published may differ after the intent.

        It may when nothing was to change: whoever asks again for what failed
        to be published must not be told that all is well.
        """
        wish = _wish(intent.after)
        if self.idle or wish is None:
            return False
        return _wish(intent.before) != wish or intent.before == intent.after

    async def desired(self, volume: Volume) -> Export | None:
        """Give the NFS publication that a volume should have, or None.

        What nodes have by their attachments comes before the policy's rules, and
        writers before readers: several nodes may come from one address.
        """
        if volume.state is not VolumeState.ONLINE or not volume.junction_path or volume.export_policy_id is None:
            return None
        policy = await self._catalog.get(ExportPolicy, volume.export_policy_id)
        tenant, source = await self._running(volume), await self._source(volume)
        if policy is None or source is None or tenant is None or not tenant.nfs.enabled:
            return None
        if volume.replica_of is not None:
            policy = msgspec.structs.replace(policy, rules=tuple(map(_read_only, policy.rules)))
        nodes = [access for attachment in volume.attachments if (access := file_access(attachment)) is not None]
        rules = [access_of(rule) for rule in policy.rules]
        return Export(
            id=volume.id,
            path=volume.junction_path,
            source=source,
            rules=(
                *sorted(nodes, key=lambda access: not access.write),
                *(rule for rule in rules if rule is not None),
            ),
            generation=volume.generation,
        )

    async def desired_block(self, volume: Volume, transport: Transport) -> BlockExport | None:
        """Give the publication of a volume's blocks that a transport should have, or None."""
        attachments = [a for a in volume.attachments if a.transport is transport]
        if volume.kind is not VolumeKind.BLOCK or volume.state is not VolumeState.ONLINE or not attachments:
            return None
        tenant = await self._catalog.get(Tenant, volume.tenant_id)
        source = await self._here(volume)
        if tenant is None or source is None:
            return None
        access = [await block_access(self._catalog, tenant, attachment) for attachment in attachments]
        granted = tuple(one for one in access if one is not None)
        if not granted:
            return None
        return BlockExport(
            id=volume.id,
            serial=serial_of(volume.id),
            size=volume.size,
            source=source,
            access=granted,
            generation=volume.generation,
        )

    async def converge(self, volume_id: UUID, *, force: bool = False) -> None:
        """Make one volume's publication as the catalog wants it; Timeout or the exporter's error when it cannot be.

        Every exporter is tried; one that does not answer hinders only where
        there was a wish. Nodes that are connected and should not be are cut
        off by force only.
        """
        if self.idle:
            return
        async with self._locks.holding(volume_id):
            volume = await self._catalog.get(Volume, volume_id)
            kind = volume.kind if volume is not None else None
            works: list[Callable[[], Awaitable[None]]] = []
            if self._exporter is not None and kind in {None, VolumeKind.FILESYSTEM}:
                works.append(partial(self._converge_files, self._exporter, volume_id, volume))
            if kind in {None, VolumeKind.BLOCK}:
                works += [partial(self._converge_blocks, one, volume_id, volume, force=force) for one in self._block]
            if self.trees is not None and kind in {None, VolumeKind.TREE}:
                works.append(partial(self._converge_tree, self.trees, volume_id, volume))
            if self.mounting is not None:
                works.append(partial(self._converge_mounts, self.mounting, volume_id, volume, force=force))
            await _all_tried(works)

    async def withdraw(self, volume: Volume, *, force: bool = False) -> None:
        """End a volume's publication and mounts, whatever the catalog wants.

        An exporter that does not answer hinders only where there was a wish.
        InUse while a node uses the blocks or somebody a mount, unless by force.
        """
        async with self._locks.holding(volume.id):
            # First what can be refused.
            if self.mounting is not None:
                work = self.mounting.withdraw(volume.id, force=force)
                await _tolerantly(work, wished=bool(self.mounting.wished(volume)))
            await self._withdraw(volume, force=force)

    async def unexport(self, volume: Volume) -> None:
        """End a volume's publication to clients; its mounts stay."""
        async with self._locks.holding(volume.id):
            await self._withdraw(volume, force=False)

    async def _withdraw(self, volume: Volume, *, force: bool) -> None:
        if self._exporter is not None:
            await _tolerantly(self._exporter.withdraw(volume.id), wished=volume.junction_path is not None)
        for transport, exporter in self._block.items():
            wished = _attached(volume, transport)
            await _tolerantly(exporter.withdraw(volume.id, force=force), wished=wished)
        if self.trees is not None and volume.kind is VolumeKind.TREE:
            await self.trees.converge(volume.id, None)

    async def narrow(self, before: Volume, after: Volume, *, force: bool) -> None:
        """End what attachments gave that they do not give in `after`; what is new there comes later.

        InUse while one of their nodes is connected to blocks, unless by force.
        """
        left = _narrowed(before, after)
        ended = {attachment.transport for attachment in set(before.attachments) - set(left.attachments)}
        async with self._locks.holding(before.id):
            if self._exporter is not None and Transport.NFS in ended:
                await self._converge_files(self._exporter, before.id, left)
            for transport in ended & self._block.keys():
                wanted = await self.desired_block(left, transport)
                await self._converge_block(self._block[transport], before.id, wanted, force=force)

    async def remount(self, before: Volume, after: Volume, *, force: bool, delete_path: bool) -> None:
        """End the mounts that `after` has no more, and make those that are new.

        InUse while one that ends is in use, unless by force.
        """
        if self.mounting is not None:
            async with self._locks.holding(before.id):
                await self.mounting.change(before, after, force=force, delete_path=delete_path)

    async def keep_mounts(self, volume: Volume) -> None:
        """End those mounts of a volume that it does not have, also while they are in use."""
        if self.mounting is not None:
            async with self._locks.holding(volume.id):
                await _tolerantly(self.mounting.keep_only(volume), wished=False)

    async def converge_policy(self, policy_id: UUID, changing: KeyLocks) -> None:
        """Make the publications of every volume that uses an export policy as the catalog wants them.

        `changing` holds the volumes that changes work on: what those withdrew
        must not come back. Every volume is tried; then the first failure is raised.
        """
        await self._converge_all(Compare("export_policy.id", Op.EQ, policy_id), changing)

    async def converge_tenant(self, tenant_id: UUID, changing: KeyLocks, *, force: bool = False) -> None:
        """The same for a tenant."""
        await self._converge_all(Compare("tenant.id", Op.EQ, tenant_id), changing, force=force)

    async def converge_node(self, node: str, changing: KeyLocks, *, force: bool = False) -> None:
        """The same for a node or host group."""
        await self._converge_all(Compare("attachment.node", Op.EQ, node), changing, force=force)

    async def _converge_all(self, where: Filter, changing: KeyLocks, *, force: bool = False) -> None:
        if self.idle:
            return
        left = [volume.id async for volume in self._volumes(And((where, self._wished)))]
        failures: dict[UUID, errors.GatewayError] = {}
        # Twice: of two publications one may stand in the way of the other until both are as they should be.
        for _ in range(2):
            failures = {}
            for volume_id in left:
                try:
                    async with changing.holding(volume_id):
                        await self.converge(volume_id, force=force)
                except errors.GatewayError as error:
                    failures[volume_id] = error
            left = list(failures)
        for failure in failures.values():
            raise failure

    async def stale(self) -> frozenset[UUID]:
        """Give ids that are published although the catalog has no wish for them, by those exporters that answer."""
        published: set[UUID] = set()
        if self._exporter is not None:
            with suppress(errors.Unavailable):
                published |= (await self._exporter.published()).keys()
        for exporter in self._block.values():
            with suppress(errors.Unavailable):
                published |= await exporter.published()
        if self.trees is not None:
            with suppress(errors.Unavailable):
                published |= await self.trees.published()
        stale = set()
        for volume_id in published:
            volume = await self._volume(volume_id)
            if volume is None or _wish(volume) is None:
                stale.add(volume_id)
        if self.mounting is not None:
            with suppress(errors.Unavailable):
                stale |= await self.mounting.stale(self._volume)
        return frozenset(stale)

    async def wished(self) -> AsyncIterator[UUID]:
        """Yield every volume that has a junction path, attachments or mounts, or is a tree."""
        async for volume in self._volumes(self._wished):
            yield volume.id

    async def handles(self, volume: Volume) -> tuple[AccessHandle, ...]:
        """Give every way to the bytes of a volume: the pool's own, as published, on this host where that is another."""
        backend = self._pools.get(volume.pool_id).backend
        found: list[AccessHandle] = [await backend.access(volume.id)]
        follows = volume.replica_of is not None
        wanted = await self.desired(volume) if self._exporter is not None else None
        if self._exporter is not None and wanted is not None:
            found.append(self._exporter.handle(wanted))
        for transport, exporter in self._block.items():
            blocks = await self.desired_block(volume, transport)
            found += [exporter.handle(blocks, access) for access in blocks.access] if blocks is not None else []
        found += await self.trees.handles(volume) if self.trees is not None else ()
        if isinstance(backend, HostBackend):
            found.append(await backend.here(volume.id))
        return tuple(msgspec.structs.replace(one, read_only=True) if follows else one for one in found)

    async def way(self, volume: Volume, attachment: Attachment) -> AccessHandle | None:
        """Give the one way to the bytes that an attachment of the volume opens; None while it opens none."""
        transport, read_only = attachment.transport, attachment.mode is AttachMode.READ_ONLY
        if transport in self._block and volume.kind is VolumeKind.BLOCK:
            alone = msgspec.structs.replace(volume, attachments=(attachment,))
            blocks = await self.desired_block(alone, transport)
            return None if blocks is None else self._block[transport].handle(blocks, blocks.access[0])
        if transport is Transport.NFS and self.files_by(volume.pool_id) is NfsServer.OWN:
            there = await self._pools.get(volume.pool_id).backend.access(volume.id)
            return msgspec.structs.replace(there, read_only=True) if read_only else there
        if transport is Transport.NFS and self._exporter is not None:
            files = await self.desired(volume)
            return None if files is None else self._exporter.handle(files)
        if transport is not Transport.LOCAL or volume.state is not VolumeState.ONLINE:
            return None
        here = await self._here(volume)
        return None if here is None else msgspec.structs.replace(here, read_only=here.read_only or read_only)

    def location(self, volume: Volume) -> AccessHandle | None:
        """Give where the exporter has a volume's files once they are published, without asking their substrate."""
        if self._exporter is None or volume.junction_path is None:
            return None
        with suppress(errors.Unavailable):
            if self.files_by(volume.pool_id) is not NfsServer.EXPORTER:
                return None
        return self._exporter.handle(_somewhere(volume.id, volume.junction_path))

    async def _volume(self, volume_id: UUID) -> Volume | None:
        return await self._catalog.get(Volume, volume_id)

    async def _source(self, volume: Volume) -> LocalPath | None:
        """Give where the exporter of files finds a volume's; None when others have them or its tenant is stopped."""
        source = await self._found(volume)
        return source if isinstance(source, LocalPath) else None

    async def _found(self, volume: Volume) -> AccessHandle | None:
        """Give where a volume's pool has its bytes; None while its tenant is stopped."""
        return await self._pools.get(volume.pool_id).backend.access(volume.id) if await self._running(volume) else None

    async def _here(self, volume: Volume) -> LocalPath | None:
        """Give where this host finds a volume's bytes, also those that a server of the pool's own has."""
        backend = self._pools.get(volume.pool_id).backend
        if not isinstance(backend, HostBackend):
            return await self._source(volume)
        return await backend.here(volume.id) if await self._running(volume) else None

    async def _running(self, volume: Volume) -> Tenant | None:
        tenant = await self._catalog.get(Tenant, volume.tenant_id)
        return tenant if tenant is not None and tenant.state is TenantState.RUNNING else None

    async def _converge_files(self, exporter: Exporter, volume_id: UUID, volume: Volume | None) -> None:
        wanted = await self.desired(volume) if volume is not None else None
        work = exporter.withdraw(volume_id) if wanted is None else exporter.publish(wanted)
        wished = volume is not None and volume.junction_path is not None
        await _tolerantly(self._patiently(work), wished=wished)

    async def _converge_blocks(
        self, transport: Transport, volume_id: UUID, volume: Volume | None, *, force: bool
    ) -> None:
        wanted = await self.desired_block(volume, transport) if volume is not None else None
        work = self._converge_block(self._block[transport], volume_id, wanted, force=force)
        await _tolerantly(work, wished=volume is not None and _attached(volume, transport))

    async def _converge_tree(self, trees: Trees, volume_id: UUID, volume: Volume | None) -> None:
        wanted = await trees.desired(volume)
        await _tolerantly(self._patiently(trees.converge(volume_id, wanted)), wished=wanted is not None)

    async def _converge_mounts(
        self, mounting: Mounting, volume_id: UUID, volume: Volume | None, *, force: bool
    ) -> None:
        wished = volume is not None and bool(mounting.wished(volume))
        await _tolerantly(self._patiently(mounting.converge(volume_id, volume, force=force)), wished=wished)

    async def _converge_block(
        self, exporter: BlockExporter, volume_id: UUID, wanted: BlockExport | None, *, force: bool
    ) -> None:
        if wanted is None:
            await self._patiently(exporter.withdraw(volume_id, force=force))
        else:
            await self._patiently(exporter.publish(wanted, force=force))

    async def _patiently(self, work: Awaitable[None]) -> None:
        try:
            async with asyncio.timeout(self._patience_s):
                await work
        except TimeoutError:
            raise errors.Timeout(what="export", after=int(self._patience_s)) from None

    def _volumes(self, where: Filter) -> AsyncIterator[Volume]:
        return walk(self._catalog, Volume, Query(where=where, order=(Order("id"),), limit=500))


def _read_only(rule: ExportRule) -> ExportRule:
    return msgspec.structs.replace(rule, write=())


def _somewhere(key: UUID, path: str) -> Export:
    """Give a publication of which only what clients see of it counts."""
    anybody = ExportAccess(clients=("*",), write=True)
    return Export(id=key, path=path, source=LocalPath(path="/"), rules=(anybody,))


async def _tolerantly(work: Awaitable[None], *, wished: bool) -> None:
    try:
        await work
    except errors.Unavailable:
        if wished:
            raise


async def _all_tried(works: Iterable[Callable[[], Awaitable[None]]]) -> None:
    """Do one after the other, whatever becomes of each; then raise the first failure."""
    failures: list[errors.GatewayError] = []
    for work in works:
        try:
            await work()
        except errors.GatewayError as error:
            failures.append(error)
    for failure in failures:
        raise failure


def _attached(volume: Volume, transport: Transport) -> bool:
    return any(attachment.transport is transport for attachment in volume.attachments)


def _narrowed(before: Volume, after: Volume) -> Volume:
    """Give a volume as it was, with no more attachments and addresses of them than it has after a change, too."""
    kept = {attachment.id: attachment.clients for attachment in after.attachments}
    left = [
        msgspec.structs.replace(old, clients=tuple(client for client in old.clients if client in kept[old.id]))
        for old in before.attachments
        if old.id in kept
    ]
    return msgspec.structs.replace(before, attachments=tuple(left))


def _wish(volume: Volume | None) -> tuple[object, ...] | None:
    """Give what a publication depends on; None when there is to be none."""
    if volume is None or volume.state is not VolumeState.ONLINE:
        return None
    if volume.kind is VolumeKind.TREE:
        return (volume.pool_id, volume.replica_of is not None, volume.generation)
    if volume.junction_path is not None:
        where, follows = (volume.junction_path, volume.export_policy_id), volume.replica_of is not None
        return (*where, follows, volume.attachments, volume.mounts, volume.generation)
    if volume.attachments or volume.mounts:
        return (volume.attachments, volume.mounts, volume.size, volume.generation)
    return None
