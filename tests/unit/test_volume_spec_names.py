"""Name strings: what separates, what is refused, and how they go together with a map."""

from __future__ import annotations

import pytest

from gateway.core.errors import InvalidArgument
from gateway.core.secret import Secret
from gateway.frontends.openstorage.spec import (
    MountOptions,
    Parsed,
    ReplicaSet,
    TokenSecret,
    VolumeSpec,
    parse_name,
    parse_options,
    parse_request,
    parse_size,
    size_text,
)

GIB = 1 << 30


@pytest.mark.parametrize(
    "text",
    ["", "data", "data-1.x", "size=10G", "size=10G,repl=2", "a=b,c=d", "a,b", "surname=x", "x,surname=y", "name", "é"],
)
def test_without_a_name_it_is_a_plain_name(text):
    assert parse_name(text) is None
    assert parse_request(text, {}) == Parsed(name=text)


SIZED = Parsed(name="v_1-A", spec=VolumeSpec(size=10 * GIB, ha_level=2), given=frozenset({"size", "repl"}))


@pytest.mark.parametrize(
    "text",
    [
        "name=v_1-A,size=10G,repl=2",
        "size=10G,repl=2,name=v_1-A",
        "name=v_1-A, size=10G , repl=2,",
        ",,name=v_1-A,,size=10G,repl=2",
        "size=10G;repl=2;name=v_1-A",
        "name=v_1-A;size=10G; repl=2",
        "name=v_1-A ; size=10G ;repl=2",
        "name=v_1-A size=10G repl=2",
        "name=v_1-A\tsize=10 G\nrepl=2\n",
    ],
)
def test_separators(text):
    assert parse_name(text) == SIZED


def test_a_semicolon_inside_a_value_stays():
    parsed = parse_name(
        "name=v,nodes=n1;n2;size=1G,mount_options=nolock;vers:4,snap_schedule=periodic=60#5;daily=@12:00"
    )
    assert parsed.spec == VolumeSpec(
        size=GIB,
        replica_set=ReplicaSet(nodes=("n1", "n2")),
        mount_options=MountOptions(options={"nolock": "", "vers": "4"}),
        snapshot_schedule="periodic=60,5;daily=@12:00",
    )  # fmt: skip


@pytest.mark.parametrize(
    ("text", "given"),
    [
        ("name=v,block_size=4096B", {"block_size"}),
        ("name=v,sharedv4_mount_options=a", {"sharedv4_mount_options"}),
        ("name=v,secret_key=size=5", {"secret_key"}),
    ],
)
def test_an_option_is_not_found_inside_another(text, given):
    parsed = parse_name(text)
    assert parsed.given == given
    assert parsed.spec.size == 0
    assert parsed.labels == {}


@pytest.mark.parametrize(
    ("text", "labels"),
    [
        ("name=v,zones=a;b,rack=r", {"zones": "a,b", "racks": "r"}),
        ("name=v,racks=r", {"racks": "r"}),
        ("name=v,regions=eu", {"regions": "eu"}),
        ("name=v,labels=k1:v1;k2;k3=v3", {"k1": "v1", "k2": "", "k3": "v3"}),
        ("name=v,proxy_s3_bucket=b", {"proxy_s3_bucket": "b"}),
        ("name=v,best_effort_location_provisioning=true", {"best_effort_location_provisioning": "true"}),
    ],
)
def test_labels_of_a_name_string(text, labels):
    assert parse_name(text) == Parsed(name="v", labels=labels)


def test_a_parent_may_be_an_id():
    assert parse_name("name=c,parent=0c2c8bba-4f1f-4d2d-8f0e-1c6d1f4f8a11").parent.startswith("0c2c8bba-4f1f")


@pytest.mark.parametrize(
    ("text", "secret"),
    [
        ("name=a,token_secret=/px/secrets/t1,token_secret_namespace=ns2", ("px/secrets/t1", "ns2")),
        ("name=a,token_secret=abcd/secrets/alpha//token1/", ("abcd/secrets/alpha//token1", "")),
        ("name=a,token_secret=simplekey", ("simplekey", "")),
        ("name=a,token_secret=my-key.v1", ("my-key.v1", "")),
    ],
)
def test_token_secrets(text, secret):
    assert parse_name(text).token_secret == TokenSecret(name=secret[0], namespace=secret[1])


@pytest.mark.parametrize(
    ("text", "field", "said"),
    [
        ("name=,size=1", "name", "letters, digits"),
        ("name=a.b,size=1", "name", "letters, digits"),
        ("name=x;foo=bar", "name", "letters, digits"),
        ("name=ä", "name", "letters, digits"),
        ("name=v,name=v", "name", "twice"),
        ("name=v,size=1,size=1", "size", "twice"),
        ("name=v,io_priority=low,priority_io=low", "io_priority", "twice"),
        ("name=v,sise=10G", "sise", "did you mean 'size'"),
        ("name=v,encripted=true", "encripted", "is no option"),
        ("name=v,foo=bar", "foo", "is no option"),
        ("name=v,Size=1", "Size", "did you mean 'size'"),
        ("name=v,size", "name", "part 2"),
        ("name=v,=1", "", "is no option"),
        ("name=v,size=x", "size", "is not a size"),
        ("name=v,snap_schedule=policy=a#b;x", "snap_schedule", "must begin with"),
        ("name=v," + "x" * 70000, "name", "characters"),
    ],
)
def test_a_name_string_that_cannot_be_read_is_refused(text, field, said):
    with pytest.raises(InvalidArgument) as caught:
        parse_name(text)
    assert caught.value.field == field
    assert said in caught.value.reason


