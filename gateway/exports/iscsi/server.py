"""The target server: a tgtd of our own, started, adopted or ended."""

from __future__ import annotations

import contextlib
import hashlib
import ipaddress
import time
from pathlib import Path

import structlog

from gateway.core.errors import GatewayError, InvalidArgument, Timeout, Unavailable
from gateway.exports.iscsi.control import WHAT, Control, Mode, Op, Refused
from gateway.exports.place import private
from gateway.exports.process import POLL_S, Daemon

log = structlog.get_logger(__name__)

START_LIMIT_S = 20.0
ADOPT_LIMIT_S = 5.0
_SOCKET = "control"
_IPC_NUMBER = 0
_NOP = "nop_interval=10,nop_count=3"
"""Sessions of initiators that are gone without a word end after half a minute."""


class Tgtd:
    """The server process. All methods block; the caller lets one thread in at a time."""

    def __init__(self, *, bind: str, port: int, state_dir: Path) -> None:
        self._portal = _portal(bind, port)
        self._folder = state_dir / "run"
        self._socket = self._folder / f"{_SOCKET}.{_IPC_NUMBER}"
        self._daemons = state_dir / "daemons"
        # It takes SIGTERM as a sign to end once nobody is logged in any more.
        self._daemon = Daemon("tgtd", self._daemons, what=WHAT, polite=False)
        self._fingerprint = hashlib.sha256(f"{self._portal},{_NOP}".encode()).hexdigest()
        self.control = Control(self._socket)

    def prepare(self) -> None:
        """Make the directories. Who reaches the socket rules the server, so they are ours alone."""
        for folder in (self._daemons, self._folder):
            private(folder, what=WHAT)

    def pids(self) -> tuple[int, ...]:
        """Give the server's process, if it runs."""
        identity = self._daemon.running()
        return () if identity is None else (identity.pid,)

    def alive(self) -> bool:
        """Tell whether it runs. Says nothing about answers."""
        return bool(self.pids())

    def adopt(self) -> str | None:
        """Take over the server of an earlier gateway; give its targets as it shows them, None when it will not do."""
        identity = self._daemon.running()
        if identity is None or identity.fingerprint != self._fingerprint:
            return None
        try:
            shown = self.control.ask(Mode.TARGET, Op.SHOW, limit_s=ADOPT_LIMIT_S)
        except (Refused, Unavailable, Timeout):
            log.warning("iscsi server found but silent")
            return None
        log.info("iscsi server adopted", pid=identity.pid)
        return shown

    def start(self) -> None:
        """Start anew, without targets; what ran before is ended."""
        self.stop()
        try:
            self._daemon.start(
                ("tgtd", "-f", "--control-port", str(_IPC_NUMBER), "--iscsi", f"{self._portal},{_NOP}"),
                self._fingerprint,
                {"TGT_IPC_SOCKET": _SOCKET},
                folder=self._folder,
            )
            self._await()
        except GatewayError:
            self.stop()
            raise
        log.info("iscsi server started", pids=self.pids(), portal=self._portal)

    def stop(self) -> None:
        """End it. Idempotent. What it wrote is the kernel's already, so the hard way loses nothing."""
        self._daemon.stop()
        for leftover in (self._socket, self._socket.with_name(self._socket.name + ".lock")):
            leftover.unlink(missing_ok=True)

    def _await(self) -> None:
        deadline = time.monotonic() + START_LIMIT_S
        while True:
            portals = self._portals()
            if portals is not None:
                if f"{self._portal.removeprefix('portal=')}," not in portals:
                    # It tries before it answers, and goes on without.
                    raise Unavailable(what=WHAT, reason="the address and port cannot be listened on")
                return
            if not self.alive():
                raise Unavailable(what=WHAT, reason="tgtd ended at once; its log says why")
            if time.monotonic() > deadline:
                raise Timeout(what=WHAT, after=int(START_LIMIT_S))
            time.sleep(POLL_S)

    def _portals(self) -> str | None:
        with contextlib.suppress(Refused, Unavailable, Timeout):
            return self.control.ask(Mode.PORTAL, Op.SHOW, limit_s=ADOPT_LIMIT_S)
        return None


def _portal(bind: str, port: int) -> str:
    try:
        address = ipaddress.ip_address(bind)
    except ValueError:
        raise InvalidArgument(field="bind", value=bind[:200], reason="must be an address") from None
    return f"portal=[{address}]:{port}" if address.version == 6 else f"portal={address}:{port}"  # noqa: PLR2004
