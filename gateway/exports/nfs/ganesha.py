"""The export server: a private message bus and ganesha.nfsd, started, adopted or ended together.

ganesha ends itself when its bus connection breaks (libdbus does so for a
system bus), so the two are one thing: either both answer or both start anew.
"""

from __future__ import annotations

import contextlib
import hashlib
import re
import socket
import time
from collections.abc import Callable, Sequence
from pathlib import Path

import structlog

from gateway.core.errors import GatewayError, Timeout, Unavailable
from gateway.exports.nfs.dbus import CONFIGURATION, Bus
from gateway.exports.nfs.stanza import main_configuration
from gateway.exports.place import private
from gateway.exports.process import POLL_S, Daemon, write_atomically

log = structlog.get_logger(__name__)

START_LIMIT_S = 20
ADOPT_LIMIT_S = 5
LOG_BYTES_MAX = 8 << 20
# sun_path holds 108 bytes, but libdbus takes no more on any system than the shortest of them all has
SOCKET_PATH_MAX = 99
_PLAIN_PATH = re.compile(r"[A-Za-z0-9/._-]+\Z")


def runtime_directory(state_dir: Path, fallback: Path = Path("/run")) -> Path:
    """Give the directory for the socket: in the state directory, or a short one when that path cannot be an address."""
    preferred = state_dir / "run"
    if len(bytes(preferred / "bus")) <= SOCKET_PATH_MAX and _PLAIN_PATH.match(str(preferred)):
        return preferred
    digest = hashlib.sha256(bytes(state_dir.absolute())).hexdigest()[:16]
    return fallback / f"volume-gateway-nfs-{digest}"


class Ganesha:
    """The server process. All methods block; the caller lets one thread in at a time."""

    def __init__(self, *, settings: str, bind: str, port: int, state_dir: Path) -> None:
        self._settings = settings
        self._endpoint = ("127.0.0.1" if bind == "0.0.0.0" else "::1" if bind == "::" else bind, port)  # noqa: S104
        self._state_dir = state_dir
        self._runtime = runtime_directory(state_dir)
        self._socket = self._runtime / "bus"
        self._address = f"unix:path={self._socket}"
        self._configuration = state_dir / "ganesha.conf"
        self._log = state_dir / "log" / "ganesha.log"
        # both pid files stay with the state, whichever directory the socket is in
        self._bus_daemon = Daemon("dbus-daemon", state_dir / "daemons", what="nfs")
        self._server = Daemon("ganesha.nfsd", state_dir / "daemons", what="nfs")
        self._fingerprint = hashlib.sha256(f"{settings}{self._address}".encode()).hexdigest()
        self.bus = Bus(self._address)

    def prepare(self) -> None:
        """Make the directories."""
        private(self._state_dir / "daemons", what="nfs")
        for name in ("log", "recovery"):
            (self._state_dir / name).mkdir(mode=0o700, exist_ok=True)

    def pids(self) -> tuple[int, ...]:
        """Give the processes whose end means that the server is down."""
        found = (self._bus_daemon.running(), self._server.running())
        return tuple(identity.pid for identity in found if identity is not None)

    def alive(self) -> bool:
        """Tell whether both processes run. Says nothing about answers."""
        return self._bus_daemon.running() is not None and self._server.running() is not None

    def adopt(self) -> bool:
        """Take over the processes of an earlier gateway; False when there are none that will do."""
        for daemon in (self._bus_daemon, self._server):
            identity = daemon.running()
            if identity is None or identity.fingerprint != self._fingerprint:
                return False
        try:
            self.bus.exports(limit_s=ADOPT_LIMIT_S)
        except (Unavailable, Timeout):
            log.warning("nfs server found but silent")
            return False
        log.info("nfs server adopted", pids=self.pids())
        return True

    def include(self, stanzas: Sequence[Path]) -> None:
        """Name the exports that a restart or SIGHUP of the server brings back."""
        write_atomically(self._configuration, main_configuration(self._settings, stanzas).encode())

    def start(self, stanzas: Sequence[Path]) -> None:
        """Start anew with these exports; what ran before is ended.

        One stanza that ganesha dislikes keeps it from starting at all. Then it
        is started empty: the caller adds the exports one by one.
        """
        try:
            self._launch(stanzas)
        except GatewayError:
            if not stanzas:
                raise
            log.warning("nfs server did not start with its exports, starting empty", exports=len(stanzas))
            self._launch(())

    def _launch(self, stanzas: Sequence[Path]) -> None:
        self.stop()
        try:
            self._spawn(stanzas)
        except GatewayError:
            self.stop()
            raise

    def _spawn(self, stanzas: Sequence[Path]) -> None:
        if self._log.exists() and self._log.stat().st_size > LOG_BYTES_MAX:
            self._log.replace(self._log.with_suffix(".log.1"))
        private(self._runtime, what="nfs")
        bus_configuration = self._state_dir / "dbus.conf"
        write_atomically(bus_configuration, CONFIGURATION.format(address=self._address).encode())
        self.include(stanzas)
        self._bus_daemon.start(
            ("dbus-daemon", f"--config-file={bus_configuration}", "--nofork", "--nopidfile"), self._fingerprint
        )
        self._await(self._bus_daemon, self._socket.is_socket)
        pid_file = self._state_dir / "daemons" / "ganesha.own.pid"
        self._server.start(
            ("ganesha.nfsd", "-F", "-f", str(self._configuration), "-p", str(pid_file), "-L", str(self._log)),
            self._fingerprint,
            {"DBUS_SYSTEM_BUS_ADDRESS": self._address},
        )
        self._await(self._server, self._answers)
        log.info("nfs server started", pids=self.pids(), port=self._endpoint[1])

    def _answers(self) -> bool:
        try:
            socket.create_connection(self._endpoint, timeout=1).close()
            self.bus.exports(limit_s=ADOPT_LIMIT_S)
        except (OSError, Unavailable, Timeout):
            return False
        return True

    def _await(self, daemon: Daemon, ready: Callable[[], bool]) -> None:
        deadline = time.monotonic() + START_LIMIT_S
        while not ready():
            if daemon.running() is None:
                raise Unavailable(what="nfs", reason=f"{daemon.name} ended at once; its log says why")
            if time.monotonic() > deadline:
                raise Timeout(what="nfs", after=START_LIMIT_S)
            time.sleep(POLL_S)

    def stop(self) -> None:
        """End both. Idempotent."""
        self._server.stop()
        self._bus_daemon.stop()
        self._socket.unlink(missing_ok=True)
        with contextlib.suppress(OSError):
            self._runtime.rmdir()
