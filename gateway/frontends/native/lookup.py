"""Objects by what a request calls them. What the caller may not read is not there, and neither is what is retired."""

from __future__ import annotations

from typing import Any
from uuid import UUID

from gateway.core import errors
from gateway.core.context import Core
from gateway.core.model import Pool, Snapshot, Tenant, Volume
from gateway.core.ownership import visible
from gateway.core.policies import export_policy_named
from gateway.frontends.native.ask import Ask

VOLUME, SNAPSHOT, TENANT, POLICY, NODE, JOB = "volume", "snapshot", "tenant", "policy", "node", "job"
"""Keys in the paths of routes."""


async def asked_volume(ask: Ask[Any, Any]) -> Volume:
    """Give the volume that the path names."""
    return await volume_of(ask.core, ask.key(VOLUME, "volume"))


async def asked_snapshot(ask: Ask[Any, Any]) -> tuple[Snapshot, Volume]:
    """Give the snapshot that the path names, with its volume."""
    return await snapshot_of(ask.core, ask.key(SNAPSHOT, "snapshot"))


async def asked_tenant(ask: Ask[Any, Any]) -> Tenant:
    """Give the tenant that the path names."""
    return await tenant_named(ask.core, ask.keys[TENANT])


async def volume_of(core: Core, volume_id: UUID) -> Volume:
    """Give a volume by id; NotFound."""
    volume = await core.catalog.get(Volume, volume_id)
    if volume is None or volume.retired is not None or not visible(core.caller, volume):
        raise errors.NotFound(kind="volume", ref=str(volume_id))
    return volume


async def snapshot_of(core: Core, snapshot_id: UUID) -> tuple[Snapshot, Volume]:
    """Give a snapshot that somebody asked for, with its volume, by id; NotFound."""
    snapshot = await core.catalog.get(Snapshot, snapshot_id)
    volume = None if snapshot is None else await core.catalog.get(Volume, snapshot.volume_id)
    if (
        snapshot is None
        or volume is None
        or snapshot.internal
        or volume.retired is not None
        or not visible(core.caller, volume)
    ):
        raise errors.NotFound(kind="snapshot", ref=str(snapshot_id))
    return snapshot, volume


async def tenant_named(core: Core, name: str) -> Tenant:
    """Give a tenant by name; NotFound."""
    found = await core.known.named(Tenant, name)
    if found is None:
        raise errors.NotFound(kind="tenant", ref=name[:64])
    return found


async def pool_named(core: Core, name: str) -> Pool:
    """Give a pool by name; NotFound."""
    found = await core.known.named(Pool, name)
    if found is None:
        raise errors.NotFound(kind="pool", ref=name[:64])
    return found


async def policy_id(core: Core, tenant_id: UUID, name: str | None) -> UUID | None:
    """Give the id of a tenant's export policy, None for none; NotFound."""
    return None if name is None else (await export_policy_named(core, tenant_id, name)).id
