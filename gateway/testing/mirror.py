"""A stand-in for a mounted file server: a FUSE mirror of a directory, which can fall silent. Needs root and bindfs.

It keeps nothing of what it shows in the kernel, so that every touch asks it,
and it renames as NFS does, without promises. Stopped, it hangs whoever asks.
"""

from __future__ import annotations

import contextlib
import select
import signal
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from gateway.testing.loop_pool import detach

_NO_CACHE = "attr_timeout=0,entry_timeout=0,negative_timeout=0,ac_attr_timeout=0"
_LIMIT_MS = 30_000


class Mirror:
    """Shows the directory `server` at `mount`. To be ended with `end`."""

    def __init__(self, server: Path, mount: Path) -> None:
        self.server = server
        self.mount = mount
        self._process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        """Mount, and return once it is."""
        with Path("/proc/self/mountinfo").open(encoding="utf-8") as table:
            changed = select.poll()
            changed.register(table, select.POLLERR | select.POLLPRI)
            self._process = subprocess.Popen(("bindfs", "-f", "-o", _NO_CACHE, str(self.server), str(self.mount)))
            while not self.mounted():
                assert changed.poll(_LIMIT_MS), "bindfs did not mount"
                table.seek(0)
                table.read()

    def mounted(self) -> bool:
        """Tell whether it is mounted, without touching it."""
        return f" {self.mount} " in Path("/proc/self/mountinfo").read_text(encoding="utf-8")

    def fall_silent(self) -> None:
        """Answer nothing any more until `speak`."""
        self._signal(signal.SIGSTOP)

    def speak(self) -> None:
        """Answer again, also what was asked meanwhile."""
        self._signal(signal.SIGCONT)

    def die(self) -> None:
        """End as if the server were gone; what is mounted then fails."""
        self._signal(signal.SIGKILL)
        self._reap()

    def end(self) -> None:
        """Unmount. Idempotent."""
        self.speak()
        try:
            if self.mounted():
                detach(self.mount)
        finally:
            self._reap()

    def _signal(self, number: signal.Signals) -> None:
        if self._process is not None:
            self._process.send_signal(number)

    def _reap(self) -> None:
        process, self._process = self._process, None
        if process is not None:
            with contextlib.suppress(subprocess.TimeoutExpired):
                process.wait(_LIMIT_MS / 1000)
                return
            process.kill()
            process.wait()


@contextmanager
def mirror(folder: Path, server: Path | None = None) -> Iterator[Mirror]:
    """Give a mirror of a directory, or of a new one, mounted in `folder`; it is unmounted afterwards."""
    mount = folder / "mount"
    mount.mkdir(parents=True)
    if server is None:
        server = folder / "server"
        server.mkdir()
    made = Mirror(server, mount)
    try:
        made.start()
        yield made
    finally:
        made.end()
