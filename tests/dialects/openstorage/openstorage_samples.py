"""Filled messages of any protobuf package, the same ones wherever its descriptors say the same.

Also run by the interpreter of the official client, so it imports nothing of ours.
"""

from __future__ import annotations

import zlib
from collections.abc import Iterator
from typing import Any

from google.protobuf.descriptor import Descriptor, FieldDescriptor
from google.protobuf.json_format import MessageToDict
from google.protobuf.message import Message
from google.protobuf.message_factory import GetMessageClass

TIMESTAMP = "google.protobuf.Timestamp"
F = FieldDescriptor


def message_types(tops: Iterator[Descriptor]) -> Iterator[Descriptor]:
    """Yield the message types with those inside of them, entries of maps left out: they come with their maps."""
    for described in tops:
        if not described.GetOptions().map_entry:
            yield described
            yield from message_types(described.nested_types)


def samples(described: Descriptor) -> list[Message]:
    """Give filled messages: as many as it takes until every member of every oneof had its turn."""
    count = max((len(oneof.fields) for oneof in described.oneofs), default=1)
    return [filled(described, turn=turn) for turn in range(count)]


def filled(described: Descriptor, *, turn: int = 0, inside: frozenset[str] = frozenset()) -> Message:
    """Give a message with every field set, in a oneof that whose turn it is. No type is put into itself."""
    message = GetMessageClass(described)()
    if described.full_name == TIMESTAMP:
        message.seconds, message.nanos = 1_500_000_000 + turn, 123_000_000
        return message
    inside |= {described.full_name}
    for field in described.fields:
        oneof = field.containing_oneof
        if oneof is None or oneof.fields[turn % len(oneof.fields)].name == field.name:
            _fill(message, field, turn, inside)
    return message


def as_dict(message: Message) -> dict[str, Any]:
    """Give the fields by their names in the definitions, enums by the names of their values."""
    return MessageToDict(message, preserving_proto_field_name=True)


def as_bytes(message: Message) -> bytes:
    return message.SerializeToString(deterministic=True)


def _fill(message: Message, field: FieldDescriptor, turn: int, inside: frozenset[str]) -> None:
    kind = field.message_type
    if kind is None:
        if field.is_repeated:
            getattr(message, field.name).extend(_scalar(field, turn + n) for n in range(2))
        else:
            setattr(message, field.name, _scalar(field, turn))
    elif kind.GetOptions().map_entry:
        _fill_map(getattr(message, field.name), kind, turn, inside)
    elif kind.full_name in inside:
        return
    elif field.is_repeated:
        getattr(message, field.name).extend(filled(kind, turn=turn + n, inside=inside) for n in range(2))
    else:
        getattr(message, field.name).CopyFrom(filled(kind, turn=turn, inside=inside))


def _fill_map(there: Any, entry: Descriptor, turn: int, inside: frozenset[str]) -> None:
    key, value = entry.fields_by_name["key"], entry.fields_by_name["value"]
    for n in range(2):
        if value.message_type is None:
            there[_scalar(key, turn + n)] = _scalar(value, turn + n)
        else:
            there[_scalar(key, turn + n)].CopyFrom(filled(value.message_type, turn=turn + n, inside=inside))


def _scalar(field: FieldDescriptor, turn: int) -> Any:
    """Give a value that no other field has, so that one field in place of another is noticed."""
    number = zlib.crc32(f"{field.full_name} {turn}".encode()) or 1
    if field.type == F.TYPE_ENUM:
        values = field.enum_type.values
        return values[number % (len(values) - 1) + 1].number if len(values) > 1 else values[0].number
    values = {
        F.TYPE_STRING: f"{field.full_name} {turn} \u00fc\u2603",
        F.TYPE_BOOL: True,
        F.TYPE_DOUBLE: number + 0.5,
        F.TYPE_INT32: -(number >> 1),
        F.TYPE_UINT32: number,
        F.TYPE_INT64: -(number << 30),
        F.TYPE_UINT64: number << 31,
    }
    return values[field.type]
