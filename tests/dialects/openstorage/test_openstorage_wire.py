"""Our messages and calls are those of the official Python client, byte for byte and field by field."""

from __future__ import annotations

import json
import subprocess
from pathlib import Path
from typing import Any

import pytest
from google.protobuf.message import Message
from google.protobuf.message_factory import GetMessageClass
from openstorage_descriptors import FILES
from openstorage_samples import as_bytes, as_dict, message_types, samples

from gateway.frontends.openstorage.schema import load_schema

PEER = Path(__file__).with_name("openstorage_peer.py")
TYPES = {
    described.full_name: described for file in FILES for described in message_types(file.message_types_by_name.values())
}
OURS = [(name, message) for name, described in TYPES.items() for message in samples(described)]


def told(name: str, message: Message) -> list[Any]:
    """Give a message as the peer writes it down."""
    return [name, as_bytes(message).hex(), as_dict(message)]


@pytest.fixture(scope="module")
def peer(openstorage_python):
    """Give what the client made of our messages, and its own ones: one process for all."""
    done = subprocess.run(
        [openstorage_python, "-W", "error", PEER],
        input=json.dumps([[name, as_bytes(message).hex()] for name, message in OURS]),
        env={},
        check=True,
        stdout=subprocess.PIPE,
        text=True,
    )
    return json.loads(done.stdout)


def test_the_client_has_the_same_types(peer):
    assert {name for name, _, _ in peer["written"]} == set(TYPES)


def test_what_we_write_the_client_reads_and_writes_again(peer):
    pairs = zip(OURS, peer["read"], strict=True)
    assert [name for (name, message), read in pairs if read != told(name, message)] == []


def test_what_the_client_writes_we_read_and_write_again(peer):
    read = [
        told(name, GetMessageClass(TYPES[name]).FromString(bytes.fromhex(sent))) for name, sent, _ in peer["written"]
    ]
    assert [mine[0] for mine, theirs in zip(read, peer["written"], strict=True) if mine != theirs] == []


def test_both_fill_a_message_alike(peer):
    ours = sorted((told(name, message) for name, message in OURS), key=str)
    pairs = zip(ours, sorted(peer["written"], key=str), strict=True)
    assert [mine[0] for mine, theirs in pairs if mine != theirs] == []


def test_every_sample_says_something():
    empty = {name for name, message in OURS if not as_bytes(message)}
    assert empty == {name for name, described in TYPES.items() if not described.fields}


def test_the_client_makes_the_same_calls(peer):
    ours = {
        method.path: [
            method.request.DESCRIPTOR.full_name,
            method.response.DESCRIPTOR.full_name,
            method.streams,
            [method.http.verb, method.http.path, "*" if method.http.whole_body else ""],
        ]
        for service in load_schema().values()
        for method in service.methods.values()
    }
    assert peer["services"] == ours
