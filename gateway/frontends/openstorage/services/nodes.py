"""The cluster and its nodes. A gateway knows one node: the host it runs on."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path
from socket import gethostname

from grpc import StatusCode

from gateway.core.model import Pool, PoolState
from gateway.core.query import Order, Query
from gateway.frontends.openstorage import listing
from gateway.frontends.openstorage.call import Call, SdkError, required
from gateway.frontends.openstorage.pb import cluster_pb2, pool_pb2
from gateway.frontends.openstorage.pb import node_pb2 as pb

_KIB = 1024


async def cluster(
    call: Call, _request: cluster_pb2.SdkClusterInspectCurrentRequest
) -> cluster_pb2.SdkClusterInspectCurrentResponse:
    """Give the cluster."""
    found = cluster_pb2.StorageCluster(status=cluster_pb2.STATUS_OK, id=call.site.cluster_id, name=call.site.name)
    return cluster_pb2.SdkClusterInspectCurrentResponse(cluster=found)


async def inspect(call: Call, request: pb.SdkNodeInspectRequest) -> pb.SdkNodeInspectResponse:
    """Give a node. One that is not known is INTERNAL, which the public suite asserts."""
    _check(call, request.node_id)
    return pb.SdkNodeInspectResponse(node=await _node(call))


async def inspect_current(call: Call, _request: pb.SdkNodeInspectCurrentRequest) -> pb.SdkNodeInspectCurrentResponse:
    """Give the node that answers."""
    return pb.SdkNodeInspectCurrentResponse(node=await _node(call))


async def enumerate_(call: Call, _request: pb.SdkNodeEnumerateRequest) -> pb.SdkNodeEnumerateResponse:
    """Give the ids of all nodes."""
    return pb.SdkNodeEnumerateResponse(node_ids=[call.site.node_id])


async def enumerate_with_filters(
    call: Call, _request: pb.SdkNodeEnumerateWithFiltersRequest
) -> pb.SdkNodeEnumerateWithFiltersResponse:
    """Give all nodes whole: there are no filters."""
    return pb.SdkNodeEnumerateWithFiltersResponse(nodes=[await _node(call)])


async def volume_usage(call: Call, request: pb.SdkNodeVolumeUsageByNodeRequest) -> pb.SdkNodeVolumeUsageByNodeResponse:
    """Give how much every volume holds, as last observed."""
    _check(call, request.node_id)
    usage = [
        pb.VolumeUsage(
            volume_id=str(found),
            volume_name=found.volume.name,
            pool_uuid=str(found.volume.pool_id),
            total_bytes=found.volume.used,
        )
        async for found in listing.volumes(call, labels={})
    ]
    return pb.SdkNodeVolumeUsageByNodeResponse(volume_usage_info=pb.VolumeUsageByNode(volume_usage=usage))


def _check(call: Call, node_id: str) -> None:
    if required(node_id, "node id") != call.site.node_id:
        raise SdkError(StatusCode.INTERNAL, f"Node {node_id[:64]} is not known")


async def _pools(call: Call) -> list[Pool]:
    known = await call.core.catalog.page(Pool, Query(order=(Order("name"),)))
    wanted = call.site.options.pools
    return [pool for pool in known.records if not wanted or pool.name in wanted]


async def _node(call: Call) -> pb.StorageNode:
    pools = await _pools(call)
    memory = _memory()
    total, free = memory.get("MemTotal", 0), memory.get("MemAvailable", 0)
    up = all(pool.state is PoolState.ONLINE for pool in pools)
    return pb.StorageNode(
        id=call.site.node_id,
        hostname=gethostname(),
        status=cluster_pb2.STATUS_OK if up else cluster_pb2.STATUS_STORAGE_DEGRADED,
        avg_load=int(os.getloadavg()[0]),
        mem_total=total,
        mem_used=total - free,
        mem_free=free,
        mgmt_ip=call.site.address,
        data_ip=call.site.address,
        pools=[_pool(number, pool) for number, pool in enumerate(pools)],
        security_status=pb.StorageNode.SECURED if call.site.secured else pb.StorageNode.UNSECURED,
    )


def _pool(number: int, pool: Pool) -> pool_pb2.StoragePool:
    return pool_pb2.StoragePool(
        ID=number,
        TotalSize=pool.size,
        Used=pool.used,
        labels={"name": pool.name, "driver": pool.driver},
        uuid=str(pool.id),
    )


def _memory() -> Mapping[str, int]:
    """Give the kernel's account of memory in bytes; nothing where it keeps none."""
    try:
        lines = Path("/proc/meminfo").read_text(encoding="ascii").splitlines()
    except OSError:
        return {}
    parts = (line.replace(":", " ").split() for line in lines)
    return {part[0]: int(part[1]) * _KIB for part in parts}
