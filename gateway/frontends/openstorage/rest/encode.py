"""From responses and errors of calls to bytes, as the reference's gateway writes them.

Names as in the definitions, nothing for what has its default, enums by name,
64-bit numbers as text, times in RFC 3339.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from http import HTTPStatus
from typing import Any

import msgspec
from google.protobuf.descriptor import FieldDescriptor
from google.protobuf.json_format import MessageToDict
from google.protobuf.message import Message
from grpc import StatusCode

from gateway.frontends.openstorage.call import SdkError
from gateway.frontends.openstorage.rest.described import is_map

HTTP_STATUS: Mapping[StatusCode, HTTPStatus] = {
    StatusCode.OK: HTTPStatus.OK,
    StatusCode.CANCELLED: HTTPStatus.REQUEST_TIMEOUT,
    StatusCode.UNKNOWN: HTTPStatus.INTERNAL_SERVER_ERROR,
    StatusCode.INVALID_ARGUMENT: HTTPStatus.BAD_REQUEST,
    StatusCode.DEADLINE_EXCEEDED: HTTPStatus.GATEWAY_TIMEOUT,
    StatusCode.NOT_FOUND: HTTPStatus.NOT_FOUND,
    StatusCode.ALREADY_EXISTS: HTTPStatus.CONFLICT,
    StatusCode.PERMISSION_DENIED: HTTPStatus.FORBIDDEN,
    StatusCode.UNAUTHENTICATED: HTTPStatus.UNAUTHORIZED,
    StatusCode.RESOURCE_EXHAUSTED: HTTPStatus.TOO_MANY_REQUESTS,
    StatusCode.FAILED_PRECONDITION: HTTPStatus.BAD_REQUEST,
    StatusCode.ABORTED: HTTPStatus.CONFLICT,
    StatusCode.OUT_OF_RANGE: HTTPStatus.BAD_REQUEST,
    StatusCode.UNIMPLEMENTED: HTTPStatus.NOT_IMPLEMENTED,
    StatusCode.INTERNAL: HTTPStatus.INTERNAL_SERVER_ERROR,
    StatusCode.UNAVAILABLE: HTTPStatus.SERVICE_UNAVAILABLE,
    StatusCode.DATA_LOSS: HTTPStatus.INTERNAL_SERVER_ERROR,
}

REFUSALS: Mapping[int, StatusCode] = {
    400: StatusCode.INVALID_ARGUMENT,
    408: StatusCode.DEADLINE_EXCEEDED,
    413: StatusCode.RESOURCE_EXHAUSTED,
    503: StatusCode.UNAVAILABLE,
}
"""HTTP status of what never became a call -> the code that its body has; INTERNAL for every other."""

SLICE, MESSAGES_SLICE = 512, 8
"""Elements of a list that are written in one go: values, and messages."""


def pieces(message: Message) -> Iterator[bytes]:
    """Yield a message's JSON in pieces, each of which takes a moment only, however long its lists are."""
    long = [
        field for field, value in message.ListFields() if field.is_repeated and len(value) > SLICE and not is_map(field)
    ]
    if not long:
        yield msgspec.json.encode(_plain(message))
        return
    rest = type(message)()
    rest.CopyFrom(message)
    for field in long:
        rest.ClearField(field.name)
    head = msgspec.json.encode(_plain(rest))[:-1]
    yield head
    comma = b"" if head == b"{" else b","
    for field in long:
        yield comma + msgspec.json.encode(field.name) + b":["
        comma = b","
        yield from _elements(message, field)
        yield b"]"
    yield b"}"


def error_body(error: SdkError) -> bytes:
    """Give the body of a call that failed."""
    number = error.code.value[0]
    return _sparse({"error": error.text, "code": number, "message": error.text})


def error_line(error: SdkError) -> bytes:
    """Give the line that ends a stream that failed."""
    status = HTTP_STATUS[error.code]
    told = {
        "grpc_code": error.code.value[0],
        "http_code": int(status),
        "message": error.text,
        "http_status": status.phrase,
    }
    return b'{"error":' + _sparse(told) + b"}\n"


def result_line(message: Message) -> Iterator[bytes]:
    """Yield the line of one message of a stream."""
    yield b'{"result":'
    yield from pieces(message)
    yield b"}\n"


def _elements(message: Message, field: FieldDescriptor) -> Iterator[bytes]:
    name, step = field.name, _slice(field)
    values = getattr(message, name)
    for start in range(0, len(values), step):
        part = type(message)()
        getattr(part, name).extend(values[start : start + step])
        written = msgspec.json.encode(_plain(part)[name])[1:-1]
        yield written if not start else b"," + written


def _slice(field: FieldDescriptor) -> int:
    return SLICE if field.message_type is None else MESSAGES_SLICE


def _plain(message: Message) -> dict[str, Any]:
    found: dict[str, Any] = MessageToDict(message, preserving_proto_field_name=True)
    return found


def _sparse(told: Mapping[str, Any]) -> bytes:
    """Encode without members that have their default, like every message."""
    return msgspec.json.encode({name: value for name, value in told.items() if value})
