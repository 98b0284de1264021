"""The NFS services of SVMs: whether what they have is exported."""

from __future__ import annotations

import msgspec

from gateway.core import tenants
from gateway.core.model import NfsService, Tenant
from gateway.frontends.ontap_rest.ask import Ask
from gateway.frontends.ontap_rest.body import Values
from gateway.frontends.ontap_rest.endpoint import Create
from gateway.frontends.ontap_rest.errors import WireError
from gateway.frontends.ontap_rest.sources import Site
from gateway.frontends.ontap_rest.sources_network import serves_nfs
from gateway.frontends.ontap_rest.writes.names import tenant_of


def create_service(site: Site) -> Create:
    """Give what makes the service of an SVM anew whose was removed."""

    async def create(ask: Ask, values: Values) -> Tenant:
        if not serves_nfs(site):
            message = "The cluster lacks a valid NFS license. No exporter of files is configured."
            raise WireError(400, "3277096", message=message)
        tenant = await tenant_of(ask, values)
        if not tenant.nfs.removed:
            raise WireError(409, "1", message="duplicate entry", target="svm")
        return await _update(ask, tenant, NfsService(enabled=values.get("enabled") is not False))

    return create


async def modify_service(ask: Ask, tenant: Tenant, values: Values) -> None:
    """Stop or start the service. What clients have mounted answers no more while it is stopped."""
    await enable_service(ask, tenant, values.get("enabled"))


async def enable_service(ask: Ask, tenant: Tenant, enabled: object) -> Tenant:
    """Stop or start the service; anything but a boolean leaves it as it is."""
    if not isinstance(enabled, bool):
        return tenant
    return await _update(ask, tenant, msgspec.structs.replace(tenant.nfs, enabled=enabled, removed=False))


async def delete_service(ask: Ask, tenant: Tenant) -> None:
    """Remove the service, enabled or not: nothing of the SVM is exported then."""
    await _update(ask, tenant, NfsService(enabled=False, removed=True))


async def put_service_back(ask: Ask, before: Tenant, after: Tenant) -> None:
    """Undo a change of a service."""
    await _update(ask, after, before.nfs)


async def _update(ask: Ask, tenant: Tenant, service: NfsService) -> Tenant:
    return await tenants.update(ask.core, tenant.id, tenants.TenantChange(nfs=service))
