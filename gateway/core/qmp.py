"""One conversation with a QEMU monitor: a line of JSON each way, events in between. All of it blocks.

A monitor talks to one client at a time: the greeting of the next comes when the
one before has hung up.
"""

from __future__ import annotations

import errno
import socket
import time
from collections import deque
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import msgspec

from gateway.core.errors import Timeout
from gateway.core.sockets import connect

_LINE_MAX = 64 * 1024**2
_READ = 256 * 1024


class Problem(msgspec.Struct, frozen=True):
    """Why a command was refused."""

    desc: str


class Message(msgspec.Struct, frozen=True):
    """One line from the monitor: a greeting, an answer or an event."""

    greeting: msgspec.Raw = msgspec.field(default=msgspec.Raw(), name="QMP")
    result: msgspec.Raw = msgspec.field(default=msgspec.Raw(), name="return")
    error: Problem | None = None
    event: str = ""
    data: dict[str, Any] = {}


_decoder = msgspec.json.Decoder(Message)


class Refused(Exception):  # noqa: N818 - it is what the daemon answered
    """The daemon refused a command; the text is for classifying and for the log."""


class HungUp(ConnectionResetError):  # noqa: N818 - it is what the daemon did
    """The daemon ended the conversation: it has ended itself, or is about to."""

    def __init__(self) -> None:
        super().__init__(errno.ECONNRESET, "hung up")


class Conversation:
    """A greeted conversation.

    OSError when nobody listens or the daemon hangs up, Timeout when it is
    silent; after either it is of no use any more. Refused when the daemon does
    not do what it is told.
    """

    def __init__(self, path: Path, *, what: str, timeout_s: float) -> None:
        self._what = what
        self._timeout_s = timeout_s
        self._socket = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM | socket.SOCK_CLOEXEC)
        self._lines: deque[bytes] = deque()
        self._part = b""
        self._events: list[Message] = []
        try:
            connect(self._socket, path)
            self._next(time.monotonic() + timeout_s)
            self.execute("qmp_capabilities")
        except BaseException:
            self._socket.close()
            raise

    def close(self) -> None:
        """Hang up. Idempotent."""
        self._socket.close()

    def forget_events(self) -> None:
        """Forget the events so far: what is awaited from now on has not happened yet."""
        self._events.clear()

    def execute(self, command: str, arguments: Mapping[str, Any] | None = None) -> msgspec.Raw:
        """Give what the daemon answers to a command; events that come before it are kept for `await_event`."""
        deadline = time.monotonic() + self._timeout_s
        request = {"execute": command, "arguments": arguments or {}}
        self._socket.settimeout(self._timeout_s)
        try:
            self._socket.sendall(msgspec.json.encode(request) + b"\n")
        except TimeoutError:
            raise self._silent() from None
        while True:
            message = self._next(deadline)
            if message.event:
                self._events.append(message)
            elif message.error is not None:
                raise Refused(f"{command}: {message.error.desc}")
            else:
                return message.result

    def await_event(self, wanted: Callable[[str, Mapping[str, Any]], bool], *, timeout_s: float) -> Mapping[str, Any]:
        """Give the data of the first event, since they were last forgotten, that `wanted(name, data)` accepts."""
        deadline = time.monotonic() + timeout_s
        while True:
            for index, message in enumerate(self._events):
                if wanted(message.event, message.data):
                    del self._events[index]
                    return message.data
            message = self._next(deadline)
            if message.event:
                self._events.append(message)

    def _next(self, deadline: float) -> Message:
        while not self._lines:
            left = deadline - time.monotonic()
            if left <= 0:
                raise self._silent()
            self._socket.settimeout(left)
            try:
                data = self._socket.recv(_READ)
            except TimeoutError:
                raise self._silent() from None
            if not data or len(self._part) > _LINE_MAX:
                raise HungUp
            *whole, self._part = (self._part + data).split(b"\n")
            self._lines.extend(line for line in whole if line.strip())
        try:
            return _decoder.decode(self._lines.popleft())
        except msgspec.DecodeError as error:
            raise HungUp from error

    def _silent(self) -> Timeout:
        return Timeout(what=self._what, after=int(self._timeout_s))
