"""JSON as Go's own decoder reads it into the structs of messages. Pure.

Names count in any case, members that are not known are passed over, null
leaves a member as it is, a member that comes twice is read twice, and what
follows the first value is not looked at. What does not fit is a `BadJson`
whose text is the decoder's.
"""

from __future__ import annotations

import base64
import binascii
import json
import math
from collections.abc import Mapping
from typing import Any, NoReturn, TypeVar

import msgspec
from google.protobuf.descriptor import FieldDescriptor
from google.protobuf.message import Message

from gateway.frontends.openstorage.older.encode import go_name, is_map

M = TypeVar("M", bound=Message)

_PACKAGE = "openstorage.api."
_WHOLE: Mapping[int, tuple[str, int, int]] = {
    FieldDescriptor.CPPTYPE_INT32: ("int32", -(2**31), 2**31 - 1),
    FieldDescriptor.CPPTYPE_INT64: ("int64", -(2**63), 2**63 - 1),
    FieldDescriptor.CPPTYPE_UINT32: ("uint32", 0, 2**32 - 1),
    FieldDescriptor.CPPTYPE_UINT64: ("uint64", 0, 2**64 - 1),
    FieldDescriptor.CPPTYPE_ENUM: ("", -(2**31), 2**31 - 1),
}
"""Whole numbers: Go's name of the type, least, most."""

_OTHER: Mapping[int, tuple[str, type[Any]]] = {
    FieldDescriptor.CPPTYPE_BOOL: ("bool", bool),
    FieldDescriptor.CPPTYPE_STRING: ("string", str),
}
_FLOATS: Mapping[int, str] = {FieldDescriptor.CPPTYPE_DOUBLE: "float64", FieldDescriptor.CPPTYPE_FLOAT: "float32"}


_OPEN_STRING = "Unterminated string"
"""What the library says of a string without an end; its position is where the string begins."""


class BadJson(Exception):  # noqa: N818 - named by what is wrong, as in the core
    """Something that is no JSON, or not of the type that is wanted. The text is for the client."""


class Members(msgspec.Struct, frozen=True):
    """An object's members in the order in which they came."""

    pairs: tuple[tuple[str, Any], ...]


class Number(msgspec.Struct, frozen=True):
    """A number as it was written."""

    text: str


def decode(text: bytes, kind: type[M]) -> M:
    """Read the first value of a body into a new message; BadJson."""
    value, _ = _first(text.decode("utf-8", "replace"), end="EOF")
    result = kind()
    if value is None:
        return result
    if not isinstance(value, Members):
        raise BadJson(f"json: cannot unmarshal {_called(value)} into Go value of type {_go_type(kind.DESCRIPTOR)}")
    _fill(result, value, ())
    return result


def decode_texts(text: str) -> dict[str, str]:
    """Read an object whose members are all strings; BadJson."""
    value, rest = _first(text, end="unexpected end of JSON input")
    if rest:
        raise BadJson(f"invalid character {_quoted(rest[0])} after top-level value")
    if value is None:
        return {}
    if not isinstance(value, Members):
        raise BadJson(f"json: cannot unmarshal {_called(value)} into Go value of type map[string]string")
    result: dict[str, str] = {}
    for key, each in value.pairs:
        if each is not None and not isinstance(each, str):
            raise BadJson(f"json: cannot unmarshal {_called(each)} into Go value of type string")
        result[_sound(key)] = _sound(each or "")
    return result


def decode_members(text: bytes, names: tuple[str, ...], kind: str) -> dict[str, str]:
    """Read members of type string, by the given names in any case, empty where there are none; BadJson."""
    value, _ = _first(text.decode("utf-8", "replace"), end="EOF")
    result = dict.fromkeys(names, "")
    if value is None:
        return result
    if not isinstance(value, Members):
        raise BadJson(f"json: cannot unmarshal {_called(value)} into Go value of type {kind}")
    known = {name.lower(): name for name in names}
    for key, each in value.pairs:
        name = known.get(key.lower())
        if name is None or each is None:
            continue
        if not isinstance(each, str):
            struct = kind.rpartition(".")[2]
            raise BadJson(f"json: cannot unmarshal {_called(each)} into Go struct field {struct}.{name} of type string")
        result[name] = _sound(each)
    return result


def _first(text: str, *, end: str) -> tuple[Any, str]:
    """Give the first value and what follows it. `end`: the words for a text that holds nothing."""
    start = text.lstrip(" \t\r\n")
    if not start:
        raise BadJson(end)
    reader = json.JSONDecoder(
        object_pairs_hook=lambda pairs: Members(tuple(pairs)),
        parse_int=Number,
        parse_float=Number,
        parse_constant=_no_constant,
    )
    try:
        value, used = reader.raw_decode(start)
    except json.JSONDecodeError as error:
        if error.pos >= len(start) or error.msg.startswith(_OPEN_STRING):
            raise BadJson("unexpected EOF") from None
        raise BadJson(f"invalid character {_quoted(start[error.pos])} looking for beginning of value") from None
    except RecursionError:
        raise BadJson("exceeded max depth") from None
    return value, start[used:].lstrip(" \t\r\n")


def _no_constant(name: str) -> NoReturn:
    raise BadJson(f"invalid character {_quoted(name[0])} looking for beginning of value")


def _quoted(char: str) -> str:
    return "'\\''" if char == "'" else f"'{char if char.isprintable() else char.encode('unicode_escape').decode()}'"


