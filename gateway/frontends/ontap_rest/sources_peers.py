"""Peers: other clusters, which are gateways too, and SVMs; those of one gateway are peers without being asked."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from functools import partial
from uuid import UUID, uuid5

from gateway.core import peer_tenants, peers
from gateway.core.context import Core
from gateway.core.manifest import everything
from gateway.core.model import Tenant
from gateway.core.peer_tenants import TenantPeer
from gateway.core.peers import Offer, Peer
from gateway.frontends.ontap_rest.ask import Ask, uuid_key
from gateway.frontends.ontap_rest.errors import no_entry
from gateway.frontends.ontap_rest.render.peers import render_cluster_peer, render_far_svm_peer, render_svm_peer
from gateway.frontends.ontap_rest.sources import CatalogSource, Item, Rendered, Site, stamp


class SvmPeers(CatalogSource[Tenant]):
    """Each SVM with each other one, and with those of other clusters, as the first one sees it."""

    kind = Tenant
    tenant_field = "id"
    one_each = False

    def __init__(self, site: Site) -> None:
        self._site = site

    def visible(self, ask: Ask, record: Tenant) -> bool:
        """Show the tunnelled SVM's peers only."""
        return ask.tenant is None or record.id == ask.tenant.id

    async def item(self, ask: Ask) -> Item:
        """Look for the pair that has the uuid."""
        wanted = uuid_key(ask.keys[-1])
        tenants = await everything(ask.core.catalog, Tenant)
        far = await _far(ask.core)
        for tenant in tenants:
            if not self.visible(ask, tenant):
                continue
            for one, peer in far.get(tenant.id, ()):
                if one.id == wanted:
                    return _far_item(tenant, one, peer)
            for other in tenants:
                if tenant is not other and uuid5(tenant.id, str(other.id)) == wanted:
                    return self._item(tenant, other)
            await asyncio.sleep(0)
        raise no_entry()

    async def items(self, ask: Ask, records: Sequence[Tenant]) -> list[Item]:
        """Read all the others."""
        others = await everything(ask.core.catalog, Tenant)
        far = await _far(ask.core)
        items: list[Item] = []
        for tenant in records:
            items += [
                self._item(tenant, peer, part) for part, peer in enumerate(others, start=1) if peer.id != tenant.id
            ]
            items += [
                _far_item(tenant, one, peer, part)
                for part, (one, peer) in enumerate(far.get(tenant.id, ()), start=len(others) + 1)
            ]
        return items

    def _item(self, tenant: Tenant, peer: Tenant, part: int = 0) -> Item:
        uuid = uuid5(tenant.id, str(peer.id))
        render = partial(
            render_svm_peer, uuid, tenant, peer=peer, cluster=self._site.name, cluster_id=self._site.cluster_id
        )
        return Item((tenant, peer), render, stamp(tenant, peer), whole=tenant, part=part)


class ClusterPeers:
    """Other clusters: those with which this one has agreed, and those with which it would."""

    async def list(self, ask: Ask) -> Sequence[tuple[object, Rendered]]:
        """Give all of them, by name."""
        core = ask.core
        tenants = {tenant.id: tenant for tenant in await everything(core.catalog, Tenant)}
        waiting = {offer.id: offer for offer in await peers.offers(core)}
        known: list[Peer | Offer] = [*await peers.everyone(core)]
        ids = {peer.id for peer in known}
        known += [offer for offer in waiting.values() if offer.id not in ids]
        links = core.changes.context.peers
        return [
            (
                one,
                render_cluster_peer(
                    one,
                    None if isinstance(one, Offer) else waiting.get(one.id),
                    heard=None if links is None else links.heard(one.id),
                    allowed=[tenants[key] for key in one.allowed if key in tenants],
                ),
            )
            for one in sorted(known, key=lambda each: (each.name, each.id))
        ]


async def _far(core: Core) -> Mapping[UUID, Sequence[tuple[TenantPeer, Peer]]]:
    """Give what our tenants have to do with those of peers, by tenant."""
    found: dict[UUID, list[tuple[TenantPeer, Peer]]] = {}
    every = await peer_tenants.everyone(core)
    known = {peer.id: peer for peer in await peers.everyone(core)} if every else {}
    for one in every:
        if one.peer_id in known:
            found.setdefault(one.tenant_id, []).append((one, known[one.peer_id]))
    return found


def _far_item(tenant: Tenant, one: TenantPeer, peer: Peer, part: int = 0) -> Item:
    return Item(one, partial(render_far_svm_peer, one, tenant, peer), whole=tenant, part=part)
