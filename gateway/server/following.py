"""Publishes what other gateways on the catalog changed, soon after they did.

A change is published by the gateway that carries it out, as far as that one
has the exporters. The others learn of it here: not in the same instant, but
long before they look at every publication.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from datetime import datetime, timedelta
from uuid import UUID

from gateway.core.catalog import walk
from gateway.core.context import Core
from gateway.core.model import Job, utc_now
from gateway.core.query import And, Compare, Not, Op, Order, Query

_OVERLAP = timedelta(seconds=10)
"""How much later than it began a job of another process may come to be seen."""


class Follower:
    """Looks at the jobs of others that ended since the last look. `publish` is called with the ids of their volumes."""

    def __init__(self, core: Core, publish: Callable[[UUID], Awaitable[object]]) -> None:
        self._core = core
        self._publish = publish
        self._version = -1
        self._since = utc_now()
        self._known: dict[UUID, datetime] = {}
        self._running: set[UUID] = set()

    async def run(self) -> None:
        """Look once. It costs next to nothing while nothing changes."""
        if self._core.publisher.idle:
            return
        version = await self._core.catalog.version()
        if version == self._version:
            return
        ended = await self._ended()
        # What fails to be published is a matter of those who look at every publication.
        for volume_id in dict.fromkeys(job.target_id for job in ended if job.target_id is not None):
            await self._publish(volume_id)
        self._version = version

    async def _ended(self) -> list[Job]:
        """Give the changes of volumes by others that are over now and were not at the last look."""
        now, earliest = utc_now(), self._since - _OVERLAP
        others = Not(Compare("owner", Op.EQ, self._core.catalog.owner))
        where = And((Compare("created", Op.GE, earliest), others))
        ended: list[Job] = []
        async for job in walk(self._core.catalog, Job, Query(where=where, order=(Order("created"),))):
            if job.operation.startswith("volume.") and job.id not in self._known:
                self._known[job.id] = job.created
                self._running.add(job.id)
        for job in (await self._core.catalog.get_many(Job, self._running)).values():
            if job.ended is not None:
                ended.append(job)
                self._running.discard(job.id)
        self._known = {key: created for key, created in self._known.items() if created >= earliest}
        self._since = now
        return ended
