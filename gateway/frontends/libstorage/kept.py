"""Tasks as the catalog has them, and as clients see them.

A task is a document, so every gateway of a catalog can be asked for it. Its
number is the millisecond at which it was kept, or the next one that was free,
so none is given twice. One whose process died ends as the jobs do that it had
begun.

Jobs that belong to no such task, those of calls that ended in time and those
of other doors, are shown as tasks too. Their numbers are made of the
microsecond in which they began, thousands of times larger than those of tasks.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from contextlib import suppress
from datetime import UTC, datetime, timedelta
from typing import Any, Final
from uuid import UUID

import msgspec

from gateway.core import documents, errors
from gateway.core.catalog import walk
from gateway.core.context import Core
from gateway.core.jobs import FINAL
from gateway.core.model import Document, Job, JobState, utc_now
from gateway.core.query import And, Compare, Filter, Not, Op, Or, Order, Query
from gateway.frontends.libstorage.errors import LsError, ls_error
from gateway.frontends.libstorage.model import Task

KIND: Final = "libstorage.task"
JOBS_MAX: Final = 1000
"""How many jobs are shown beside the tasks, the newest."""

_JOBS_FROM: Final = 10**15
_AT_ONCE: Final = 4
"""Jobs that begin in one microsecond have this many numbers."""

_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)
_MICROSECOND: Final = timedelta(microseconds=1)
_INT64_MAX: Final = 2**63 - 1
_CUT_OFF: Final = LsError(503, "the gateway was restarted before this was done")
_STATES: Mapping[JobState, str] = {
    JobState.QUEUED: "queued",
    JobState.RUNNING: "running",
    JobState.PAUSED: "running",
    JobState.SUCCESS: "success",
    JobState.FAILURE: "error",
}


class Kept(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """A task as its document has it.

    `owner` is the process that carries it out; `request` finds the jobs that
    it began. `service`: empty for all of them. `single`: it is done once the
    only job is that it begins. `ended` None: it runs, or its process died.
    `result` is JSON.
    """

    owner: str
    request: str
    queued: datetime
    user: str = ""
    service: str = ""
    single: bool = False
    ended: datetime | None = None
    result: str = ""
    error: Any = None

    def body(self) -> str:
        """Give it as a document has it."""
        return msgspec.json.encode(self).decode()


class Window(msgspec.Struct, frozen=True, kw_only=True):
    """Which tasks somebody may see: those of the services that are open to them, and jobs of the tenants.

    `since`: what ended before is not shown any more.
    """

    every: frozenset[str]
    open: frozenset[str]
    tenants: Collection[UUID]
    since: datetime

    def shows(self, kept: Kept) -> bool:
        """Tell whether a task is among them, whenever it ended."""
        return kept.service in self.open if kept.service else self.jobs

    @property
    def jobs(self) -> bool:
        """Tell whether jobs are, of which nobody knows the service."""
        return self.every <= self.open


def read(document: Document) -> Kept:
    """Give the task that a document has."""
    return msgspec.json.decode(document.body, type=Kept)


def task(number: str, kept: Kept) -> Task:
    """Give a task as its document has it."""
    ended = kept.ended is not None
    return Task(
        id=int(number),
        user=kept.user,
        queue_time=_seconds(kept.queued),
        start_time=_seconds(kept.queued),
        complete_time=_seconds(kept.ended),
        state="running" if not ended else "success" if kept.error is None else "error",
        result=msgspec.Raw(kept.result.encode()) if kept.result not in {"", "null"} else None,
        error=kept.error,
    )


async def one(core: Core, number: str, window: Window) -> Task | None:
    """Give the task of a number; None when there is none, or none that may be seen. What is no number is 0."""
    value = int(number) if number.isascii() and number.isdecimal() and len(number) < len(str(_INT64_MAX)) else 0
    if value >= _JOBS_FROM:
        return await _one_job(core, value, window)
    document = await documents.named(core, KIND, str(value))
    if document is None or not window.shows(read(document)):
        return None
    kept = await settled(core, document)
    return None if _past(kept, window) else task(document.name, kept)


async def every(core: Core, window: Window) -> dict[str, Task]:
    """Give all that may be seen, by number."""
    found: dict[str, Task] = {}
    requests = set()
    for document in await documents.all_of(core, KIND):
        kept = read(document)
        requests.add(kept.request)
        if window.shows(kept) and not _past(kept := await settled(core, document), window):
            found[document.name] = task(document.name, kept)
    if window.jobs:
        jobs = await _jobs(core, Or((Compare("created", Op.GE, window.since), _UNFINISHED)))
        shown = [job for job in jobs if job.tenant_id in window.tenants and job.request not in requests]
        found |= {str(each.id): each for each in map(_job_task, shown)}
    return found


async def settled(core: Core, document: Document) -> Kept:
    """Give a task with its end; where its process died before it could write that down it is written now."""
    kept = read(document)
    if kept.ended is not None or await core.catalog.lives(kept.owner):
        return kept
    begun = Query(where=Compare("created", Op.GE, kept.queued), order=(Order("created"),))
    jobs = [job async for job in walk(core.catalog, Job, begun) if job.request == kept.request]
    if any(job.state not in FINAL for job in jobs):
        return kept  # whoever adopted it is about to settle it
    ended = _end(kept, jobs)
    with suppress(errors.StaleRevision):  # somebody else wrote the same
        await documents.replace(core, document, ended.body())
    return ended


def _end(kept: Kept, jobs: Sequence[Job]) -> Kept:
    """Give a task as it ended with its jobs."""
    at = max((job.ended for job in jobs if job.ended is not None), default=kept.queued)
    failed = next((errors.from_record(job.error) for job in jobs if job.error is not None), None)
    if failed is None and kept.single and jobs:
        return msgspec.structs.replace(kept, ended=at)
    return msgspec.structs.replace(kept, ended=at, error=(_CUT_OFF if failed is None else ls_error(failed)).inner())


_UNFINISHED: Final = And(tuple(Not(Compare("state", Op.EQ, state.value)) for state in sorted(FINAL)))


async def _jobs(core: Core, where: Filter) -> Sequence[Job]:
    query = Query(where=where, order=(Order("created", descending=True),), limit=JOBS_MAX)
    return (await core.catalog.page(Job, query)).records


async def _one_job(core: Core, number: int, window: Window) -> Task | None:
    try:
        created = _EPOCH + number // _AT_ONCE * _MICROSECOND
    except OverflowError:
        return None
    found = await _jobs(core, Compare("created", Op.EQ, created))
    shown = (_job_task(job) for job in found if window.jobs and job.tenant_id in window.tenants)
    return next((each for each in shown if each.id == number), None)


def _job_task(job: Job) -> Task:
    error = None if job.error is None else ls_error(errors.from_record(job.error)).inner()
    return Task(
        id=(job.created - _EPOCH) // _MICROSECOND * _AT_ONCE + job.id.int % _AT_ONCE,
        user=job.caller,
        queue_time=_seconds(job.created),
        start_time=_seconds(job.created),
        complete_time=_seconds(job.ended),
        state=_STATES[job.state],
        error=error,
    )


def _past(kept: Kept, window: Window) -> bool:
    return kept.ended is not None and kept.ended < window.since


def _seconds(at: datetime | None) -> int:
    return 0 if at is None else int(at.timestamp())


def since(retention_s: float) -> datetime:
    """Give the time before which ends are too long ago."""
    return utc_now() - timedelta(seconds=retention_s)
