"""Snapshots: create and change."""

from __future__ import annotations

from datetime import datetime

import msgspec

from gateway.core import snapshots
from gateway.core.change import Started
from gateway.core.model import Snapshot, Volume
from gateway.frontends.ontap_rest.ask import Ask
from gateway.frontends.ontap_rest.body import Values
from gateway.frontends.ontap_rest.writes.names import text


async def create(ask: Ask, volume: Volume, values: Values) -> Started:
    """Start taking a snapshot; `volume` and `svm` in the body are accepted and ignored, the path says which."""
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
    unset = msgspec.UNSET
    expires = values.get("expiry_time")
    change = snapshots.SnapshotChange(
        name=text(values, "name") or unset,
        comment=(text(values, "comment") or "") if "comment" in values else unset,
        label=(text(values, "snapmirror_label") or "") if "snapmirror_label" in values else unset,
        expires=(expires if isinstance(expires, datetime) else None) if "expiry_time" in values else unset,
    )
    return await snapshots.update(ask.core, snapshot.id, change, description=ask.description)
