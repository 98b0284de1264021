"""The NBD server: a qemu-storage-daemon of our own, started, adopted or ended."""

from __future__ import annotations

import contextlib
import hashlib
import ipaddress
import time
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import msgspec
import structlog

from gateway.core.errors import GatewayError, InvalidArgument, Timeout, Unavailable
from gateway.core.qmp import Conversation, Refused
from gateway.exports.place import private
from gateway.exports.process import POLL_S, Daemon

log = structlog.get_logger(__name__)

WHAT = "nbd"
START_LIMIT_S = 20.0
REPLY_LIMIT_S = 20.0
_SOCKET = "control"


class Share(msgspec.Struct, frozen=True, rename="kebab"):
    """What the server says of one of its exports."""

    id: str
    node_name: str
    shutting_down: bool = False


class Image(msgspec.Struct, frozen=True, rename="kebab"):
    """What it says of an open file or device."""

    virtual_size: int


class Node(msgspec.Struct, frozen=True, rename="kebab"):
    """What it says of one of its block nodes. `drv` is the driver."""

    node_name: str
    drv: str
    image: Image
    ro: bool = False


class Monitor:
    """Commands to one server, within one conversation. OSError never leaves it; Refused does."""

    def __init__(self, talk: Conversation) -> None:
        self._talk = talk

    def shares(self) -> frozenset[str]:
        """Give the ids of the exports that serve."""
        found = msgspec.json.decode(self.do("query-block-exports"), type=list[Share])
        return frozenset(share.id for share in found if not share.shutting_down)

    def nodes(self) -> dict[str, Node]:
        """Give the nodes that we opened by name. What qemu opened below them has a name that begins with `#`."""
        found = msgspec.json.decode(self.do("query-named-block-nodes", flat=True), type=list[Node])
        return {node.node_name: node for node in found if not node.node_name.startswith("#")}

    def do(self, command: str, **arguments: Any) -> msgspec.Raw:
        """Give the answer to a command; an underscore in an argument's name stands for the hyphen of the protocol."""
        told = {name.replace("_", "-"): value for name, value in arguments.items()}
        try:
            return self._talk.execute(command, told)
        except OSError as error:
            raise Unavailable(what=WHAT, reason="the NBD server does not answer") from error

    def await_end(self, share: str) -> None:
        """Wait until an export that was told to end has let go."""

        def ended(name: str, data: Mapping[str, Any]) -> bool:
            return name == "BLOCK_EXPORT_DELETED" and data.get("id") == share

        try:
            self._talk.await_event(ended, timeout_s=REPLY_LIMIT_S)
        except OSError as error:
            raise Unavailable(what=WHAT, reason="the NBD server does not answer") from error


class StorageDaemon:
    """The server process. All methods block; the caller lets one thread in at a time."""

    def __init__(self, *, bind: str, port: int, state_dir: Path) -> None:
        try:
            address = ipaddress.ip_address(bind)
        except ValueError:
            raise InvalidArgument(field="bind", value=bind[:200], reason="must be an address") from None
        self._listen = f"addr.type=inet,addr.host={address},addr.port={port}"
        self._folder = state_dir / "run"
        self._daemons = state_dir / "daemons"
        self._daemon = Daemon("qemu-storage-daemon", self._daemons, what=WHAT)
        self._fingerprint = hashlib.sha256(self._listen.encode()).hexdigest()

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

    @contextlib.contextmanager
    def talking(self) -> Iterator[Monitor]:
        """Give a conversation with the server; Unavailable when it does not answer, or declines something."""
        try:
            talk = Conversation(self._folder / _SOCKET, what=WHAT, timeout_s=REPLY_LIMIT_S)
        except OSError as error:
            raise Unavailable(what=WHAT, reason="the NBD server does not answer") from error
        try:
            yield Monitor(talk)
        except Refused as refused:
            log.warning("nbd request refused", detail=str(refused))
            raise Unavailable(what=WHAT, reason="the NBD server refused a request") from refused
        finally:
            talk.close()

    def adopt(self) -> bool:
        """Take over the server of an earlier gateway; False when there is none that will do."""
        identity = self._daemon.running()
        if identity is None or identity.fingerprint != self._fingerprint:
            return False
        try:
            with self.talking():
                log.info("nbd server adopted", pid=identity.pid)
        except (Unavailable, Timeout):
            log.warning("nbd server found but silent")
            return False
        return True

    def start(self) -> None:
        """Start anew, without exports; what ran before is ended."""
        self.stop()
        control = f"socket,path={_SOCKET},server=on,wait=off,id=control"
        try:
            self._daemon.start(
                (
                    "qemu-storage-daemon",
                    "--chardev",
                    control,
                    "--monitor",
                    "chardev=control",
                    "--nbd-server",
                    self._listen,
                ),
                self._fingerprint,
                folder=self._folder,
            )
            self._await()
        except GatewayError:
            self.stop()
            raise
        log.info("nbd server started", pids=self.pids(), listen=self._listen)

    def stop(self) -> None:
        """End it. Idempotent."""
        self._daemon.stop()
        (self._folder / _SOCKET).unlink(missing_ok=True)

    def _await(self) -> None:
        deadline = time.monotonic() + START_LIMIT_S
        while True:
            # Greeted means listening: it opens everything that it was started with before it talks.
            with contextlib.suppress(Unavailable, Timeout), self.talking():
                return
            if not self.alive():
                reason = "qemu-storage-daemon ended at once; its log says why, such as a port that is taken"
                raise Unavailable(what=WHAT, reason=reason)
            if time.monotonic() > deadline:
                raise Timeout(what=WHAT, after=int(START_LIMIT_S))
            time.sleep(POLL_S)
