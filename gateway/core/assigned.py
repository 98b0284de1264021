"""Which pools a tenant's volumes may be in."""

from __future__ import annotations

from uuid import UUID

from gateway.core import errors
from gateway.core.context import Core
from gateway.core.model import Pool, Tenant


async def require_assigned(core: Core, tenant_id: UUID, pool_id: UUID) -> None:
    """Raise InvalidArgument when the tenant has pools of its own and this is none of them; NotFound as usual."""
    tenant, pool = await core.get(Tenant, tenant_id), await core.get(Pool, pool_id)
    if not may_use(tenant, pool_id):
        raise errors.InvalidArgument(field="pool", value=pool.name, reason=f'is not assigned to tenant "{tenant.name}"')


def may_use(tenant: Tenant, pool_id: UUID) -> bool:
    """Tell whether new volumes of a tenant may be in a pool."""
    return not tenant.pool_ids or pool_id in tenant.pool_ids
