"""SVMs: create and change. A tenant needs no substrate, so its jobs are done when they begin."""

from __future__ import annotations

import msgspec

from gateway.core import tenants
from gateway.core.model import Tenant, TenantState
from gateway.frontends.ontap_rest.ask import Ask
from gateway.frontends.ontap_rest.body import Values
from gateway.frontends.ontap_rest.writes.iscsi import start_service
from gateway.frontends.ontap_rest.writes.names import text
from gateway.frontends.ontap_rest.writes.nfs import enable_service


async def create(ask: Ask, values: Values) -> Tenant:
    """Make a tenant."""
    made = await tenants.create(ask.core, text(values, "name") or "", comment=text(values, "comment") or "")
    if values.get("iscsi.enabled") is True:
        made = await start_service(ask, made)
    return await enable_service(ask, made, values.get("nfs.enabled"))


async def modify(ask: Ask, tenant: Tenant, values: Values) -> None:
    """Rename, comment, stop or start a tenant. Stopping it logs out whoever is logged in to its LUNs."""
    unset = msgspec.UNSET
    state = text(values, "state")
    change = tenants.TenantChange(
        name=text(values, "name") or unset,
        comment=(text(values, "comment") or "") if "comment" in values else unset,
        state=TenantState(state) if state else unset,
    )
    await tenants.update(ask.core, tenant.id, change, force=True)
