"""Volumes: list, show, make, change, remove, clone, restore, move."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any
from uuid import UUID

from msgspec import UNSET

from gateway.core import clones, moves, retired, tokens, volumes
from gateway.core.model import Volume, VolumeState
from gateway.core.ownership import readable
from gateway.core.query import And, Compare, Filter, IsNull, Op, Query
from gateway.frontends.native import model, render
from gateway.frontends.native.ask import Ask
from gateway.frontends.native.bodies import (
    Move,
    NewClone,
    NewToken,
    NewVolume,
    Nothing,
    Removal,
    Restore,
    VolumeChange,
    VolumesWanted,
)
from gateway.frontends.native.lookup import (
    asked_volume,
    policy_id,
    pool_named,
    snapshot_of,
    tenant_named,
    volume_of,
)

_FIELDS = {"tenant": "tenant.name", "name": "name", "pool": "pool.name", "kind": "kind", "path": "junction_path"}
"""A parameter of a list -> the catalog's field."""


async def enumerate_(ask: Ask[VolumesWanted, Nothing]) -> model.Volumes:
    """Give a page of the volumes that the caller may read, in order of their names."""
    query = Query(where=And(tuple(_terms(ask))), limit=ask.query.limit, after=ask.query.after or None)
    page = await ask.core.catalog.page(Volume, query)
    return model.Volumes(records=await render.volumes(ask.core, page.records), next=page.cursor or "")


async def inspect(ask: Ask[Nothing, Nothing]) -> model.Volume:
    """Give a volume."""
    return await render.volume(ask.core, await asked_volume(ask))


async def access(ask: Ask[Nothing, Nothing]) -> model.Handles:
    """Give every way to the bytes of a volume."""
    return model.Handles(handles=await volumes.access(ask.core, (await asked_volume(ask)).id))


async def token(ask: Ask[Nothing, NewToken]) -> model.Token:
    """Give a token that opens a published tree with its snapshots, for reading or also for writing."""
    volume = await asked_volume(ask)
    return model.Token(token=(await tokens.token(ask.core, volume.id, write=ask.body.write)).reveal())


async def create(ask: Ask[Nothing, NewVolume]) -> model.Volume:
    """Make a volume."""
    wanted, core = ask.body, ask.core
    tenant, pool = await tenant_named(core, wanted.tenant), await pool_named(core, wanted.pool)
    new = volumes.NewVolume(
        name=wanted.name,
        tenant_id=tenant.id,
        pool_id=pool.id,
        size=wanted.size,
        kind=wanted.kind,
        thick=wanted.thick,
        comment=wanted.comment,
        labels=wanted.labels,
        junction_path=wanted.path,
        export_policy_id=await policy_id(core, tenant.id, wanted.export_policy),
        multi_attach=wanted.multi_attach,
    )
    started = await volumes.create(core, new, description=f"native: create {wanted.name}")
    return await _shown(ask, await ask.done(started))


async def change(ask: Ask[Nothing, VolumeChange]) -> model.Volume:
    """Change a volume."""
    before, wanted = await asked_volume(ask), ask.body
    policy = wanted.export_policy
    started = await volumes.update(
        ask.core,
        before.id,
        volumes.VolumeChange(
            name=wanted.name,
            size=wanted.size,
            state=UNSET if wanted.state is UNSET else VolumeState(wanted.state),
            comment=wanted.comment,
            labels=wanted.labels,
            junction_path=wanted.path,
            export_policy_id=UNSET if policy is UNSET else await policy_id(ask.core, before.tenant_id, policy),
            multi_attach=wanted.multi_attach,
        ),
        description=f"native: change {before.name}",
    )
    return await _shown(ask, await ask.done(started))


async def delete(ask: Ask[Removal, Nothing]) -> None:
    """Remove a volume. Where snapshots or clones still need it, it lives on for them only, and is shown no more."""
    volume = await asked_volume(ask)
    description = f"native: delete {volume.name}"
    await ask.done(await retired.remove(ask.core, volume.id, description=description, force=ask.query.force))
    await retired.collect_after(ask.core, volume)


async def clone(ask: Ask[Nothing, NewClone]) -> model.Volume:
    """Make a clone of a volume as it is, or as a snapshot has it."""
    source, wanted = await asked_volume(ask), ask.body
    if wanted.snapshot is not None:
        await snapshot_of(ask.core, wanted.snapshot)
    policy = wanted.export_policy
    new = clones.NewClone(
        name=wanted.name,
        tenant_id=source.tenant_id,
        source_id=source.id,
        snapshot_id=wanted.snapshot,
        transient_base=True,
        size=wanted.size,
        comment=wanted.comment,
        labels=wanted.labels,
        junction_path=wanted.path,
        export_policy_id=UNSET if policy is UNSET else await policy_id(ask.core, source.tenant_id, policy),
        multi_attach=wanted.multi_attach,
    )
    started = await clones.create(ask.core, new, description=f"native: clone {source.name} as {wanted.name}")
    return await _shown(ask, await ask.done(started))


async def restore(ask: Ask[Nothing, Restore]) -> model.Volume:
    """Bring the content of a snapshot back."""
    volume = await asked_volume(ask)
    snapshot, _ = await snapshot_of(ask.core, ask.body.snapshot)
    started = await volumes.restore(
        ask.core,
        volume.id,
        snapshot.id,
        description=f"native: restore {snapshot.name} of {volume.name}",
        discard_newer=ask.body.discard_newer,
    )
    return await _shown(ask, await ask.done(started))


async def move(ask: Ask[Nothing, Move]) -> model.Volume:
    """Take a volume to another pool."""
    volume, pool = await asked_volume(ask), await pool_named(ask.core, ask.body.pool)
    description = f"native: move {volume.name} to {pool.name}"
    moved = await ask.done(await moves.move(ask.core, volume.id, pool.id, description=description))
    await retired.collect_after(ask.core, volume)
    return await _shown(ask, moved)


async def _shown(ask: Ask[Any, Any], volume_id: UUID) -> model.Volume:
    return await render.volume(ask.core, await volume_of(ask.core, volume_id))


def _terms(ask: Ask[VolumesWanted, Nothing]) -> Iterator[Filter]:
    """Give what a list is restricted to. Paths are unique in any case, so that is what finds them."""
    yield IsNull("retired")
    if (of_caller := readable(ask.core.caller)) is not None:
        yield of_caller
    for name, field in _FIELDS.items():
        value = getattr(ask.query, name)
        if value is not UNSET:
            yield Compare(field, Op.EQ, str(value))
    if ask.query.path is not UNSET:
        yield Compare("junction_key", Op.EQ, ask.query.path.casefold())
