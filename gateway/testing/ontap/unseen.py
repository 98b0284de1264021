"""What the walk's gateway cannot show, as it would be shown: it exports nothing and has no peer."""

from __future__ import annotations

from typing import Any
from uuid import uuid4

from gateway.core.model import Tenant, utc_now
from gateway.core.peering import Heard
from gateway.core.peers import Offer, Peer
from gateway.frontends.ontap_rest.render.cluster import InterfaceFacts, NodeFacts, render_interface
from gateway.frontends.ontap_rest.render.network import render_nfs_service
from gateway.frontends.ontap_rest.render.peers import render_cluster_peer


def unseen() -> dict[str, list[dict[str, Any]]]:
    """Give records by resource."""
    tenant = Tenant(id=uuid4(), name="svm1", created=utc_now())
    return {
        "ip_interface": [_interface(tenant)],
        "nfs_service": [render_nfs_service(tenant)],
        "cluster_peer": [_peer(tenant)],
    }


def _interface(tenant: Tenant) -> dict[str, Any]:
    node = NodeFacts(id=uuid4(), name="node", software="")
    facts = InterfaceFacts(
        id=uuid4(), name="i", address="192.0.2.1", netmask="32", tenant=tenant, node=node, port="e0", port_id=uuid4()
    )
    return render_interface(facts)


def _peer(tenant: Tenant) -> dict[str, Any]:
    now = utc_now()
    peer = Peer(
        id=uuid4(),
        name="p",
        cluster_id=uuid4(),
        cluster="c",
        certificate="-",
        created=now,
        addresses=("192.0.2.1",),
        version="v",
    )
    offer = Offer(id=peer.id, name="p", key="k", expires=now, created=now)
    return render_cluster_peer(peer, offer, heard=Heard(answers=True, when=now), allowed=[tenant])
