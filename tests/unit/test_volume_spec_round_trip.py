"""What is rendered is read as the same request, and whatever comes is read or refused."""

from __future__ import annotations

import msgspec
import pytest
from hypothesis import assume, event, example, given, settings
from hypothesis import strategies as st

from gateway.core.errors import InvalidArgument
from gateway.core.secret import Secret
from gateway.frontends.openstorage.spec import (
    ExportSpec,
    MountOptions,
    Parsed,
    ProxyProtocol,
    ProxySpec,
    PureFileSpec,
    ReplicaSet,
    TokenSecret,
    VolumeSpec,
    describe,
    parse_name,
    parse_options,
    parse_request,
    render_name,
    render_options,
)
from gateway.frontends.openstorage.spec.options import ALIASES, FORMS, OPTIONS
from gateway.frontends.openstorage.spec.values import BOOLEAN, COW, INT64, UINT32

WORD = st.from_regex(r"[A-Za-z0-9_.-]{1,8}", fullmatch=True)
TEXT = st.sampled_from(["", "a b", "x=y", "a;b", "a;size=1", "a,b", "a:b", "#", "é", " x "]) | st.text(max_size=6)
NUMBER = st.integers(0, 2**32 - 1).map(str)
SIZE = st.integers(0, 2**63 - 1).map(lambda n: f"{n}B") | st.sampled_from(["1", "1.5G", "4 KiB", "0", "8191P"])
BOOL = st.sampled_from(["1", "t", "true", "0", "F", "false"])
PAIRS = st.lists(st.tuples(WORD, WORD | st.just("")), max_size=3, unique_by=lambda pair: pair[0]).map(
    lambda pairs: ",".join(f"{key}={value}" if value else key for key, value in pairs)
)
SPECIAL = {
    "size": SIZE,
    "block_size": SIZE,
    "fs": st.sampled_from(["none", "btrfs", "EXT4", "zfs", "xfsv2"]),
    "io_priority": st.sampled_from(["low", "medium", "HIGH", "1", "2", "3", ""]),
    "io_profile": st.sampled_from(["sequential", "db_remote", "auto", "NONE"]),
    "snap_schedule": st.sampled_from(["", "policy=a,b", "daily=9", "periodic=5,2;policy=x", "[{freq: daily}]"]),
    "snap_interval": st.integers(0, 2**32 - 2).map(str),
    "aggregation_level": NUMBER | st.just("auto"),
    "nodes": st.lists(WORD, max_size=3).map(",".join),
    "export": st.sampled_from(["pxd", "nfs", "iscsi", "custom"]),
    "proxy_endpoint": st.sampled_from(["nfs://h:2049/x", "s3://http://h", "pxd://h"]),
    "backend": st.sampled_from(["nfs", "s3", "pure_block", "pure_file"]),
    "mount_options": PAIRS,
    "sharedv4_mount_options": PAIRS,
    "sharedv4_svc_type": st.sampled_from(["", "NodePort", "clusterip", "LOADBALANCER"]),
    "sharedv4_failover_strategy": st.sampled_from(["", "normal", "aggressive"]),
    "scan_policy_trigger": st.sampled_from(["none", "on_mount", "on_next_mount"]),
    "scan_policy_action": st.sampled_from(["none", "scan_only", "scan_repair"]),
    "nearsync_replication_strategy": st.sampled_from(["none", "aggressive", "optimized"]),
}


def value_of(option):
    if option.name in SPECIAL:
        return SPECIAL[option.name]
    return {BOOLEAN: BOOL, COW: BOOL, UINT32: NUMBER, INT64: NUMBER}.get(option.codec, TEXT)


BESIDE = {
    "labels": PAIRS,
    "zones": WORD,
    "rack": WORD,
    "best_effort_location_provisioning": BOOL,
    "proxy_s3_bucket": WORD,
    "parent": WORD,
    "token": WORD,
    "token_secret": WORD,
    "team": TEXT,
    "Size": TEXT,
}
MAPS = st.fixed_dictionaries(
    {}, optional={**{name: value_of(option) for name, option in OPTIONS.items()}, **BESIDE}
)  # fmt: skip


