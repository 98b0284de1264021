"""JSON as Go's own encoder writes the structs of messages, which is not the protobuf mapping. Pure.

Names are those of the definitions, enums are numbers, 64 bits are JSON numbers,
a timestamp is `{"seconds", "nanos"}`, what is zero is left out; a message that
is set is written even when it is empty. A oneof is the member that it is in
Go: `{"PeriodType": {"Daily": {...}}}`. Every body ends with a newline.
"""

from __future__ import annotations

import base64
import math
from collections.abc import Iterable, Iterator, Mapping
from typing import Any

import msgspec
from google.protobuf.descriptor import FieldDescriptor
from google.protobuf.message import Message
from grpc import StatusCode

from gateway.frontends.openstorage.call import SdkError

CODE_NAMES: Mapping[StatusCode, str] = {
    StatusCode.OK: "OK",
    StatusCode.CANCELLED: "Canceled",
    StatusCode.UNKNOWN: "Unknown",
    StatusCode.INVALID_ARGUMENT: "InvalidArgument",
    StatusCode.DEADLINE_EXCEEDED: "DeadlineExceeded",
    StatusCode.NOT_FOUND: "NotFound",
    StatusCode.ALREADY_EXISTS: "AlreadyExists",
    StatusCode.PERMISSION_DENIED: "PermissionDenied",
    StatusCode.RESOURCE_EXHAUSTED: "ResourceExhausted",
    StatusCode.FAILED_PRECONDITION: "FailedPrecondition",
    StatusCode.ABORTED: "Aborted",
    StatusCode.OUT_OF_RANGE: "OutOfRange",
    StatusCode.UNIMPLEMENTED: "Unimplemented",
    StatusCode.INTERNAL: "Internal",
    StatusCode.UNAVAILABLE: "Unavailable",
    StatusCode.DATA_LOSS: "DataLoss",
    StatusCode.UNAUTHENTICATED: "Unauthenticated",
}
"""Status codes as Go spells them."""

_ESCAPES: Mapping[bytes, bytes] = {
    b"<": b"\\u003c",
    b">": b"\\u003e",
    b"&": b"\\u0026",
    "\u2028".encode(): b"\\u2028",
    "\u2029".encode(): b"\\u2029",
}
"""What Go escapes in strings; none of it can be outside of a string."""

_FLOATS = frozenset({FieldDescriptor.CPPTYPE_DOUBLE, FieldDescriptor.CPPTYPE_FLOAT})
_WHOLE_MAX = 1e21
"""From here on Go writes whole numbers with an exponent."""


def rpc_error(error: SdkError) -> str:
    """Give a failed call in the words of a Go client of the SDK, which is what the reference passes on."""
    return f"rpc error: code = {CODE_NAMES[error.code]} desc = {error.text}"


def body(value: Any) -> bytes:
    """Give a body: a message, or anything of JSON that has messages in it."""
    return _text(_value(value)) + b"\n"


def list_body(messages: Iterable[Message]) -> Iterator[bytes]:
    """Yield the parts of a body with a list of messages, so that others may have their turn in between."""
    before = b"["
    for message in messages:
        yield before + _text(plain(message))
        before = b","
    yield b"]\n" if before == b"," else b"[]\n"


def plain(message: Message) -> dict[str, Any]:
    """Give a message as JSON objects."""
    result: dict[str, Any] = {}
    for group in message.DESCRIPTOR.oneofs:
        result[go_name(group.name)] = None
    for field, value in message.ListFields():
        if field.containing_oneof is None:
            result[field.name] = _member(field, value)
        else:
            result[go_name(field.containing_oneof.name)] = {go_name(field.name): _member(field, value)}
    return result


def go_name(name: str) -> str:
    """Give the name that Go makes of one in the definitions: `period_type` is `PeriodType`."""
    return "".join(part[:1].upper() + part[1:] for part in name.split("_"))


def is_map(field: FieldDescriptor) -> bool:
    """Tell whether a field is a map, which is a list of messages to the descriptor."""
    return bool(field.message_type is not None and field.message_type.GetOptions().map_entry)


def _member(field: FieldDescriptor, value: Any) -> Any:
    if field.message_type is not None and is_map(field):
        kind = field.message_type.fields_by_name["value"]
        return {_key(key): _single(kind, value[key]) for key in sorted(value, key=_key)}
    if field.is_repeated:
        return [_single(field, each) for each in value]
    return _single(field, value)


def _single(field: FieldDescriptor, value: Any) -> Any:
    if field.message_type is not None:
        return plain(value)
    if field.cpp_type in _FLOATS:
        return number(value)
    if field.type == FieldDescriptor.TYPE_BYTES:
        return base64.b64encode(value).decode()
    return value


def number(value: float) -> float:
    """Give a floating number as Go writes it: without a point when it is whole."""
    if not math.isfinite(value):
        return 0
    return int(value) if value.is_integer() and abs(value) < _WHOLE_MAX else value


def _key(key: object) -> str:
    return str(key).lower() if isinstance(key, bool) else str(key)


def _value(value: Any) -> Any:
    if isinstance(value, Message):
        return plain(value)
    if isinstance(value, Mapping):
        return {key: _value(each) for key, each in value.items()}
    if isinstance(value, list | tuple):
        return [_value(each) for each in value]
    return value


def _text(value: Any) -> bytes:
    text = msgspec.json.encode(value)
    for char, escape in _ESCAPES.items():
        if char in text:
            text = text.replace(char, escape)
    return text
