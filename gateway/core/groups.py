"""Snapshots of several volumes at one instant, taken by one change: all of them, or none."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from uuid import UUID, uuid4

from gateway.core import errors
from gateway.core.capability import require
from gateway.core.change import Plan, Started
from gateway.core.context import Core
from gateway.core.model import Snapshot, Volume, utc_now
from gateway.core.snapshots import NewSnapshot, planned

MEMBERS_MAX = 100
_CAPABILITY = "snapshot_group"


async def create(
    core: Core, members: Sequence[NewSnapshot], *, ids: Sequence[UUID] | None = None, description: str
) -> Started:
    """Start taking a snapshot of each member's volume, all at the same instant; `taken` gives them afterwards.

    Raises for any of them what `snapshots.create` raises for one; Unsupported
    where their pool cannot do it, or when they are in several; LimitExceeded
    for none and for more than `MEMBERS_MAX`; InvalidArgument for a volume that
    is named twice, and for volumes of several tenants. The job's target is
    the first snapshot. `ids`: those that the snapshots are to have, for who
    has to find them again after a crash.
    """
    require_count(len(members))
    keys = {new.volume_id for new in members}
    if len(keys) < len(members):
        raise errors.InvalidArgument(field="members", reason="a volume is named twice")
    chosen = [uuid4() for _ in members] if ids is None else ids

    async def plan() -> Plan:
        now = utc_now()
        found: list[tuple[Volume, Snapshot]] = []
        for new, snapshot_id in zip(members, chosen, strict=True):
            found.append(await planned(core, new, snapshot_id=snapshot_id, created=now))
            await asyncio.sleep(0)  # reading them may not pause at all, and others want their turn
        volumes = tuple(volume for volume, _ in found)
        require_together(core, volumes)
        return Plan(
            operation="snapshot.group",
            description=description,
            pool_id=volumes[0].pool_id,
            also=tuple(snapshot for _, snapshot in found),
            read=volumes,
        )

    return await core.start(keys, plan)


def require_count(members: int) -> None:
    """Raise LimitExceeded unless so many may be members of a group."""
    if not 1 <= members <= MEMBERS_MAX:
        raise errors.LimitExceeded(limit="members", value=members, minimum=1, maximum=MEMBERS_MAX)


async def taken(core: Core, members: Sequence[NewSnapshot]) -> tuple[Snapshot, ...]:
    """Give the snapshots of a group that was taken, in the order of its members; NotFound when one is gone again."""
    found = []
    for new in members:
        snapshot = await core.find(Snapshot, volume__id=new.volume_id, name=new.name)
        if snapshot is None:
            raise errors.NotFound(kind="snapshot", ref=new.name)
        found.append(snapshot)
    return tuple(found)


def require_together(core: Core, volumes: Sequence[Volume]) -> None:
    """Raise unless one instant of all of these volumes can be had, by one job of one tenant."""
    for volume in volumes:
        pool = core.pools.get(volume.pool_id)
        require(pool.capability(volume.kind), _CAPABILITY)
        if volume.pool_id != volumes[0].pool_id:
            raise errors.Unsupported(
                capability=_CAPABILITY, backend=pool.name, reason="the volumes are in several pools"
            )
        if volume.tenant_id != volumes[0].tenant_id:
            raise errors.InvalidArgument(field="members", reason="the volumes belong to several tenants")
