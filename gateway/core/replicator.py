"""Starts the transfers that are due, carries on what a dead process left, and takes the destinations' own snapshots.

`Replicator.run` is one pass. It keeps nothing from pass to pass: what is due
is told by when the last transfer of a replication began, so a pass that a
crash interrupted is simply made again.
"""

from __future__ import annotations

import asyncio
from datetime import datetime
from uuid import UUID

import msgspec

from gateway.core import errors, snapshots, transfers
from gateway.core.catalog import walk
from gateway.core.context import Core
from gateway.core.manifest import everything
from gateway.core.model import Schedule, Snapshot, Volume
from gateway.core.observer import Observer
from gateway.core.query import Order, Query
from gateway.core.recurrence import latest_due
from gateway.core.replicas import current, snapshots_at
from gateway.core.replication_model import (
    Replication,
    ReplicationPolicy,
    ReplicationRule,
    ReplicationState,
    Transfer,
    TransferKind,
)
from gateway.core.snapshots import remove
from gateway.core.transferring import settle

_PAGE = 200


class Passed(msgspec.Struct):
    """What one pass did."""

    taken_over: int = 0
    started: int = 0
    snapshots: int = 0
    failed: int = 0


class Replicator:
    """Performs passes, one after the other. Of the processes that share a catalog one does this."""

    def __init__(self, core: Core, observer: Observer) -> None:
        self._core = core
        self._observer = observer
        self._told: dict[UUID, str] = {}

    async def run(self, now: datetime) -> Passed:
        """Serve every replication once; what fails is logged once and tried again by the next pass."""
        passed = Passed(taken_over=await transfers.take_over(self._core))
        policies = {policy.id: policy for policy in await everything(self._core.catalog, ReplicationPolicy)}
        schedules = {schedule.name: schedule for schedule in await everything(self._core.catalog, Schedule)}
        query = Query(order=(Order("created"),), limit=_PAGE)

        async def served(replication: Replication) -> None:
            if self._core.changes.draining:
                return
            try:
                policy = policies.get(replication.policy_id) or await self._core.get(
                    ReplicationPolicy, replication.policy_id
                )
                await self._serve(replication, policy, schedules, now=now, passed=passed)
            except (errors.Conflict, errors.NotFound):
                return  # somebody is at it
            except errors.GatewayError as error:
                passed.failed += 1
                self._tell(replication, str(error))
            else:
                self._told.pop(replication.id, None)

        far: list[Replication] = []
        async for replication in walk(self._core.catalog, Replication, query):
            if replication.source.peer_id is None:
                await served(replication)
            else:
                far.append(replication)
        # Peers may take long to answer: nobody waits for that of another one, and least of all those without any.
        await asyncio.gather(*map(served, far))
        return passed

    def _tell(self, replication: Replication, error: str) -> None:
        """Log why a replication could not be served, once for as long as that is why."""
        if self._told.get(replication.id) != error:
            self._told[replication.id] = error
            self._observer.event("replication_not_served", replication=str(replication.id), error=error)

    async def _serve(
        self,
        replication: Replication,
        policy: ReplicationPolicy,
        schedules: dict[str, Schedule],
        *,
        now: datetime,
        passed: Passed,
    ) -> None:
        description = f"Scheduled replication {replication.id}"
        await settle(self._core, replication.id, description=description)
        replication = await self._core.get(Replication, replication.id)
        if replication.state is not ReplicationState.MIRRORED or await current(self._core, replication) is not None:
            return
        failure: errors.GatewayError | None = None
        for rule in policy.rules:
            if rule.schedule in schedules:
                due = latest_due(schedules[rule.schedule].recurrence, replication.created, now)
                try:
                    made = await self._snapshot(replication, rule, due, description=description)
                    passed.snapshots += made
                except errors.GatewayError as error:
                    failure = error  # the transfer may be what makes it possible again
        name = policy.schedule if replication.schedule is None else replication.schedule
        if name in schedules and latest_due(schedules[name].recurrence, await self._since(replication), now):
            await transfers.begin(self._core, replication.id, TransferKind.UPDATE, description=description)
            passed.started += 1
        if failure is not None:
            raise failure

    async def _since(self, replication: Replication) -> datetime:
        """Give when the last transfer began."""
        found = None
        if replication.transfer_id is not None:
            found = await self._core.catalog.get(Transfer, replication.transfer_id)
        return replication.created if found is None else found.created

    async def _snapshot(
        self, replication: Replication, rule: ReplicationRule, due: datetime | None, *, description: str
    ) -> int:
        """Take the destination's own snapshot of a rule unless it is there; then remove the surplus. Give how many.

        None where streams only go on top of the newest snapshot.
        """
        volume = await self._core.get(Volume, replication.volume_id)
        if not self._core.pools.get(volume.pool_id).capability(volume.kind).can("restore_keeps_newer"):
            return 0
        taken_by = f"{replication.id}/{rule.schedule}"
        own = [one for one in await snapshots_at(self._core, replication.volume_id) if one.taken_by == taken_by]
        if due is None or any(one.due == due for one in own):
            return 0
        new = snapshots.NewSnapshot(
            name=f"{rule.prefix or rule.schedule}.{due:%Y-%m-%d_%H%M}",
            volume_id=replication.volume_id,
            label=rule.label,
            taken_by=taken_by,
            due=due,
        )
        job = await (await snapshots.create(self._core, new, description=description)).result()
        taken = await self._core.get(Snapshot, job.target_id or UUID(int=0))
        await remove(self._core, [*own, taken][: -rule.count], description=description)
        return 1
