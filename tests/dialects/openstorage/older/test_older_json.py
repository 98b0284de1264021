"""JSON as Go writes and reads it."""

from __future__ import annotations

import json
from typing import Any

import pytest
from google.protobuf.descriptor import Descriptor, FieldDescriptor
from google.protobuf.message import Message
from grpc import StatusCode
from hypothesis import given
from hypothesis import strategies as st

from gateway.frontends.openstorage.call import SdkError
from gateway.frontends.openstorage.older.decode import BadJson, decode, decode_texts
from gateway.frontends.openstorage.older.encode import CODE_NAMES, body, list_body, number, rpc_error
from gateway.frontends.openstorage.pb import alerts_pb2, job_pb2, schedule_policy_pb2, volume_pb2, volume_spec_pb2
from gateway.frontends.openstorage.pb import older_rest_pb2 as pb

REQUESTS = (pb.VolumeCreateRequest, pb.VolumeSetRequest, pb.SnapCreateRequest, pb.GroupSnapCreateRequest)
TEXTS = st.text(st.characters(codec="utf-8"), max_size=6) | st.sampled_from(
    ["<a&b>", "\u2028", "\0", "ü", "\U0001f600"]
)
F = FieldDescriptor
VALUES: dict[int, st.SearchStrategy[Any]] = {
    F.CPPTYPE_BOOL: st.booleans(),
    F.CPPTYPE_INT32: st.integers(-(2**31), 2**31 - 1),
    F.CPPTYPE_INT64: st.integers(-(2**63), 2**63 - 1),
    F.CPPTYPE_UINT32: st.integers(0, 2**32 - 1),
    F.CPPTYPE_UINT64: st.integers(0, 2**64 - 1),
    F.CPPTYPE_ENUM: st.integers(0, 99),
    F.CPPTYPE_STRING: TEXTS,
}


def fill(message: Message, draw: Any, depth: int = 0) -> Message:
    """Set some of the fields of a message."""
    known = list(message.DESCRIPTOR.fields)
    fields = draw(st.lists(st.sampled_from(known), unique_by=lambda field: field.name, max_size=4))
    for field in fields:
        kind: Descriptor | None = field.message_type
        if kind is not None and kind.GetOptions().map_entry:
            key, value = (kind.fields_by_name[name] for name in ("key", "value"))
            for _ in range(draw(st.integers(0, 3))):
                there = getattr(message, field.name)
                if value.message_type is None:
                    there[draw(VALUES[key.cpp_type])] = draw(VALUES[value.cpp_type])
                elif depth < 4:
                    fill(there[draw(VALUES[key.cpp_type])], draw, depth + 1)
        elif kind is None and field.is_repeated:
            getattr(message, field.name).extend(draw(st.lists(VALUES[field.cpp_type], max_size=3)))
        elif kind is None:
            setattr(message, field.name, draw(VALUES[field.cpp_type]))
        elif field.is_repeated:
            for _ in range(draw(st.integers(0, 2))):
                fill(getattr(message, field.name).add(), draw, depth + 1)
        else:
            getattr(message, field.name).SetInParent()
            fill(getattr(message, field.name), draw, depth + 1)
    return message


def refusal_of(text: bytes, kind: Any) -> str:
    """Give why a text is refused, empty when it is not."""
    try:
        decode(text, kind)
    except BadJson as error:
        return str(error)
    return ""


def renamed(value: Any, turn: Any, kind: Descriptor | None) -> Any:
    """Give JSON with the names of members, not the keys of maps, turned."""
    if isinstance(value, list):
        return [renamed(each, turn, kind) for each in value]
    if not isinstance(value, dict) or kind is None:
        return value
    if kind.GetOptions().map_entry:
        return {key: renamed(each, turn, kind.fields_by_name["value"].message_type) for key, each in value.items()}
    return {turn(key): renamed(each, turn, kind.fields_by_name[key].message_type) for key, each in value.items()}


@given(st.sampled_from(REQUESTS), st.data())
def test_what_is_written_is_read_as_it_was(kind: Any, data: Any) -> None:
    message = fill(kind(), data.draw)
    written = body(message)
    assert written.endswith(b"\n")
    assert not set(b"<>&") & set(written)
    assert decode(written, kind) == message


@given(st.sampled_from(REQUESTS), st.data(), st.sampled_from([str.upper, str.title, str.swapcase]))
def test_names_count_in_any_case(kind: Any, data: Any, turn: Any) -> None:
    message = fill(kind(), data.draw)
    turned = json.dumps(renamed(json.loads(body(message)), turn, kind.DESCRIPTOR)).encode()
    assert decode(turned, kind) == message


