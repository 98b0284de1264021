"""Daemons that outlive a killed gateway and are found again.

Whoever serves clients must not die with the gateway: a mount that hangs while
the control plane restarts is worse than a process without a parent. So no
daemon is tied to us (no PR_SET_PDEATHSIG, a session of its own); instead each
is recorded with its start time, which a recycled pid does not share, and the
next start adopts it or ends exactly it. Each notes its own birth before it
becomes the program, because the gateway may die before it can. A service
manager that kills the whole control group has to be told to leave the others
(`KillMode=process`).
"""

from __future__ import annotations

import contextlib
import os
import shutil
import signal
import subprocess
import time
from collections.abc import Mapping, Sequence
from pathlib import Path

import msgspec
import structlog

from gateway.core.errors import Unavailable

log = structlog.get_logger(__name__)

STOP_LIMIT_S = 10
POLL_S = 0.02
_STATE, _START_TIME = 0, 19
_BIRTH = """
read -r boot < /proc/sys/kernel/random/boot_id && read -r self < /proc/$$/stat &&
    printf '%s\\n' "$boot" "$self" > "$0" && exec "$@" < /dev/null
"""
"""Standard input is for reading only: what a server writes to it by mistake must fail."""


class Identity(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A process of this boot and no other. `fingerprint` says with which settings it was started."""

    pid: int
    started: int
    boot: str
    fingerprint: str


def write_atomically(path: Path, content: bytes, *, durable: bool = False) -> None:
    """Replace a file in one step; `durable`: it survives a power cut once this returns."""
    draft = path.with_name(path.name + ".new")
    with draft.open("wb") as file:
        file.write(content)
        if durable:
            file.flush()
            os.fsync(file.fileno())
    draft.replace(path)
    if durable:
        sync_directory(path.parent)


def sync_directory(path: Path) -> None:
    """Make the names in a directory survive a power cut."""
    descriptor = os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


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


class Daemon:
    """One program kept running under a pid file. Not safe for use from two threads at once.

    `what` names the exporter in errors; `polite` False: it does not heed SIGTERM.
    """

    def __init__(self, name: str, directory: Path, *, what: str, polite: bool = True) -> None:
        self.name = name
        self._what = what
        self._signals = (signal.SIGTERM, signal.SIGKILL) if polite else (signal.SIGKILL,)
        self._pid_file = directory / f"{name}.pid"
        self._birth_file = directory / f"{name}.born"
        self._output = directory / f"{name}.out"
        self._child: subprocess.Popen[bytes] | None = None

    def _recorded(self) -> Identity | None:
        try:
            return msgspec.json.decode(self._pid_file.read_bytes(), type=Identity)
        except (FileNotFoundError, msgspec.DecodeError):
            return self._born()

    def _born(self) -> Identity | None:
        """Give a process whose starter died before it could record it; nobody knows its settings."""
        try:
            boot, status = self._birth_file.read_text(encoding="utf-8", errors="replace").splitlines()
            return Identity(
                pid=int(status.split()[0]), started=int(_fields(status)[_START_TIME]), boot=boot, fingerprint=""
            )
        except (FileNotFoundError, ValueError, IndexError):
            return None

    def running(self) -> Identity | None:
        """Give the recorded process if it is still that one and alive."""
        if self._child is not None:
            self._child.poll()
        found = self._recorded()
        if found is None or found.boot != _boot() or _start_time(found.pid) != found.started:
            return None
        return found

    def start(
        self,
        argv: Sequence[str],
        fingerprint: str,
        environment: Mapping[str, str] | None = None,
        *,
        folder: Path = Path("/"),
    ) -> None:
        """Start the program in a folder and record it. Whatever ran under this name must have been stopped before."""
        for file in (self._pid_file, self._birth_file):
            file.unlink(missing_ok=True)
        if shutil.which(argv[0]) is None:
            raise Unavailable(what=self._what, reason=f"{argv[0]} is not installed")
        try:
            with self._output.open("ab") as output:
                child = subprocess.Popen(
                    ("/bin/sh", "-c", _BIRTH, str(self._birth_file), *argv),
                    stdin=subprocess.DEVNULL,
                    stdout=output,
                    stderr=output,
                    cwd=folder,
                    env={**os.environ, **(environment or {})},
                    start_new_session=True,
                )
        except OSError as error:
            raise Unavailable(what=self._what, reason=f"{argv[0]} cannot be started: {error.strerror}") from error
        self._child = child
        started = _start_time(child.pid)
        if started is not None:
            identity = Identity(pid=child.pid, started=started, boot=_boot(), fingerprint=fingerprint)
            write_atomically(self._pid_file, msgspec.json.encode(identity))

    def stop(self, limit_s: float = STOP_LIMIT_S) -> None:
        """End the recorded process and nothing else: politely, then by force. Nothing there: succeeds."""
        deadline = time.monotonic() + limit_s
        signals = iter(self._signals)
        send: signal.Signals | None = next(signals)
        while (found := self.running()) is not None:
            if send is not None:
                with contextlib.suppress(ProcessLookupError):
                    os.kill(found.pid, send)
                send = None
            if time.monotonic() > deadline:
                log.warning("daemon killed", name=self.name, pid=found.pid)
                deadline, send = time.monotonic() + limit_s, next(signals, None)
                if send is None:
                    raise Unavailable(what=self._what, reason=f"{self.name} cannot be ended")
            time.sleep(POLL_S)
        if self._child is not None:
            self._child.wait()
            self._child = None
        for file in (self._pid_file, self._birth_file):
            file.unlink(missing_ok=True)
