"""tgtd's management protocol: one request and its answer per connection of a UNIX socket.

Its command-line client would show passwords in its arguments, and cost a
process per request. The layout is that of tgt 1.0 (`struct tgtadm_req` and
`tgtadm_rsp`, in the byte order and alignment of the machine); texts end in NUL.
"""

from __future__ import annotations

import enum
import socket
import struct
from pathlib import Path

from gateway.core.errors import Timeout, Unavailable
from gateway.core.sockets import connect

WHAT = "iscsi"
REPLY_LIMIT_S = 20.0
NO_LUN = 2**64 - 1
NO_TARGET = -1

_REQUEST = struct.Struct("@II64siiQQIIIIII")
_ANSWER = struct.Struct("@II")
_DRIVER = b"iscsi"
_PARAMETERS_MAX = 8 * 1024
_READ = 64 * 1024


class Mode(enum.IntEnum):
    """What a request is about."""

    TARGET = 1
    UNIT = 2
    PORTAL = 3
    CONNECTION = 6
    ACCOUNT = 7


class Op(enum.IntEnum):
    """What it wants."""

    NEW = 0
    DELETE = 1
    SHOW = 2
    BIND = 3
    UNBIND = 4
    UPDATE = 5


class Status(enum.IntEnum):
    """The answers that are told apart."""

    DONE = 0
    NO_TARGET = 4
    NO_UNIT = 5
    NO_SESSION = 6
    NO_CONNECTION = 7
    ACL_EXISTS = 12
    ACL_GONE = 13
    NO_USER = 15
    TARGET_ACTIVE = 19
    UNIT_ACTIVE = 20


class Refused(Exception):  # noqa: N818
    """The server answered, and declined. Never leaves this package, and never holds a request's text."""

    def __init__(self, mode: Mode, op: Op, status: int) -> None:
        super().__init__(f"{mode.name} {op.name}: {status}")
        self.status = status


class Control:
    """Requests to one tgtd. They block."""

    def __init__(self, path: Path) -> None:
        self._path = path

    def ask(
        self,
        mode: Mode,
        op: Op,
        parameters: str = "",
        *,
        tid: int = NO_TARGET,
        lun: int = NO_LUN,
        sid: int = 0,
        cid: int = 0,
        outgoing: bool = False,
        force: bool = False,
        limit_s: float = REPLY_LIMIT_S,
    ) -> str:
        """Give the text of the answer; Refused when the server declines, Unavailable or Timeout when it is silent."""
        text = parameters.encode() + b"\0" if parameters else b""
        if len(text) > _PARAMETERS_MAX:
            raise Refused(mode, op, -1)
        head = _REQUEST.pack(
            mode, op, _DRIVER, _REQUEST.size + len(text), tid, sid, lun, cid, 0, 0, int(outgoing), 0, int(force)
        )
        answer = self._exchange(head + text, limit_s)
        if len(answer) < _ANSWER.size:
            raise Unavailable(what=WHAT, reason="the target server hung up")
        status, length = _ANSWER.unpack_from(answer)
        if status != Status.DONE:
            raise Refused(mode, op, status)
        return answer[_ANSWER.size : length].rstrip(b"\0").decode(errors="replace")

    def _exchange(self, request: bytes, limit_s: float) -> bytes:
        answer = b""
        try:
            with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM | socket.SOCK_CLOEXEC) as client:
                client.settimeout(limit_s)
                connect(client, self._path)
                client.sendall(request)
                while data := client.recv(_READ):
                    answer += data
        except TimeoutError as error:
            raise Timeout(what=WHAT, after=int(limit_s)) from error
        except OSError as error:
            raise Unavailable(what=WHAT, reason="the target server does not answer") from error
        return answer
