"""SVMs: create and change. A tenant needs no substrate, so its jobs are done when they begin."""

from __future__ import annotations

from collections.abc import Callable
from uuid import UUID, uuid4

import msgspec

from gateway.core import tenants
from gateway.core.model import Tenant, TenantState
from gateway.frontends.ontap_rest.ask import Ask
from gateway.frontends.ontap_rest.body import Values
from gateway.frontends.ontap_rest.errors import WireError
from gateway.frontends.ontap_rest.schema import Verb
from gateway.frontends.ontap_rest.sources import Site
from gateway.frontends.ontap_rest.sources_network import serves_nfs
from gateway.frontends.ontap_rest.writes.iscsi import start_service
from gateway.frontends.ontap_rest.writes.names import pool_of, snapshot_policy_of, text
from gateway.frontends.ontap_rest.writes.nfs import enable_service

_UNLICENSED = ("3277096", "requires an NFS license")


async def create(ask: Ask, values: Values) -> Tenant:
    """Make a tenant. Without aggregates of its own it may use every one."""
    made = await tenants.create(
        ask.core,
        text(values, "name") or "",
        comment=text(values, "comment") or "",
        pool_ids=await _aggregates(ask, values),
        snapshot_policy_id=await snapshot_policy_of(ask.core, values, uuid4(), fallback=None),
    )
    if values.get("iscsi.enabled") is True:
        made = await start_service(ask, made)
    return await enable_service(ask, made, values.get("nfs.enabled"))


async def _aggregates(ask: Ask, values: Values) -> tuple[UUID, ...]:
    """Give the aggregates that a body assigns, none for an empty list."""
    listed = values.get("aggregates")
    found = [await pool_of(ask.core, {"aggregates": [one]}) for one in listed] if isinstance(listed, list) else []
    return tuple(dict.fromkeys(pool.id for pool in found))


def serves(site: Site) -> Callable[[Ask, Values], None]:
    """Give what refuses a new SVM with other file services than the gateway has."""
    nfs = serves_nfs(site)

    def precheck(ask: Ask, values: Values) -> None:
        if ask.verb is Verb.POST:
            check_services(values, nfs=nfs)

    return precheck


def check_services(values: Values, *, nfs: bool) -> None:
    """Raise WireError when a body asks for NFS where there is none, or forbids it where there is (`nfs`).

    An SVM whose service begins stopped can be had anywhere.
    """
    refused = {"nfs.allowed": False} if nfs else {"nfs.allowed": True, "nfs.enabled": True}
    for path, value in refused.items():
        if values.get(path) is value:
            why = "every SVM may serve it" if nfs else "the configuration has no NFS export"
            code, text = ("262144017", "is not supported on this platform") if nfs else _UNLICENSED
            message = f'The operation {text}. Field "{path}": {why}.'
            raise WireError(400, code, message=message, target=path)


async def modify(ask: Ask, tenant: Tenant, values: Values) -> None:
    """Change a tenant. Stopping it logs out whoever is logged in to its LUNs."""
    unset = msgspec.UNSET
    state = text(values, "state")
    change = tenants.TenantChange(
        name=text(values, "name") or unset,
        comment=(text(values, "comment") or "") if "comment" in values else unset,
        state=TenantState(state) if state else unset,
        pool_ids=await _aggregates(ask, values) if "aggregates" in values else unset,
        snapshot_policy_id=await snapshot_policy_of(ask.core, values, tenant.id, fallback=None) or unset,
    )
    await tenants.update(ask.core, tenant.id, change, force=True)
