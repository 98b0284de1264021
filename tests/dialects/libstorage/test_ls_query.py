"""Query parameters, and what becomes of their values."""

from __future__ import annotations

import pytest

from gateway.frontends.libstorage.query import PARAMETERS_MAX, Query, QueryValue, parse_query


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("x", True),
        ("x=", True),
        ("x=true", True),
        ("x=T", True),
        ("x=1", 1),
        ("x=0", 0),
        ("x=-1", -1),
        ("x=%2B7", 7),
        ("x=f", False),
        ("x=FALSE", False),
        ("x=tRUE", "tRUE"),
        ("x=yes", "yes"),
        ("x=1_0", "1_0"),
        ("x=1.5", "1.5"),
        ("x= 1", " 1"),
        ("x=9223372036854775807", 2**63 - 1),
        ("x=-9223372036854775808", -(2**63)),
        ("x=9223372036854775808", "9223372036854775808"),
        ("x=a+b%26c", "a b&c"),
        ("x=1&x=2", ("1", "2")),
        ("X=1&x=2", ("1", "2")),
        ("x=%ff", "�"),
    ],
)
def test_what_a_value_becomes(text: str, value: QueryValue) -> None:
    found = parse_query(text).values["x"]
    assert found == value
    assert type(found) is type(value)


@pytest.mark.parametrize("text", ["force", "force=", "force=true", "force=1", "FORCE=t", "Force=True"])
def test_a_flag_that_is_set(text: str) -> None:
    assert parse_query(text).flag("force")
    assert parse_query(text).has("Force")


@pytest.mark.parametrize("text", ["", "force=false", "force=0", "force=F", "force=2", "force=yes", "force=1&force=1"])
def test_a_flag_that_is_not_set(text: str) -> None:
    assert not parse_query(text).flag("force")
    assert parse_query(text).has("force") == bool(text)


@pytest.mark.parametrize(
    ("text", "mask"),
    [
        ("", 0),
        ("attachments", 15),
        ("attachments=", 15),
        ("attachments=true", 15),
        ("attachments=True", 15),
        ("attachments=false", 1),
        ("attachments=0", 0),
        ("attachments=1", 1),
        ("Attachments=27", 27),
        ("attachments=31", 31),
        ("attachments=-1", 31),
        ("attachments=32", 0),
        ("attachments=95", 31),
        ("attachments=none", 0),
        ("attachments=1&attachments=2", 0),
        ("attachments=99999999999999999999", 0),
    ],
)
def test_the_attachments_mask(text: str, mask: int) -> None:
    assert parse_query(text).mask() == mask


@pytest.mark.parametrize(
    ("text", "wanted"),
    [("", ""), ("filter=(name=a)", "(name=a)"), ("filter", "true"), ("filter=0", "0"), ("filter=a&filter=b", "[a b]")],
)
def test_a_parameter_as_a_text(text: str, wanted: str) -> None:
    assert parse_query(text).text("filter") == wanted


def test_parameters_count_as_far_as_there_are_not_too_many() -> None:
    many = "&".join(f"p{i}" for i in range(PARAMETERS_MAX))
    assert len(parse_query(many).values) == PARAMETERS_MAX
    assert parse_query(f"{many}&force").values == parse_query(many).values


def test_no_query_at_all() -> None:
    assert parse_query("") == Query()
    assert not Query().has("attach")