def _fill(message: Message, members: Members, path: tuple[str, ...]) -> None:
    fields: Mapping[str, Any] = message.DESCRIPTOR.fields_by_name
    folded = {name.lower(): field for name, field in fields.items()}
    for key, value in members.pairs:
        field = fields.get(key) or folded.get(key.lower())
        # Members of a oneof have no name of their own in Go.
        if field is None or value is None or field.containing_oneof is not None:
            continue
        _set(message, field, value, (*path, field.name))


def _set(message: Message, field: FieldDescriptor, value: Any, path: tuple[str, ...]) -> None:
    where = _Where(message.DESCRIPTOR.name, ".".join(path))
    if is_map(field):
        _fill_map(getattr(message, field.name), field, value, where=where)
    elif field.is_repeated:
        if not isinstance(value, list):
            where.refuse(_called(value), f"[]{_type_of(field, pointer=True)}")
        target = getattr(message, field.name)
        del target[:]
        for each in value:
            if field.message_type is None:
                target.append(_scalar(field, each, where))
            else:
                _fill_one(target.add(), field, each, path=path, where=where)
    elif field.message_type is None:
        setattr(message, field.name, _scalar(field, value, where))
    else:
        part = getattr(message, field.name)
        part.SetInParent()
        _fill_one(part, field, value, path=path, where=where)


def _fill_one(part: Message, field: FieldDescriptor, value: Any, *, path: tuple[str, ...], where: _Where) -> None:
    if value is None:
        return
    if not isinstance(value, Members):
        where.refuse(_called(value), _type_of(field))
    _fill(part, value, path)


def _fill_map(target: Any, field: FieldDescriptor, value: Any, *, where: _Where) -> None:
    entry: Any = field.message_type
    kinds = entry.fields_by_name
    if not isinstance(value, Members):
        where.refuse(_called(value), f"map[{_type_of(kinds['key'])}]{_type_of(kinds['value'], pointer=True)}")
    for key, each in value.pairs:
        read = _sound(key) if kinds["key"].cpp_type == FieldDescriptor.CPPTYPE_STRING else _map_key(key, kinds, where)
        if kinds["value"].message_type is not None:
            _fill_one(target[read], kinds["value"], each, path=(where.path,), where=where)
        else:
            target[read] = _zero(kinds["value"]) if each is None else _scalar(kinds["value"], each, where)


def _map_key(key: str, kinds: Mapping[str, FieldDescriptor], where: _Where) -> int:
    name, least, most = _WHOLE[kinds["key"].cpp_type]
    try:
        found = int(key)
    except ValueError:
        found = most + 1
    if not least <= found <= most:
        where.refuse(f"number {key}", name)
    return found


def _zero(field: FieldDescriptor) -> Any:
    return field.default_value


def _scalar(field: FieldDescriptor, value: Any, where: _Where) -> Any:
    if value is None:
        return _zero(field)
    if field.cpp_type in _WHOLE:
        return _whole(field, value, where)
    if field.cpp_type in _FLOATS:
        if not isinstance(value, Number):
            where.refuse(_called(value), _type_of(field))
        if not math.isfinite(float(value.text)):
            where.refuse(f"number {value.text[:64]}", _type_of(field))
        return float(value.text)
    if not isinstance(value, _OTHER[field.cpp_type][1]):
        where.refuse(_called(value), _type_of(field))
    if field.type == FieldDescriptor.TYPE_BYTES:
        try:
            return base64.b64decode(value, validate=True)
        except (binascii.Error, ValueError):
            raise BadJson("illegal base64 data") from None
    return _sound(value) if isinstance(value, str) else value


def _whole(field: FieldDescriptor, value: Any, where: _Where) -> int:
    _, least, most = _WHOLE[field.cpp_type]
    if not isinstance(value, Number):
        where.refuse(_called(value), _type_of(field))
    # What is longer cannot be in range, and takes long to read.
    digits = value.text.lstrip("-")
    if not digits.isdigit() or len(digits) > len(str(most)) or not least <= int(value.text) <= most:
        where.refuse(f"number {value.text[:64]}", _type_of(field))
    return int(value.text)


class _Where(msgspec.Struct, frozen=True):
    """The struct and the path of what is being read, for the text of a refusal."""

    struct: str
    path: str

    def refuse(self, value: str, kind: str) -> NoReturn:
        """End reading with the words of Go."""
        raise BadJson(f"json: cannot unmarshal {value} into Go struct field {self.struct}.{self.path} of type {kind}")


def _called(value: Any) -> str:
    """Give what Go calls a JSON value."""
    match value:
        case bool():
            return "bool"
        case str():
            return "string"
        case Number():
            return "number"
        case list():
            return "array"
    return "object"


def _type_of(field: FieldDescriptor, *, pointer: bool = False) -> str:
    if field.type == FieldDescriptor.TYPE_BYTES:
        return "[]uint8"
    if field.message_type is not None:
        return ("*" if pointer else "") + _go_type(field.message_type)
    if field.enum_type is not None:
        return _go_type(field.enum_type)
    name = _FLOATS.get(field.cpp_type)
    return name or (_WHOLE.get(field.cpp_type) or _OTHER[field.cpp_type])[0]


def _go_type(described: Any) -> str:
    return "api." + "_".join(map(go_name, described.full_name.removeprefix(_PACKAGE).split(".")))


def _sound(text: str) -> str:
    """Give a text without halves of surrogate pairs, which an escape can make and no message can hold."""
    if text.isascii():
        return text
    return text.encode("utf-16", "surrogatepass").decode("utf-16", "replace")
