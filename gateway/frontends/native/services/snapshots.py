"""Snapshots: list, show, take, change, remove. Those that the gateway took for clones are nobody's to see."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any
from uuid import UUID

from msgspec import UNSET

from gateway.core import groups, retired, snapshots
from gateway.core.model import Snapshot
from gateway.core.ownership import readable
from gateway.core.query import And, Compare, Filter, IsNull, Op, Query
from gateway.frontends.native import model, render
from gateway.frontends.native.ask import Ask
from gateway.frontends.native.bodies import (
    NewGroup,
    NewSnapshot,
    Nothing,
    SnapshotChange,
    SnapshotRemoval,
    SnapshotsWanted,
)
from gateway.frontends.native.lookup import asked_snapshot, asked_volume, snapshot_of, volume_of


async def enumerate_(ask: Ask[SnapshotsWanted, Nothing]) -> model.Snapshots:
    """Give a page of the snapshots that the caller may read, in order of their names."""
    query = Query(where=And(tuple(_terms(ask))), limit=ask.query.limit, after=ask.query.after or None)
    page = await ask.core.catalog.page(Snapshot, query)
    return model.Snapshots(records=await render.snapshots(ask.core, page.records), next=page.cursor or "")


async def inspect(ask: Ask[Nothing, Nothing]) -> model.Snapshot:
    """Give a snapshot."""
    found, _ = await asked_snapshot(ask)
    return await render.snapshot(ask.core, found)


async def access(ask: Ask[Nothing, Nothing]) -> model.Handles:
    """Give every way to the bytes of a snapshot."""
    found, _ = await asked_snapshot(ask)
    return model.Handles(handles=await snapshots.access(ask.core, found.id))


async def create(ask: Ask[Nothing, NewSnapshot]) -> model.Snapshot:
    """Take a snapshot."""
    volume, wanted = await asked_volume(ask), ask.body
    new = snapshots.NewSnapshot(name=wanted.name, volume_id=volume.id, labels=wanted.labels, comment=wanted.comment)
    description = f"native: snapshot {wanted.name} of {volume.name}"
    return await _shown(ask, await ask.done(await snapshots.create(ask.core, new, description=description)))


async def create_group(ask: Ask[Nothing, NewGroup]) -> model.Group:
    """Take snapshots of several volumes at one instant, and give them in the order in which they were asked for."""
    core, wanted = ask.core, ask.body.members
    groups.require_count(len(wanted))
    members = [
        snapshots.NewSnapshot(
            name=each.name,
            volume_id=(await volume_of(core, each.volume)).id,
            labels=each.labels,
            comment=each.comment,
        )
        for each in wanted
    ]
    await ask.done(await groups.create(core, members, description=f"native: snapshots of {len(members)} volumes"))
    return model.Group(records=await render.snapshots(core, await groups.taken(core, members)))


async def change(ask: Ask[Nothing, SnapshotChange]) -> model.Snapshot:
    """Change a snapshot."""
    before, volume = await asked_snapshot(ask)
    wanted = snapshots.SnapshotChange(name=ask.body.name, labels=ask.body.labels, comment=ask.body.comment)
    description = f"native: change snapshot {before.name} of {volume.name}"
    return await _shown(
        ask, await ask.done(await snapshots.update(ask.core, before.id, wanted, description=description))
    )


async def delete(ask: Ask[SnapshotRemoval, Nothing]) -> None:
    """Remove a snapshot. InUse when clones hang on it, unless it may live on for them only."""
    found, volume = await asked_snapshot(ask)
    remove = retired.remove_snapshot if ask.query.retire else snapshots.delete
    description = f"native: delete snapshot {found.name} of {volume.name}"
    await ask.done(await remove(ask.core, found.id, description=description))
    await retired.collect_after(ask.core, volume)


async def _shown(ask: Ask[Any, Any], snapshot_id: UUID) -> model.Snapshot:
    found, _ = await snapshot_of(ask.core, snapshot_id)
    return await render.snapshot(ask.core, found)


def _terms(ask: Ask[SnapshotsWanted, Nothing]) -> Iterator[Filter]:
    yield IsNull("volume.retired")
    yield Compare("internal", Op.EQ, value=False)
    if (of_caller := readable(ask.core.caller, field="volume.reader")) is not None:
        yield of_caller
    wanted = ask.query
    for field, value in (("tenant.name", wanted.tenant), ("volume.id", wanted.volume), ("name", wanted.name)):
        if value is not UNSET:
            yield Compare(field, Op.EQ, value)
