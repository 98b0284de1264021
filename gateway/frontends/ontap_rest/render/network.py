"""Network ports and NFS services."""

from __future__ import annotations

from typing import Any
from uuid import UUID, uuid5

from gateway.core.model import Tenant, TenantState
from gateway.frontends.ontap_rest.constants import nested
from gateway.frontends.ontap_rest.ports import HostPort
from gateway.frontends.ontap_rest.render.cluster import NodeFacts


def port_id(node: NodeFacts, name: str) -> UUID:
    """Give the id of a node's port, which is always the same."""
    return uuid5(node.id, f"port {name}")


def render_port(port: HostPort, node: NodeFacts, *, interfaces: int) -> dict[str, Any]:
    """Render a port of the host. `interfaces`: how many of ONTAP's it carries."""
    record: dict[str, Any] = {
        "uuid": str(port_id(node, port.name)),
        "name": port.name,
        "node": {"uuid": str(node.id), "name": node.name},
        "type": port.kind,
        "state": "up" if port.up else "down",
        "enabled": port.enabled,
        "mtu": port.mtu,
        "interface_count": interfaces,
    }
    if port.mac:
        record["mac_address"] = port.mac
    return record


def render_nfs_service(tenant: Tenant) -> dict[str, Any]:
    """Render a tenant's NFS service: what the exporter speaks, and whether it does for this one."""
    record: dict[str, Any] = nested("nfs_service")
    online = tenant.nfs.enabled and tenant.state is TenantState.RUNNING
    record |= {
        "svm": {"uuid": str(tenant.id), "name": tenant.name},
        "enabled": tenant.nfs.enabled,
        "state": "online" if online else "offline",
    }
    return record