@given(st.sampled_from(REQUESTS), st.binary(max_size=60) | TEXTS.map(str.encode))
def test_no_bytes_do_more_than_be_refused(kind: Any, text: bytes) -> None:
    assert len(refusal_of(text, kind)) < 300


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | TEXTS,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from(["id", "spec", "Locator", "x"]), inner),
    max_leaves=8,
)


@given(st.sampled_from(REQUESTS), JSON)
def test_no_json_does_more_than_be_refused(kind: Any, value: Any) -> None:
    assert len(refusal_of(json.dumps(value).encode(), kind)) < 300


# --- writing ---


def test_a_message_of_zeros_is_empty_and_one_that_is_set_is_there() -> None:
    assert body(volume_pb2.Volume()) == b"{}\n"
    assert body(volume_pb2.Volume(source=volume_pb2.Source())) == b'{"source":{}}\n'


def test_enums_are_numbers_and_64_bits_are_numbers_and_times_are_objects() -> None:
    shown = volume_pb2.Volume(state=3, usage=2**64 - 1)
    shown.ctime.seconds = 5
    assert body(shown) == b'{"ctime":{"seconds":5},"usage":18446744073709551615,"state":3}\n'


def test_capitals_are_where_the_definitions_have_them() -> None:
    assert body(volume_pb2.Volume(fpConfig=volume_pb2.FastpathConfig(dirty=True))) == b'{"fpConfig":{"dirty":true}}\n'
    active = pb.ActiveRequest(ReqestKV={2: "b", 10: "a"})
    told = body(pb.ActiveRequests(RequestCount=1, ActiveRequest=[active]))
    assert told == b'{"RequestCount":1,"ActiveRequest":[{"ReqestKV":{"10":"a","2":"b"}}]}\n'
    assert body(pb.GroupSnapCreateRequest(Labels={"b": "", "a": "1"})) == b'{"Labels":{"a":"1","b":""}}\n'


def test_what_a_page_could_take_for_markup_is_escaped() -> None:
    told = body(pb.VolumeResponse(error="<a href='x'>&\u2028\u2029ü"))
    assert told == '{"error":"\\u003ca href=\'x\'\\u003e\\u0026\\u2028\\u2029ü"}\n'.encode()


def test_a_oneof_is_the_member_that_it_is_in_go() -> None:
    weekly = schedule_policy_pb2.SdkSchedulePolicyIntervalWeekly(day=schedule_policy_pb2.SdkTimeWeekdayMonday)
    shown = schedule_policy_pb2.SdkSchedulePolicyInterval(retain=1, weekly=weekly)
    assert json.loads(body(shown)) == {"retain": 1, "PeriodType": {"Weekly": {"day": 1}}}
    assert body(schedule_policy_pb2.SdkSchedulePolicyInterval()) == b'{"PeriodType":null}\n'
    assert json.loads(body(alerts_pb2.SdkAlertsQuery())) == {"Query": None}
    assert json.loads(body(job_pb2.Job()))["Job"] is None


def test_a_list_is_written_in_parts() -> None:
    assert b"".join(list_body([])) == b"[]\n"
    parts = list(list_body([pb.VolumeResponse(error="a"), pb.VolumeResponse()]))
    assert b"".join(parts) == b'[{"error":"a"},{}]\n'
    assert len(parts) == 3


@pytest.mark.parametrize(
    ("value", "shown"), [(0.0, "0"), (2.0, "2"), (1.5, "1.5"), (-3.0, "-3"), (float("nan"), "0"), (float("inf"), "0")]
)
def test_floating_numbers_have_a_point_when_they_need_one(value: float, shown: str) -> None:
    assert json.dumps(number(value)) == shown


def test_every_status_has_its_name() -> None:
    assert set(CODE_NAMES) == set(StatusCode)
    assert rpc_error(SdkError(StatusCode.CANCELLED, "x")) == "rpc error: code = Canceled desc = x"


# --- reading ---


def spec(text: str) -> volume_spec_pb2.VolumeSpec:
    return decode(f'{{"spec":{text}}}'.encode(), pb.VolumeCreateRequest).spec


def test_what_follows_the_first_value_is_not_looked_at() -> None:
    assert decode(b' {"id":"a"} {"id":"b"} nonsense', pb.SnapCreateRequest).id == "a"


def test_the_last_of_two_wins_and_maps_and_messages_are_merged() -> None:
    read = decode(
        b'{"id":"a","ID":"b","locator":{"name":"x","volume_labels":{"a":"1"}},"locator":{"volume_labels":{"b":"2"}}}',
        pb.SnapCreateRequest,
    )
    assert (read.id, read.locator.name, dict(read.locator.volume_labels)) == ("b", "x", {"a": "1", "b": "2"})


