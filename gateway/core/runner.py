"""The seam to programs: an argument vector in, what it printed out, within a time limit.

Blocking, for the threads of a backend or exporter. A program that hangs in the
kernel cannot even be killed; it is then left behind, and a `Circuit` keeps the
threads from following it one by one.
"""

from __future__ import annotations

import contextlib
import os
import subprocess
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from typing import Protocol, TypeVar

import msgspec

from gateway.core.errors import Timeout, Unavailable

_GRACE_S = 1.0
T = TypeVar("T")


class Done(msgspec.Struct, frozen=True, kw_only=True):
    """How a program ended. `stderr` is decoded with replacement; it is for classifying and for the log."""

    status: int
    stdout: bytes = b""
    stderr: str = ""

    @property
    def text(self) -> str:
        """Give standard output as text; bytes that are no UTF-8 survive as surrogates."""
        return self.stdout.decode(errors="surrogateescape")


class Runner(Protocol):
    """Runs programs. `SystemRunner` really does; `gateway.testing.runner` has a scripted twin."""

    def run(self, arguments: Sequence[str], *, stdin: bytes = b"", timeout_s: float = 30.0) -> Done:
        """Run a program to its end.

        Any exit status is a result. Unavailable when it cannot be started;
        Timeout after `timeout_s` seconds, whether or not it could be ended.
        """


class SystemRunner:
    """Starts programs with `LC_ALL=C`, no terminal, and nothing of our descriptors."""

    def __init__(self, environment: Mapping[str, str] | None = None) -> None:
        self._environment = {**os.environ, "LC_ALL": "C", "LANGUAGE": "", **(environment or {})}

    def run(self, arguments: Sequence[str], *, stdin: bytes = b"", timeout_s: float = 30.0) -> Done:
        """See `Runner`."""
        try:
            process = subprocess.Popen(
                arguments,
                stdin=subprocess.PIPE if stdin else subprocess.DEVNULL,
                stdout=subprocess.PIPE,
                stderr=subprocess.PIPE,
                env=self._environment,
            )
        except OSError as error:
            raise Unavailable(what=arguments[0], reason=f"cannot be started: {error.strerror}") from error
        try:
            out, err = process.communicate(stdin or None, timeout=timeout_s)
        except subprocess.TimeoutExpired:
            _end(process)
            raise Timeout(what=arguments[0], after=int(timeout_s)) from None
        return Done(status=process.returncode, stdout=out, stderr=err.decode(errors="replace"))


def _end(process: subprocess.Popen[bytes]) -> None:
    """Kill, and collect what dies of it; what hangs in the kernel is collected by whoever waits next."""
    process.kill()
    with contextlib.suppress(subprocess.TimeoutExpired):
        process.wait(_GRACE_S)
    for pipe in (process.stdin, process.stdout, process.stderr):
        if pipe is not None:
            pipe.close()


class Circuit:
    """A runner that stops asking a substrate which does not answer.

    After `trips` time-outs in a row it is open: every call raises Unavailable
    at once. After `rest_s` seconds one call is let through to try; its answer
    closes the circuit, its time-out opens it again.
    """

    def __init__(
        self,
        runner: Runner,
        *,
        what: str,
        trips: int = 3,
        rest_s: float = 30.0,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._runner = runner
        self._what = what
        self._trips = trips
        self._rest_s = rest_s
        self._clock = clock
        self._lock = threading.Lock()
        self._silent = 0
        self._again_at = 0.0

    def run(self, arguments: Sequence[str], *, stdin: bytes = b"", timeout_s: float = 30.0) -> Done:
        """See `Runner`."""
        return self.call(lambda: self._runner.run(arguments, stdin=stdin, timeout_s=timeout_s), timeout_s=timeout_s)

    def call(self, ask: Callable[[], T], *, timeout_s: float) -> T:
        """Ask the substrate in another way, by a function that itself raises Timeout after `timeout_s` seconds."""
        with self._lock:
            if self._silent >= self._trips:
                now = self._clock()
                if now < self._again_at:
                    raise Unavailable(
                        what=self._what, reason="it did not answer several times and is left alone for a while"
                    )
                # The one call that tries; others keep waiting for its outcome.
                self._again_at = now + self._rest_s + timeout_s
        try:
            answer = ask()
        except Timeout:
            with self._lock:
                self._silent += 1
                self._again_at = self._clock() + self._rest_s
            raise
        with self._lock:
            self._silent = 0
        return answer
