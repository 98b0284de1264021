from __future__ import annotations

from datetime import UTC, datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st
from ontap_scene import attempt

from gateway.core.query import Op
from gateway.frontends.ontap_rest.errors import WireError
from gateway.frontends.ontap_rest.grammar import parse_search, parse_value
from gateway.frontends.ontap_rest.schema import load_schema
from gateway.frontends.ontap_rest.tree import AnyOf, Between, Compare, Glob, Not, Unset, predicate

VOLUME = load_schema()["volume"]


def eq(path, value):
    return Compare(path, Op.EQ, value)


NOON = datetime(2022, 11, 24, 10, 23, 13, tzinfo=UTC)


@pytest.mark.parametrize(
    ("path", "text", "tree"),
    [
        ("name", "vol1", eq("name", "vol1")),
        ("name", "", eq("name", "")),
        ("name", '""', eq("name", "")),
        ("name", "abc*", Glob("name", ("abc", ""))),
        ("name", "*x*", Glob("name", ("", "x", ""))),
        ("name", 'a"*"*', Glob("name", ("a*", ""))),
        ("state", "ON*", Glob("state", ("ON", ""), True)),
        ("uuid", "00C8*", Glob("uuid", ("00C8", ""), True)),
        ("size", ">10GB", Compare("size", Op.GT, 10 << 30)),
        ("size", ">=1.5KB", Compare("size", Op.GE, 1536)),
        ("size", "<=-5", Compare("size", Op.LE, -5)),
        ("size", "240MB", eq("size", 240 << 20)),
        ("size", "2PB", eq("size", 2 << 50)),
        ("size", "3..10", Between("size", 3, 10)),
        ("name", "jim..joe", Between("name", "jim", "joe")),
        ("name", '"a..b"', eq("name", "a..b")),
        ("name", "a..b*", Glob("name", ("a..b", ""))),
        ("size", "!3", Not(eq("size", 3))),
        ("name", "!abc*", Not(Glob("name", ("abc", "")))),
        ("name", "!!a", eq("name", "a")),
        ("name", "null", Unset("name")),
        ("name", "!null", Not(Unset("name"))),
        ("name", '"null"', eq("name", "null")),
        ("size", "3|5..9|>100", AnyOf((eq("size", 3), Between("size", 5, 9), Compare("size", Op.GT, 100)))),
        ("size", "<10|null", AnyOf((Compare("size", Op.LT, 10), Unset("size")))),
        ("aggregates.name", "aggr1,aggr2", AnyOf((eq("aggregates.name", "aggr1"), eq("aggregates.name", "aggr2")))),
        ("name", "a,", eq("name", "a")),
        ("name", '"joe*"', eq("name", "joe*")),
        ("name", "{a|b}", eq("name", "a|b")),
        ("name", "{{jim}}", eq("name", "{jim}")),
        ("name", '{"abc"}', eq("name", '"abc"')),
        ("name", '"!a"', eq("name", "!a")),
        ("state", "ONLINE", eq("state", "online")),
        ("is_svm_root", "False", eq("is_svm_root", False)),
        ("is_svm_root", "true", eq("is_svm_root", True)),
        ("uuid", "00C8", eq("uuid", "00c8")),
        ("create_time", ">2022-11-24T22:23:13+12:00", Compare("create_time", Op.GT, NOON)),
        ("create_time", ">2022-11-24T22:23:13 12:00", Compare("create_time", Op.GT, NOON)),
        ("create_time", "2022-11-24T10:23:13Z", eq("create_time", NOON)),
        ("create_time", "2022-11-24T10:23:13.000+0000", eq("create_time", NOON)),
    ],
)
def test_a_value_means_this_tree(path, text, tree):
    assert parse_value(VOLUME.fields[path], text) == tree


@pytest.mark.parametrize(
    ("path", "text", "code"),
    [
        ("size", "many", "262197"),
        ("size", "1e400", "262197"),
        ("size", "99999999999999999999", "262197"),
        ("size", ">1*", "262197"),
        ("size", "3..x", "262197"),
        ("size", "", "262194"),
        ("size", ">", "262194"),
        ("size", "..5", "262194"),
        ("name", "!", "262194"),
        ("name", "|", "262194"),
        ("is_svm_root", "yes", "262197"),
        ("is_svm_root", ">true", "262197"),
        ("state", "sleeping", "262197"),
        ("create_time", "yesterday", "262197"),
        ("create_time", "0001-01-01T00:00:00+12:00", "262197"),
        ("name", '"open', "262197"),
        ("name", "{open", "262197"),
    ],
)
def test_what_cannot_be_read_names_the_field(path, text, code):
    with pytest.raises(WireError) as caught:
        parse_value(VOLUME.fields[path], text)
    assert (caught.value.status, caught.value.code, caught.value.target) == (400, code, path)


@given(
    path=st.sampled_from(sorted(VOLUME.fields)), text=st.text() | st.text('!<>=.*|,"{}0123456789KMnul-T:', max_size=40)
)
def test_any_text_is_a_tree_or_a_wire_error(path, text):
    found = attempt(lambda: parse_value(VOLUME.fields[path], text))
    if isinstance(found, WireError):
        assert found.code.isdigit()
        assert found.target == path
        assert found.message.encode("utf-8")
    else:
        assert predicate(found)({}) in {True, False}


RECORD = {
    "name": "vol1",
    "size": 5,
    "is_svm_root": False,
    "create_time": "2022-11-24T10:23:13+00:00",
    "aggregates": [{"name": "a1"}, {"name": "a2"}],
    "_tags": ["env:x", "team:y"],
    "space": {"used": None},
}


@pytest.mark.parametrize(
    ("path", "text", "holds"),
    [
        ("name", "vol1", True),
        ("name", "VOL1", False),
        ("name", "v*1", True),
        ("name", "v*l*o*", False),
        ("name", "*o*l*", True),
        ("name", "vol1*vol1", False),
        ("name", "a..w", True),
        ("size", "1..5", True),
        ("size", "!5", False),
        ("size", "*5", True),
        ("comment", "!x", False),
        ("comment", "null", True),
        ("comment", "!null", False),
        ("comment", "x|null", True),
        ("space.used", "null", True),
        ("is_svm_root", "false", True),
        ("is_svm_root", "f*", True),
        ("create_time", "<2022-11-24T10:23:14Z", True),
        ("create_time", "2022-11-24T11:23:13+01:00", True),
        ("create_time", "2022*", True),
        ("aggregates.name", "a2", True),
        ("aggregates.name", "a3", False),
        ("aggregates.name", "!a2", False),
        ("_tags", "env:*", True),
        ("size", "<3|>4", True),
    ],
)
def test_evaluation(path, text, holds):
    assert predicate(parse_value(VOLUME.fields[path], text))(RECORD) is holds


@pytest.mark.parametrize(
    ("text", "holds"),
    [
        ("vol1", True),
        ("vol", False),
        ("v* env:x", True),
        ("v* env:z", False),
        ("nothing|team:*", True),
        ('"vol1"', True),
        ('"v*"', False),
    ],
)
def test_a_cross_field_search_needs_all_words_of_one_alternative(text, holds):
    assert predicate(parse_search(("name", "_tags"), text))(RECORD) is holds


@given(st.text('ab*|" ', max_size=12))
def test_any_search_text_is_a_tree_or_a_wire_error(text):
    found = attempt(lambda: parse_search(("name",), text))
    if isinstance(found, WireError):
        assert found.code in {"262272", "262274"}
    else:
        assert predicate(found)(RECORD) in {True, False}
