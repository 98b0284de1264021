"""Peers. All SVMs of one gateway are each other's, without being asked to be."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from functools import partial
from uuid import uuid5

from gateway.core.manifest import everything
from gateway.core.model import Tenant
from gateway.frontends.ontap_rest.ask import Ask, uuid_key
from gateway.frontends.ontap_rest.errors import no_entry
from gateway.frontends.ontap_rest.render.mirror import render_svm_peer
from gateway.frontends.ontap_rest.sources import CatalogSource, Item, Rendered, Site, stamp


class SvmPeers(CatalogSource[Tenant]):
    """Each SVM with each other one, as the first one sees it."""

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
        for tenant in tenants:
            for peer in tenants:
                if tenant is not peer and uuid5(tenant.id, str(peer.id)) == wanted and self.visible(ask, tenant):
                    return self._item(tenant, peer)
            await asyncio.sleep(0)
        raise no_entry()

    async def items(self, ask: Ask, records: Sequence[Tenant]) -> list[Item]:
        """Read all the others."""
        others = await everything(ask.core.catalog, Tenant)
        return [
            self._item(tenant, peer, part)
            for tenant in records
            for part, peer in enumerate(others, start=1)
            if peer.id != tenant.id
        ]

    def _item(self, tenant: Tenant, peer: Tenant, part: int = 0) -> Item:
        uuid = uuid5(tenant.id, str(peer.id))
        render = partial(
            render_svm_peer, uuid, tenant, peer=peer, cluster=self._site.name, cluster_id=self._site.cluster_id
        )
        return Item((tenant, peer), render, stamp(tenant, peer), whole=tenant, part=part)


class ClusterPeers:
    """Other clusters, of which there are none."""

    async def list(self, ask: Ask) -> Sequence[tuple[object, Rendered]]:
        """Give nothing."""
        del ask
        return []
