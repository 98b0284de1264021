"""Snapshots: create and change."""

from __future__ import annotations

from datetime import datetime
from uuid import UUID

import msgspec

from gateway.core import snapshots
from gateway.core.change import Started
from gateway.core.model import Snapshot, Tenant, Volume
from gateway.frontends.ontap_rest.ask import Ask
from gateway.frontends.ontap_rest.body import Values
from gateway.frontends.ontap_rest.writes.names import check_place, text

_PLACES = ("volume.name", "volume.uuid", "svm.name", "svm.uuid")


async def create(ask: Ask, volume: Volume, values: Values) -> Started:
    """Start taking a snapshot; `volume` and `svm` in the body may say what the path does."""
    await _check_place(ask, volume.id, values)
    expires = values.get("expiry_time")
    new = snapshots.NewSnapshot(
        name=text(values, "name") or "",
        volume_id=volume.id,
        comment=text(values, "comment") or "",
        label=text(values, "snapmirror_label") or "",
        expires=expires if isinstance(expires, datetime) else None,
    )
    return await snapshots.create(ask.core, new, description=ask.description)


async def modify(ask: Ask, snapshot: Snapshot, values: Values) -> Started:
    """Start changing a snapshot's name or texts."""
    await _check_place(ask, snapshot.volume_id, values)
    unset = msgspec.UNSET
    expires = values.get("expiry_time")
    change = snapshots.SnapshotChange(
        name=text(values, "name") or unset,
        comment=(text(values, "comment") or "") if "comment" in values else unset,
        label=(text(values, "snapmirror_label") or "") if "snapmirror_label" in values else unset,
        expires=(expires if isinstance(expires, datetime) else None) if "expiry_time" in values else unset,
    )
    return await snapshots.update(ask.core, snapshot.id, change, description=ask.description)


async def _check_place(ask: Ask, volume_id: UUID, values: Values) -> None:
    if values.keys().isdisjoint(_PLACES):
        return
    volume = await ask.core.get(Volume, volume_id)
    tenant = await ask.core.get(Tenant, volume.tenant_id)
    check_place(values, dict(zip(_PLACES, (volume.name, str(volume.id), tenant.name, str(tenant.id)), strict=True)))
