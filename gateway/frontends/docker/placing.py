"""Where a new volume goes: the first pool that has what is asked for."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from uuid import UUID

import msgspec

from gateway.core import errors
from gateway.core.catalog import walk
from gateway.core.context import Core
from gateway.core.model import Pool, VolumeKind
from gateway.core.query import Order, Query
from gateway.frontends.docker.site import Site
from gateway.frontends.docker.wanted import FROM, POOL, TENANT, Wanted
from gateway.frontends.kinds import KindChoice

OF_FILES: Mapping[str, str] = {"btrfs": "btrfs", "zfs": "zfs", "nfs": "nfs"}
"""Driver -> the type of file system that its volumes of files are on, where it is not just `vfs`."""

ON_BLOCKS = frozenset({"ext4", "xfs", "btrfs"})
"""File systems that are made on a volume of blocks when it is first mounted."""


class Place(msgspec.Struct, frozen=True):
    """A pool and the kind of the volume there."""

    pool: Pool
    kind: VolumeKind


async def place(core: Core, site: Site, wanted: Wanted) -> Place:
    """Give the first pool and kind that serve. InvalidArgument when none does, NotFound for an unknown pool."""
    pools = await _candidates(core, site, wanted)
    able = {pool.id: pool.capabilities for pool in core.pools}
    for kind in _kinds(site, wanted):
        for pool in pools:
            if kind in able.get(pool.id, ()) and wanted.kept.format in {"", *formats_of(pool.driver, kind)}:
                return Place(pool, kind)
    if away := [pool.name for pool in pools if pool.id not in able]:
        raise errors.Unavailable(what=f"pool {away[0]}", reason="its substrate does not answer")
    if wanted.kept.format:
        raise errors.InvalidArgument(
            field="fs", value=wanted.kept.format, reason=f"no pool has volumes with {wanted.kept.format} here"
        )
    raise errors.InvalidArgument(field="kind", value=wanted.kind, reason="no pool has volumes of this kind here")


def formats_of(driver: str, kind: VolumeKind) -> frozenset[str]:
    """Give the types of file system that a volume of the kind may have."""
    return ON_BLOCKS if kind is VolumeKind.BLOCK else frozenset({OF_FILES.get(driver, "vfs")})


async def tenant_id(core: Core, site: Site, wanted: Wanted) -> UUID:
    """Give whose a new volume is: the first tenant's unless another is asked for. InvalidArgument for none of them."""
    tenants = await site.tenant_ids(core)
    if not wanted.tenant:
        if site.tenants[0] not in tenants:
            raise errors.Unavailable(what=f"tenant {site.tenants[0]}", reason="it does not exist")
        return tenants[site.tenants[0]]
    if wanted.tenant not in tenants:
        raise errors.InvalidArgument(
            field=TENANT, value=wanted.tenant[:64], reason=f"must be one of {', '.join(tenants)}"
        )
    return tenants[wanted.tenant]


async def check_copy(core: Core, wanted: Wanted, *, pool_id: UUID, kind: VolumeKind, format_: str) -> None:
    """Raise InvalidArgument for what a copy cannot have otherwise than its source, which is in this pool."""
    pool = (await core.known.get_many(Pool, [pool_id]))[pool_id]
    if wanted.pool not in {"", pool.name}:
        raise errors.InvalidArgument(
            field=POOL, value=wanted.pool[:64], reason=f"a copy is in its source's pool, {pool.name}"
        )
    if wanted.kind not in {KindChoice.AUTO, KindChoice(kind.value)}:
        raise errors.InvalidArgument(field="kind", value=wanted.kind, reason=f"what {FROM} names is of kind {kind}")
    there = {format_} if format_ else formats_of(pool.driver, kind)
    if wanted.kept.format and wanted.kept.format not in there:
        raise errors.InvalidArgument(
            field="fs", value=wanted.kept.format, reason=f"what {FROM} names has {', '.join(sorted(there))}"
        )


def _kinds(site: Site, wanted: Wanted) -> Iterator[VolumeKind]:
    """Yield the kinds that serve, the better one first; the type of file system says more than this."""
    choice = wanted.kind if wanted.kind is not KindChoice.AUTO else site.options.kind
    for kind in (VolumeKind.FILESYSTEM, VolumeKind.BLOCK):
        if choice in {KindChoice.AUTO, KindChoice(kind.value)}:
            yield kind


async def _candidates(core: Core, site: Site, wanted: Wanted) -> list[Pool]:
    """Give the pools that may be taken, in order. Of those that nobody named, those that forget come last."""
    known = {pool.name: pool async for pool in walk(core.catalog, Pool, Query(order=(Order("name"),)))}
    allowed = site.options.pools or tuple(sorted(known, key=lambda name: known[name].volatile))
    if not wanted.pool:
        return [known[name] for name in allowed if name in known]
    if wanted.pool not in allowed or wanted.pool not in known:
        raise errors.NotFound(kind="pool", ref=wanted.pool[:64])
    return [known[wanted.pool]]
