"""Processes that start in milliseconds, as forks of one that has imported what they need.

For tests that start a program hundreds of times and kill it each time: most of
its life would be spent on imports. Nothing but imports has happened before the
fork, so that it is as new as a process of its own. Neither it nor the server is
measured for coverage: who dies by SIGKILL cannot report it.

    with ForkServer(["my.program"]) as forks:
        process = forks.start("my.program:main", "argument")
        process.kill()
        assert process.wait() == -signal.SIGKILL
"""

from __future__ import annotations

import contextlib
import gc
import importlib
import os
import select
import signal
import socket
import subprocess
import sys
import traceback
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import IO, NoReturn, Self

import msgspec

_READY = b"!"
_ORDER_BYTES = 1 << 18  # more than a socket takes at once
_NOT_MEASURED = "COVERAGE_PROCESS_"
"""What makes coverage.py start itself in a new interpreter."""


class _Order(msgspec.Struct, frozen=True, kw_only=True):
    """What one process is to do; beside it go the file descriptors that it reports to and writes to."""

    entry: str
    arguments: tuple[str, ...]
    environment: dict[str, str]


class Fork:
    """A process of a `ForkServer`, to be dealt with like a `subprocess.Popen`."""

    def __init__(self, entry: str, report: IO[bytes], stdout: IO[bytes] | None) -> None:
        self._entry = entry
        self._report = report
        self._status: int | None = None
        self.stdout = stdout
        self.pid = int(report.readline())

    def poll(self) -> int | None:
        """Give the exit status (negative: the signal) if it has ended."""
        with contextlib.suppress(subprocess.TimeoutExpired):
            self.wait(0)
        return self._status

    def wait(self, timeout: float | None = None) -> int:
        """Wait for its end, give its exit status; subprocess.TimeoutExpired after so many seconds."""
        if self._status is None:
            if not select.select([self._report], [], [], timeout)[0]:
                raise subprocess.TimeoutExpired(self._entry, timeout or 0)
            self._status = int(self._report.readline())
            self._report.close()
        return self._status

    def send_signal(self, number: int) -> None:
        """Send it a signal unless it has ended."""
        if self.poll() is None:
            with contextlib.suppress(ProcessLookupError):
                os.kill(self.pid, number)

    def kill(self) -> None:
        """End it with SIGKILL; `wait` says when that is done."""
        self.send_signal(signal.SIGKILL)


class ForkServer:
    """Forks processes that find the modules imported. It ends with its block, and leaves its processes alone.

    `folders`: where modules are that are not installed.
    RuntimeError when the modules cannot be imported; standard error says why.
    """

    def __init__(self, modules: Iterable[str], *, folders: Sequence[Path] = ()) -> None:
        environment = {name: value for name, value in os.environ.items() if not name.startswith(_NOT_MEASURED)}
        found = [*map(str, folders), *filter(None, [environment.get("PYTHONPATH")])]
        self._orders, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        with theirs:
            self._process = subprocess.Popen(
                [sys.executable, "-m", "gateway.testing.forks", str(theirs.fileno()), *modules],
                stdin=subprocess.DEVNULL,
                env={**environment, "PYTHONPATH": os.pathsep.join(found)},
                pass_fds=[theirs.fileno()],
            )
        if self._orders.recv(1) != _READY:
            self.close()
            raise RuntimeError("the server of forks has ended")

    def __enter__(self) -> Self:
        """Give itself."""
        return self

    def __exit__(self, *_: object) -> None:
        """End the server."""
        self.close()

    def close(self) -> None:
        """End the server; its processes go on."""
        self._orders.close()
        self._process.wait()

    def start(self, entry: str, *arguments: str, environment: Mapping[str, str], stdout: int, stderr: int) -> Fork:
        """Start a process that calls the function `entry` ("module:name") with the arguments and ends with it.

        `stdout` and `stderr` are file descriptors to write to, `stdout` may be subprocess.PIPE.
        """
        order = _Order(entry=entry, arguments=arguments, environment=dict(environment))
        with contextlib.ExitStack() as sent:
            report, reported = _pipe(sent)
            output = None
            if stdout == subprocess.PIPE:
                output, stdout = _pipe(sent)
            socket.send_fds(self._orders, [msgspec.json.encode(order)], [reported, stdout, stderr])
        return Fork(entry, report, output)


def _pipe(until: contextlib.ExitStack) -> tuple[IO[bytes], int]:
    """Give a pipe's end to read from, and the other one, which is closed with the stack."""
    read, written = os.pipe()
    until.callback(os.close, written)
    return os.fdopen(read, "rb"), written


def _serve(orders: socket.socket, modules: Sequence[str]) -> None:  # pragma: no cover
    """Import the modules, then fork a keeper for each order, until nobody can send one any more."""
    for module in modules:
        importlib.import_module(module)
    gc.collect()
    gc.freeze()  # a collection in a fork would copy every page that it looks at
    orders.send(_READY)
    while True:
        message, descriptors, _, _ = socket.recv_fds(orders, _ORDER_BYTES, 3)
        if not message:
            return
        if os.fork() == 0:
            orders.close()
            _keep(msgspec.json.decode(message, type=_Order), *descriptors)
        for descriptor in descriptors:
            os.close(descriptor)
        with contextlib.suppress(ChildProcessError):
            while os.waitpid(-1, os.WNOHANG)[0]:
                pass


def _keep(order: _Order, report: int, stdout: int, stderr: int) -> NoReturn:  # pragma: no cover
    """Fork the process, report its id, wait for it, report its exit status."""
    process = os.fork()
    if process == 0:
        os.close(report)
        _become(order, stdout, stderr)
    for descriptor in (stdout, stderr):
        os.close(descriptor)
    os.write(report, b"%d\n" % process)
    _, status = os.waitpid(process, 0)
    os.write(report, b"%d\n" % os.waitstatus_to_exitcode(status))
    os._exit(0)


def _become(order: _Order, stdout: int, stderr: int) -> NoReturn:  # pragma: no cover
    """Be the process."""
    for number, descriptor in ((1, stdout), (2, stderr)):
        os.dup2(descriptor, number)
        os.close(descriptor)
    os.environ.clear()
    os.environ.update(order.environment)
    status = 1
    try:
        module, _, name = order.entry.partition(":")
        getattr(importlib.import_module(module), name)(*order.arguments)
        status = 0
    except BaseException:  # noqa: BLE001 - as an interpreter that ends
        traceback.print_exc()
    finally:
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(status)


if __name__ == "__main__":  # pragma: no cover
    with socket.socket(fileno=int(sys.argv[1])) as received:
        _serve(received, sys.argv[2:])
