"""Filters: what is read, what is refused, and what matches."""

from __future__ import annotations

from collections.abc import ItemsView
from typing import Any
from urllib.parse import quote

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.frontends.libstorage.filters import (
    DEPTH_MAX,
    EXTRA,
    LENGTH_MAX,
    NO_END,
    NO_SENSE,
    NO_START,
    TOO_DEEP,
    TOO_LONG,
    And,
    BadFilter,
    Comparison,
    Filter,
    Not,
    Or,
    Pattern,
    matches,
    parse_filter,
)
from gateway.frontends.libstorage.model import InstanceRef, Volume, VolumeAttachment

A, B = Comparison("a", "=", "1"), Comparison("b", "=", "2")


@pytest.mark.parametrize(
    ("text", "wanted"),
    [
        ("(name=Volume 001)", Comparison("name", "=", "volume 001")),
        ("(Name=)", Comparison("name", "=", "")),
        ("(size>=3)", Comparison("size", ">=", "3")),
        ("(size<=3)", Comparison("size", "<=", "3")),
        ("(name~=x)", Comparison("name", "~=", "x")),
        ("(name=a=b)", Comparison("name", "=", "a=b")),
        ("(name=*)", Pattern("name", ("", ""))),
        ("(name=*v*)", Pattern("name", ("", "v", ""))),
        ("(name=*v)", Pattern("name", ("", "v"))),
        ("(name=v*)", Pattern("name", ("v", ""))),
        ("(name=a*b*c)", Pattern("name", ("a", "b", "c"))),
        (r"(name=\2a)", Comparison("name", "=", "*")),
        (r"(name=a\28b\29\5c)", Comparison("name", "=", "a(b)\\")),
        (r"(name=\c3\89t\c3\a9)", Comparison("name", "=", "été")),
        (r"(name=\ff)", Comparison("name", "=", "�")),
        (r"(name=\zz\2)", Comparison("name", "=", r"\zz\2")),
        ("(name=a(b)", Comparison("name", "=", "a(b")),
        ("(&(a=1)(b=2))", And((A, B))),
        ("(|(a=1)(b=2))", Or((A, B))),
        ("(!(a=1))", Not(A)),
        ("(!a=1)", Not(A)),
        ("(!!a=1)", Not(Not(A))),
        ("((a=1))", A),
        ("(&)", And(())),
        ("(|)", Or(())),
        ("(&(|(a=1)(!(b=2)))(a=1))", And((Or((A, Not(B))), A))),
        ("%28name%3Da%2526b%29", Comparison("name", "=", "a%26b")),
        ("(name=a%26b)", Comparison("name", "=", "a&b")),
        ("(name=a+b)", Comparison("name", "=", "a b")),
    ],
)
def test_a_filter_is_read(text: str, wanted: Filter) -> None:
    assert parse_filter(text) == wanted


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("", NO_START),
        ("true", NO_START),
        ("name=a", NO_START),
        (" (name=a)", NO_START),
        ("(", NO_END),
        ("(name=a", NO_END),
        ("(&", NO_END),
        ("(&(a=1)", NO_END),
        ("(!", NO_END),
        ("(!(a=1)", NO_END),
        ("((a=1)", NO_END),
        ("()", NO_SENSE),
        ("(name)", NO_SENSE),
        ("(=a)", NO_SENSE),
        ("( =a)", NO_SENSE),
        ("(name<a)", NO_SENSE),
        ("(a<b=c)", NO_SENSE),
        ("(!)", NO_SENSE),
        ("(&a=1)", NO_SENSE),
        ("(&(a=1)b=2)", NO_SENSE),
        ("(!(a=1)(b=2))", NO_SENSE),
        ("(name=%zz)", NO_SENSE),
        ("(name=a)b", EXTRA),
        ("(name=a)(name=b)", EXTRA),
        ("(" * 2000, TOO_DEEP),
        ("(!" * 2000, TOO_DEEP),
        ("(" + "!" * 2000, TOO_DEEP),
        ("(&" * 1000 + "(a=1)" + ")" * 1000, TOO_DEEP),
        ("(name=" + "a" * LENGTH_MAX + ")", TOO_LONG),
        ("(" * 1_000_000, TOO_LONG),
    ],
)
def test_what_is_no_filter(text: str, reason: str) -> None:
    with pytest.raises(BadFilter) as caught:
        parse_filter(text)
    assert (caught.value.reason, caught.value.text) == (reason, text)


def test_filters_may_be_as_deep_as_is_said() -> None:
    def nested(depth: int) -> str:
        return "(!" * (depth - 1) + "(a=1)" + ")" * (depth - 1)

    assert parse_filter(nested(DEPTH_MAX))
    with pytest.raises(BadFilter):
        parse_filter(nested(DEPTH_MAX + 1))


ATTACHMENTS = tuple(
    VolumeAttachment(
        device_name=device, instance_id=InstanceRef(id=node, driver="vfs", service=""), status="", volume_id="v1"
    )
    for node, device in (("host-a", "/dev/xvda"), ("host-b", "/dev/xvdb"))
)
VOLUME = msgspec.to_builtins(
    Volume(
        id="v1",
        name="Data Volume",
        type="gold",
        size=12,
        fields={"owner": "root@example.com", "a.b": "dotted", "level": "1.5"},
        attachments=ATTACHMENTS,
        attachment_state=4,
    )
)
BARE = msgspec.to_builtins(Volume(id="v2", name="", type=""))