def parsed_or_none(options, name="v"):
    try:
        return parse_options(options, name=name)
    except InvalidArgument:
        return None


@st.composite
def requests(draw):
    """Give requests of a few options, as an open choice among all of them would mostly contradict itself."""
    names = draw(st.lists(st.sampled_from([*OPTIONS, *BESIDE]), max_size=8, unique=True))
    options = {name: draw(value_of(OPTIONS[name]) if name in OPTIONS else BESIDE[name]) for name in names}
    parsed = parsed_or_none(options)
    assume(parsed is not None)
    return parsed


@settings(deadline=None)
@given(requests())
def test_a_map_is_read_back(parsed):
    options = render_options(parsed, reveal=True)
    again = parse_options(options, name=parsed.name)
    assert again == parsed
    assert render_options(again, reveal=True) == options


@settings(deadline=None)
@given(requests())
def test_a_name_string_is_read_back_when_there_is_one(parsed):
    try:
        text = render_name(parsed, reveal=True)
    except InvalidArgument:
        event("no name string holds it")
        return
    event("read back")
    assert parse_name(text) == parsed
    assert render_name(parse_name(text), reveal=True) == text


@settings(deadline=None)
@given(requests())
@example(parse_options({"backend": "pure_block", "pure_vol_name": "a"}, name="v"))
def test_the_fewest_options_say_the_same_spec(parsed):
    told = describe(parsed.spec, name=parsed.name, labels=parsed.labels, parent=parsed.parent)
    assert told.spec == parsed.spec
    assert told.labels == parsed.labels
    assert parse_options(render_options(told, reveal=True), name="v") == told
    for option in told.given:
        fewer = msgspec.structs.replace(told, given=told.given - {option})
        less = parsed_or_none(render_options(fewer, reveal=True))
        assert less is None or less.spec != told.spec, option


@settings(deadline=None)
@given(MAPS)
def test_many_options_at_once(options):
    parsed = parsed_or_none(options)
    if parsed is not None:
        assert parse_options(render_options(parsed, reveal=True), name="v") == parsed


@settings(deadline=None)
@given(requests())
def test_a_request_of_both_is_the_name_string_over_the_map(parsed):
    options = render_options(parsed, reveal=True)
    assert parse_request("v", options) == parsed
    both = parse_request("name=w,size=7GiB", options)
    assert both == parse_options({**options, "size": "7GiB"}, name="w")


def test_the_text_is_canonical():
    options = {"repl": "02", "size": "10240M", "shared": "T", "priority_io": "1", "nodes": "b;a", "team": "x"}
    parsed = parse_options(options, name="v")
    assert render_name(parsed) == "name=v,size=10GiB,repl=2,io_priority=low,shared=true,nodes=b;a,labels=team:x"
    assert render_options(parsed) == {
        "size": "10GiB",
        "repl": "2",
        "io_priority": "low",
        "shared": "true",
        "nodes": "b,a",
        "team": "x",
    }


def test_secrets_are_left_out_unless_they_are_to_be_revealed():
    parsed = parse_options({"secret_key": "hush", "token": "t.t.t", "token_secret": "place"}, name="v")
    assert render_name(parsed) == "name=v,token_secret=place"
    assert render_options(parsed) == {"token_secret": "place"}
    assert render_name(parsed, reveal=True) == "name=v,secret_key=hush,token=t.t.t,token_secret=place"


def test_labels_that_are_named_like_options():
    parsed = Parsed(labels={"size": "x", "name": "y", "zones": "z", "best_effort_location_provisioning": "no"})
    options = render_options(parsed)
    assert options == {"name": "y", "zones": "z", "labels": "size=x,best_effort_location_provisioning=no"}
    assert parse_options(options) == parsed


