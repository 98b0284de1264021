"""From paths, queries and bodies to the messages of calls."""

from __future__ import annotations

import json
import math
from typing import Any

import pytest
from google.protobuf.message import Message
from openstorage_samples import filled
from rest_scene import METHODS, method, refused

from gateway.frontends.openstorage.pb import (
    alerts_pb2,
    credentials_pb2,
    node_pb2,
    ownership_pb2,
    pool_pb2,
    role_pb2,
    schedule_policy_pb2,
    volume_pb2,
    volume_spec_pb2,
)
from gateway.frontends.openstorage.rest.decode import decode, fill, query
from gateway.frontends.openstorage.rest.encode import pieces
from gateway.frontends.openstorage.schema import Method


def read(message: Message, body: Any) -> Any:
    fill(message, body if isinstance(body, bytes) else json.dumps(body).encode())
    return message


def asked(message: Message, raw_query: str) -> Any:
    query(message, raw_query)
    return message


def spec(body: Any) -> volume_spec_pb2.VolumeSpec:
    return read(volume_spec_pb2.VolumeSpec(), body)


@pytest.mark.parametrize("method", METHODS, ids=lambda each: each.path)
def test_every_request_is_read_as_it_is_written(method: Method) -> None:
    for turn in range(3):
        request = filled(method.request.DESCRIPTOR, turn=turn)
        assert read(method.request(), b"".join(pieces(request))) == request


def test_names_are_taken_in_both_spellings_and_others_are_ignored() -> None:
    body = {"haLevel": "2", "io_profile": "IO_PROFILE_DB", "nothing": {"x": [1]}, "@type": 1, "": None}
    assert spec(body) == volume_spec_pb2.VolumeSpec(ha_level=2, io_profile="IO_PROFILE_DB")


@pytest.mark.parametrize("given", [1073741824, "1073741824", 1073741824.0, "+1073741824"])
def test_numbers_are_taken_as_text_too(given: Any) -> None:
    assert spec({"size": given}).size == 1 << 30


@pytest.mark.parametrize("given", ["FS_TYPE_EXT4", 2])
def test_enums_are_taken_by_name_or_number(given: Any) -> None:
    assert spec({"format": given}).format == volume_spec_pb2.FS_TYPE_EXT4


def test_a_number_that_an_enum_does_not_have_is_for_the_call_to_refuse() -> None:
    assert spec({"format": 4711}).format == 4711
    with refused("format: is not within"):
        spec({"format": 1 << 31})


@pytest.mark.parametrize(
    ("body", "text"),
    [
        ({"size": -1}, "size: is not within 0 and 18446744073709551615"),
        ({"size": 1 << 64}, "size: is not within"),
        ({"size": 10**30}, "size: is not within"),
        ({"size": 0.5}, "size: is no whole number"),
        ({"size": "0x10"}, "size: is no whole number"),
        ({"size": "1" * 21}, "size: is no whole number"),
        ({"size": "١"}, "size: is no whole number"),  # noqa: RUF001 - a digit, but none of JSON
        ({"size": ""}, "size: is no whole number"),
        ({"size": True}, "size: is no whole number"),
        ({"size": []}, "size: is no whole number"),
        ({"ha_level": 1 << 63}, "ha_level: is not within"),
        ({"encrypted": "true"}, "encrypted: is neither true nor false"),
        ({"encrypted": 1}, "encrypted: is neither true nor false"),
        ({"format": "FS_TYPE_EXT5"}, "format: is no FSType"),
        ({"format": "2"}, "format: is no FSType"),
        ({"format": True}, "format: is no whole number"),
        ({"format": {}}, "format: is no whole number"),
        ({"passphrase": 5}, "passphrase: is no text"),
        ({"volume_labels": []}, "volume_labels: is no object"),
        ({"volume_labels": {"a": 1}}, "volume_labels: is no text"),
        ({"volume_labels": {"a": None}}, "volume_labels: is no text"),
        ({"replica_set": []}, "replica_set: is no object"),
        ({"replica_set": {"nodes": "n1"}}, "replica_set.nodes: is no list"),
        ({"replica_set": {"nodes": ["n1", None]}}, "replica_set.nodes: is no text"),
        ({"ownership": {"acls": {"groups": {"a": "Everything"}}}}, "ownership.acls.groups: is no AccessType"),
        ({"haLevel": 1, "ha_level": 1}, "ha_level: is given in two ways"),
    ],
)
def test_what_a_field_cannot_have_is_refused_by_its_name(body: Any, text: str) -> None:
    with refused(text):
        spec(body)


