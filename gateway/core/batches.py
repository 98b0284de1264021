"""Batches: one job over several changes, which are taken back when one of them fails, or go on without it.

The job has a line for every part, written as the parts end, so that whoever
asks learns what was done, also after a restart. A restart in the middle takes
nothing back: each part is whole, those not begun are left out, and the job
fails and says so.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Iterator, Sequence
from typing import TypeVar
from uuid import UUID, uuid4

import msgspec

from gateway.core import errors
from gateway.core.catalog import put
from gateway.core.change import Started, final
from gateway.core.context import Core
from gateway.core.errors import ErrorRecord
from gateway.core.model import Job, JobPart, JobState, PartState, utc_now

OPERATION = "batch"
PARTS_MAX = 1000
_AT_ONCE = 8
_PAUSE_S = 1.0

T = TypeVar("T")
Undo = Callable[[], Awaitable[None]]


class Done(msgspec.Struct, frozen=True, kw_only=True):
    """A part that succeeded. `ref` finds what it changed; `undo` takes it back, None: there is nothing to take back."""

    ref: str
    undo: Undo | None = None


class Step(msgspec.Struct, frozen=True, kw_only=True):
    """A part to do. `run` returns when it is done, or raises a GatewayError or Refused; so does what it gives as undo.

    `operation` and `name` are kept in the job's line.
    """

    operation: str
    name: str
    run: Callable[[], Awaitable[Done]]


class Refused(Exception):  # noqa: N818 - named by what is wrong, as the tree of errors
    """A dialect's own objection to one part, as the job keeps it for that dialect to read again."""

    def __init__(self, record: ErrorRecord) -> None:
        super().__init__(record.type)
        self.record = record


async def start(
    core: Core,
    steps: Sequence[Step],
    *,
    description: str,
    atomic: bool,
    serial: bool = False,
    tenant_id: UUID | None = None,
) -> Started:
    """Start a batch.

    `atomic`: after a failure no further part begins, and those done are taken
    back, the last one first. `serial`: one after the other, in order.
    LimitExceeded for more than `PARTS_MAX` parts, Unavailable while stopping.
    """
    if len(steps) > PARTS_MAX:
        raise errors.LimitExceeded(limit="records", value=len(steps), minimum=1, maximum=PARTS_MAX)
    if core.changes.draining:
        raise _stopping()
    job = Job(
        id=uuid4(),
        operation=OPERATION,
        description=description,
        state=JobState.RUNNING,
        created=utc_now(),
        tenant_id=tenant_id,
        owner=core.catalog.owner,
        caller=core.job_caller,
        parts=tuple(JobPart(operation=step.operation, name=step.name) for step in steps),
    )
    await core.catalog.commit(put(job))
    job = await core.get(Job, job.id)
    batch = _Batch(core, job, steps, atomic=atomic, width=1 if serial else _AT_ONCE)
    return Started(job, core.changes.spawn_batch(batch.run()))


def interruption(job: Job) -> errors.GatewayError | None:
    """Give how a job ends whose process died: None, or for a batch with parts that are not known to be done, why."""
    if all(part.state is PartState.SUCCESS for part in job.parts):
        return None
    return errors.Unavailable(what="gateway", reason="it was restarted before the whole batch was done")


class _Batch:
    """One run. `_parts` is the truth; the catalog's job follows it."""

    def __init__(self, core: Core, job: Job, steps: Sequence[Step], *, atomic: bool, width: int) -> None:
        self._core = core
        self._job = job
        self._steps = steps
        self._parts = list(job.parts)
        self._atomic = atomic
        self._width = min(width, len(steps))
        self._done: dict[int, Undo | None] = {}
        self._failed: list[int] = []
        self._saving = asyncio.Lock()

    async def run(self) -> Job:
        waiting = iter(range(len(self._steps)))
        async with asyncio.TaskGroup() as group:
            for _ in range(self._width):
                group.create_task(self._work(waiting))
        if self._failed and self._atomic:
            await self._take_back()
        return await self._end()

    async def _work(self, waiting: Iterator[int]) -> None:
        for place in waiting:
            if self._failed and self._atomic:
                return
            await self._step(place)
            await self._save()

    async def _step(self, place: int) -> None:
        done = await self._attempt(self._begin(place))
        if isinstance(done, ErrorRecord):
            self._failed.append(place)
            self._mark(place, state=PartState.FAILURE, error=done)
        else:
            self._done[place] = done.undo
            self._mark(place, state=PartState.SUCCESS, ref=done.ref)

    async def _begin(self, place: int) -> Done:
        if self._core.changes.draining:
            raise _stopping()
        return await self._steps[place].run()

    async def _take_back(self) -> None:
        for place, undo in reversed(self._done.items()):
            failure = await self._attempt(undo()) if undo is not None else None
            if isinstance(failure, ErrorRecord):
                self._mark(place, undo_error=failure)
            else:
                self._mark(place, state=PartState.UNDONE)
            await self._save()

    async def _attempt(self, work: Awaitable[T]) -> T | ErrorRecord:
        try:
            return await work
        except Refused as refused:
            return refused.record
        except errors.GatewayError as error:
            return error.to_record()
        except Exception as error:  # noqa: BLE001 - a defect in one part must not leave the job without an end
            return errors.Internal(incident=self._core.changes.defect(error)).to_record()

    def _mark(self, place: int, **changes: object) -> None:
        self._parts[place] = msgspec.structs.replace(self._parts[place], **changes)

    async def _save(self) -> None:
        """Write the lines as they are now; whoever waits here meanwhile finds its own among them."""
        async with self._saving:
            parts = tuple(self._parts)
            if parts == self._job.parts:
                return
            try:
                await self._commit(msgspec.structs.replace(self._job, parts=parts))
            except errors.Unavailable:
                return  # the next line, or the end, brings these along

    async def _end(self) -> Job:
        first = min(self._failed, default=None)
        record = None if first is None else self._parts[first].error
        ended = final(msgspec.structs.replace(self._job, parts=tuple(self._parts)), None)
        if record is not None:
            ended = msgspec.structs.replace(ended, state=JobState.FAILURE, error=record)
        while True:
            try:
                await self._commit(msgspec.structs.replace(ended, revision=self._job.revision))
            except errors.Unavailable:
                if self._core.changes.draining:
                    return ended  # the next start finds the job without its end
                await asyncio.sleep(_PAUSE_S)
            else:
                return self._job

    async def _commit(self, job: Job) -> None:
        stored = await self._core.catalog.commit(put(job))
        self._job = stored[job.id]  # type: ignore[assignment]


def _stopping() -> errors.Unavailable:
    return errors.Unavailable(what="gateway", reason="it is stopping")
