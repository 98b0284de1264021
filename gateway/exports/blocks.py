"""What the exporters of blocks have in common: one process owns the state, threads of their own do the work."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path
from typing import ParamSpec, Protocol, TypeVar
from uuid import UUID

import structlog

from gateway.core.errors import Unavailable
from gateway.core.exporter import BlockExport
from gateway.core.worker import Worker
from gateway.exports.place import lock
from gateway.exports.watch import Watch

log = structlog.get_logger(__name__)

P = ParamSpec("P")
T = TypeVar("T")


class Steps(Protocol):
    """The blocking half of an exporter of blocks; see `BlockExporter`. One thread at a time is let in."""

    def open(self) -> None:
        """Adopt or start the server; bring back what is recorded."""

    def revive(self) -> None:
        """Start the server anew, with all publications, if it is down."""

    def publish(self, export: BlockExport, *, force: bool) -> None:
        """Make the publication as described."""

    def withdraw(self, export_id: UUID, *, force: bool) -> None:
        """End the publication, from whatever stage it is at."""

    def published(self) -> frozenset[UUID]:
        """Give what is published, whole or in part."""

    def close(self) -> None:
        """Stop the server. The records stay for the next `open`."""

    def pids(self) -> tuple[int, ...]:
        """Give the processes whose end means that the server is down."""

    def alive(self) -> bool:
        """Tell whether all of them run."""


class Opened:
    """The asynchronous half: all of a `BlockExporter` but its handles.

    The server outlives a killed gateway and is adopted by the next one. It is
    watched by pidfd and started anew, with all publications, when it ends.
    """

    def __init__(self, what: str, steps: Steps, state_dir: Path, *, threads: int) -> None:
        self._what = what
        self._steps = steps
        self._lock = state_dir / "lock"
        self._threads = threads
        self._held: int | None = None
        self._worker: Worker | None = None
        self._watch: Watch | None = None

    async def open(self) -> None:
        """Start or find the server; bring back what was published. Unavailable while another process has it."""
        if self._worker is not None:
            return
        self._held = lock(self._lock, what=self._what)
        self._worker = Worker(self._what, self._threads)
        try:
            await self._run(self._steps.open)
        except BaseException:
            await self._release()
            raise
        self._watch = Watch(self._what, pids=self._steps.pids, alive=self._steps.alive, revive=self._revive)

    async def publish(self, export: BlockExport, *, force: bool = False) -> None:
        """See `BlockExporter`."""
        await self._run(self._steps.publish, export, force=force)

    async def withdraw(self, export_id: UUID, *, force: bool = False) -> None:
        """See `BlockExporter`."""
        await self._run(self._steps.withdraw, export_id, force=force)

    async def published(self) -> frozenset[UUID]:
        """See `BlockExporter`."""
        return await self._run(self._steps.published)

    async def close(self) -> None:
        """See `BlockExporter`. What was published comes back with the next `open`."""
        if self._worker is None:
            return
        if self._watch is not None:
            await self._watch.stop()
            self._watch = None
        try:
            await self._run(self._steps.close)
        finally:
            await self._release()

    async def _revive(self) -> None:
        await self._run(self._steps.revive)

    async def _release(self) -> None:
        worker, self._worker = self._worker, None
        if worker is not None:
            await worker.close()
        if self._held is not None:
            os.close(self._held)
            self._held = None

    async def _run(self, fn: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
        if self._worker is None:
            raise Unavailable(what=self._what, reason="the exporter is not open")
        try:
            return await self._worker.run(fn, *args, **kwargs)
        except OSError as error:
            log.warning("state directory failed", what=self._what, error=str(error))
            raise Unavailable(what=self._what, reason=f"state directory: {error.strerror}") from error
