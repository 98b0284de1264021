"""Carries out calls, which may outlast their requests.

Nothing is written down of a call that ends in time. One that does not, or
that nobody wants to wait for, becomes a task: see `gateway.frontends.libstorage.kept`.
"""

from __future__ import annotations

import asyncio
import itertools
from collections.abc import Awaitable, Callable, Coroutine
from typing import Any, Final, TypeVar
from uuid import uuid4

import msgspec

from gateway.core import documents, errors
from gateway.core.catalog import walk
from gateway.core.context import Core
from gateway.core.model import Document, utc_now
from gateway.core.observer import Observer
from gateway.core.query import And, Compare, Filter, Op, Order, Query
from gateway.frontends.libstorage.errors import LsError, ls_error
from gateway.frontends.libstorage.filters import BadFilter
from gateway.frontends.libstorage.kept import KIND, Kept, settled, since, task
from gateway.frontends.libstorage.model import Task

RESULT_MAX: Final = 256 * 1024
"""Bytes of a result that is kept; a task whose result is larger is told without."""

_KEPT_MAX: Final = 1000

Work = Callable[[Core], Awaitable[bytes]]
"""Carries out a call by the core that it is given; gives the body of its answer."""

T = TypeVar("T")


class What(msgspec.Struct, frozen=True, kw_only=True):
    """What a call is about, as its task tells it; see `Kept`."""

    user: str = ""
    service: str = ""
    single: bool = False


class Tasks:
    """Runs calls, and keeps those that outlast their request. One per door; close it before the catalog.

    `kept_max`: how many that ended are kept, and how many go on that nobody wants to wait for.
    """

    def __init__(
        self,
        core: Core,
        *,
        execution_timeout_s: float,
        retention_s: float,
        observer: Observer,
        kept_max: int = _KEPT_MAX,
    ) -> None:
        self._core = core
        self._execution_timeout_s = execution_timeout_s
        self._retention_s = retention_s
        self._kept_max = kept_max
        self._observer = observer
        self._running: set[asyncio.Task[Any]] = set()
        self._left: set[asyncio.Task[bytes]] = set()
        self._name, self._numbers = uuid4().hex, itertools.count(1)

    async def close(self) -> None:
        """Wait for what runs. Idempotent."""
        while self._running:
            await asyncio.wait(self._running)

    async def perform(self, work: Work, core: Core, what: What, *, wait: bool) -> bytes | Task:
        """Give the answer of a call; its task when that is not there in time, or when nobody is to `wait` for it.

        LsError when the call fails. The call goes on whatever becomes of this.
        Busy when nobody is to wait and as many go on that way as tasks are kept.
        """
        if not wait and len(self._left) >= self._kept_max:
            raise errors.Busy(what="gateway", retry_after=1)
        request, queued = f"{self._name}/{next(self._numbers)}", utc_now()
        running = self._spawn(_carried_out(work(core.in_course_of(request)), self._observer))
        if wait:
            done, _ = await asyncio.wait({running}, timeout=self._execution_timeout_s)
            if done:
                return running.result()
        self._left.add(running)
        running.add_done_callback(self._left.discard)
        kept = Kept(
            owner=self._core.catalog.owner,
            request=request,
            queued=queued,
            user=what.user,
            service=what.service,
            single=what.single,
        )
        document = await self._keep(kept)
        self._spawn(self._follow(running, document, kept))
        return task(document.name, kept)

    async def sweep(self) -> None:
        """Forget tasks whose end is long ago, and the oldest that have ended when there are too many."""
        of_ours = Compare("kind", Op.EQ, KIND)
        await self._forget(And((of_ours, Compare("created", Op.LT, since(self._retention_s)))), most=self._kept_max)
        excess = await self._core.catalog.count(Document, of_ours) - self._kept_max
        if excess > 0:
            await self._forget(of_ours, most=excess, anyway=True)

    def _spawn(self, work: Coroutine[Any, Any, T]) -> asyncio.Task[T]:
        spawned = asyncio.create_task(work)
        self._running.add(spawned)
        spawned.add_done_callback(self._ended)
        return spawned

    def _ended(self, spawned: asyncio.Task[Any]) -> None:
        self._running.discard(spawned)
        if not spawned.cancelled():
            # The client of a failed call may have gone; then nobody else asks how it ended.
            spawned.exception()

    async def _keep(self, kept: Kept) -> Document:
        number = int(utc_now().timestamp() * 1000)
        while True:
            try:
                return await documents.create(self._core, KIND, str(number), kept.body(), passing=True)
            except errors.AlreadyExists:
                number += 1

    async def _follow(self, running: asyncio.Task[bytes], document: Document, kept: Kept) -> None:
        """Write down how a kept call ends."""
        try:
            result = await running
        except LsError as error:
            ended = msgspec.structs.replace(kept, ended=utc_now(), error=error.inner())
        else:
            text = result.decode() if len(result) <= RESULT_MAX else ""
            ended = msgspec.structs.replace(kept, ended=utc_now(), result=text)
        try:
            await documents.replace(self._core, document, ended.body())
            await self.sweep()
        except errors.GatewayError as error:
            self._observer.event("task_not_kept", task=document.name, error=str(error))

    async def _forget(self, where: Filter, *, most: int, anyway: bool = False) -> None:
        """Forget up to `most` of the oldest that match and have ended long ago, or `anyway`."""
        limit = since(self._retention_s)
        forgotten = 0
        async for document in walk(self._core.catalog, Document, Query(where=where, order=(Order("created"),))):
            ended = (await settled(self._core, document)).ended
            if ended is not None and (anyway or ended < limit):
                await documents.delete(self._core, KIND, document.name)
                forgotten += 1
            if forgotten == most:
                return


async def _carried_out(work: Awaitable[bytes], observer: Observer) -> bytes:
    """Give what a call gives; LsError for everything that goes wrong."""
    try:
        return await work
    except LsError:
        raise
    except (errors.GatewayError, BadFilter) as error:
        raise ls_error(error) from None
    except Exception as error:  # noqa: BLE001 - a defect must not show its insides
        incident = uuid4().hex
        observer.defect(incident, error)
        raise ls_error(errors.Internal(incident=incident)) from None
