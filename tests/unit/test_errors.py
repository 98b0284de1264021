from __future__ import annotations

import copy
import re

import msgspec
import pytest

from gateway.core import errors
from gateway.core.errors import ErrorRecord, FieldValue, GatewayError, Internal, from_record, tree

CLASSES = sorted(tree().values(), key=lambda cls: cls.__name__)
VALUES = (None, True, False, 0, -(2**63), 2**63 - 1, "", "Grüße\x00\n🎉", "7")


def descendants(cls: type[GatewayError]) -> set[type[GatewayError]]:
    found = set(cls.__subclasses__())
    return found.union(*(descendants(child) for child in found))


def test_the_tree_has_every_class() -> None:
    assert set(tree().values()) == descendants(GatewayError)


def test_the_docstring_is_the_tree() -> None:
    lines = re.findall(r"[├└]── (\w+)\s+(\(retryable\))?", errors.__doc__ or "")
    assert [name for name, _ in lines] == list(tree())
    assert {name for name, mark in lines if mark} == {cls.__name__ for cls in CLASSES if cls.retryable}


@pytest.mark.parametrize("cls", CLASSES)
def test_fields_are_read_as_attributes(cls: type[GatewayError]) -> None:
    error = cls(**{name: f"value of {name}" for name in cls.names})
    for name in cls.names:
        assert getattr(error, name) == f"value of {name}"


@pytest.mark.parametrize("cls", CLASSES)
def test_missing_fields_are_none_and_left_out_of_the_text(cls: type[GatewayError]) -> None:
    assert set(cls().fields.values()) == {None}
    assert str(cls()) == ""
    first = cls.names[0]
    assert str(cls(**{first: 7})) == f"{first}=7"


@pytest.mark.parametrize("cls", CLASSES)
def test_an_undeclared_field_is_refused(cls: type[GatewayError]) -> None:
    with pytest.raises(TypeError, match=rf"{cls.__name__} has no field \['colour'\]"):
        cls(colour="red")
    with pytest.raises(AttributeError, match="colour"):
        _ = cls().colour


@pytest.mark.parametrize("cls", CLASSES)
@pytest.mark.parametrize("value", VALUES)
def test_a_record_survives_json(cls: type[GatewayError], value: FieldValue) -> None:
    error = cls(**dict.fromkeys(cls.names, value))
    stored = msgspec.json.encode(error.to_record())
    back = from_record(msgspec.json.decode(stored, type=ErrorRecord))
    assert type(back) is cls
    assert back.fields == error.fields
    assert [type(value) for value in back.fields.values()] == [type(value) for value in error.fields.values()]


def test_a_record_does_not_share_the_error_s_fields() -> None:
    error = errors.NotFound(kind="volume", ref="v1")
    error.to_record().fields["ref"] = "changed"
    assert error.ref == "v1"


@pytest.mark.parametrize(
    "record",
    [
        ErrorRecord(type="Vanished", fields={}),
        ErrorRecord(type="GatewayError", fields={}),
        ErrorRecord(type="NotFound", fields={"kind": "volume", "colour": "red"}),
    ],
)
def test_a_record_of_another_release_becomes_internal(record: ErrorRecord) -> None:
    error = from_record(record)
    assert type(error) is Internal
    assert error.incident == record.type


def test_an_error_can_be_copied() -> None:
    error = errors.Busy(what="send", retry_after=3)
    assert copy.copy(error.to_record()) == error.to_record()
    assert not hasattr(errors.Busy.__new__(errors.Busy), "what")
