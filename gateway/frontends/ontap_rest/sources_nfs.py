"""The NFS service of each SVM: what the one NFS server of the gateway's host does for all of them."""

from __future__ import annotations

from collections.abc import Sequence

from gateway.core.manifest import everything
from gateway.core.model import Tenant
from gateway.frontends.ontap_rest.ask import Ask
from gateway.frontends.ontap_rest.constants import nested
from gateway.frontends.ontap_rest.sources import Rendered, Site


class NfsServices:
    """One per SVM, while there is an NFS server at all."""

    def __init__(self, site: Site) -> None:
        self._served = any(address.kind == "nfs" for address in site.addresses)

    async def list(self, ask: Ask) -> Sequence[tuple[object, Rendered]]:
        """List them by SVM."""
        if not self._served:
            return []
        tenants = [ask.tenant] if ask.tenant else await everything(ask.core.catalog, Tenant)
        return [(tenant, render_nfs_service(tenant)) for tenant in tenants]


def render_nfs_service(tenant: Tenant) -> Rendered:
    """Render the service of an SVM."""
    return nested("nfs_service") | {"svm": {"uuid": str(tenant.id), "name": tenant.name}}
