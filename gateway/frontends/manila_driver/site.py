"""Where at a gateway the shares of a backend are: its tenant and its pools, as configured and as found."""

from __future__ import annotations

from collections.abc import Collection, Sequence

import msgspec

from gateway.client import Flow, native
from gateway.client.native import Pool, Tenant
from gateway.frontends.manila_driver.refusals import Refusal
from gateway.frontends.manila_driver.stats import addresses, serving, unfit


class Site(msgspec.Struct, frozen=True, kw_only=True):
    """The tenant by name; the pools by name, empty when every one that can hold shares may.

    `addresses`: where clients reach the shares of those pools.
    """

    tenant: str
    pools: tuple[str, ...] = ()
    addresses: tuple[str, ...] = ()


def find_site(tenant: str, pools: Sequence[str]) -> Flow[Site]:
    """Give where shares are to be; Refusal when the gateway has no such place. `tenant` "": the only one."""
    there = yield from native.tenants()
    found = yield from native.pools()
    _check_pools(found, pools)
    return Site(tenant=_tenant(there, tenant), pools=tuple(pools), addresses=addresses(serving(found, pools)))


def _tenant(there: Collection[Tenant], wanted: str) -> str:
    names = sorted(tenant.name for tenant in there)
    if not wanted and len(names) == 1:
        return names[0]
    known = ", ".join(names) or "none"
    if not wanted:
        raise Refusal(f"gateway_tenant says which tenant has the shares; there are: {known}")
    if wanted not in names:
        raise Refusal(f"gateway_tenant: there is no tenant {wanted!r}; there are: {known}")
    return wanted


def _check_pools(found: Sequence[Pool], chosen: Sequence[str]) -> None:
    by_name = {pool.name: pool for pool in found}
    for name in chosen:
        if name not in by_name:
            known = ", ".join(sorted(by_name)) or "none"
            raise Refusal(f"gateway_pools: there is no pool {name!r}; there are: {known}")
    if not serving(found, chosen):
        why = "; ".join(f"{pool.name} {unfit(pool)}" for pool in found if not chosen or pool.name in chosen)
        raise Refusal(f"no pool of the gateway can hold shares: {why or 'it has none'}")
