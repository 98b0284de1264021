"""A daemon that outlives a killed gateway and is found again.

It serves clients, who must not notice when the control plane ends. So it has a
session and a parent of its own, and is recorded with its start time, which a recycled pid
does not share: the next start adopts it, or ends exactly it. It notes its own
birth before it becomes the program, because the gateway may die before it can.
A service manager that kills the whole control group has to be told to leave
it (`KillMode=process`).
"""

from __future__ import annotations

import contextlib
import os
import select
import shutil
import signal
import subprocess
from collections.abc import Sequence
from pathlib import Path

import structlog

from gateway.core.errors import Unavailable

log = structlog.get_logger(__name__)

STOP_LIMIT_S = 20.0
_STATE, _START_TIME = 0, 19
_BIRTH = """
ulimit -n "$(ulimit -H -n)"
read -r boot < /proc/sys/kernel/random/boot_id && read -r self < /proc/$$/stat &&
    printf '%s\\n' "$boot" "$self" > "$0" && exec "$@"
"""
"""A file is open for each layer: the usual soft limit would do for a handful of volumes."""
_ORPHAN = '/bin/sh -c "$@" &'


class Daemon:
    """One program kept running under a record in a directory. Not safe for use from two threads at once."""

    def __init__(self, pool: str, directory: Path) -> None:
        self._pool = pool
        self._directory = directory
        self._record = directory / "born"
        self._output = directory / "output"

    def pid(self) -> int | None:
        """Give the recorded process if it is still that one and alive."""
        try:
            boot, status = self._record.read_text(encoding="utf-8", errors="replace").splitlines()
            pid, started = int(status.split()[0]), int(_fields(status)[_START_TIME])
        except (FileNotFoundError, ValueError, IndexError):
            return None
        return pid if boot == _boot() and _start_time(pid) == started else None

    def start(self, arguments: Sequence[str], *, inherited: Sequence[int]) -> None:
        """Start the program in the directory with these descriptors. What ran before must have ended."""
        if shutil.which(arguments[0]) is None:
            raise Unavailable(what=self._pool, reason=f"{arguments[0]} is not installed")
        self._record.unlink(missing_ok=True)
        with self._output.open("ab") as output:
            subprocess.run(
                ("/bin/sh", "-c", _ORPHAN, "sh", _BIRTH, self._record.name, *arguments),
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=output,
                cwd=self._directory,
                env={**os.environ, "LC_ALL": "C"},
                start_new_session=True,
                pass_fds=inherited,
                check=True,
            )

    def stop(self) -> None:
        """End the recorded process and nothing else: politely, then by force. Nothing there: succeeds."""
        for send in (signal.SIGTERM, signal.SIGKILL):
            pid = self.pid()
            if pid is None:
                break
            with contextlib.suppress(ProcessLookupError):
                fd = os.pidfd_open(pid)
                try:
                    signal.pidfd_send_signal(fd, send)
                    if not ended(fd, STOP_LIMIT_S):
                        log.warning("storage daemon does not end", pool=self._pool, pid=pid, signal=send.name)
                finally:
                    os.close(fd)
        if self.pid() is not None:
            raise Unavailable(what=self._pool, reason="the storage daemon cannot be ended")
        self._record.unlink(missing_ok=True)


def ended(pidfd: int, limit_s: float) -> bool:
    """Wait until the process behind a descriptor has ended, at most so long; tell whether it has."""
    poll = select.poll()
    poll.register(pidfd, select.POLLIN)
    return bool(poll.poll(limit_s * 1000))


def _boot() -> str:
    return Path("/proc/sys/kernel/random/boot_id").read_text(encoding="ascii").strip()


def _start_time(pid: int) -> int | None:
    """Give the start time in clock ticks since boot; None when the process is gone or only waits to be reaped."""
    try:
        fields = _fields(Path(f"/proc/{pid}/stat").read_text(encoding="utf-8", errors="replace"))
    except (FileNotFoundError, ProcessLookupError):
        return None
    return None if fields[_STATE] in "ZX" else int(fields[_START_TIME])


def _fields(status: str) -> list[str]:
    """Split what the kernel says of a process, from its state on; its name before that may hold anything."""
    return status.rpartition(")")[2].split()