@pytest.mark.parametrize(
    ("text", "shown", "wanted"),
    [
        ("(name=data volume)", VOLUME, True),
        ("(NAME=DATA VOLUME)", VOLUME, True),
        ("(name=data)", VOLUME, False),
        ("(name=*)", VOLUME, True),
        ("(name=data*)", VOLUME, True),
        ("(name=*volume)", VOLUME, True),
        ("(name=*a v*)", VOLUME, True),
        ("(name=d*a*e)", VOLUME, True),
        ("(name=d*z*e)", VOLUME, False),
        ("(name=*x*)", VOLUME, False),
        ("(name=data v*volume)", VOLUME, False),
        (r"(name=\2a)", VOLUME, False),
        ("(name~=data-volume)", VOLUME, True),
        ("(name~=datavolume)", VOLUME, True),
        ("(name~=data)", VOLUME, False),
        ("(size>=9)", VOLUME, True),
        ("(size<=9)", VOLUME, False),
        ("(size>=12)", VOLUME, True),
        ("(size<=12.0)", VOLUME, True),
        ("(fields.level>=1.25)", VOLUME, True),
        ("(name>=b)", VOLUME, True),
        ("(name<=b)", VOLUME, False),
        ("(size>=small)", VOLUME, False),
        ("(fields.owner=root@example.com)", VOLUME, True),
        ("(fields.a.b=dotted)", VOLUME, True),
        ("(fields.none=*)", VOLUME, False),
        ("(fields=*)", VOLUME, False),
        ("(attachments.deviceName=/dev/xvdb)", VOLUME, True),
        ("(attachments.instanceID.id=HOST-A)", VOLUME, True),
        ("(attachments.instanceID.id=host-c)", VOLUME, False),
        ("(attachmentState=4)", VOLUME, True),
        ("(encrypted=false)", VOLUME, True),
        ("(encrypted=true)", VOLUME, False),
        ("(encrypted=true)", {"encrypted": True}, True),
        ("(&(type=gold)(size>=10))", VOLUME, True),
        ("(&(type=gold)(size>=20))", VOLUME, False),
        ("(|(type=silver)(size>=10))", VOLUME, True),
        ("(|(type=silver)(size>=20))", VOLUME, False),
        ("(!(type=silver))", VOLUME, True),
        ("(!(none=x))", VOLUME, True),
        ("(&)", VOLUME, True),
        ("(|)", VOLUME, False),
        ("(name=)", BARE, True),
        ("(name=)", VOLUME, False),
        ("(name=*)", BARE, False),
        ("(status=)", BARE, True),
        ("(size=0)", BARE, True),
        ("(iops<=0)", BARE, True),
        ("(attachments.deviceName=*)", BARE, False),
        ("(tags=B)", {"tags": ["a", ["b"]]}, True),
        ("(tags=c)", {"tags": ["a", None]}, False),
    ],
)
def test_what_matches(text: str, shown: dict[str, Any], wanted: bool) -> None:
    assert matches(parse_filter(text), shown) is wanted


def written(wanted: Filter) -> str:
    """Give a filter as a text."""

    def plain(text: str) -> str:
        return "".join(rf"\{byte:02x}" for byte in text.encode())

    match wanted:
        case And(parts):
            return f"(&{''.join(map(written, parts))})"
        case Or(parts):
            return f"(|{''.join(map(written, parts))})"
        case Not(part):
            return f"(!{written(part)})"
        case Pattern(name, pieces):
            return f"({name}={'*'.join(map(plain, pieces))})"
        case Comparison(name, op, value):
            return f"({name}{op}{plain(value)})"


TEXTS = st.text(st.characters(codec="utf-8"), max_size=8).map(str.casefold)


class Read(dict[str, str]):
    """Members that count how often they are gone through."""

    times = 0

    def items(self) -> ItemsView[str, str]:
        self.times += 1
        return super().items()


@pytest.mark.parametrize("part", ["(x=1)", "(fields.z=1)", "(fields.z~=1)", "(attachments.instanceid.id=*a*b*)"])
def test_a_record_is_gone_through_once_however_many_parts_a_filter_has(part: str) -> None:
    labels = Read({f"label-{number}": "value" for number in range(500)})
    wanted = parse_filter(f"(|{part * ((LENGTH_MAX - 3) // len(part))})")
    assert not matches(wanted, {"name": "v", "fields": labels})
    assert labels.times == 1


NAMES = st.sampled_from(["name", "size", "fields.owner"])
LEAVES = st.builds(Comparison, NAMES, st.sampled_from(["=", ">=", "<=", "~="]), TEXTS) | st.builds(
    Pattern, NAMES, st.lists(TEXTS, min_size=2, max_size=4).map(tuple)
)
FILTERS: st.SearchStrategy[Filter] = st.recursive(
    LEAVES,
    lambda inner: (
        st.builds(Not, inner)
        | st.builds(And, st.lists(inner, max_size=3).map(tuple))
        | st.builds(Or, st.lists(inner, max_size=3).map(tuple))
    ),
    max_leaves=6,
)


@given(FILTERS)
def test_filters_survive_the_way(wanted: Filter) -> None:
    text = written(wanted)
    assert parse_filter(text) == wanted
    assert parse_filter(quote(text)) == wanted
    assert matches(Not(wanted), VOLUME) is not matches(wanted, VOLUME)


@given(st.text("()&|!=<>~*\\a1%2", max_size=40) | st.text())
def test_no_text_breaks_the_reading(text: str) -> None:
    try:
        found = parse_filter(text)
    except BadFilter:
        return
    assert matches(found, VOLUME) in {True, False}
