"""Bodies of requests, and the options in them."""

from __future__ import annotations

import json
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.core.secret import Secret
from gateway.frontends.libstorage.bodies import (
    SnapshotCopyRequest,
    VolumeAttachRequest,
    VolumeCopyRequest,
    VolumeCreateRequest,
    VolumeDetachRequest,
    VolumeSnapshotRequest,
    merge_opts,
    read_body,
)
from gateway.frontends.libstorage.errors import LsError
from gateway.frontends.libstorage.opts import opts_fields, opts_text, overlay
from gateway.frontends.libstorage.query import parse_query

PREFIX = "validate req schema: validation error: "

SCHEMAS: dict[type[msgspec.Struct], tuple[tuple[str, ...], dict[str, Any]]] = {
    VolumeCreateRequest: (
        ("name",),
        {
            "name": "v",
            "availabilityZone": "US",
            "encrypted": True,
            "encryptionKey": "k",
            "iops": 1000,
            "size": 10240,
            "type": "gold",
            "opts": {"priority": 2},
        },
    ),
    VolumeCopyRequest: (("volumeName",), {"volumeName": "c", "opts": {}}),
    VolumeSnapshotRequest: (("snapshotName",), {"snapshotName": "s", "opts": {}}),
    VolumeAttachRequest: ((), {"nextDeviceName": "/dev/xvda", "force": True, "opts": {}}),
    VolumeDetachRequest: ((), {"force": True, "opts": {}}),
    SnapshotCopyRequest: (("snapshotName", "destinationID"), {"snapshotName": "s", "destinationID": "", "opts": {}}),
}
"""Body -> the members that it must have, and one with all of them."""

WRONG: dict[type, list[Any]] = {
    str: [None, 1, True, [], {}],
    bool: [None, 1, "true", []],
    int: [None, "1", True],
    dict: [None, [], "x", 1],
}


def read(body: Any, kind: type[Any], *, query: str = "", opts_count: bool = False) -> Any:
    text = body if isinstance(body, bytes) else json.dumps(body).encode()
    return read_body(text, kind, query=parse_query(query), opts_count=opts_count)


def refusal(body: Any, kind: type[Any], *, opts_count: bool = False) -> str:
    with pytest.raises(LsError) as caught:
        read(body, kind, opts_count=opts_count)
    assert caught.value.status == 500
    assert caught.value.message.startswith(PREFIX)
    assert caught.value.body().error == caught.value.message
    return caught.value.message.removeprefix(PREFIX)


@pytest.mark.parametrize("kind", list(SCHEMAS))
def test_a_whole_body_is_read(kind: type[Any]) -> None:
    whole = SCHEMAS[kind][1]
    found = read(whole, kind)
    for field in msgspec.structs.fields(kind):
        value = getattr(found, field.name)
        assert (value.reveal() if isinstance(value, Secret) else value) == whole[field.encode_name]


@pytest.mark.parametrize("kind", list(SCHEMAS))
def test_what_is_required_must_be_there(kind: type[msgspec.Struct]) -> None:
    required, whole = SCHEMAS[kind]
    for name in required:
        rest = {key: value for key, value in whole.items() if key != name}
        assert refusal(rest, kind) == f'"#" must have property "{name}"'
    assert read({name: whole[name] for name in required}, kind)


@pytest.mark.parametrize("kind", list(SCHEMAS))
def test_what_is_not_known_is_refused(kind: type[msgspec.Struct]) -> None:
    whole = SCHEMAS[kind][1]
    assert refusal({**whole, "more": 1}, kind) == '"#/more": is not a known property'
    first = next(iter(whole))
    assert first.upper() in refusal({**whole, first.upper(): 1}, kind)


@pytest.mark.parametrize("kind", list(SCHEMAS))
def test_what_is_of_another_type_is_refused(kind: type[msgspec.Struct]) -> None:
    whole = SCHEMAS[kind][1]
    for name, right in whole.items():
        for wrong in WRONG[type(right)]:
            assert refusal({**whole, name: wrong}, kind).startswith(f'"#/{name}": must be of type ')


