"""Where a new volume goes, and how a shared one is published."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import msgspec
from grpc import StatusCode

from gateway.core import errors, policies
from gateway.core.catalog import walk
from gateway.core.model import Pool, VolumeKind
from gateway.core.query import Order, Query
from gateway.frontends.kinds import KindChoice
from gateway.frontends.openstorage.call import Call, SdkError, refuse
from gateway.frontends.openstorage.pb import volume_spec_pb2 as pb
from gateway.frontends.openstorage.specs import BLOCK_FORMATS


class Place(msgspec.Struct, frozen=True):
    """A pool and the kind of the volume there."""

    pool: Pool
    kind: VolumeKind


async def place(call: Call, spec: pb.VolumeSpec) -> Place:
    """Give the first pool that can hold what the spec asks for.

    `replica_set.pool_uuids` names the pools that may be taken. INVALID_ARGUMENT
    when none of the pools has such volumes.
    """
    wanted = _kinds(call, spec)
    pools = await _candidates(call, spec)
    if not pools:
        refuse("replica_set.pool_uuids: none of these pools can be used here")
    able = {pool.id: pool.capabilities for pool in call.core.pools}
    for kind in wanted:
        for pool in pools:
            if kind in able.get(pool.id, ()):
                return Place(pool, kind)
    if away := [pool.name for pool in pools if pool.id not in able]:
        raise SdkError(
            StatusCode.UNAVAILABLE, f"No pool that answers has such volumes; {', '.join(away)} do not answer"
        )
    raise SdkError(StatusCode.INVALID_ARGUMENT, f"No pool has volumes of kind {wanted[0]}, which this spec needs")


async def pool_with(call: Call, kind: VolumeKind, pool_ids: Iterable[str]) -> Pool:
    """Give the first pool with volumes of a kind, of those that may be taken. INVALID_ARGUMENT when none has."""
    able = {pool.id for pool in call.core.pools if kind in pool.capabilities}
    spec = pb.VolumeSpec(replica_set=pb.ReplicaSet(pool_uuids=pool_ids))
    found = next((pool for pool in await _candidates(call, spec) if pool.id in able), None)
    if found is None:
        refuse(f"replica_set.pool_uuids: no pool that may be taken has volumes of kind {kind}")
    return found


async def publication(call: Call, spec: pb.VolumeSpec, name: str, kind: VolumeKind) -> dict[str, Any]:
    """Give how a volume of the spec is published: the path and the policy of a shared one, neither otherwise."""
    if not spec.sharedv4:
        return {"junction_path": None}
    if kind is VolumeKind.BLOCK:
        refuse("sharedv4: a volume of blocks cannot be shared over NFS")
    if not call.site.nfs:
        refuse("sharedv4: this gateway publishes nothing over NFS ([export.nfs] is not configured)")
    wanted = call.site.options.nfs_policy
    try:
        policy = await policies.export_policy_named(call.core, await call.site.tenant_id(call.core), wanted)
    except errors.NotFound:
        raise SdkError(
            StatusCode.FAILED_PRECONDITION, f"There is no export policy {wanted}, which shared volumes are to have"
        ) from None
    return {"junction_path": f"/{name}", "export_policy_id": policy.id}


def _kinds(call: Call, spec: pb.VolumeSpec) -> tuple[VolumeKind, ...]:
    """Give the kinds that serve the spec, the better one first."""
    choice = call.site.options.kind
    shared = spec.sharedv4 or spec.export_spec.export_protocol == pb.ExportProtocol.NFS
    if choice is not KindChoice.AUTO:
        return (VolumeKind(choice.value),)
    if spec.format in BLOCK_FORMATS and not shared:
        return (VolumeKind.BLOCK, VolumeKind.FILESYSTEM)
    return (VolumeKind.FILESYSTEM,) if shared else (VolumeKind.FILESYSTEM, VolumeKind.BLOCK)


async def _candidates(call: Call, spec: pb.VolumeSpec) -> list[Pool]:
    known = {pool.name: pool async for pool in walk(call.core.catalog, Pool, Query(order=(Order("name"),)))}
    names = call.site.options.pools or tuple(known)
    pools = [known[name] for name in names if name in known]
    asked = set(spec.replica_set.pool_uuids)
    return [pool for pool in pools if not asked or str(pool.id) in asked]
