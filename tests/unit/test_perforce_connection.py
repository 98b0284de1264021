"""Connections by Perforce's own library: the real one as far as it goes without a server, then one with set answers."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
import types
from collections.abc import Sequence
from typing import Any
from uuid import uuid4

import P4
import pytest

from gateway.backends.perforce import PerforceBackend, PerforceOptions
from gateway.backends.perforce.connection import Connections, P4Connection
from gateway.backends.perforce.failures import Meaning, Refused
from gateway.backends.perforce.records import VolumeRecord, decode, encode
from gateway.core.backend import Note
from gateway.core.errors import Unavailable
from gateway.core.secret import Secret

SECRET = "not for the log"


def closed_port() -> str:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return f"127.0.0.1:{probe.getsockname()[1]}"


# --- the real library ---


async def test_no_server_is_unavailable() -> None:
    backend = PerforceBackend("pool", PerforceOptions(port=closed_port(), depot="volumes", user="gateway", timeout_s=5))
    with pytest.raises(Unavailable) as caught:
        await backend.open()
    assert caught.value.reason == "the server does not answer"
    await backend.close()


def test_without_the_library_the_extra_is_named() -> None:
    code = """
import sys
sys.modules["P4"] = None
from gateway.backends.perforce.connection import P4Connection
try:
    P4Connection(port="1666", user="gateway", password=None, charset="", timeout_s=5)
except Exception as error:
    print(error)
"""
    said = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout
    assert "install volume-gateway[perforce]" in said


@pytest.mark.parametrize("name", ["plain", "# no comment", "Grüße\n\nOwner:\tsomebody", "\t'\"%@*"])
def test_records_survive_the_library_s_forms(name: str) -> None:
    note = Note(name=name, tenant="tenant", document=os.urandom(60 * 1024))
    record = VolumeRecord(id=uuid4(), size=1, note=note, origin=uuid4())
    library = P4.P4()
    text = library.format_spec("label", {"Label": "x", "Owner": "gateway", "Description": encode(name, record)})
    form = library.parse_spec("label", text)
    assert decode(form["Description"], VolumeRecord) == record
    assert form["Owner"] == "gateway"
    assert decode(form["Description"][:5000], VolumeRecord) is None
    assert decode(form["Description"].replace("A", "B"), VolumeRecord) is None


# --- the library with set answers ---


class Said:
    """A message as the library gives it."""

    def __init__(self, severity: int, msgid: int, generic: int) -> None:
        self.severity, self.msgid, self.generic = severity, msgid, generic

    def __str__(self) -> str:
        return f"message {self.msgid}"


class Script:
    """The part of P4.P4 that a connection uses, with answers that are set: what it gives, and its messages."""

    def __init__(self, answers: dict[str, tuple[Sequence[object], Sequence[Said]]]) -> None:
        self.answers = answers
        self.ran: list[tuple[object, ...]] = []
        self.messages: Sequence[Said] = ()
        self.input: object = None
        self.client = self.password = ""
        self.exception_level = P4.P4.RAISE_ALL
        self.open = False

    def set_tunable(self, name: str, value: str) -> None:
        self.ran.append(("tunable", name, value))

    def connect(self) -> None:
        self.open = True

    def connected(self) -> bool:
        return self.open

    def disconnect(self) -> None:
        self.open = False

    def run(self, command: str, *args: str) -> list[object]:
        if not self.open:
            self.messages = ()
            raise P4.P4Exception("not connected")
        assert self.exception_level == P4.P4.RAISE_ERRORS
        self.ran.append((command, *args, self.client, self.input))
        given, self.messages = self.answers.get(command, ((), ()))
        self.input = None
        if any(message.severity >= P4.P4.E_FAILED for message in self.messages):
            raise P4.P4Exception("errors")
        return list(given)


def connected(script: Script, password: Secret | None = None) -> P4Connection:
    library: Any = types.SimpleNamespace(P4=lambda: script, P4Exception=P4.P4Exception)
    return P4Connection(port="1666", user="gateway", password=password, charset="", timeout_s=12.6, library=library)


def test_records_come_out_and_everything_else_is_dropped() -> None:
    script = Script({"streams": (["info", {"Stream": "//a/b"}, b"bytes"], [Said(1, 6642, 0), Said(2, 6652, 17)])})
    connection = connected(script)
    assert connection.run("streams", "-m", "1") == [{"Stream": "//a/b"}]
    assert script.ran == [("tunable", "net.maxwait", "13"), ("streams", "-m", "1", "gateway-none", None)]


def test_forms_go_in_with_the_workspace() -> None:
    script = Script({})
    connected(script).run("submit", "-d", "x", form={"a": "b"}, workspace="desk")
    assert script.ran[-1] == ("submit", "-d", "x", "desk", {"a": "b"})


def test_the_worst_message_is_what_it_was_refused_for() -> None:
    script = Script({"stream": ([], [Said(2, 6508, 17), Said(3, 6725, 5), Said(1, 1, 0)])})
    with pytest.raises(Refused) as caught:
        connected(script).run("stream", "-d", "//a/b")
    assert caught.value.meaning is Meaning.WORKSPACES


def test_the_password_is_traded_for_a_ticket() -> None:
    script = Script({"login": (["ABCDEF"], [])})
    connection = connected(script, Secret(SECRET))
    assert script.ran[-1] == ("login", "-p", "", SECRET)
    assert script.password == "ABCDEF"
    assert SECRET not in repr(connection.__dict__)


def test_a_wrong_password_ends_the_connection() -> None:
    script = Script({"login": ([], [Said(3, 7189, 0x24)])})
    with pytest.raises(Refused) as caught:
        connected(script, Secret(SECRET))
    assert caught.value.meaning is Meaning.LOGIN
    assert SECRET not in str(caught.value)
    assert not script.open


def test_a_broken_connection_is_not_used_again() -> None:
    scripts = [Script({"info": ([{"n": "1"}], [])}), Script({"info": ([{"n": "2"}], [])})]
    made = iter(scripts)
    connections = Connections(lambda: connected(next(made)))
    assert connections.read("info") == [{"n": "1"}]
    scripts[0].open = False
    assert connections.read("info") == [{"n": "2"}]
    scripts[1].open = False
    with pytest.raises(Refused):
        connections.change("info")
    connections.close()
    assert not any(script.open for script in scripts)
