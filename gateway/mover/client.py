"""Starts a process for each move, listens to it, and ends it when nobody wants it any more."""

from __future__ import annotations

import asyncio
import contextlib
import sys
from collections.abc import Callable, Sequence

import msgspec
import structlog

from gateway.core.errors import Internal, Unavailable, from_record
from gateway.core.model import VolumeKind
from gateway.core.mover import MoveJob, MoveProgress, Place
from gateway.core.worker import Worker
from gateway.mover.child import WHAT, Child
from gateway.mover.ends import obstacle
from gateway.mover.wire import Failed, Line, Moved, Moving, encode_job

log = structlog.get_logger(__name__)

PROGRAM = (sys.executable, "-P", "-X", "utf8", "-m", "gateway.mover")

Tell = Callable[[MoveProgress], None]


class ProcessMover:
    """See `gateway.core.mover.Mover`. The process dies with the gateway, however that dies.

    at_once: how many move at the same time; others wait.
    """

    def __init__(self, *, at_once: int = 8, program: Sequence[str] = PROGRAM) -> None:
        self._program = tuple(program)
        self._worker = Worker(WHAT, at_once)
        self._moves: set[_Move] = set()

    def reaches(self, kind: VolumeKind, source: Place, destination: Place) -> str:
        """See `gateway.core.mover.Mover`."""
        return obstacle(kind, source, destination)

    async def move(self, job: MoveJob, *, progress: Tell) -> MoveProgress:
        """See `gateway.core.mover.Mover`."""
        loop = asyncio.get_running_loop()

        def tell(so_far: MoveProgress) -> None:
            with contextlib.suppress(RuntimeError):  # a loop that is gone
                loop.call_soon_threadsafe(progress, so_far)

        move = _Move(self._program, job)
        self._moves.add(move)
        moving = asyncio.ensure_future(self._worker.run(move.to_end, tell))
        try:
            return await asyncio.shield(moving)
        except asyncio.CancelledError:
            task = asyncio.current_task()
            if moving.cancelled() and task is not None and not task.cancelling():
                raise Unavailable(what=WHAT, reason="it has ended") from None
            move.kill()
            moving.cancel()  # it may not have begun
            await asyncio.wait((moving,))
            if not moving.cancelled():
                moving.exception()
            raise
        finally:
            self._moves.discard(move)

    async def close(self) -> None:
        """End what still moves. Idempotent."""
        for move in tuple(self._moves):
            move.kill()
        await self._worker.close()


class _Move:
    """One process. `to_end` blocks in a thread; `kill` may come from any other."""

    def __init__(self, program: tuple[str, ...], job: MoveJob) -> None:
        self._job = job
        self._child = Child(program, encode_job(job), self._note)
        self.kill = self._child.kill

    def to_end(self, tell: Tell) -> MoveProgress:
        """Move, and give what it came to."""
        with self._child.said() as lines:
            for line in lines:
                try:
                    message = msgspec.json.decode(line, type=Line)
                except msgspec.DecodeError as error:
                    raise Internal(incident=f"move {self._job.id}") from error
                match message:
                    case Moving():
                        tell(message.progress)
                    case Moved():
                        return message.progress
                    case Failed():
                        raise from_record(message.error)
        raise Unavailable(what=WHAT, reason="its process was ended")

    def _note(self, text: str) -> None:
        log.warning("move complained", move=str(self._job.id), detail=text)
