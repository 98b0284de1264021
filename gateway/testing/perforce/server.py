"""The stand-in itself, and its connections."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from gateway.backends.perforce import PerforceBackend, PerforceOptions
from gateway.backends.perforce.connection import Record
from gateway.backends.perforce.failures import Refused, refusal
from gateway.core.backend import FaultHook
from gateway.testing.perforce import files, forms
from gateway.testing.perforce.calls import Call, Handler
from gateway.testing.perforce.state import CLOSED, NO_COMMAND, NO_SESSION, Failure, Revision, State

DEPOT: Final = "volumes"
USER: Final = "gateway"

COMMANDS: Final[Mapping[str, Handler]] = {
    "add": files.open_for("add"),
    "change": files.change,
    "changes": files.changes,
    "client": forms.form("client"),
    "clients": forms.clients,
    "copy": files.copy,
    "delete": files.open_for("delete"),
    "depot": forms.depot,
    "depots": forms.depots,
    "diff2": files.diff2,
    "diskspace": files.diskspace,
    "edit": files.open_for("edit"),
    "files": files.files,
    "info": files.info,
    "label": forms.form("label"),
    "labels": forms.labels,
    "obliterate": files.obliterate,
    "opened": files.opened,
    "populate": files.populate,
    "protects": files.protects,
    "revert": files.revert,
    "sizes": files.sizes,
    "stream": forms.form("stream"),
    "streams": forms.streams,
    "submit": files.submit,
    "sync": files.sync,
}


class StandIn:
    """A server with a stream depot, `DEPOT`, and one submitted file elsewhere. `state` may be looked at and changed."""

    def __init__(self) -> None:
        self.state = State(depots={"depot": "local", DEPOT: "stream"})
        number = self.state.submit("somebody", "desk", "The first file.")
        self.state.files["//depot/readme"] = [Revision(number, "add", b"hello")]
        self.commands: list[tuple[str, ...]] = []
        self.password, self.ticket = "secret", "0123456789ABCDEF0123456789ABCDEF"
        self.started = 0
        self.running = True

    def connect(self, user: str = USER) -> StandInConnection:
        """Make a connection without a wire; refused while the server is stopped."""
        if not self.running:
            raise _refused(CLOSED.failure())
        return StandInConnection(self, user, self.started)

    def stop(self) -> None:
        """End every connection and take no new one."""
        self.running = False
        self.started += 1

    def start(self) -> None:
        """Take connections again."""
        self.running = True

    def log_out(self) -> None:
        """Let every ticket run out."""
        self.started += 1

    def serve(self, call: Call, *, started: int) -> list[Record]:
        """Run one command of a connection."""
        if not self.running:
            raise CLOSED.failure()
        if started != self.started:
            raise NO_SESSION.failure()
        handler = COMMANDS.get(call.command)
        if handler is None:
            raise NO_COMMAND.failure()
        if call.command in self.state.odd:
            raise self.state.odd[call.command].failure()
        with self.state.lock:
            self.commands.append((call.command, *call.args))
            return handler(call)


def on_stand_in(name: str, options: PerforceOptions, fault: FaultHook) -> PerforceBackend:
    """Make a backend on a stand-in of its own."""
    return PerforceBackend(name, options, fault=fault, connect=StandIn().connect)


def _refused(failure: Failure) -> Refused:
    return refusal(failure.message.number, failure.message.generic, failure.text)


class StandInConnection:
    """A connection to a stand-in."""

    def __init__(self, server: StandIn, user: str, started: int) -> None:
        self._server = server
        self._user = user
        self._started = started

    def run(self, command: str, *args: str, form: Record | None = None, workspace: str = "") -> list[Record]:
        """See `Connection`."""
        state = self._server.state
        with state.lock:
            text = None if form is None else state.library.through(command, form)
        try:
            return self._server.serve(Call(state, self._user, command, args, text, workspace), started=self._started)
        except Failure as failure:
            raise _refused(failure) from failure

    def close(self) -> None:
        """Do nothing: nothing is held."""
