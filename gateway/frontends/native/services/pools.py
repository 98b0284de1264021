"""Pools, tenants and jobs: what there is to ask about and nothing to change."""

from __future__ import annotations

from gateway.core import errors
from gateway.core.manifest import everything
from gateway.core.model import Job, Pool, Tenant
from gateway.frontends.native import model, render
from gateway.frontends.native.ask import Ask
from gateway.frontends.native.bodies import Nothing
from gateway.frontends.native.lookup import JOB


async def pools(ask: Ask[Nothing, Nothing]) -> model.Pools:
    """Give every pool."""
    found = await everything(ask.core.catalog, Pool)
    return model.Pools(records=tuple(render.pool(ask.core, pool) for pool in found))


async def tenants(ask: Ask[Nothing, Nothing]) -> model.Tenants:
    """Give every tenant."""
    found = await everything(ask.core.catalog, Tenant)
    return model.Tenants(records=tuple(model.Tenant(id=tenant.id, name=tenant.name) for tenant in found))


async def job(ask: Ask[Nothing, Nothing]) -> model.Job:
    """Give a job. Callers who are no administrators see their own."""
    key = ask.key(JOB, "job")
    found = await ask.core.catalog.get(Job, key)
    caller = ask.core.caller
    if found is None or not (caller is None or caller.administrator or found.caller == caller.name):
        raise errors.NotFound(kind="job", ref=str(key))
    return render.job(found)
