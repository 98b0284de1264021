"""Publications are desired state: the catalog says what should be reachable, this makes it so.

A volume is published when it is online and has a junction path and an export
policy, its tenant runs, and an exporter is configured. Export servers forget
and get restarted, so the same step serves a change, the start and a timer.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from uuid import UUID

from gateway.core import errors
from gateway.core.backend import Export, ExportAccess, Exporter
from gateway.core.catalog import Catalog, walk
from gateway.core.locks import KeyLocks
from gateway.core.model import (
    AccessHandle,
    ExportPolicy,
    ExportRule,
    Intent,
    LocalPath,
    Tenant,
    TenantState,
    Volume,
    VolumeState,
)
from gateway.core.pools import Pools
from gateway.core.query import And, Compare, Filter, IsNull, Not, Op, Order, Query

_NFS = frozenset({"any", "nfs", "nfs4"})
_MAY = frozenset({"any", "sys"})


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

    def __init__(self, catalog: Catalog, pools: Pools, exporter: Exporter | None, *, patience_s: float = 30) -> None:
        self._catalog = catalog
        self._pools = pools
        self._exporter = exporter
        self._patience_s = patience_s
        self._locks = KeyLocks()

    def concerns(self, intent: Intent) -> bool:
        """Tell whether what is published may differ after the intent."""
        if self._exporter is None:
            return False
        return _wish(intent.before) != _wish(intent.after) and _wish(intent.after) is not None

    async def desired(self, volume: Volume) -> Export | None:
        """Give the publication that a volume should have, or None."""
        if volume.state is not VolumeState.ONLINE or not volume.junction_path or volume.export_policy_id is None:
            return None
        policy = await self._catalog.get(ExportPolicy, volume.export_policy_id)
        tenant = await self._catalog.get(Tenant, volume.tenant_id)
        if policy is None or tenant is None or tenant.state is not TenantState.RUNNING:
            return None
        source = await self._pools.get(volume.pool_id).backend.access(volume.id)
        if not isinstance(source, LocalPath):
            return None
        rules = [access_of(rule) for rule in policy.rules]
        return Export(
            id=volume.id,
            path=volume.junction_path,
            source=source,
            rules=tuple(rule for rule in rules if rule is not None),
            generation=volume.generation,
        )

    async def converge(self, volume_id: UUID) -> None:
        """Make one volume's publication as the catalog wants it; Timeout or the exporter's error when it cannot be."""
        if self._exporter is None:
            return
        async with self._locks.holding(volume_id):
            volume = await self._catalog.get(Volume, volume_id)
            wanted = await self.desired(volume) if volume is not None else None
            try:
                async with asyncio.timeout(self._patience_s):
                    if wanted is None:
                        await self._exporter.withdraw(volume_id)
                    else:
                        await self._exporter.publish(wanted)
            except TimeoutError:
                raise errors.Timeout(what="export", after=int(self._patience_s)) from None

    async def withdraw(self, volume: Volume) -> None:
        """End a volume's publication, whatever the catalog wants.

        An exporter that does not answer hinders only where there was a wish.
        """
        if self._exporter is None:
            return
        async with self._locks.holding(volume.id):
            try:
                await self._exporter.withdraw(volume.id)
            except errors.Unavailable:
                if volume.junction_path is not None:
                    raise

    async def converge_policy(self, policy_id: UUID, changing: KeyLocks) -> None:
        """Make the publications of every volume that uses an export policy as the catalog wants them.

        `changing` holds the volumes that changes work on: what those withdrew
        must not come back. Every volume is tried; then the first failure is raised.
        """
        await self._converge_all(Compare("export_policy.id", Op.EQ, policy_id), changing)

    async def converge_tenant(self, tenant_id: UUID, changing: KeyLocks) -> None:
        """The same for a tenant."""
        await self._converge_all(Compare("tenant.id", Op.EQ, tenant_id), changing)

    async def _converge_all(self, where: Filter, changing: KeyLocks) -> None:
        if self._exporter is None:
            return
        failures: list[errors.GatewayError] = []
        async for volume in self._volumes(And((where, Not(IsNull("junction_path"))))):
            try:
                async with changing.holding(volume.id):
                    await self.converge(volume.id)
            except errors.GatewayError as error:
                failures.append(error)
        if failures:
            raise failures[0]

    async def stale(self) -> frozenset[UUID]:
        """Give ids that are published although the catalog has no wish for them."""
        if self._exporter is None:
            return frozenset()
        stale = set()
        for volume_id in await self._exporter.published():
            volume = await self._catalog.get(Volume, volume_id)
            if volume is None or _wish(volume) is None:
                stale.add(volume_id)
        return frozenset(stale)

    async def wished(self) -> AsyncIterator[UUID]:
        """Yield every volume that has a junction path."""
        async for volume in self._volumes(Not(IsNull("junction_path"))):
            yield volume.id

    async def handles(self, volume: Volume) -> tuple[AccessHandle, ...]:
        """Give every way to the bytes of a volume: on this host, and as published."""
        local = await self._pools.get(volume.pool_id).backend.access(volume.id)
        if self._exporter is None:
            return (local,)
        wanted = await self.desired(volume)
        return (local,) if wanted is None else (local, self._exporter.handle(wanted))

    def _volumes(self, where: Filter) -> AsyncIterator[Volume]:
        return walk(self._catalog, Volume, Query(where=where, order=(Order("id"),), limit=500))


def _wish(volume: Volume | None) -> tuple[object, ...] | None:
    if volume is None or volume.state is not VolumeState.ONLINE or volume.junction_path is None:
        return None
    return (volume.junction_path, volume.export_policy_id, volume.generation)