@pytest.mark.parametrize(
    "spec",
    [
        VolumeSpec(proxy_spec=ProxySpec()),
        VolumeSpec(proxy_spec=ProxySpec(proxy_protocol=ProxyProtocol.PURE_FILE, endpoint="h")),
        VolumeSpec(proxy_spec=ProxySpec(pure_file_spec=PureFileSpec(full_vol_name="x"))),
        VolumeSpec(passphrase=Secret("x")),
        VolumeSpec(size=-1),
        VolumeSpec(ha_level=2**64),
        VolumeSpec(replica_set=ReplicaSet(nodes=("a,b",))),
        VolumeSpec(mount_options=MountOptions(options={"a=b": ""})),
        VolumeSpec(snapshot_schedule="never"),
        VolumeSpec(snapshot_interval=2**32 - 1),
    ],
)
def test_a_spec_that_no_option_can_say_is_refused(spec):
    with pytest.raises(InvalidArgument):
        describe(spec)


@pytest.mark.parametrize(
    "spec",
    [
        VolumeSpec(),
        VolumeSpec(export_spec=ExportSpec()),
        VolumeSpec(encrypted=True, passphrase=Secret("x")),
        VolumeSpec(encrypted=True),
        VolumeSpec(nodiscard=True),
        VolumeSpec(nodiscard=True, auto_fstrim=True),
        VolumeSpec(auto_fstrim=True),
        VolumeSpec(proxy_spec=ProxySpec(proxy_protocol=ProxyProtocol.NFS)),
        VolumeSpec(proxy_spec=ProxySpec(proxy_protocol=ProxyProtocol.NFS, endpoint="h")),
    ],
)
def test_a_spec_that_came_another_way_is_described(spec):
    assert parse_options(render_options(describe(spec), reveal=True)).spec == spec


@pytest.mark.parametrize(
    "parsed",
    [
        Parsed(name=""),
        Parsed(name="a.b"),
        Parsed(name="v", labels={"a:b": "c"}),
        Parsed(name="v", labels={"a": "b;c"}),
        Parsed(name="v", labels={"a": "b,c"}),
        Parsed(name="v", labels={"": "c"}),
        Parsed(name="v", parent="a,b"),
        Parsed(name="v", token_secret=TokenSecret(name="a size=1")),
        Parsed(name="v", spec=VolumeSpec(fa_create_options="a ; size=1"), given=frozenset({"createoptions"})),
    ],
)
def test_what_no_name_string_can_hold_is_refused(parsed):
    with pytest.raises(InvalidArgument):
        render_name(parsed)


KEYS = st.sampled_from([*FORMS, *ALIASES, "name", "sise", "foo", "Name"])
VALUES = st.sampled_from(
    ["", "true", "10", "10G", "-1", "9" * 30, "high", "nfs://h", "a;b", "k:v", "daily=9#5", "policy=a", "[",
     "- freq: x", "1.5B", "a=b", "\0", "é", " ", "٣", "pure_block"]
)  # fmt: skip


@settings(deadline=None)
@given(st.dictionaries(KEYS | st.text(max_size=4), VALUES | st.text(max_size=8), max_size=6))
def test_any_map_is_read_or_refused(options):
    if (parsed := parsed_or_none(options, name="")) is not None:
        assert parse_options(render_options(parsed, reveal=True)) == parsed


PIECES = st.tuples(KEYS, st.just("="), VALUES).map("".join) | st.sampled_from([",", ";", " ", "=", "name=v", "#"])


@settings(deadline=None)
@given(st.lists(PIECES | st.text(max_size=3), max_size=8).map(",".join), st.dictionaries(KEYS, VALUES, max_size=3))
def test_any_name_is_read_or_refused(text, options):
    for text_ in (text, f"name=v,{text}"):
        try:
            parsed = parse_request(text_, options)
        except InvalidArgument:
            continue
        assert parse_options(render_options(parsed, reveal=True), name=parsed.name) == parsed