@pytest.mark.parametrize("body", [b"[]", b"null", b'"x"', b"1"])
def test_what_is_no_object_is_refused(body: bytes) -> None:
    assert refusal(body, VolumeDetachRequest) == '"#": must be of type "object"'


@pytest.mark.parametrize(
    "body", [b"{", b"{} {}", b"nul", b'{"force":tru}', b"\xff", b'{"a":"\xff"}', b"[" * 100_000, b"\0"]
)
def test_what_is_no_json_is_refused(body: bytes) -> None:
    assert refusal(body, VolumeDetachRequest) == '"#": must be JSON'


@pytest.mark.parametrize("body", [b"", b" \r\n", b"{}"])
def test_no_body_is_an_empty_object(body: bytes) -> None:
    assert read(body, VolumeDetachRequest) == VolumeDetachRequest()
    assert refusal(body, VolumeCreateRequest) == '"#" must have property "name"'


@pytest.mark.parametrize("size", [5.5, 2**63, -(2**63) - 1, 1e300])
def test_sizes_are_whole_numbers(size: float) -> None:
    assert refusal({"name": "v", "size": size}, VolumeCreateRequest) == '"#/size": must be a whole number of 64 bits'


def test_what_rexray_sends_for_nothing_is_nothing() -> None:
    sent = b'{"name":"v","availabilityZone":"","iops":0,"size":0,"type":"","encrypted":false}'
    assert read(sent, VolumeCreateRequest) == VolumeCreateRequest(name="v")


def test_what_docker_creates_is_read() -> None:
    sent = b'{"name":"dv1","availabilityZone":"","iops":0,"size":5,"type":"gold","opts":{"size":"5","type":"gold"}}'
    opts = {"size": "5", "type": "gold"}
    assert read(sent, VolumeCreateRequest) == VolumeCreateRequest(name="dv1", size=5, type="gold", opts=opts)


def test_keys_are_not_shown() -> None:
    found = read({"name": "v", "encryptionKey": "hidden"}, VolumeCreateRequest)
    assert "hidden" not in repr(found)
    opted = read({"name": "v", "opts": {"encryptionKey": "hidden"}}, VolumeCreateRequest, opts_count=True)
    assert opted.encryption_key.reveal() == "hidden"


def test_options_are_of_any_kind_but_not_of_any_depth() -> None:
    opts: dict[str, Any] = {"a": [1, True, None, "x", {"b": [{}]}], "n": None, "d": {"e": {"f": 1.5}}}
    assert read({"opts": opts}, VolumeDetachRequest).opts == opts
    deep: Any = []
    for _ in range(40):
        deep = [deep]
    assert refusal({"opts": {"a": deep}}, VolumeDetachRequest) == '"#/opts": is nested too deeply'


def test_options_do_not_override_unless_that_is_wanted() -> None:
    sent = {"name": "v", "size": 1, "opts": {"encrypted": True, "size": "5"}}
    assert not read(sent, VolumeCreateRequest).encrypted
    found = read(sent, VolumeCreateRequest, opts_count=True)
    assert (found.encrypted, found.size, found.opts) == (True, 5, sent["opts"])


@pytest.mark.parametrize(
    ("opts", "changed"),
    [
        ({"Encrypted": "t"}, {"encrypted": True}),
        ({"encrypted": 0}, {"encrypted": False}),
        ({"encrypted": ""}, {"encrypted": False}),
        ({"SIZE": 7.0}, {"size": 7}),
        ({"size": None}, {"size": 0}),
        ({"name": 5}, {"name": "5"}),
        ({"AVAILABILITYZONE": [1, "a"]}, {"availability_zone": "[1 a]"}),
        ({"opts": "x", "other": 1}, {}),
    ],
)
def test_what_an_option_overrides(opts: dict[str, Any], changed: dict[str, Any]) -> None:
    request = VolumeCreateRequest(name="v", size=1, encrypted=True, opts=opts)
    assert merge_opts(request) == msgspec.structs.replace(request, **changed)


