"""Starts a process for each move, listens to it, and ends it when nobody wants it any more."""

from __future__ import annotations

import asyncio
import contextlib
import os
import select
import subprocess
import sys
import tempfile
import threading
from collections.abc import Callable, Iterator, Sequence
from typing import IO

import msgspec
import structlog

from gateway.core.errors import Internal, Unavailable, from_record
from gateway.core.model import VolumeKind
from gateway.core.mover import MoveJob, MoveProgress, Place
from gateway.core.worker import Worker
from gateway.mover.ends import obstacle
from gateway.mover.wire import Failed, Line, Moved, Moving, encode_job

log = structlog.get_logger(__name__)

PROGRAM = (sys.executable, "-P", "-X", "utf8", "-m", "gateway.mover")
WHAT = "mover"
_GRACE_S = 2.0
_READ = 64 * 1024
_COMPLAINTS_MAX = 16 * 1024

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
        self._program = program
        self._job = job
        self._lock = threading.Lock()
        self._process: subprocess.Popen[bytes] | None = None
        self._unwanted = False
        self._wake: int | None = None

    def kill(self) -> None:
        """End the process, or do not let it begin; `to_end` comes back even if the kernel does not let it die."""
        with self._lock:
            self._unwanted = True
            if self._process is not None:
                self._process.kill()
            if self._wake is not None:
                os.close(self._wake)
                self._wake = None

    def to_end(self, tell: Tell) -> MoveProgress:
        """Move, and give what it came to."""
        woken, self._wake = os.pipe()
        try:
            with tempfile.TemporaryFile() as complaints:
                try:
                    return self._run(tell, complaints, woken)
                finally:
                    self._note(complaints)
        except OSError as error:
            raise Unavailable(what=WHAT, reason=f"cannot be started: {error.strerror}") from error
        finally:
            self.kill()
            os.close(woken)

    def _run(self, tell: Tell, complaints: IO[bytes], woken: int) -> MoveProgress:
        with self._started(complaints) as process:
            for line in _lines(process, woken):
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

    @contextlib.contextmanager
    def _started(self, complaints: IO[bytes]) -> Iterator[subprocess.Popen[bytes]]:
        with self._lock:
            if self._unwanted:
                raise Unavailable(what=WHAT, reason="its process was ended")
            process = self._process = subprocess.Popen(
                self._program,
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=complaints,
                cwd="/",
                env={**os.environ, "LC_ALL": "C"},
            )
        try:
            if process.stdin is not None:
                with contextlib.suppress(BrokenPipeError):
                    # It stays open: its end tells the process that we are gone.
                    process.stdin.write(encode_job(self._job))
                    process.stdin.flush()
            yield process
        finally:
            process.kill()
            for pipe in (process.stdin, process.stdout):
                if pipe is not None:
                    with contextlib.suppress(BrokenPipeError):
                        pipe.close()
            # What hangs in the kernel is collected by whoever starts the next program.
            with contextlib.suppress(subprocess.TimeoutExpired):
                process.wait(_GRACE_S)

    def _note(self, complaints: IO[bytes]) -> None:
        complaints.seek(0)
        text = complaints.read(_COMPLAINTS_MAX).decode(errors="replace").strip()
        if text:
            log.warning("move complained", move=str(self._job.id), detail=text)


def _lines(process: subprocess.Popen[bytes], woken: int) -> Iterator[bytes]:
    """Yield what a process says, until it ends or a pipe says that nobody wants it any more."""
    if process.stdout is None:
        return
    fd, rest = process.stdout.fileno(), b""
    poll = select.poll()
    for each in (fd, woken):
        poll.register(each, select.POLLIN)
    while woken not in dict(poll.poll()):
        part = os.read(fd, _READ)
        if not part:
            return
        *whole, rest = (rest + part).split(b"\n")
        yield from whole
