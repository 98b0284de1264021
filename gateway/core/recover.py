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
    """Intents of dead processes, kept until their pool is open."""

    def __init__(self, core: Core, observer: Observer) -> None:
        self._core = core
        self._observer = observer
        self._waiting: dict[UUID, list[Intent]] = {}
        self._endless: list[Job] = []

    async def adopt(self) -> None:
        """Take over what dead processes left.

        Jobs without an intent had their commit and only lack their end; a batch
        may lack some of its parts. What fails is tried again by the next call.
        """
        intents, jobs = await self._core.catalog.adopt_orphans()
        for intent in intents:
            self._waiting.setdefault(intent.pool_id, []).append(intent)
        self._endless += jobs
        if intents or jobs:
            self._observer.event("recovery_begun", intents=len(intents), jobs=len(jobs))
        while self._endless:
            await self._core.changes.end_job(self._endless[-1], interruption(self._endless[-1]))
            self._endless.pop()

    async def settle(self, pool_id: UUID) -> Sequence[Job]:
        """Finish or take back every change of an open pool that was interrupted; give the jobs as they ended."""
        waiting = self._waiting.get(pool_id, [])
        started: list[Started] = []
        while waiting:
            job = await self._core.get(Job, waiting[-1].job_id)
            started.append(await self._core.changes.recover(waiting.pop(), job))
        ended = await asyncio.gather(*(change.wait() for change in started))
        for job in ended:
            self._observer.event("recovered", operation=job.operation, job=str(job.id), state=job.state)
        return ended
