"""Jobs are the record of changes; here is what may be asked of them, and when they are forgotten."""

from __future__ import annotations

from datetime import timedelta
from uuid import UUID, uuid4

from gateway.core import errors
from gateway.core.catalog import drop, put
from gateway.core.context import Core
from gateway.core.model import Job, JobState, Tenant, utc_now
from gateway.core.query import And, Compare, Op, Or, Order, Query

KEPT = timedelta(hours=24)
FINAL = frozenset({JobState.SUCCESS, JobState.FAILURE})
_AT_ONCE = 500


async def finished(
    core: Core, operation: str, *, description: str, tenant: Tenant | None, target_id: UUID | None = None
) -> Job:
    """Record a change that is made already as a job that ended.

    It is one of `target_id`, which belongs to the tenant if to any, or of the tenant itself.
    """
    now, tenant_id = utc_now(), tenant.id if tenant else None
    job = Job(
        id=uuid4(),
        operation=operation,
        description=description,
        state=JobState.SUCCESS,
        created=now,
        ended=now,
        target_id=target_id or tenant_id,
        tenant_id=tenant_id,
        owner=core.catalog.owner,
        caller=core.job_caller,
    )
    await core.catalog.commit(put(job))
    return await core.get(Job, job.id)


async def forget_old(core: Core, *, kept: timedelta = KEPT) -> int:
    """Remove jobs that ended longer ago than `kept`; give how many."""
    ended = Or(tuple(Compare("state", Op.EQ, state.value) for state in sorted(FINAL)))
    before = utc_now() - kept
    where = And((ended, Compare("created", Op.LT, before), Compare("ended", Op.LT, before)))
    forgotten = 0
    while True:
        page = await core.catalog.page(Job, Query(where=where, order=(Order("created"),), limit=_AT_ONCE))
        if not page.records:
            return forgotten
        try:
            await core.catalog.commit(drop(*page.records))
        except errors.StaleRevision:
            return forgotten
        forgotten += len(page.records)