@pytest.mark.parametrize(
    ("opts", "text"),
    [
        ({"size": "5GB"}, '"#/opts/size": must be of type "number"'),
        ({"size": 5.5}, '"#/opts/size": must be of type "number"'),
        ({"size": True}, '"#/opts/size": must be of type "number"'),
        ({"size": "9" * 19}, '"#/opts/size": must be of type "number"'),
        ({"encrypted": "maybe"}, '"#/opts/encrypted": must be of type "boolean"'),
        ({"encrypted": [True]}, '"#/opts/encrypted": must be of type "boolean"'),
    ],
)
def test_options_that_cannot_override(opts: dict[str, Any], text: str) -> None:
    assert refusal({"name": "v", "opts": opts}, VolumeCreateRequest, opts_count=True) == text


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (2, "2"),
        (1048576, "1048576"),
        (2.5, "2.5"),
        (2.0, "2"),
        (1e-05, "1e-05"),
        (1e21, "1e+21"),
        (True, "true"),
        (False, "false"),
        (None, "<nil>"),
        ("x y", "x y"),
        ("", ""),
        ([1, "2"], "[1 2]"),
        ([1, "a", None, [2.5, True]], "[1 a <nil> [2.5 true]]"),
        ([], "[]"),
        ({"a": 1}, "map[a:1]"),
        ({"b": 2, "a": {"c": [1]}}, "map[a:map[c:[1]] b:2]"),
        ({}, "map[]"),
    ],
)
def test_an_option_as_a_text(value: Any, text: str) -> None:
    assert opts_text(value) == text


def test_options_become_fields() -> None:
    assert opts_fields({"Priority": 2, "owner": "root@example.com"}) == {"priority": "2", "owner": "root@example.com"}
    assert overlay({"a": "1", "b": "2"}, {"B": 3}) == {"a": "1", "b": "3"}


@pytest.mark.parametrize(
    ("query", "body", "forced"),
    [
        ("attach&force", {}, True),
        ("attach&FORCE=1", {}, True),
        ("attach&force=false", {}, False),
        ("attach&force=no", {}, False),
        ("attach&force", {"force": False}, False),
        ("attach", {"force": True}, True),
    ],
)
def test_a_parameter_counts_where_the_body_says_nothing(query: str, body: Any, *, forced: bool) -> None:
    assert read(body, VolumeAttachRequest, query=query).force is forced


def test_parameters_are_no_more_than_the_members_that_may_be_left_out() -> None:
    found = read({"name": "v", "type": "gold"}, VolumeCreateRequest, query="size=3&type=tin&name=w&opts=x&iops=")
    assert (found.name, found.size, found.type, found.opts) == ("v", 3, "gold", {})
    with pytest.raises(LsError, match="must have property"):
        read({}, VolumeCreateRequest, query="name=v")
    with pytest.raises(LsError, match=r'"\?size": must be of type "number"'):
        read({"name": "v"}, VolumeCreateRequest, query="size=much")


def test_a_key_among_the_options_is_kept_nowhere() -> None:
    assert opts_fields({"encryptionKey": "hidden", "ENCRYPTIONKEY": "hidden", "a": 1}) == {"a": "1"}
    assert overlay({"a": "1"}, {"encryptionkey": "hidden"}) == {"a": "1"}


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
)


@given(JSON, st.sampled_from(list(SCHEMAS)), st.booleans())
def test_every_body_is_read_or_refused(value: Any, kind: type[msgspec.Struct], opts_count: bool) -> None:
    for body in (value, {"name": "v", "opts": value}, {"opts": value}):
        try:
            found = read(body, kind, opts_count=opts_count)
        except LsError as refused:
            assert refused.message.startswith(PREFIX)  # noqa: PT017 - some are read
        else:
            assert isinstance(found, kind)


@given(st.binary())
def test_no_bytes_break_the_reading(body: bytes) -> None:
    try:
        read(body, VolumeDetachRequest)
    except LsError as refused:
        assert refused.status == 500  # noqa: PT017 - some are read
