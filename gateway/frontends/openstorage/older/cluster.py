"""The cluster and its nodes. Errors are plain texts, answers have the names of Go's structs."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from typing import Any

from gateway.core.model import utc_now
from gateway.frontends.openstorage.call import SdkError
from gateway.frontends.openstorage.older.answer import Answer, Refused, json_answer
from gateway.frontends.openstorage.older.ask import Ask, read_bool
from gateway.frontends.openstorage.older.client import Client
from gateway.frontends.openstorage.older.encode import number
from gateway.frontends.openstorage.older.refused import NEVER
from gateway.frontends.openstorage.older.volume_set import node_id_of
from gateway.frontends.openstorage.pb import alerts_pb2, cluster_pb2
from gateway.frontends.openstorage.pb import node_pb2 as pb
from gateway.frontends.openstorage.pb import older_rest_pb2 as older

_HEALTHY = "Node status OK"
_UNHEALTHY = "Node status not OK"
_NO_ID = "Missing id param"
_RESOURCES: Mapping[str, int] = {
    "volume": alerts_pb2.RESOURCE_TYPE_VOLUME,
    "node": alerts_pb2.RESOURCE_TYPE_NODE,
    "cluster": alerts_pb2.RESOURCE_TYPE_CLUSTER,
    "drive": alerts_pb2.RESOURCE_TYPE_DRIVE,
}
_STAYS = "Node Remove: a gateway serves its own node, which cannot be removed"


async def enumerate_(ask: Ask) -> Answer:
    """Give the cluster with its nodes. Its id is its name: the id of the SDK is not known to this API."""
    try:
        cluster, current = await _cluster(ask.sdk), await _current(ask.sdk)
        every = await ask.sdk.call(
            "OpenStorageNode/EnumerateWithFilters",
            pb.SdkNodeEnumerateWithFiltersRequest(),
            pb.SdkNodeEnumerateWithFiltersResponse,
        )
    except SdkError as error:
        raise Refused(500, error.text) from None
    return json_answer(
        {
            "Status": cluster.status,
            "Id": cluster.name,
            "NodeId": current.id,
            "Nodes": [_node(node, ask.started) for node in every.nodes],
            "ManagementURL": "",
            "FluentDConfig": {"ip": "", "port": ""},
        }
    )


async def status(ask: Ask) -> Answer:
    """Give the state of the cluster as a number."""
    try:
        return json_answer(int((await _cluster(ask.sdk)).status))
    except SdkError as error:
        raise Refused(500, error.text) from None


async def node_status(ask: Ask) -> Answer:
    """Give the state of the node that answers as a number."""
    try:
        return json_answer(int((await _current(ask.sdk)).status))
    except SdkError as error:
        raise Refused(500, error.text) from None


async def node_health(ask: Ask) -> Answer:
    """Say whether the node that answers is well, to anybody who may ask the SDK without a token; 503 when not."""
    try:
        found = (await _current(ask.sdk.nobody())).status
    except SdkError as error:
        raise Refused(503, error.text) from None
    if found != cluster_pb2.STATUS_OK:
        raise Refused(503, f"{_UNHEALTHY} ({cluster_pb2.Status.Name(found)})")
    return Answer(body=f"{_HEALTHY}\n".encode())


async def inspect(ask: Ask) -> Answer:
    """Give a node."""
    try:
        found = await ask.sdk.call(
            "OpenStorageNode/Inspect", pb.SdkNodeInspectRequest(node_id=ask.id), pb.SdkNodeInspectResponse
        )
    except SdkError as error:
        raise Refused(500, error.text) from None
    return json_answer(_node(found.node, ask.started))


async def node_id(ask: Ask) -> Answer:
    """Give the id of the node that has an address; what is no address comes back as it is."""
    try:
        return json_answer(await node_id_of(ask.sdk, ask.id))
    except SdkError as error:
        raise Refused(500, error.text) from None


async def peer_status(ask: Ask) -> Answer:
    """Refuse to say how other nodes see each other: there is one."""
    raise Refused(501, NEVER) if ask.first("name") else Refused(400, _NO_ID)


async def remove(ask: Ask) -> Answer:
    """Refuse to remove nodes, once the request is one. The node's id counts in the query only, also with a path."""
    if "id" not in ask.query:
        raise Refused(400, _NO_ID)
    force = ask.first("forceRemove")
    if force is not None and read_bool(force) is None:
        raise Refused(400, f"Invalid forceRemove Option: {force[:64]}")
    return json_answer(older.ClusterResponse(error=_STAYS))


async def alerts(ask: Ask) -> Answer:
    """Give the alerts of a kind of resource: none."""
    _resource(ask.id, "Invalid resource param")
    return json_answer(older.Alerts())


async def erase_alert(ask: Ask) -> Answer:
    """Refuse to erase an alert: there is none."""
    _resource(ask.id, "Missing/Invalid resource param")
    if not ask.keys[1].isascii() or not ask.keys[1].removeprefix("-").isdigit():
        raise Refused(400, "Missing/Invalid id param")
    raise Refused(500, f"Alert {ask.keys[1][:20]} not found")


def _resource(text: str, refusal: str) -> None:
    """Refuse what is no kind of resource, by name or by number."""
    named = text.lower() in _RESOURCES
    numbered = text.isascii() and text.isdigit() and len(text) < 10  # noqa: PLR2004 - an int32 for sure
    if not named and not (numbered and int(text) in alerts_pb2.ResourceType.values()):
        raise Refused(400, refusal)


async def _cluster(sdk: Client) -> cluster_pb2.StorageCluster:
    found = await sdk.call(
        "OpenStorageCluster/InspectCurrent",
        cluster_pb2.SdkClusterInspectCurrentRequest(),
        cluster_pb2.SdkClusterInspectCurrentResponse,
    )
    return found.cluster


async def _current(sdk: Client) -> pb.StorageNode:
    found = await sdk.call(
        "OpenStorageNode/InspectCurrent", pb.SdkNodeInspectCurrentRequest(), pb.SdkNodeInspectCurrentResponse
    )
    return found.node


def _node(node: pb.StorageNode, started: datetime) -> dict[str, Any]:
    """Give a node as Go's struct is written, where nothing is left out."""
    return {
        "Id": node.id,
        "SchedulerNodeName": node.scheduler_node_name,
        "Cpu": number(node.cpu),
        "MemTotal": node.mem_total,
        "MemUsed": node.mem_used,
        "MemFree": node.mem_free,
        "Avgload": node.avg_load,
        "Status": node.status,
        "GenNumber": 0,
        "Disks": dict(node.disks),
        "Pools": list(node.pools),
        "MgmtIp": node.mgmt_ip,
        "DataIp": node.data_ip,
        "Timestamp": _time(utc_now()),
        "StartTime": _time(started),
        "Hostname": node.hostname,
        "NodeData": {},
        "NodeLabels": dict(node.node_labels),
        "HWType": node.HWType,
        "SecurityStatus": node.security_status,
    }


def _time(at: datetime) -> str:
    """Give a time as Go writes it: no zeros behind the last digit of a fraction."""
    whole = f"{at:%Y-%m-%dT%H:%M:%S}"
    return f"{whole}.{at:%f}".rstrip("0").rstrip(".") + "Z"
