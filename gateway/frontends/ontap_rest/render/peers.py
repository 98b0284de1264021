"""Peers: other clusters, and SVMs here and there."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any
from uuid import UUID

from gateway.core.model import Tenant
from gateway.core.peer_tenants import TenantPeer
from gateway.core.peering import Heard
from gateway.core.peers import Offer, Peer
from gateway.frontends.ontap_rest.constants import nested
from gateway.frontends.ontap_rest.scalars import format_datetime


def render_cluster_peer(
    one: Peer | Offer, anew: Offer | None, *, heard: Heard | None, allowed: Sequence[Tenant]
) -> dict[str, Any]:
    """Render a peer, or one with which there is no agreement yet. `anew`: what a peer is to agree to once more."""
    record: dict[str, Any] = nested("cluster_peer")
    record |= {
        "uuid": str(one.id),
        "name": one.name,
        "remote": {"ip_addresses": list(one.addresses)},
        "initial_allowed_svms": [{"name": tenant.name, "uuid": str(tenant.id)} for tenant in allowed],
        "authentication": _authentication(one, anew),
        "status": {"state": _status(one, heard)},
    }
    if isinstance(one, Peer):
        record["remote"] |= {"name": one.cluster, "serial_number": str(one.cluster_id)}
        record["version"] = {"full": one.version}
    if heard is not None:
        record["status"]["update_time"] = format_datetime(heard.when)
    return record


def render_svm_peer(uuid: UUID, tenant: Tenant, *, peer: Tenant, cluster: str, cluster_id: UUID) -> dict[str, Any]:
    """Render what an SVM has to do with another one of the same cluster."""
    record: dict[str, Any] = nested("svm_peer")
    return record | {
        "uuid": str(uuid),
        "name": peer.name,
        "svm": _named(tenant),
        "state": "peered",
        "peer": {"svm": _named(peer), "cluster": {"name": cluster, "uuid": str(cluster_id)}},
        "applications": ["snapmirror"],
    }


def render_far_svm_peer(one: TenantPeer, tenant: Tenant, peer: Peer) -> dict[str, Any]:
    """Render what an SVM has to do with one of another cluster."""
    record: dict[str, Any] = nested("svm_peer")
    there = {"name": one.remote} | ({} if one.remote_id is None else {"uuid": str(one.remote_id)})
    return record | {
        "uuid": str(one.id),
        "name": one.name,
        "svm": _named(tenant),
        "state": one.state.value,
        "peer": {"svm": there, "cluster": {"name": peer.name, "uuid": str(peer.id)}},
        "applications": ["snapmirror"],
    }


def _authentication(one: Peer | Offer, anew: Offer | None) -> dict[str, Any]:
    waiting = one if isinstance(one, Offer) else anew
    if waiting is None:
        withdrawn = isinstance(one, Peer) and not one.certificate
        return {"state": "absent" if withdrawn else "ok", "in_use": "revoked" if withdrawn else "ok"}
    state = "pending" if waiting.stands and not waiting.refused else "problem"
    in_use = "ok" if isinstance(one, Peer) and one.certificate else "absent"
    return {"state": state, "in_use": in_use, "expiry_time": format_datetime(waiting.expires)}


def _status(one: Peer | Offer, heard: Heard | None) -> str:
    if isinstance(one, Offer):
        return "pending"
    if not one.certificate:
        return "unavailable"
    if heard is None:
        return "unidentified"
    return "available" if heard.answers else "unavailable"


def _named(record: Tenant) -> dict[str, Any]:
    return {"uuid": str(record.id), "name": record.name}