@pytest.mark.parametrize(
    ("body", "text"),
    [
        (b"{", "no valid JSON"),
        (b"{} {}", "no valid JSON"),
        (b'{"size":NaN}', "no valid JSON"),
        (b'{"size":1e999}', "no valid JSON"),
        (b'{"size":' + b"9" * 5000 + b"}", "no valid JSON"),
        (b'{"passphrase":"\\ud800"}', "no valid JSON"),
        (b'{"passphrase":"\xff"}', "no UTF-8"),
        (b"\x1f\x8b\x08\x00", "no valid JSON"),
        (b"name=v1&size=5", "no valid JSON"),
        (b"[" * 100_000, "nested too deeply"),
        (b'{"a":' * 100_000, "nested too deeply"),
        (b"[]", "the body: is no object"),
        (b'"x"', "the body: is no object"),
        (b"0", "the body: is no object"),
        (b"false", "the body: is no object"),
    ],
)
def test_a_body_that_is_no_json_object_is_refused(body: bytes, text: str) -> None:
    with refused(text):
        spec(body)


def test_messages_in_messages_end_somewhere() -> None:
    body: dict[str, Any] = {}
    for _ in range(200):
        body = {"children": [body]}
    with refused("is nested too deeply"):
        read(volume_pb2.Catalog(), body)


@pytest.mark.parametrize("body", [b"", b" \r\n", b"null", b"{}", b'{"size":null,"replica_set":null,"format":null}'])
def test_nothing_is_an_empty_message(body: bytes) -> None:
    assert spec(body) == volume_spec_pb2.VolumeSpec()


def test_an_empty_object_is_there() -> None:
    assert spec({"replica_set": {}}).HasField("replica_set")


def test_of_a_member_that_comes_twice_the_last_counts() -> None:
    assert spec(b'{"ha_level":1,"ha_level":2}').ha_level == 2


def test_two_members_of_a_oneof_are_refused() -> None:
    both = {"daily": {"hour": 1}, "weekly": {"hour": 2}}
    with refused("weekly: is given in two ways"):
        read(schedule_policy_pb2.SdkSchedulePolicyInterval(), both)
    zero = read(volume_pb2.SdkVolumeUpdateRequest(), {"spec": {"size": "0"}})
    assert zero.spec.WhichOneof("size_opt") == "size"


def test_times() -> None:
    held = read(volume_pb2.Volume(), {"ctime": "2024-05-06T07:08:09.25+02:00"})
    assert (held.ctime.seconds, held.ctime.nanos) == (1714972089, 250_000_000)
    for wrong in ("", "yesterday", 5, {}, {"seconds": 1}, "2024-13-01T00:00:00Z", "0000-01-01T00:00:00Z"):
        with refused("ctime: is no RFC 3339 time"):
            read(volume_pb2.Volume(), {"ctime": wrong})


def test_numbers_with_a_point() -> None:
    def held(value: Any) -> float:
        return float(read(pool_pb2.StorageResource(), {"seq_read": value}).seq_read)

    assert held("1.5e2") == held(150) == 150
    assert held("-Infinity") == -math.inf
    assert math.isnan(held("NaN"))
    for wrong in ("", "1e", "nan", "0x1", "1_0", True, [], 10**400):
        with refused():
            held(wrong)


