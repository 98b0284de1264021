"""What lives from the opening of a pool to its end. Everything below here needs boto3, which is an extra."""

from __future__ import annotations

import asyncio
import contextlib
import itertools
from collections.abc import AsyncIterator, Callable, Iterable, Iterator
from contextlib import asynccontextmanager
from typing import ParamSpec, TypeVar
from uuid import UUID

from gateway.backends.s3.collecting import Collector
from gateway.backends.s3.copying import Copier
from gateway.backends.s3.failures import translated
from gateway.backends.s3.lease import RENEW_S
from gateway.backends.s3.opening import Opened, open_pool, settle
from gateway.backends.s3.options import S3Options
from gateway.backends.s3.signing import Signer
from gateway.backends.s3.snapshots import Snapshots
from gateway.backends.s3.volumes import Volumes
from gateway.core.backend import FaultHook
from gateway.core.errors import GatewayError, Unavailable
from gateway.core.locks import KeyLocks
from gateway.core.worker import Worker

P = ParamSpec("P")
T = TypeVar("T")

ELSEWHERE = "another gateway has the lease of the pool: this one only reads, until that one ends"


async def open_session(name: str, options: S3Options, fault: FaultHook, *, copy_max: int) -> Session:
    """Open a pool, or raise Unavailable with the reason."""
    worker = Worker(f"s3-{name}", options.threads)
    opened = await worker.begin(_open, name, options, fault)
    session = Session(opened, worker, copy_max)
    try:
        await session.lead()
    except BaseException:
        await session.close()
        raise
    session.begin()
    return session


def _open(name: str, options: S3Options, fault: FaultHook) -> Opened:
    with translated(name):
        return open_pool(name, options, fault)


class Session:
    """An open pool, its threads, and its lease."""

    def __init__(self, opened: Opened, worker: Worker, copy_max: int) -> None:
        self.opened = opened
        self.pool = opened.pool
        self.worker = worker
        # Changes that take long may have all the threads of the other one.
        self._keeper = Worker(f"s3-{self.pool.name}-lease", 1)
        self.collector = Collector(self.pool)
        self.volumes = Volumes(self.pool, self.collector, Copier(self.pool, at_once=copy_max))
        self.snapshots = Snapshots(self.pool, self.collector, self.volumes)
        self.signer = Signer(self.pool, self.volumes)
        self.keys = KeyLocks()
        self.may_change = False
        self._settling = False
        self._changes = 0
        self.pool.proceed = self._proceed
        self._task: asyncio.Task[None] | None = None

    @property
    def remarks(self) -> tuple[str, ...]:
        """What the operator should know about the store and the pool."""
        found = self.pool.traits.remarks
        return found if self.may_change else (*found, ELSEWHERE)

    async def run(self, fn: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
        """Run a blocking part in a thread, with errors as the core knows them."""

        def guarded() -> T:
            with translated(self.pool.name):
                return fn(*args, **kwargs)

        return await self.worker.run(guarded)

    async def change(self, about: Iterable[UUID], fn: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
        """Run a change of volumes or snapshots, one at a time for each of them and for all that they rest on."""
        async with self.holding(about):
            return await self.run(fn, *args, **kwargs)

    @asynccontextmanager
    async def holding(self, about: Iterable[UUID]) -> AsyncIterator[None]:
        """Keep other changes from volumes and snapshots and all that they rest on, for a block."""
        self._proceed()
        self._changes += 1
        try:
            taken = await self.keys.acquire(await self.run(self._involved, tuple(about)))
            try:
                self._proceed()
                yield
            finally:
                self.keys.release(taken)
        finally:
            self._changes -= 1

    def _proceed(self) -> None:
        if not (self.may_change or self._settling) or not self.opened.leasing.held:
            raise Unavailable(what=self.pool.name, reason=ELSEWHERE)

    def _involved(self, about: tuple[UUID, ...]) -> set[UUID]:
        found = [self.pool.find_volume(each) for each in about]
        # What was cut short is completed first, whatever that takes.
        rests = [self.pool.find_unsettled(each) for each in about]
        return {
            *about,
            *(owner for sidecar in found if sidecar is not None for owner in sidecar.owners),
            *(owner for rest in rests if rest is not None for owner in rest.involved),
        }

    async def lead(self) -> None:
        """Take or renew the lease. Whoever gets it settles what others left before it changes anything.

        What was begun under an earlier lease has to end before: it is not left by others.
        """
        if not await self._keeper.run(self._renewed):
            self.may_change = False
        elif not self.may_change and not self._changes:
            self._settling = True
            try:
                await self._settled()
            finally:
                self._settling = False
            self.may_change = self.opened.leasing.held

    async def _settled(self) -> None:
        """Settle what others left, and keep the lease meanwhile, however long that takes."""
        settling = asyncio.ensure_future(self.run(settle, self.pool, self.volumes, self.collector))
        try:
            while not (await asyncio.wait((settling,), timeout=RENEW_S))[0]:
                with contextlib.suppress(GatewayError):
                    await self._keeper.run(self._renewed)
        except asyncio.CancelledError:
            settling.cancel()
            await asyncio.wait((settling,))
            raise
        await settling

    def _renewed(self) -> bool:
        with translated(self.pool.name):
            return self.opened.leasing.renew()

    def _released(self) -> None:
        with translated(self.pool.name):
            self.opened.leasing.release()

    def begin(self) -> None:
        """Renew the lease from now on."""
        self._task = asyncio.create_task(self._renew(), name=f"lease of {self.pool.name}")

    async def _renew(self) -> None:
        while True:
            await asyncio.sleep(RENEW_S)
            with contextlib.suppress(GatewayError):
                await self.lead()

    async def parts(self, items: Iterator[T], length: int) -> AsyncIterator[list[T]]:
        """Yield items in lists, each taken in a thread."""
        while part := await self.run(lambda: list(itertools.islice(items, length))):
            yield part

    async def close(self) -> None:
        """Wait for the changes under way, give the lease back, and end the threads."""
        await self.worker.close()
        await self._end_renewing()
        with contextlib.suppress(GatewayError):
            await self._keeper.run(self._released)
        await self.abandon()

    async def abandon(self) -> None:
        """End the threads, and leave the lease to its time."""
        await self._end_renewing()
        await self._keeper.close()
        await self.worker.close()
        self.pool.close()

    async def _end_renewing(self) -> None:
        task, self._task = self._task, None
        if task is not None:
            task.cancel()
            await asyncio.gather(task, return_exceptions=True)
