"""Our definitions against the facts of SDK 0.101.39, and what the door is told about its calls."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest
from google.protobuf import descriptor_pb2
from google.protobuf.message_factory import GetMessageClass
from openstorage_descriptors import (
    FILES,
    PACKAGE,
    enum_facts,
    every_enum,
    every_message,
    message_facts,
    relative,
)

from gateway.frontends.openstorage.schema import SDK_VERSION, load_schema

FACTS = json.loads(Path(__file__).with_name("descriptors.json").read_text())
MESSAGES = {relative(described.full_name): described for described in every_message()}
ENUMS = {relative(described.full_name): described for described in every_enum()}
SCHEMA = load_schema()
CALLS = [method for service in SCHEMA.values() for method in service.methods.values()]
each_call = pytest.mark.parametrize("method", CALLS, ids=lambda method: method.path.rpartition(".")[2])


def test_nothing_is_missing_and_nothing_is_added():
    assert set(MESSAGES) == set(FACTS["messages"])
    assert set(ENUMS) == set(FACTS["enums"])
    assert set(SCHEMA) == set(FACTS["services"])


def test_every_file_is_of_the_package():
    assert {file.package for file in FILES} == {FACTS["package"]} == {PACKAGE}
    for file in FILES:
        written = descriptor_pb2.FileDescriptorProto()
        file.CopyToProto(written)
        assert written.syntax == FACTS["syntax"]


@pytest.mark.parametrize("name", FACTS["messages"])
def test_a_message_has_the_fields_of_the_facts(name):
    assert message_facts(MESSAGES[name]) == FACTS["messages"][name]


@pytest.mark.parametrize("name", FACTS["enums"])
def test_an_enum_has_the_values_of_the_facts(name):
    assert enum_facts(ENUMS[name]) == FACTS["enums"][name]


@pytest.mark.parametrize("name", FACTS["services"])
def test_a_service_has_the_methods_of_the_facts(name):
    service = SCHEMA[name]
    assert service.full_name == f"{PACKAGE}.{name}"
    assert {
        method.name: {
            "in": relative(method.request.DESCRIPTOR.full_name),
            "out": relative(method.response.DESCRIPTOR.full_name),
            "client_streaming": False,
            "server_streaming": method.streams,
            "http": {
                "method": method.http.verb,
                "path": method.http.path,
                "body": "*" if method.http.whole_body else None,
            },
        }
        for method in service.methods.values()
    } == FACTS["services"][name]


def test_the_revision_is_the_one_of_the_facts():
    assert ".".join(map(str, SDK_VERSION)) == FACTS["sdk_version"]


@each_call
def test_a_call_has_the_path_that_grpc_sends_and_classes_that_go_with_it(method):
    assert re.fullmatch(r"/openstorage\.api\.OpenStorage\w+/\w+", method.path)
    assert method.path.endswith(f"/{method.name}")
    assert method.request is GetMessageClass(MESSAGES[relative(method.request.DESCRIPTOR.full_name)])
    assert method.response.FromString(method.response().SerializeToString()) == method.response()


@each_call
def test_what_a_path_holds_are_texts_of_the_request(method):
    fields = method.request.DESCRIPTOR.fields_by_name
    assert all(fields[name].type == fields[name].TYPE_STRING for name in method.http.path_fields)
    assert "{" not in re.sub(r"/\{\w+\}(?=/|$)", "", method.http.path)
    assert method.http.path.count("{") == len(method.http.path_fields)


@each_call
def test_reading_and_deleting_has_no_body(method):
    assert not (method.http.whole_body and method.http.verb in {"GET", "DELETE"})


def test_no_two_calls_share_a_verb_and_a_path():
    assert len({(method.http.verb, re.sub(r"\{\w+\}", "{}", method.http.path)) for method in CALLS}) == len(CALLS)


def test_one_call_streams():
    assert [method.path for method in CALLS if method.streams] == [
        "/openstorage.api.OpenStorageAlerts/EnumerateWithFilters"
    ]


def test_rules_of_roles_have_short_names():
    mount_attach = SCHEMA["OpenStorageMountAttach"]
    assert mount_attach.rule_name == "mountattach"
    assert SCHEMA["OpenStoragePolicy"].rule_name == "policy"
    assert SCHEMA["OpenStorageVolume"].methods["EnumerateWithFilters"].rule_name == "enumeratewithfilters"
    assert len({service.rule_name for service in SCHEMA.values()}) == len(SCHEMA)


def test_classes_say_where_they_are():
    method = SCHEMA["OpenStorageVolume"].methods["Create"]
    assert method.request.__module__ == "gateway.frontends.openstorage.pb.volume_pb2"
