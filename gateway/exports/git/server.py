"""The server process: started, adopted, ended, and told what to end."""

from __future__ import annotations

import hashlib
import socket
import sys
import time
from pathlib import Path

import msgspec
import structlog

from gateway import __version__
from gateway.core.errors import GatewayError, Timeout, Unavailable
from gateway.core.sockets import connect
from gateway.exports.git.records import CONTROL, KEY, RUN, SETTINGS, Settings
from gateway.exports.git.tokens import key_of
from gateway.exports.place import private
from gateway.exports.process import POLL_S, Daemon, write_atomically

log = structlog.get_logger(__name__)

WHAT = "git"
START_LIMIT_S = 20.0
REPLY_LIMIT_S = 20.0
_MODULE = "gateway.exports.git.serve"


class Server:
    """All methods block; the caller lets one thread in at a time."""

    def __init__(self, settings: Settings, state_dir: Path) -> None:
        self._settings = msgspec.json.encode(settings)
        self._folder = state_dir
        self._daemon = Daemon("git-server", state_dir / "daemons", what=WHAT)
        self._fingerprint = ""

    def prepare(self) -> bytes:
        """Make the directories and give the key of the tokens. Who reaches the socket rules the server."""
        private(self._folder, what=WHAT)
        for name in ("daemons", RUN):
            private(self._folder / name, what=WHAT)
        key = key_of(self._folder / KEY, what=WHAT)
        # A server of another release, or one that goes by another key, is not adopted.
        self._fingerprint = hashlib.sha256(
            b"\0".join((self._settings, sys.executable.encode(), __version__.encode(), key))
        ).hexdigest()
        return key

    def pids(self) -> tuple[int, ...]:
        """Give the server's process, if it runs."""
        identity = self._daemon.running()
        return () if identity is None else (identity.pid,)

    def alive(self) -> bool:
        """Tell whether it runs. Says nothing about answers."""
        return bool(self.pids())

    def adopt(self) -> bool:
        """Take over the server of an earlier gateway; False when there is none that will do."""
        identity = self._daemon.running()
        if identity is None or identity.fingerprint != self._fingerprint:
            return False
        try:
            self.order("ready")
        except (Unavailable, Timeout):
            log.warning("git server found but silent")
            return False
        log.info("git server adopted", pid=identity.pid)
        return True

    def start(self) -> None:
        """Start anew; what ran before is ended."""
        self.stop()
        write_atomically(self._folder / SETTINGS, self._settings)
        try:
            # -P: nothing of the folder that it runs in is taken for a module.
            self._daemon.start((sys.executable, "-P", "-m", _MODULE, str(self._folder)), self._fingerprint)
            self._await()
        except GatewayError:
            self.stop()
            raise
        log.info("git server started", pids=self.pids())

    def stop(self) -> None:
        """End it. Idempotent."""
        self._daemon.stop()
        (self._folder / RUN / CONTROL).unlink(missing_ok=True)

    def order(self, line: str) -> None:
        """Have the server do something, and wait until it has; Unavailable when it does not answer."""
        with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM | socket.SOCK_CLOEXEC) as talk:
            talk.settimeout(REPLY_LIMIT_S)
            try:
                connect(talk, self._folder / RUN / CONTROL)
                talk.sendall(f"{line}\n".encode())
                answered = talk.recv(64)
            except TimeoutError:
                raise Timeout(what=WHAT, after=int(REPLY_LIMIT_S)) from None
            except OSError as error:
                raise Unavailable(what=WHAT, reason="the git server does not answer") from error
        if answered != b"done\n":
            raise Unavailable(what=WHAT, reason="the git server does not answer")

    def _await(self) -> None:
        deadline = time.monotonic() + START_LIMIT_S
        while True:
            try:
                self.order("ready")
            except (Unavailable, Timeout):
                if not self.alive():
                    reason = "it ended at once; its log says why, such as a port that is taken"
                    raise Unavailable(what=WHAT, reason=reason) from None
            else:
                return
            if time.monotonic() > deadline:
                raise Timeout(what=WHAT, after=int(START_LIMIT_S))
            time.sleep(POLL_S)
