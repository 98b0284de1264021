"""A process of ours that is given one line and answers with lines, until it has done what it is for."""

from __future__ import annotations

import contextlib
import os
import select
import subprocess
import tempfile
import threading
from collections.abc import Callable, Iterator, Sequence
from typing import IO

from gateway.core.errors import Unavailable

WHAT = "mover"
_GRACE_S = 2.0
_READ = 64 * 1024
_COMPLAINTS_MAX = 16 * 1024


class Child:
    """One process. `said` blocks in a thread; `kill` may come from any other.

    first: the line that it is given, which may be secret.
    complained: is called with what it said beside its lines, if anything, when it has ended.
    """

    def __init__(self, program: Sequence[str], first: bytes, complained: Callable[[str], None]) -> None:
        self._program = tuple(program)
        self._first = first
        self._complained = complained
        self._lock = threading.Lock()
        self._process: subprocess.Popen[bytes] | None = None
        self._unwanted = False
        self._wake: int | None = None

    def kill(self) -> None:
        """End the process, or do not let it begin; its lines end even if the kernel does not let it die."""
        with self._lock:
            self._unwanted = True
            if self._process is not None:
                self._process.kill()
            if self._wake is not None:
                os.close(self._wake)
                self._wake = None

    @contextlib.contextmanager
    def said(self) -> Iterator[Iterator[bytes]]:
        """Start it, and give its lines; at the end of the block it is ended."""
        woken, self._wake = os.pipe()
        try:
            with tempfile.TemporaryFile() as complaints:
                try:
                    with self._started(complaints) as process:
                        yield _lines(process, woken)
                finally:
                    self._note(complaints)
        except OSError as error:
            raise Unavailable(what=WHAT, reason=f"cannot be started: {error.strerror}") from error
        finally:
            self.kill()
            os.close(woken)

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
                    process.stdin.write(self._first)
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
            self._complained(text)


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
