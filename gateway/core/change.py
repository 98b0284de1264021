"""The one path of every change: lock, plan, journal, substrate, commit.

`start` returns as soon as the change is durable as an intent; from then on it
runs to its end whoever waits for it, also across a restart of the process.
Everything a caller can be told at once (bad value, missing object, missing
capability) is raised by the plan, before anything was written.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Coroutine, Iterable
from contextlib import asynccontextmanager
from typing import Any, TypeVar
from uuid import UUID, uuid4

import msgspec

from gateway.core import errors
from gateway.core.backend import FaultHook
from gateway.core.catalog import Batch, Catalog, Guard, drop, put, when
from gateway.core.locks import KeyLocks
from gateway.core.model import FileChange, Intent, Job, JobState, Snapshot, Volume, utc_now
from gateway.core.observer import Observer
from gateway.core.operation import Context
from gateway.core.operations import LASTING, OPERATIONS
from gateway.core.query import And, Compare, Op

_FOREIGN_RETRIES = 20
_FOREIGN_PAUSE_S = 0.25
_STALE_RETRIES = 10

T = TypeVar("T")


class Plan(msgspec.Struct, frozen=True, kw_only=True):
    """What a change is going to do: an intent without the parts that `Changes` fills in.

    `read`: further volumes that must be as the plan read them when the change begins.
    """

    operation: str
    description: str
    pool_id: UUID
    before: Volume | None = None
    after: Volume | None = None
    snapshot_before: Snapshot | None = None
    snapshot_after: Snapshot | None = None
    also: tuple[Snapshot, ...] = ()
    read: tuple[Volume, ...] = ()
    force: bool = False
    delete_path: bool = False
    file: FileChange | None = None

    @property
    def target(self) -> Volume | Snapshot:
        """Give the object that the change is about, of several snapshots the first."""
        snapshot_first = self.operation.startswith("snapshot.")
        volume, snapshot = self.after or self.before, self.snapshot_after or self.snapshot_before
        found = (snapshot or next(iter(self.also), None)) if snapshot_first else volume
        if found is None:
            raise errors.Internal(incident=f"{self.operation} was planned without its object")
        return found


class Asked(msgspec.Struct, frozen=True):
    """Whose job a change is, and in the course of which request; see `gateway.core.model.Job`."""

    caller: str = ""
    request: str = ""


_BY_NOBODY = Asked()


class Started:
    """A change that is under way or done."""

    def __init__(self, job: Job, task: asyncio.Task[Job] | None) -> None:
        self.job = job
        self._task = task

    async def wait(self, timeout_s: float | None = None) -> Job:
        """Give the job as it is when the change ends, or after `timeout_s` seconds. Cancelling this cancels nothing."""
        if self._task is not None:
            done, _ = await asyncio.wait({self._task}, timeout=timeout_s)
            if done:
                self.job = self._task.result()
        return self.job

    async def result(self) -> Job:
        """Wait for the end; raise what the change failed with."""
        job = await self.wait()
        if job.error is not None:
            raise errors.from_record(job.error)
        return job


class Changes:
    """Runs changes. One per process. `patience_s`: how long one waits for another that may last for hours."""

    def __init__(
        self, catalog: Catalog, context: Context, observer: Observer, fault: FaultHook, *, patience_s: float = 5
    ) -> None:
        self._catalog = catalog
        self._context = context
        self._observer = observer
        self._fault = fault
        self._patience_s = patience_s
        self._tasks: set[asyncio.Task[Any]] = set()
        self._unsettled: dict[UUID, tuple[Intent, Job]] = {}
        self._failures: dict[UUID, errors.GatewayError] = {}
        self._lasting: dict[UUID, str] = {}
        self._batches: set[asyncio.Task[Any]] = set()
        self._closing = False
        self.draining = False
        self.locks = KeyLocks()

    async def start(
        self, keys: Iterable[UUID], plan: Callable[[], Awaitable[Plan]], *, asked: Asked = _BY_NOBODY
    ) -> Started:
        """Lock the keys, let `plan` validate against the catalog as it is now, journal, and run in the background.

        Raises what `plan` raises; Conflict when another process changes one of
        the keys for longer than a few seconds, or a change that may last for
        hours works on one in this process; Unavailable while closing or
        when the pool is not open. A caller that is cancelled while it waits
        for the keys changes nothing; later, the change goes on without it.
        `asked`: whose job it is. Use cases call `Core.start`, which says so.
        """
        held = await self._acquire(frozenset(keys))
        if self._closing:
            self.locks.release(held)
            raise errors.Unavailable(what="gateway", reason="it is stopping")
        return await asyncio.shield(self._spawn(self._begin(held, plan, asked)))

    @asynccontextmanager
    async def holding(self, key: UUID) -> AsyncIterator[None]:
        """Keep changes of this process off a volume for a block; Conflict as for `start` when one lasts long."""
        held = await self._acquire(frozenset({key}))
        try:
            yield
        finally:
            self.locks.release(held)

    async def recover(self, intent: Intent, job: Job) -> Started:
        """Finish or take back what a process that died had begun."""
        held = await self.locks.acquire(intent.keys)
        self._observer.intent_opened(intent)
        return Started(job, self._spawn(self._run(intent, job, held, recovering=True)))

    async def resettle(self) -> None:
        """Try again to settle changes whose substrate or catalog did not answer when they ended."""
        for intent, job in tuple(self._unsettled.values()):
            held = await self.locks.acquire(intent.keys)
            await Started(job, self._spawn(self._run(intent, job, held, recovering=True))).wait()

    @property
    def context(self) -> Context:
        """Give what operations work with, for those use cases that wait for more than one of them."""
        return self._context

    def spawn_batch(self, work: Coroutine[Any, Any, T]) -> asyncio.Task[T]:
        """Run what starts changes of its own; `close` lets it come to its end, which `draining` asks it to hasten."""
        task = self._spawn(work)
        self._batches.add(task)
        task.add_done_callback(self._batches.discard)
        return task

    async def end_job(self, job: Job, error: errors.GatewayError | None) -> Job:
        """Put a job into its final state."""
        present = await self._catalog.get(Job, job.id) or job
        ended = final(present, error)
        stored = await self._catalog.commit(put(ended))
        return stored[job.id]  # type: ignore[return-value]

    async def close(self) -> None:
        """Refuse new changes and wait for those under way; what would last for hours is given up."""
        self.draining = True
        self._context.stopping.set()
        if self._context.peers is not None:
            self._context.peers.hurry()
        while self._batches:
            await asyncio.wait(self._batches)
        self._closing = True
        while self._tasks:
            await asyncio.wait(self._tasks)

    # --- the steps ---

    async def _acquire(self, keys: frozenset[UUID]) -> tuple[UUID, ...]:
        """Take the locks; Conflict after a few seconds when what holds one may last for hours."""
        if not any(self.locks.held(key) for key in keys):
            return await self.locks.acquire(keys)
        taking = asyncio.ensure_future(self.locks.acquire(keys))
        try:
            while not (await asyncio.wait({taking}, timeout=self._patience_s))[0]:
                self._check_patience(keys)
        except BaseException:
            if not taking.cancel() and not taking.cancelled():
                self.locks.release(taking.result())
            raise
        return taking.result()

    def _check_patience(self, keys: frozenset[UUID]) -> None:
        for key in self._lasting.keys() & keys:
            raise errors.Conflict(kind="volume", ref=str(key), holder=self._lasting[key])

    async def _begin(self, held: tuple[UUID, ...], plan: Callable[[], Awaitable[Plan]], asked: Asked) -> Started:
        try:
            intent, job = await self._journal(held, plan, asked)
        except BaseException:
            self.locks.release(held)
            raise
        return Started(job, self._spawn(self._run(intent, job, held)))

    async def _journal(
        self, keys: tuple[UUID, ...], plan: Callable[[], Awaitable[Plan]], asked: Asked
    ) -> tuple[Intent, Job]:
        for attempt in range(_FOREIGN_RETRIES + 1):
            planned = await plan()
            self._context.pools.get(planned.pool_id)
            intent, job = self._draw_up(keys, planned, asked)
            shown = await OPERATIONS[intent.operation].shown(self._context, intent)
            try:
                stored = await self._catalog.commit(_current(planned) + put(job, intent) + shown)
            except (errors.Conflict, errors.StaleRevision):
                # Another process holds a key, or it or a sampler touched a row after the plan read it.
                if attempt == _FOREIGN_RETRIES:
                    raise
                await asyncio.sleep(_FOREIGN_PAUSE_S if attempt else 0)
                continue
            self._observer.intent_opened(intent)
            self._fault(f"{intent.operation}.journalled")
            return stored[intent.id], stored[job.id]  # type: ignore[return-value]
        raise AssertionError

    def _draw_up(self, keys: tuple[UUID, ...], planned: Plan, asked: Asked) -> tuple[Intent, Job]:
        now, target = utc_now(), planned.target
        job = Job(
            id=uuid4(),
            operation=planned.operation,
            description=planned.description,
            state=JobState.RUNNING,
            created=now,
            target_id=target.id,
            tenant_id=target.tenant_id,
            owner=self._catalog.owner,
            caller=asked.caller,
            request=asked.request,
        )
        intent = Intent(
            id=uuid4(),
            operation=planned.operation,
            owner=self._catalog.owner,
            job_id=job.id,
            pool_id=planned.pool_id,
            keys=keys,
            created=now,
            before=planned.before,
            after=planned.after,
            snapshot_before=planned.snapshot_before,
            snapshot_after=planned.snapshot_after,
            also=planned.also,
            force=planned.force,
            delete_path=planned.delete_path,
            file=planned.file,
        )
        return intent, job

    async def _run(self, intent: Intent, job: Job, held: tuple[UUID, ...], *, recovering: bool = False) -> Job:
        try:
            if recovering and await self._catalog.get(Intent, intent.id) is None:
                ended = await self._wind_up(intent, job)
            else:
                ended = await self._settle(intent, job, recovering=recovering)
        except Exception as error:  # noqa: BLE001 - neither done nor undone: the intent stays until `resettle`
            self._unsettled[intent.id] = (intent, job)
            failure = error if isinstance(error, errors.GatewayError) else errors.Internal(incident=self.defect(error))
            return msgspec.structs.replace(job, error=self._failures.get(intent.id, failure).to_record())
        else:
            self._unsettled.pop(intent.id, None)
            self._failures.pop(intent.id, None)
            self._observer.intent_closed(intent, ended)
            return ended
        finally:
            for key in intent.keys:
                self._lasting.pop(key, None)
            self.locks.release(held)

    async def _settle(self, intent: Intent, job: Job, *, recovering: bool) -> Job:
        operation = OPERATIONS[intent.operation]
        if intent.operation in LASTING:
            self._lasting |= dict.fromkeys(intent.keys, intent.operation)
        # A change that failed, and could not be taken back then, is not tried again: its caller knows it as failed.
        failure = self._failures.get(intent.id)
        try:
            if failure is None and recovering and not await operation.happened(self._context, intent):
                failure = errors.Unavailable(what="gateway", reason="it was restarted before the change took effect")
            if failure is None:
                with self._observer.substrate(self._context.pools.get(intent.pool_id).name, intent.operation):
                    await operation.apply(self._context, intent)
                self._fault(f"{intent.operation}.applied")
        except errors.GatewayError as error:
            failure = error
        except Exception as error:  # noqa: BLE001 - a defect of a backend must not leave the change half made
            failure = errors.Internal(incident=self.defect(error))
        publish = failure is None and self._context.publisher.concerns(intent)
        try:
            ended = await self._close(intent, job, failure, last=not publish)
        except (errors.AlreadyExists, errors.NotFound) as error:
            # The plan saw a name free or a policy present; a racing change decided otherwise.
            if failure is not None:
                raise
            failure, publish = error, False
            ended = await self._close(intent, job, failure, last=True)
        self._fault(f"{intent.operation}.committed")
        if publish:
            return await self._publish(intent, ended)
        if failure is not None:
            await self._republish(intent)
        return ended

    async def _close(self, intent: Intent, job: Job, failure: errors.GatewayError | None, *, last: bool) -> Job:
        """Write the outcome, the end of the intent and (when nothing follows) of the job in one commit."""
        operation = OPERATIONS[intent.operation]
        if failure is not None:
            self._failures[intent.id] = failure
        for attempt in range(_STALE_RETRIES + 1):
            step = operation.finish if failure is None else operation.revert
            batch = await step(self._context, intent)
            ended = final(job, failure) if last else job
            try:
                stored = await self._catalog.commit(batch + put(ended) + drop(intent))
            except errors.StaleRevision:
                if attempt == _STALE_RETRIES:
                    raise
                continue
            return stored[job.id]  # type: ignore[return-value]
        raise AssertionError

    async def _wind_up(self, intent: Intent, job: Job) -> Job:
        """End a change whose outcome is committed, although the commit or that of the job's end seemed to fail."""
        present = await self._catalog.get(Job, job.id)
        if present is None or present.ended is not None:
            return present or job
        return await self._publish(intent, present)

    async def _publish(self, intent: Intent, job: Job) -> Job:
        """Publish what the commit wished for; a failure is reported by the job and leaves the wish standing."""
        failure: errors.GatewayError | None = None
        volume = intent.after or intent.before
        try:
            if volume is not None:
                await self._context.publisher.converge(volume.id)
        except errors.GatewayError as error:
            failure = error
        except Exception as error:  # noqa: BLE001 - see _settle
            failure = errors.Internal(incident=self.defect(error))
        return await self.end_job(job, failure)

    async def _republish(self, intent: Intent) -> None:
        """Bring back a publication that a failed change had withdrawn."""
        if intent.before is None:
            return
        try:
            await self._context.publisher.converge(intent.before.id)
        except errors.GatewayError as error:
            self._observer.event("export_not_restored", volume=str(intent.before.id), error=str(error))

    def defect(self, error: Exception) -> str:
        """Report an error that is none of our tree; give the incident id under which the log has it."""
        incident = uuid4().hex
        self._observer.defect(incident, error)
        return incident

    def _spawn(self, work: Coroutine[Any, Any, T]) -> asyncio.Task[T]:
        task = asyncio.ensure_future(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        return task


def _current(planned: Plan) -> Batch:
    """Give the condition that what the plan is about is as the plan read it.

    Another process may have changed it until its key was free. Without the
    condition the change would begin with what is no longer so.
    """
    about = (planned.before, planned.snapshot_before, *planned.also, *planned.read)
    read = [one for one in about if one is not None and one.revision]
    return when(
        *(
            Guard(
                type(one),
                And((Compare("id", Op.EQ, one.id), Compare("revision", Op.EQ, one.revision))),
                exists=True,
                error=errors.StaleRevision(kind=type(one).__name__.lower(), ref=str(one.id), expected=one.revision),
            )
            for one in read
        )
    )


def final(job: Job, error: errors.GatewayError | None) -> Job:
    """Give the job as it is once it succeeded, or failed with `error`."""
    return msgspec.structs.replace(
        job,
        state=JobState.SUCCESS if error is None else JobState.FAILURE,
        ended=utc_now(),
        error=error.to_record() if error else None,
    )
