"""After a start: settle what a process that died had begun, pool by pool, before changes are let in."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from uuid import UUID

from gateway.core.batches import interruption
from gateway.core.context import Core
from gateway.core.model import Intent, Job
from gateway.core.observer import Observer


class Recovery:
    """Intents of dead processes, kept until their pool is open."""

    def __init__(self, core: Core, observer: Observer) -> None:
        self._core = core
        self._observer = observer
        self._waiting: dict[UUID, list[Intent]] = {}

    async def adopt(self) -> None:
        """Take over what dead processes left.

        Jobs without an intent had their commit and only lack their end; a batch
        may lack some of its parts.
        """
        intents, jobs = await self._core.catalog.adopt_orphans()
        for intent in intents:
            self._waiting.setdefault(intent.pool_id, []).append(intent)
        for job in jobs:
            await self._core.changes.end_job(job, interruption(job))
        if intents or jobs:
            self._observer.event("recovery_begun", intents=len(intents), jobs=len(jobs))

    async def settle(self, pool_id: UUID) -> Sequence[Job]:
        """Finish or take back every change of an open pool that was interrupted; give the jobs as they ended."""
        intents = self._waiting.pop(pool_id, [])
        started = [
            await self._core.changes.recover(intent, await self._core.get(Job, intent.job_id)) for intent in intents
        ]
        ended = await asyncio.gather(*(change.wait() for change in started))
        for intent, job in zip(intents, ended, strict=True):
            self._observer.event("recovered", operation=intent.operation, job=str(job.id), state=job.state)
        return ended
