"""What `movement` of a volume tells: the move to another aggregate that goes on, or the last one that is known."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from datetime import datetime
from typing import Any
from uuid import UUID

import msgspec

from gateway.core.catalog import walk
from gateway.core.context import Core
from gateway.core.model import Intent, Job, JobState, Pool, Volume
from gateway.core.query import And, Compare, Op, Or, Order, Query
from gateway.frontends.ontap_rest.ask import Ask
from gateway.frontends.ontap_rest.scalars import format_datetime

OPERATION = "volume.move"
_OBJECT = "movement"
_EVERYTHING = "**"


class Movement(msgspec.Struct, frozen=True, kw_only=True):
    """A move. `to` is the aggregate where it leads, None where it did not get there."""

    state: str
    started: datetime
    to: Pool | None = None


def wanted(ask: Ask) -> bool:
    """Tell whether anybody looks at `movement`, which takes more than the volume's record."""
    fields = ask.parameters.fields or ""
    return (
        _OBJECT in fields or _EVERYTHING in fields or any(path.startswith(_OBJECT) for path in ask.parameters.queried)
    )


async def moves_of(core: Core, records: Collection[Volume]) -> Mapping[UUID, Movement]:
    """Give the moves of volumes, by their ids."""
    catalog = core.catalog
    pools = {pool.id: pool async for pool in walk(catalog, Pool, Query(order=(Order("id"),)))}
    moved = Compare("operation", Op.EQ, OPERATION)
    found: dict[UUID, Movement] = {}
    ids = {volume.id: volume for volume in records}
    # The job of a move is kept for a day.
    ended = And((moved, Or(tuple(Compare("target.id", Op.EQ, key) for key in ids))))
    async for job in walk(catalog, Job, Query(where=ended, order=(Order("created"),))):
        if job.target_id is not None and job.state in {JobState.SUCCESS, JobState.FAILURE}:
            there = job.state is JobState.SUCCESS
            to = pools.get(ids[job.target_id].pool_id) if there else None
            found[job.target_id] = Movement(state="success" if there else "failed", started=job.created, to=to)
    async for intent in walk(catalog, Intent, Query(where=moved, order=(Order("created"),))):
        if intent.after is not None and intent.after.id in ids:
            to = pools.get(intent.after.pool_id)
            found[intent.after.id] = Movement(state="replicating", started=intent.created, to=to)
    return found


def render_movement(move: Movement) -> dict[str, Any]:
    """Render a move. How far it is nobody knows before its end."""
    record: dict[str, Any] = {"state": move.state, "start_time": format_datetime(move.started)}
    if move.state == "success":
        record["percent_complete"] = 100
    if move.to is not None:
        record["destination_aggregate"] = {"uuid": str(move.to.id), "name": move.to.name}
    return record
