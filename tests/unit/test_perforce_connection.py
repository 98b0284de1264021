"""Connections by Perforce's own library: to nothing, and to the stand-in on a port."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from uuid import uuid4

import P4
import pytest

from gateway.backends.perforce import PerforceBackend, PerforceOptions
from gateway.backends.perforce.connection import Connect, Connections, P4Connection
from gateway.backends.perforce.failures import MESSAGES, Meaning, Refused
from gateway.backends.perforce.records import VolumeRecord, decode, encode
from gateway.core.backend import Note
from gateway.core.errors import Unavailable
from gateway.core.secret import Secret
from gateway.testing.perforce import DEPOT, USER, Message, StandIn, on_wire

SECRET = "not for the log"


def closed_port() -> str:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return f"127.0.0.1:{probe.getsockname()[1]}"


# --- the library alone ---


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


# --- the real library, and the stand-in on a port ---


@contextmanager
def wired(*, password: str = SECRET) -> Iterator[tuple[StandIn, Connect]]:
    """Have a stand-in on a port, and what connects to it, for a block."""
    server = StandIn()
    server.password = SECRET
    with on_wire(server) as port:
        yield server, partial(P4Connection, port=port, user=USER, password=Secret(password), charset="", timeout_s=10)


def test_records_come_out_and_what_is_said_beside_them_is_dropped() -> None:
    with wired() as (server, connect):
        connection = connect()
        assert connection.run("depots")[1] == {"name": DEPOT, "type": "stream", "map": f"{DEPOT}/..."}
        assert connection.run("streams", "//nowhere/*") == []
        server.state.forms["stream"]["//x/y"] = {"Description": "two\nlines\n", "Paths": ["share ...", "exclude z"]}
        assert connection.run("stream", "-o", "//x/y")[0]["Paths"] == ["share ...", "exclude z"]
        connection.close()
        connection.close()


def test_forms_go_in_with_the_workspace() -> None:
    with wired() as (server, connect):
        connection = connect()
        form = {"Label": "x", "Owner": USER, "Description": "a: b\n#c", "View": ["//a/...", "//b/..."]}
        connection.run("label", "-i", form=form, workspace="desk")
        assert server.commands[-1] == ("label", "-i")
        saved = server.state.forms["label"]["x"]
        assert (saved["Description"], saved["View"]) == ("a: b\n#c\n", ["//a/...", "//b/..."])
        connection.close()


@pytest.mark.parametrize(
    ("command", "meaning"),
    [
        (("stream", "-d", "//no/such"), Meaning.MISSING),
        (("opened",), Meaning.SETUP),
        (("streams", "-Z"), Meaning.DEFECT),
        (("nonsense",), Meaning.DEFECT),
    ],
)
def test_refusals_are_told_apart(command: tuple[str, ...], meaning: Meaning) -> None:
    with wired() as (_, connect):
        connection = connect()
        with pytest.raises(Refused) as caught:
            connection.run(*command)
        assert caught.value.meaning is meaning
        assert connection.run("info")
        connection.close()


def test_numbers_of_messages_are_the_library_s() -> None:
    """What is computed of subsystem and code is what the library gives for the code that a server sends."""
    with wired() as (server, connect):
        connection = connect()
        for number in MESSAGES:
            server.state.odd["info"] = Message(number >> 10, number & 1023, 0x21, "refused")
            with pytest.raises(Refused) as caught:
                connection.run("info")
            assert caught.value.meaning is MESSAGES[number]
        connection.close()


def test_a_wrong_password_is_refused_and_not_told() -> None:
    with wired(password="wrong and secret") as (_, connect):
        with pytest.raises(Refused) as caught:
            connect()
        assert caught.value.meaning is Meaning.LOGIN
        assert "wrong and secret" not in str(caught.value)


def test_a_broken_connection_is_not_used_again() -> None:
    with wired() as (server, connect):
        connections = Connections(connect)
        assert connections.read("info")
        server.log_out()
        assert connections.read("info")
        server.stop()
        for run in (connections.read, connections.change):
            with pytest.raises(Refused) as caught:
                run("info")
            assert caught.value.meaning is Meaning.GONE
        server.start()
        assert connections.change("info")
        connections.close()
