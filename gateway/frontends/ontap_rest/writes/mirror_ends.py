"""The ends of a relationship: paths become volumes, and a destination is made where it is asked for."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from uuid import UUID

from gateway.core import errors, peer_tenants, peers, volumes
from gateway.core.assigned import may_use
from gateway.core.model import Pool, Tenant, Volume, VolumeKind
from gateway.core.peering import SourceVolume
from gateway.core.pools import OpenPool
from gateway.core.receiving import streams
from gateway.core.sources import described, in_common_with
from gateway.frontends.ontap_rest import kept
from gateway.frontends.ontap_rest.ask import Ask
from gateway.frontends.ontap_rest.body import Values
from gateway.frontends.ontap_rest.errors import WireError
from gateway.frontends.ontap_rest.writes.names import seen, snapshot_policy_of, text

_CREATE = "create_destination"


async def source_of(ask: Ask, values: Values) -> SourceVolume:
    """Give the volume that `source.path` names, here or at the cluster that `source.cluster` names.

    Without a cluster an SVM that is not here is looked for among the peers of the destination's.
    """
    far = await _far_source(ask, values)
    if far is not None:
        return far
    tenant, name = await _end(ask, values, "source.path")
    found = await _volume(ask, tenant, name)
    if found is None:
        raise _no_volume(tenant, name, "source.path")
    return await described(ask.core, found)


async def _far_source(ask: Ask, values: Values) -> SourceVolume | None:
    """Give the source where it is at a peer. WireError 13303886 for an SVM that is not let in to it."""
    core, links = ask.core, ask.core.changes.context.peers
    if links is None:
        for field in ("source.cluster.name", "source.cluster.uuid"):
            if field in values:
                why = "this gateway is not configured to have peers"
                message = f'The operation is not supported on this platform. Field "{field}": {why}.'
                raise WireError(400, "262144017", message=message, target=field)
        return None
    remote, _, name = (text(values, "source.path") or "").partition(":")
    reader, _ = await _end(ask, values, "destination.path")
    peer_id = await _cluster_of(ask, values)
    if peer_id is None and "source.cluster.name" not in values and await core.find(Tenant, name=remote) is None:
        mine = [one for one in await peer_tenants.everyone(core) if one.tenant_id == reader.id]
        meant = peer_tenants.so_called(mine, remote)
        peer_id = None if meant is None else meant.peer_id
    if peer_id is None:
        return None
    if core.caller is not None and not core.caller.administrator:
        raise errors.PermissionDenied(action="replicate a volume at a peer")
    peering = await peer_tenants.reading(core, peer_id, reader.id, remote)
    try:
        return await links.find(peer_id, tenant=peering.remote, volume=name, reader_id=reader.id)
    except errors.NotFound as error:
        if error.fields["kind"] != "volume":
            raise
        message = f'Volume "{name}" does not exist in SVM "{remote}" of the peer cluster.'
        raise WireError(404, "917525", message=message, target="source.path") from None


async def _cluster_of(ask: Ask, values: Values) -> UUID | None:
    """Give the peer that `source.cluster` names; None for this cluster itself, or where nothing is named."""
    name, uuid = text(values, "source.cluster.name"), text(values, "source.cluster.uuid")
    for peer in await peers.everyone(ask.core):
        if peer.name == name or str(peer.id) == uuid:
            return peer.id
    own = ask.core.changes.context.peers
    if (name is None or (own is not None and own.name == name)) and uuid is None:
        return None
    raise errors.NotFound(kind="peer", ref=name or uuid)


@asynccontextmanager
async def destination_of(ask: Ask, values: Values, source: SourceVolume) -> AsyncIterator[Volume]:
    """Give the volume that `destination.path` names: one made to be a destination, or one that was at an end before.

    With `create_destination` it is made where it is not there, and goes again
    when what is done with it fails.
    """
    tenant, name = await _end(ask, values, "destination.path")
    if ask.tenant is not None and tenant.id != ask.tenant.id:
        message = 'The SVM of "destination.path" is not the one that the request is for.'
        raise WireError(400, "2621706", message=message, target="destination.path")
    found = await _volume(ask, tenant, name)
    if found is not None:
        if found.id == source.id:
            message = "The source and the destination of a relationship must be different."
            raise WireError(400, "6619441", message=message, target="destination.path")
        if found.replica_of is None and await in_common_with(ask.core, source, found) is None:
            message = f'Volume "{name}" in SVM "{tenant.name}" is not a volume of type DP.'
            raise WireError(409, "6619546", message=message, target="destination.path")
        _refuse_size(values, found)
        yield await _fitted(ask, found, source)
        return
    if values.get(f"{_CREATE}.enabled") is not True:
        raise _no_volume(tenant, name, "destination.path")
    made = await _provisioned(ask, values, source, tenant=tenant, name=name)
    try:
        yield made
    except Exception:
        await (await volumes.delete(ask.core, made.id, description=ask.description)).result()
        raise


def _refuse_size(values: Values, found: Volume) -> None:
    if values.get(f"{_CREATE}.size") not in {None, found.size}:
        message = f'Field "{_CREATE}.size" is for a destination that is made; volume "{found.name}" exists.'
        raise WireError(400, "262186", message=message, target=f"{_CREATE}.size")


async def _fitted(ask: Ask, found: Volume, source: SourceVolume) -> Volume:
    """Give the destination of a volume that holds a LUN the same LUN, and blocks where it waits as an empty FlexVol."""
    waits = found.replica_of == found.id and found.kind is not VolumeKind.OBJECTS
    if source.kind is not VolumeKind.BLOCK or not waits:
        return found
    if found.kind is VolumeKind.FILESYSTEM:
        step = ask.core.pools.get(found.pool_id).capability(VolumeKind.BLOCK).facts.size_step
        size = -(-max(found.size, source.size) // step) * step
        started = await volumes.convert(
            ask.core, found.id, size=size, annotations=_lun_of(source), description=ask.description
        )
    else:
        annotations = {**found.annotations, **_lun_of(source)}
        change = volumes.VolumeChange(annotations=annotations)
        started = await volumes.update(ask.core, found.id, change, description=ask.description)
    await started.result()
    return await ask.core.get(Volume, found.id)


def _lun_of(source: SourceVolume) -> dict[str, str]:
    return {key: value for key, value in source.annotations.items() if key in kept.OF_LUNS}


async def _provisioned(ask: Ask, values: Values, source: SourceVolume, *, tenant: Tenant, name: str) -> Volume:
    size = values.get(f"{_CREATE}.size")
    new = volumes.NewVolume(
        name=name,
        tenant_id=tenant.id,
        pool_id=(await _pool(ask, source, tenant)).id,
        kind=source.kind,
        size=max(size, source.size) if isinstance(size, int) else source.size,
        snapshot_policy_id=await snapshot_policy_of(ask.core, {}, tenant.id, fallback="none"),
        annotations=_lun_of(source),
        replica=True,
    )
    started = await volumes.create(ask.core, new, description=ask.description)
    await started.result()
    made = await ask.core.find(Volume, name=name, tenant__id=tenant.id)
    if made is None:
        raise errors.NotFound(kind="volume", ref=name)
    return made


async def _pool(ask: Ask, source: SourceVolume, tenant: Tenant) -> OpenPool:
    """Give the pool in which a destination is made.

    One that the SVM may use, and that lasts, another one than the source's, that understands what that
    sends, with the most room: in this order, as far as there is one.
    """
    core = ask.core
    records = await core.known.get_many(Pool, {pool.id for pool in core.pools})
    able = [pool for pool in core.pools if pool.id in records and may_use(tenant, pool.id) and _able(pool, source.kind)]
    if not able:
        message = "No aggregate can hold the destination."
        raise WireError(409, "13303918", message=message, target=_CREATE)
    there = None if source.pool_id is None else core.pools.get(source.pool_id)

    def worth(pool: OpenPool) -> tuple[bool, bool, bool, int]:
        understands = there is not None and streams(source.kind, there, pool)
        return not pool.substrate.volatile, pool.id != source.pool_id, understands, records[pool.id].available

    return max(able, key=worth)


def _able(pool: OpenPool, kind: VolumeKind) -> bool:
    capability = pool.capabilities.get(kind)
    return capability is not None and capability.can("snapshot") and capability.can("restore")


async def _end(ask: Ask, values: Values, path: str) -> tuple[Tenant, str]:
    tenant, _, name = (text(values, path) or "").partition(":")
    found = await ask.core.find(Tenant, name=tenant)
    if found is None:
        raise errors.NotFound(kind="tenant", ref=tenant)
    return found, name


async def _volume(ask: Ask, tenant: Tenant, name: str) -> Volume | None:
    return seen(ask.core, await ask.core.find(Volume, name=name, tenant__id=tenant.id))


def _no_volume(tenant: Tenant, name: str, path: str) -> WireError:
    return WireError(404, "917525", message=f'Volume "{name}" does not exist in SVM "{tenant.name}".', target=path)
