"""Single values as they come in: from JSON, and from the text of a path, a query or the key of a map.

JSON may have names or numbers for enums, and texts for any number; texts may
be what Go reads as a boolean. A name or number that an enum does not have is
refused, but the number of one in JSON is not: messages can hold it, and what
is allowed is for the call to say.
"""

from __future__ import annotations

import base64
import binascii
import re
from collections.abc import Callable, Mapping
from typing import Any

from google.protobuf.descriptor import FieldDescriptor
from google.protobuf.message import Message

F = FieldDescriptor

_INTEGER = re.compile(r"[+-]?[0-9]{1,20}")
_DOUBLE = re.compile(r"[+-]?([0-9]+(\.[0-9]*)?|\.[0-9]+)([eE][+-]?[0-9]+)?")
_SPECIAL = frozenset({"NaN", "Infinity", "-Infinity"})
_BOOLEANS: Mapping[str, bool] = {
    **dict.fromkeys(("1", "t", "T", "true", "TRUE", "True"), True),
    **dict.fromkeys(("0", "f", "F", "false", "FALSE", "False"), False),
}
_BOUNDS: Mapping[int, tuple[int, int]] = {
    F.CPPTYPE_INT32: (-(1 << 31), (1 << 31) - 1),
    F.CPPTYPE_INT64: (-(1 << 63), (1 << 63) - 1),
    F.CPPTYPE_UINT32: (0, (1 << 32) - 1),
    F.CPPTYPE_UINT64: (0, (1 << 64) - 1),
}


class WrongValue(Exception):  # noqa: N818 - named by what is wrong, as in the core
    """A value that a field cannot have; the text says what it should be."""


def from_json(field: FieldDescriptor, value: Any) -> Any:
    """Give a JSON value as the field (or one element of it) holds it; not for messages."""
    kind = field.cpp_type
    if kind in _BOUNDS:
        return _integer(kind, value)
    return _JSON[kind](field, value)


def from_text(field: FieldDescriptor, text: str) -> Any:
    """Give a text as the field holds it; not for messages."""
    kind = field.cpp_type
    if kind == F.CPPTYPE_BOOL:
        if text not in _BOOLEANS:
            raise WrongValue("is neither true nor false")
        return _BOOLEANS[text]
    if kind == F.CPPTYPE_ENUM:
        return _enum_text(field, text)
    return from_json(field, text)


def set_timestamp(message: Message, value: Any) -> None:
    """Fill a Timestamp with an RFC 3339 text."""
    if not isinstance(value, str):
        raise WrongValue("is no RFC 3339 time")
    try:
        message.FromJsonString(value)  # type: ignore[attr-defined] # only Timestamp has it
    except (ValueError, OverflowError):
        raise WrongValue("is no RFC 3339 time") from None


def _integer(kind: int, value: Any) -> int:
    least, most = _BOUNDS[kind]
    if _INTEGER.fullmatch(value) if isinstance(value, str) else isinstance(value, float) and value.is_integer():
        value = int(value)
    if isinstance(value, bool) or not isinstance(value, int):
        raise WrongValue("is no whole number")
    if not least <= value <= most:
        raise WrongValue(f"is not within {least} and {most}")
    return value


def _number(_field: FieldDescriptor, value: Any) -> float:
    if isinstance(value, str) and (value in _SPECIAL or _DOUBLE.fullmatch(value)):
        return float(value)
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise WrongValue("is no number")
    try:
        return float(value)
    except OverflowError:
        raise WrongValue("is too large a number") from None


def _boolean(_field: FieldDescriptor, value: Any) -> bool:
    if not isinstance(value, bool):
        raise WrongValue("is neither true nor false")
    return value


def _string(field: FieldDescriptor, value: Any) -> str | bytes:
    if not isinstance(value, str):
        raise WrongValue("is no text")
    return _binary(value) if field.type == F.TYPE_BYTES else value


def _binary(text: str) -> bytes:
    try:
        plain = text.translate({ord("-"): "+", ord("_"): "/"}).rstrip("=")
        return base64.b64decode(plain + "=" * (-len(plain) % 4), validate=True)
    except (binascii.Error, ValueError):
        raise WrongValue("is no base64") from None


def _enum(field: FieldDescriptor, value: Any) -> int:
    if isinstance(value, str):
        found = _described(field).values_by_name.get(value)
        if found is None:
            raise WrongValue(f"is no {_described(field).name}")
        return int(found.number)
    return _integer(F.CPPTYPE_INT32, value)


def _enum_text(field: FieldDescriptor, text: str) -> int:
    if not _INTEGER.fullmatch(text):
        return _enum(field, text)
    number = _integer(F.CPPTYPE_INT32, text)
    if number not in _described(field).values_by_number:
        raise WrongValue(f"is no {_described(field).name}")
    return number


def _described(field: FieldDescriptor) -> Any:
    return field.enum_type


_JSON: Mapping[int, Callable[[FieldDescriptor, Any], Any]] = {
    F.CPPTYPE_BOOL: _boolean,
    F.CPPTYPE_DOUBLE: _number,
    F.CPPTYPE_ENUM: _enum,
    F.CPPTYPE_FLOAT: _number,
    F.CPPTYPE_STRING: _string,
}