def test_an_exact_name_goes_before_one_in_another_case() -> None:
    assert decode(b'{"labels":{"a":"1"}}', pb.GroupSnapCreateRequest).Labels == {"a": "1"}


def test_null_and_what_is_not_known_are_passed_over() -> None:
    assert decode(b"null", pb.SnapCreateRequest) == pb.SnapCreateRequest()
    read = decode(b'{"id":null,"locator":null,"readonly":null,"what":{"ever":[]}}', pb.SnapCreateRequest)
    assert read == pb.SnapCreateRequest()
    assert spec('{"replica_set":{"nodes":null}}').replica_set.nodes == []
    assert decode(b'{"Labels":{"a":null}}', pb.GroupSnapCreateRequest).Labels == {"a": ""}


def test_text_that_is_no_unicode_is_replaced() -> None:
    assert decode(b'{"id":"\xff\\ud800\\ud83d\\ude00"}', pb.SnapCreateRequest).id == "\ufffd\ufffd\U0001f600"


def test_an_unknown_number_of_an_enum_is_for_the_sdk_to_refuse() -> None:
    assert spec('{"format":77}').format == 77


@pytest.mark.parametrize(
    ("text", "refusal"),
    [
        ('{"size":1.0}', "number 1.0 into Go struct field VolumeSpec.spec.size of type uint64"),
        ('{"size":1e3}', "number 1e3 into Go struct field VolumeSpec.spec.size of type uint64"),
        ('{"size":18446744073709551616}', "number 18446744073709551616 into Go struct field VolumeSpec.spec.size of "),
        ('{"size":true}', "bool into Go struct field VolumeSpec.spec.size of type uint64"),
        ('{"size":[]}', "array into Go struct field VolumeSpec.spec.size of type uint64"),
        ('{"size":{}}', "object into Go struct field VolumeSpec.spec.size of type uint64"),
        ('{"shared":1}', "number into Go struct field VolumeSpec.spec.shared of type bool"),
        ('{"passphrase":1}', "number into Go struct field VolumeSpec.spec.passphrase of type string"),
        ('{"block_size":9223372036854775808}', "number 9223372036854775808 into Go struct field VolumeSpec.spec."),
        ('{"format":2147483648}', "number 2147483648 into Go struct field VolumeSpec.spec.format of type api.FSType"),
        ('{"xattr":"x"}', "string into Go struct field VolumeSpec.spec.xattr of type api.Xattr_Value"),
        ('{"group":"g"}', "string into Go struct field VolumeSpec.spec.group of type api.Group"),
        ('{"replica_set":{"nodes":"n"}}', "string into Go struct field ReplicaSet.spec.replica_set.nodes of type []"),
        ('{"replica_set":{"nodes":[1]}}', "number into Go struct field ReplicaSet.spec.replica_set.nodes of type "),
        ('{"volume_labels":[]}', "array into Go struct field VolumeSpec.spec.volume_labels of type map[string]string"),
        ('{"volume_labels":{"a":1}}', "number into Go struct field VolumeSpec.spec.volume_labels of type string"),
        ('"spec"', "string into Go struct field VolumeCreateRequest.spec of type api.VolumeSpec"),
    ],
)
def test_what_does_not_fit_is_named_as_go_names_it(text: str, refusal: str) -> None:
    with pytest.raises(BadJson) as caught:
        spec(text)
    assert str(caught.value).startswith(f"json: cannot unmarshal {refusal}")


@pytest.mark.parametrize(
    ("text", "refusal"),
    [
        (b" \n", "EOF"),
        (b'{"id":', "unexpected EOF"),
        (b'{"id":"a', "unexpected EOF"),
        (b"{'id':1}", "invalid character '\\'' looking for beginning of value"),
        (b'{"id":NaN}', "invalid character 'N' looking for beginning of value"),
        (b"[" * 100_000, "exceeded max depth"),
        (b'{"id":' * 100_000, "exceeded max depth"),
    ],
)
def test_what_is_no_json_is_refused(text: bytes, refusal: str) -> None:
    with pytest.raises(BadJson) as caught:
        decode(text, pb.SnapCreateRequest)
    assert str(caught.value) == refusal


def test_a_number_of_a_million_digits_costs_nothing() -> None:
    with pytest.raises(BadJson, match=r"cannot unmarshal number 9{64} into"):
        spec('{"size":%s}' % ("9" * 1_000_000))


def test_objects_of_texts() -> None:
    assert decode_texts('{"a":"b","c":null}') == {"a": "b", "c": ""}
    assert decode_texts("null") == {}