def test_a_secret_with_a_comma_is_not_repeated():
    with pytest.raises(InvalidArgument) as caught:
        parse_name("name=v,secret_key=hush,hushhush")
    assert "hush" not in str(caught.value)


def test_many_blanks_cost_nothing():
    with pytest.raises(InvalidArgument):
        parse_name("name=v," + " " * 30000 + ";" * 30000 + "x")


def test_the_name_string_counts_before_the_map():
    parsed = parse_request("name=v,size=2G,token=a.b.c", {"size": "1G", "repl": "3", "token": "d.e.f", "team": "x"})
    assert parsed == Parsed(
        name="v",
        spec=VolumeSpec(size=2 * GIB, ha_level=3),
        labels={"team": "x"},
        token=Secret("a.b.c"),
        given=frozenset({"size", "repl"}),
    )


def test_an_alias_in_the_map_gives_way_too():
    parsed = parse_request("name=v,io_priority=low,racks=a", {"priority_io": "high", "rack": "b"})
    assert parsed == parse_name("name=v,io_priority=low,racks=a")


@pytest.mark.parametrize(
    ("text", "options", "token", "secret"),
    [
        ("name=v,token=a", {"token": "b", "token_secret": "s"}, "a", ("s", "")),
        ("name=v,token_secret=s", {"token": "b"}, "b", ("s", "")),
        ("name=v,token_secret=s", {"token_secret": "o", "token_secret_namespace": "n"}, None, ("s", "")),
        ("name=v", {"token_secret": "o", "token_secret_namespace": "n"}, None, ("o", "n")),
        ("v", {"token_secret": "o"}, None, ("o", "")),
    ],
)
def test_whose_token_counts(text, options, token, secret):
    parsed = parse_request(text, options)
    assert parsed.token == (None if token is None else Secret(token))
    assert parsed.token_secret == TokenSecret(name=secret[0], namespace=secret[1])


def test_a_map_belongs_to_a_plain_name():
    assert parse_request("plain", {"size": "1"}) == parse_options({"size": "1"}, name="plain")


@pytest.mark.parametrize(
    ("text", "size"),
    [
        *((f"3{unit}", 3) for unit in ("B", "b")),
        *((f"3{unit}", 3 << 10) for unit in ("K", "k", "KB", "kb", "KiB", "Ki")),
        *((f"3{unit}", 3 << 20) for unit in ("M", "m", "MB", "mb", "MiB", "Mi")),
        *((f"3{unit}", 3 << 30) for unit in ("G", "g", "GB", "gb", "GiB", "Gi", "")),
        *((f"3{unit}", 3 << 40) for unit in ("T", "t", "TB", "tb", "TiB", "Ti")),
        *((f"3{unit}", 3 << 50) for unit in ("P", "p", "PB", "pb", "PiB", "Pi")),
        ("0", 0),
        ("007M", 7 << 20),
        ("  10   GiB ", 10 << 30),
        ("1.5G", 1610612736),
        ("1.50", 1610612736),
        ("0.5K", 512),
        ("4.0B", 4),
        ("0.0009765625K", 1),
        ("9223372036854775807B", 2**63 - 1),
        ("8191P", 8191 << 50),
        ("0" * 100 + "1B", 1),
    ],
)
def test_sizes(text, size):
    assert parse_size(text) == size
    assert parse_size(size_text(size)) == size


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("", "is not a size"),
        (" ", "is not a size"),
        ("-1", "is negative"),
        ("-", "is negative"),
        ("+1", "is not a size"),
        ("1,5G", "is not a size"),
        ("1.2.3G", "is not a size"),
        (".5G", "is not a size"),
        ("1.G", "is not a size"),
        ("1G 2G", "is not a size"),
        ("1 G B", "is not a size"),
        ("1e9", "is not a size"),
        ("0x10", "is not a size"),
        ("٣G", "is not a size"),
        ("1\uff27", "is not a size"),
        ("10X", "unknown unit"),
        ("10E", "unknown unit"),
        ("10GBs", "unknown unit"),
        ("1.5B", "whole number of bytes"),
        ("0.1G", "whole number of bytes"),
        ("0.3K", "whole number of bytes"),
        ("0." + "0" * 60 + "1P", "whole number of bytes"),
        ("9223372036854775808B", "larger"),
        ("8192P", "larger"),
        ("99999999999999999999", "larger"),
        ("9" * 10000, "larger"),
        ("8191.9999999P", "whole number of bytes"),
    ],
)
def test_what_is_no_size_says_why(text, why):
    with pytest.raises(ValueError, match=why):
        parse_size(text)
