"""`/tasks`."""

from __future__ import annotations

from gateway.core.model import Tenant
from gateway.frontends.libstorage import kept
from gateway.frontends.libstorage.ask import Ask
from gateway.frontends.libstorage.encode import body_of_many
from gateway.frontends.libstorage.errors import not_found
from gateway.frontends.libstorage.model import Task


async def enumerate_(ask: Ask) -> bytes:
    """Give the tasks that the caller may see, by number."""
    return await body_of_many(await kept.every(ask.core, await _window(ask)))


async def inspect(ask: Ask) -> Task:
    """Give one."""
    found = await kept.one(ask.core, ask.keys["task"], await _window(ask))
    if found is None:
        raise not_found(ask.keys["task"])
    return found


async def _window(ask: Ask) -> kept.Window:
    names = {service.tenant_name for service in ask.site.services.values()}
    tenants = [await ask.core.known.named(Tenant, name) for name in names]
    return kept.Window(
        every=frozenset(ask.site.services),
        open=ask.open_services,
        tenants={tenant.id for tenant in tenants if tenant is not None},
        since=kept.since(ask.site.options.task_retention_s),
    )