def test_what_a_query_can_have() -> None:
    inspect = asked(volume_pb2.SdkVolumeInspectRequest(), "options.deep=true&volumeId=v%201&other=1&other.deep=2")
    assert inspect == volume_pb2.SdkVolumeInspectRequest(
        volume_id="v 1", options=volume_pb2.VolumeInspectOptions(deep=True)
    )
    asked_for = asked(alerts_pb2.SdkAlertsTimeSpan(), "start_time=2024-01-01T00:00:00Z&endTime=2024-01-02T00:00:00Z")
    assert asked_for.end_time.seconds - asked_for.start_time.seconds == 86400
    labelled = asked(volume_pb2.VolumeLocator(), "volume_labels[a.b]=c%5Bd%5D&volumeLabels[e]=&name=first&name=second")
    assert dict(labelled.volume_labels) == {"a.b": "c[d]", "e": ""}
    assert labelled.name == "first"
    rules = asked(role_pb2.SdkRule(), "services=volume&services=mount*&apis=")
    assert (list(rules.services), list(rules.apis)) == (["volume", "mount*"], [""])
    assert asked(ownership_pb2.Ownership(), "acls.groups[g]=Write&acls.groups[h]=2").acls.groups == {"g": 1, "h": 2}


@pytest.mark.parametrize("text", ["1", "t", "T", "true", "TRUE", "True"])
def test_booleans_of_a_query(text: str) -> None:
    assert asked(volume_pb2.SdkVolumeStatsRequest(), f"not_cumulative={text}").not_cumulative


@pytest.mark.parametrize(
    ("message", "raw_query", "text"),
    [
        (volume_pb2.SdkVolumeStatsRequest, "not_cumulative=yes", "not_cumulative: is neither true nor false"),
        (volume_pb2.SdkVolumeStatsRequest, "not_cumulative", "not_cumulative: is neither true nor false"),
        (volume_pb2.SdkVolumeInspectRequest, "options=x", "options: is an object"),
        (volume_pb2.SdkVolumeInspectRequest, "volume_id.x=1", "volume_id has no members"),
        (volume_pb2.SdkVolumeInspectRequest, "options.deep.x=1", "deep has no members"),
        (volume_pb2.SdkVolumeInspectRequest, "volume_id[a]=b", "volume_id: has no keys"),
        (volume_pb2.SdkVolumeInspectRequest, "volume_id=%zz", "invalid escape"),
        (volume_pb2.SdkVolumeInspectRequest, "volume_id=%ff", "no UTF-8"),
        (volume_pb2.VolumeLocator, "volume_labels=x", "volume_labels: takes no single value"),
        (volume_pb2.VolumeLocator, "volume_labels[a]=1&volume_labels[a]=2", "several values for a key"),
        (volume_spec_pb2.VolumeSpec, "size=", "size: is no whole number"),
        (volume_spec_pb2.VolumeSpec, "size=-1", "size: is not within"),
        (volume_spec_pb2.VolumeSpec, "format=FS_TYPE_EXT5", "format: is no FSType"),
        (volume_spec_pb2.VolumeSpec, "format=4711", "format: is no FSType"),
        (volume_pb2.Catalog, "children=x", "children: takes no single value"),
        (volume_pb2.Catalog, "children.name=x", "children has no members"),
        (volume_pb2.Volume, "ctime=now", "ctime: is no RFC 3339 time"),
        (volume_pb2.Volume, "ctime.seconds=1", "ctime has no members"),
        (volume_pb2.Volume, "attach_info=1", "takes no single value"),
        (node_pb2.SdkNodeEnumerateWithFiltersResponse, "nodes[a]=1", "nodes: has no keys"),
    ],
)
def test_what_a_query_cannot_have(message: type[Message], raw_query: str, text: str) -> None:
    with refused(text):
        asked(message(), raw_query)


def test_the_path_goes_above_everything() -> None:
    body = b'{"volume_id":"other","labels":{"a":"b"}}'
    update = decode(method("Volume/Update"), ("v1",), raw_query="labels[c]=d&volume_id=third", body=body)
    assert update == volume_pb2.SdkVolumeUpdateRequest(volume_id="v1", labels={"a": "b"})
    inspect = decode(method("Volume/Inspect"), ("",), raw_query="volume_id=x&volume_id.y=1", body=b"{broken")
    assert inspect == volume_pb2.SdkVolumeInspectRequest()


def test_a_credential_of_one_kind_is_read() -> None:
    body = {"name": "c", "aws_credential": {"access_key": "k", "disable_ssl": True}, "proxy": "p"}
    made = read(credentials_pb2.SdkCredentialCreateRequest(), body)
    assert made.WhichOneof("credential_type") == "aws_credential"
    with refused("is given in two ways"):
        read(credentials_pb2.SdkCredentialCreateRequest(), {**body, "google_credential": {}})
