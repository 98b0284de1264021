"""Settles what processes that died had begun: at the start before changes are let in, later on a timer."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from uuid import UUID

from gateway.core.batches import interruption
from gateway.core.change import Started
from gateway.core.context import Core
from gateway.core.model import Intent, Job
from gateway.core.observer import Observer


class Recovery:
    """Intents of dead processes, kept until their pools are open."""

    def __init__(self, core: Core, observer: Observer) -> None:
        self._core = core
        self._observer = observer
        self._waiting: dict[UUID, Intent] = {}
        self._endless: list[Job] = []
        self._told: set[UUID] = set()

    async def adopt(self) -> None:
        """Take over what dead processes left.

        Jobs without an intent had their commit and only lack their end; a batch
        may lack some of its parts. What fails is tried again by the next call.
        """
        intents, jobs = await self._core.catalog.adopt_orphans()
        self._waiting |= {intent.id: intent for intent in intents}
        self._endless += jobs
        if intents or jobs:
            self._observer.event("recovery_begun", intents=len(intents), jobs=len(jobs))
        while self._endless:
            await self._core.changes.end_job(self._endless[-1], interruption(self._endless[-1]))
            self._endless.pop()

    async def settle(self, pool_id: UUID) -> Sequence[Job]:
        """Finish or take back every change of an open pool that was interrupted; give the jobs as they ended.

        One that is about another pool, too, waits until that one is open, which is logged once.
        """
        opened = {pool.id for pool in self._core.pools}
        about = [intent for intent in self._waiting.values() if pool_id in intent.pool_ids]
        due = [intent for intent in about if intent.pool_ids <= opened]
        for intent in about:
            self._tell_waiting(intent, intent.pool_ids - opened)
        started: list[Started] = []
        for intent in due:
            job = await self._core.get(Job, intent.job_id)
            if self._waiting.pop(intent.id, None) is not None:
                started.append(await self._core.changes.recover(intent, job))
        ended = await asyncio.gather(*(change.wait() for change in started))
        for job in ended:
            self._observer.event("recovered", operation=job.operation, job=str(job.id), state=job.state)
        return ended

    def _tell_waiting(self, intent: Intent, closed: frozenset[UUID]) -> None:
        if closed and intent.id not in self._told:
            self._told.add(intent.id)
            pools = ", ".join(sorted(map(str, closed)))
            self._observer.event("recovery_waits", operation=intent.operation, job=str(intent.job_id), pools=pools)
