"""Connections to a Perforce server: the boundary that everything of the server is behind.

A connection runs one command at a time. Commands are given as at `p4`; forms
go in as mappings, with lists for fields of several lines, and come out so, as
all output does ("tagged").
"""
# ruff: noqa: D102 - `Connection` carries the contract of the methods

from __future__ import annotations

import contextlib
import importlib
import threading
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Protocol

from gateway.backends.perforce.failures import FAILED, Meaning, Refused, refusal
from gateway.core.errors import Unavailable
from gateway.core.secret import Secret

Field = str | list[str]
Record = Mapping[str, Field]
"""One record of output, or a form."""


class Connection(Protocol):
    """An open connection, logged in."""

    def run(self, command: str, *args: str, form: Record | None = None, workspace: str = "") -> list[Record]:
        """Give the records that a command answers with; warnings, such as that nothing was found, give none.

        Raises `Refused` with what the server's worst message means.
        """

    def close(self) -> None:
        """End the connection. Idempotent."""


Connect = Callable[[], Connection]
"""Makes a connection; raises `Refused`, or Unavailable when it cannot be made here at all."""


class P4Connection:
    """A connection by p4python, Perforce's own library."""

    def __init__(
        self,
        *,
        port: str,
        user: str,
        password: Secret | None,
        charset: str,
        timeout_s: float,
    ) -> None:
        library = _library()
        self._error: type[Exception] = library.P4Exception
        self._p4 = p4 = library.P4()
        p4.port, p4.user, p4.prog = port, user, "volume-gateway"
        # Errors only: at level 0 a connection that is not there answers nothing, and says nothing.
        p4.exception_level = 1
        if charset:
            p4.charset = charset
        p4.set_tunable("net.maxwait", str(max(1, round(timeout_s))))
        try:
            p4.connect()
        except self._error as error:
            raise Refused(Meaning.GONE, str(error)) from error
        try:
            if password is not None:
                self._log_in(password)
        except BaseException:
            self.close()
            raise

    def _log_in(self, password: Secret) -> None:
        """Trade the password for a ticket of this connection: none is left in a file for others."""
        self._p4.password = password.reveal()
        tickets = [said for said in self._asked("login", "-p", given=password.reveal()) if isinstance(said, str)]
        if tickets:
            self._p4.password = tickets[-1]

    def run(self, command: str, *args: str, form: Record | None = None, workspace: str = "") -> list[Record]:
        # Without a name it is the host's: a workspace by that name is none of ours.
        self._p4.client = workspace or "gateway-none"
        return [dict(said) for said in self._asked(command, *args, given=form) if isinstance(said, Mapping)]

    def _asked(self, command: str, *args: str, given: object) -> Sequence[Any]:
        if given is not None:
            self._p4.input = given
        try:
            answer = self._p4.run(command, *args)
        except self._error as error:
            worst = max(self._p4.messages, key=lambda message: int(message.severity), default=None)
            if worst is None or worst.severity < FAILED:
                # The library's own trouble: it never came to a command.
                raise Refused(Meaning.GONE, str(error)) from error
            raise refusal(int(worst.msgid), int(worst.generic), str(worst)) from error
        return answer if isinstance(answer, list) else []

    def close(self) -> None:
        with contextlib.suppress(self._error):
            if self._p4.connected():
                self._p4.disconnect()


def _library() -> Any:
    try:
        return importlib.import_module("P4")
    except ImportError as error:
        raise Unavailable(
            what="perforce", reason="p4python is not installed: install volume-gateway[perforce]"
        ) from error


class Connections:
    """Connections that are made as they are needed, and used again. Safe for threads."""

    def __init__(self, connect: Connect) -> None:
        self._connect = connect
        self._lock = threading.Lock()
        self._idle: list[Connection] = []
        self._closed = False

    def change(self, command: str, *args: str, form: Record | None = None, workspace: str = "") -> list[Record]:
        """Run a command once. One that may have been lost on the way is not given again."""
        connection = self._taken() or self._connect()
        return self._run(connection, command, *args, form=form, workspace=workspace)

    def read(self, command: str, *args: str) -> list[Record]:
        """Run a command that changes nothing; on a new connection when an old one turns out to be broken."""
        connection = self._taken()
        if connection is not None:
            try:
                return self._run(connection, command, *args)
            except Refused as refused:
                if refused.meaning not in {Meaning.GONE, Meaning.LOGIN}:
                    raise
            # The server was away, or the tickets ran out: those of the others did as well.
            self._drop_idle()
        return self._run(self._connect(), command, *args)

    def close(self) -> None:
        """End all connections. Idempotent."""
        with self._lock:
            self._closed = True
        self._drop_idle()

    def _run(
        self, connection: Connection, command: str, *args: str, form: Record | None = None, workspace: str = ""
    ) -> list[Record]:
        try:
            answer = connection.run(command, *args, form=form, workspace=workspace)
        except Refused as refused:
            if refused.meaning in {Meaning.GONE, Meaning.LOGIN}:
                connection.close()
            else:
                self._give_back(connection)
            raise
        except BaseException:
            connection.close()
            raise
        self._give_back(connection)
        return answer

    def _taken(self) -> Connection | None:
        with self._lock:
            return self._idle.pop() if self._idle else None

    def _give_back(self, connection: Connection) -> None:
        with self._lock:
            if not self._closed:
                self._idle.append(connection)
                return
        connection.close()

    def _drop_idle(self) -> None:
        with self._lock:
            idle, self._idle = self._idle, []
        for connection in idle:
            connection.close()
