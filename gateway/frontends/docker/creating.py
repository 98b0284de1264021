"""Making volumes. What has the name already is given when it is what was asked for.

Docker repeats a call whose end it did not see, and several hosts may make the
same volume at once. Whoever comes second waits for the first.
"""

from __future__ import annotations

import asyncio

from gateway.core import clones, errors, volumes
from gateway.core.change import Started
from gateway.core.clones import NewClone
from gateway.core.context import Core
from gateway.core.model import Pool, Volume
from gateway.core.volumes import NewVolume
from gateway.frontends.docker import lookup
from gateway.frontends.docker.lookup import Source
from gateway.frontends.docker.placing import check_copy, place, tenant_id
from gateway.frontends.docker.site import Site
from gateway.frontends.docker.wanted import FROM, SPEC, Kept, Wanted
from gateway.frontends.kinds import KindChoice
from gateway.frontends.openstorage.spec import parse_size

PATIENCE_S = 100.0
"""How long a call waits for a volume of its name that is being made or deleted. Docker itself waits for two minutes."""

_TRIES = 100
_FOREIGN_PAUSE_S = 0.25


async def create(core: Core, site: Site, wanted: Wanted) -> None:
    """Make a volume. AlreadyExists when another one has the name; the same one again is no error."""
    source = await lookup.source(core, site, wanted.source) if wanted.source else None
    for left in reversed(range(_TRIES)):
        present = await _rested(core, site, wanted.name)
        if present is not None:
            await _require_same(core, site, present, wanted, source=source)
            return
        try:
            make = _new(core, site, wanted) if source is None else _copy(core, site, wanted, source)
            await (await make).result()
        except errors.AlreadyExists as error:
            if error.field != "name" or not left:
                raise
        else:
            return


async def _new(core: Core, site: Site, wanted: Wanted) -> Started:
    where = await place(core, site, wanted)
    new = NewVolume(
        name=wanted.name,
        tenant_id=await tenant_id(core, site, wanted),
        pool_id=where.pool.id,
        size=parse_size(site.options.default_size) if wanted.size is None else wanted.size,
        kind=where.kind,
        labels=wanted.labels,
        multi_attach=wanted.shared,
        annotations={SPEC: wanted.kept.text()},
    )
    return await volumes.create(core, new, description=f"Docker: create {wanted.name}")


async def _copy(core: Core, site: Site, wanted: Wanted, source: Source) -> Started:
    origin = source.volume
    await check_copy(core, wanted, pool_id=origin.pool_id, kind=origin.kind, format_=origin.format)
    if wanted.tenant and await tenant_id(core, site, wanted) != origin.tenant_id:
        raise errors.InvalidArgument(field="tenant", value=wanted.tenant[:64], reason="a copy is its source's tenant's")
    if wanted.size is not None and wanted.size < origin.size:
        reason = f"what {FROM} names has {origin.size} bytes, and a copy has no fewer"
        raise errors.InvalidArgument(field="size", value=wanted.size, reason=reason)
    new = NewClone(
        name=wanted.name,
        tenant_id=origin.tenant_id,
        source_id=origin.id,
        snapshot_id=None if source.snapshot is None else source.snapshot.id,
        size=wanted.size,
        transient_base=True,
        labels=wanted.labels,
        annotations=_annotations(origin, wanted),
    )
    return await clones.create(core, new, description=f"Docker: create {wanted.name} from {origin.name}")


def _annotations(origin: Volume, wanted: Wanted) -> dict[str, str]:
    """Give what a copy has of its source, and what was said of it."""
    return origin.annotations if wanted.kept == Kept() else {**origin.annotations, SPEC: wanted.kept.text()}


async def _rested(core: Core, site: Site, name: str) -> Volume | None:
    """Give what has the name once it is neither being made nor being deleted; Timeout when that takes too long."""
    try:
        async with asyncio.timeout(PATIENCE_S):
            while True:
                volume = await lookup.named(core, site, name)
                if volume is None or lookup.whole(volume):
                    return volume
                core.pools.get(volume.pool_id)
                await _changed(core, volume)
    except TimeoutError:
        raise errors.Timeout(what=f"volume {name[:64]}", after=int(PATIENCE_S)) from None


async def _changed(core: Core, volume: Volume) -> None:
    """Wait for the end of a change of this process; for one of another process a moment."""
    locks = core.changes.locks
    if locks.held(volume.id):
        async with locks.holding(volume.id):
            return
    await asyncio.sleep(_FOREIGN_PAUSE_S)


async def _require_same(core: Core, site: Site, volume: Volume, wanted: Wanted, *, source: Source | None) -> None:
    """Raise AlreadyExists unless the volume is what was asked for, as far as that was said."""
    pool = (await core.known.get_many(Pool, [volume.pool_id]))[volume.pool_id]
    same = (
        wanted.pool in {"", pool.name}
        and (not wanted.tenant or await tenant_id(core, site, wanted) == volume.tenant_id)
        and wanted.kind in {KindChoice.AUTO, KindChoice(volume.kind.value)}
        and _is_copy(volume, source)
        and wanted.size in {None, volume.size}
    )
    if not same:
        raise errors.AlreadyExists(kind="volume", name=volume.name, field="name", same_spec=False)


def _is_copy(volume: Volume, source: Source | None) -> bool:
    if source is None:
        return True
    origin = volume.origin
    if origin is None or origin.volume_id != source.volume.id:
        return False
    return source.snapshot is None or origin.snapshot_id == source.snapshot.id
