"""A storage daemon that outlives a killed gateway and is found again. All of it blocks.

It serves clients, who must not notice when the control plane ends. So it makes
itself independent of whoever started it, and it keeps a lock on its pid file as
long as it lives: whoever finds the file locked knows that the process named in
it is that one and alive. A service manager that kills the whole control group
has to be told to leave it (`KillMode=process`).
"""

from __future__ import annotations

import contextlib
import fcntl
import os
import select
import shutil
import signal
import struct
import subprocess
from collections.abc import Sequence
from pathlib import Path

import structlog

from gateway.core.errors import Timeout, Unavailable

log = structlog.get_logger(__name__)

PROGRAM = "qemu-storage-daemon"
_START_S = 20.0
_STOP_S = 20.0
_FLOCK = struct.Struct("hhqqi4x")
_ROOMY = 'ulimit -n "$(ulimit -H -n)"; exec "$@"'
"""A file is open for each layer: the usual soft limit would do for a handful of volumes."""


class Daemon:
    """The one daemon of a directory."""

    def __init__(self, pool: str, directory: Path) -> None:
        self._pool = pool
        self._directory = directory
        self._pid_file = directory / "pid"
        self.output = directory / "output"

    def pid(self) -> int | None:
        """Give the daemon's process, if it lives."""
        try:
            fd = os.open(self._pid_file, os.O_RDWR | os.O_CLOEXEC)
        except FileNotFoundError:
            return None
        try:
            # Only asked for, never taken: it may be just about to be taken by a daemon that starts.
            found = fcntl.fcntl(fd, fcntl.F_OFD_GETLK, file_lock())
            if _FLOCK.unpack(found)[0] == fcntl.F_UNLCK:
                return None
            return int(os.pread(fd, 32, 0) or 0) or None
        finally:
            os.close(fd)

    def start(self, arguments: Sequence[str], *, inherited: Sequence[int]) -> None:
        """Start the daemon with these arguments and descriptors; it is ready when this returns."""
        if shutil.which(PROGRAM) is None:
            raise Unavailable(what=self._pool, reason=f"{PROGRAM} is not installed")
        own = ("--daemonize", "--pidfile", str(self._pid_file))
        try:
            with self.output.open("ab") as output:
                done = subprocess.run(
                    ("/bin/sh", "-c", _ROOMY, "sh", PROGRAM, *own, *arguments),
                    stdin=subprocess.DEVNULL,
                    stdout=output,
                    stderr=output,
                    cwd=self._directory,
                    env={**os.environ, "LC_ALL": "C"},
                    pass_fds=inherited,
                    timeout=_START_S,
                    check=False,
                )
        except subprocess.TimeoutExpired:
            raise Timeout(what=f"{self._pool}: {PROGRAM}", after=int(_START_S)) from None
        if done.returncode:
            raise Unavailable(what=self._pool, reason=f"{PROGRAM} did not start; {self.output} says why")

    def stop(self) -> None:
        """End the daemon and nothing else: politely, then by force. Nothing there: succeeds."""
        for send in (signal.SIGTERM, signal.SIGKILL):
            pid = self.pid()
            if pid is None:
                return
            with contextlib.suppress(ProcessLookupError):
                fd = os.pidfd_open(pid)
                try:
                    # The file may have been locked by the next one meanwhile.
                    if self.pid() == pid:
                        signal.pidfd_send_signal(fd, send)
                    if not ended(fd, _STOP_S):
                        log.warning("storage daemon does not end", pool=self._pool, pid=pid, signal=send.name)
                finally:
                    os.close(fd)
        if self.pid() is not None:
            raise Unavailable(what=self._pool, reason="the storage daemon cannot be ended")


def file_lock(start: int = 0, length: int = 0) -> bytes:
    """Give what the kernel calls `struct flock`: an exclusive lock of a file, or of a part of it."""
    return _FLOCK.pack(fcntl.F_WRLCK, os.SEEK_SET, start, length, 0)


def ended(pidfd: int, limit_s: float) -> bool:
    """Wait until the process behind a descriptor has ended, at most so long; tell whether it has."""
    poll = select.poll()
    poll.register(pidfd, select.POLLIN)
    return bool(poll.poll(limit_s * 1000))


def gone(pid: int, limit_s: float) -> bool:
    """Wait until a process has ended, at most so long; tell whether it has."""
    try:
        fd = os.pidfd_open(pid)
    except ProcessLookupError:
        return True
    try:
        return ended(fd, limit_s)
    finally:
        os.close(fd)
