"""From bytes to the request of a call. Everything that is wrong is an SdkError with INVALID_ARGUMENT.

What the reference's gateway does, this does: members and parameters that a
message does not have are ignored, names are taken in both spellings, null is
no value, an empty body is an empty message, of a parameter that comes
several times the first counts, and a call with a body has no parameters.
Stricter than it: nothing may follow the body's value, and no value may be
given in two ways.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import msgspec
from google.protobuf.descriptor import FieldDescriptor
from google.protobuf.message import Message

from gateway.frontends.openstorage.call import refuse
from gateway.frontends.openstorage.rest.described import (
    TIMESTAMP,
    descriptor,
    entry,
    field_named,
    is_map,
    is_timestamp,
    other_member,
)
from gateway.frontends.openstorage.rest.paths import pairs
from gateway.frontends.openstorage.rest.values import WrongValue, from_json, from_text, set_timestamp
from gateway.frontends.openstorage.schema import Method

DEPTH_MAX = 100
"""Messages within messages, as many as protobuf itself takes."""

_KEY_SHOWN = 64


def decode(method: Method, values: Sequence[str], *, raw_query: str, body: bytes) -> Message:
    """Give the request of a call: from its body or its query, and above both from its path."""
    request = method.request()
    if method.http.whole_body:
        fill(request, body)
    else:
        query(request, raw_query, taken=method.http.path_fields)
    for name, text in zip(method.http.path_fields, values, strict=True):
        _set_path(request, name.split("."), [text], shown=name)
    return request


def fill(message: Message, body: bytes) -> None:
    """Fill a message with JSON."""
    if not body or body.isspace():
        return
    try:
        document = msgspec.json.decode(body)
    except msgspec.MsgspecError as error:
        refuse(f"the body is no valid JSON: {error}")
    except UnicodeDecodeError:
        refuse("the body is no UTF-8")
    except RecursionError:
        refuse("the body is nested too deeply")
    if document is not None:
        _fill(message, document, where="the body", depth=0)


def query(message: Message, raw_query: str, *, taken: Sequence[str] = ()) -> None:
    """Fill a message with the parameters of a query, all but the fields in `taken`."""
    found: dict[str, list[str]] = {}
    for name, value in pairs(raw_query):
        found.setdefault(name, []).append(value)
    for name, texts in found.items():
        steps, key = _parted(name)
        if steps[0] in taken:
            continue
        if key is None:
            _set_path(message, steps, texts, shown=name)
        else:
            _set_key(message, steps, key, texts)


def _fill(message: Message, document: Any, *, where: str, depth: int) -> None:
    if not isinstance(document, dict):
        refuse(f"{where}: is no object")
    if depth > DEPTH_MAX:
        refuse(f"{where}: is nested too deeply")
    seen: set[int] = set()
    for name, value in document.items():
        field = field_named(message, name)
        if field is None or value is None:
            continue
        shown = name if not depth else f"{where}.{name}"
        if field.number in seen or other_member(message, field):
            refuse(f"{shown}: is given in two ways")
        seen.add(field.number)
        try:
            _set_json(message, field, value, where=shown, depth=depth + 1)
        except WrongValue as wrong:
            refuse(f"{shown}: {wrong}")


def _set_json(message: Message, field: FieldDescriptor, value: Any, *, where: str, depth: int) -> None:
    held = getattr(message, field.name)
    if is_map(field):
        _fill_map(held, field, value, where=where, depth=depth)
    elif field.is_repeated:
        if not isinstance(value, list):
            raise WrongValue("is no list")
        if field.message_type is None:
            held.extend([from_json(field, each) for each in value])
        else:
            for each in value:
                _fill_message(held.add(), each, where=where, depth=depth)
    elif field.message_type is None:
        setattr(message, field.name, from_json(field, value))
    else:
        held.SetInParent()
        _fill_message(held, value, where=where, depth=depth)


def _fill_map(held: Any, field: FieldDescriptor, value: Any, *, where: str, depth: int) -> None:
    if not isinstance(value, dict):
        raise WrongValue("is no object")
    keys, values = entry(field)
    for name, each in value.items():
        key = from_text(keys, name)
        if values.message_type is None:
            held[key] = from_json(values, each)
        else:
            _fill_message(held[key], each, where=f"{where}[{name[:_KEY_SHOWN]}]", depth=depth)


def _fill_message(message: Message, value: Any, *, where: str, depth: int) -> None:
    if descriptor(message).full_name == TIMESTAMP:
        set_timestamp(message, value)
    else:
        _fill(message, value, where=where, depth=depth)


def _set_path(message: Message, steps: Sequence[str], texts: Sequence[str], *, shown: str) -> None:
    found = _walk(message, steps, shown=shown)
    if found is None:
        return
    holder, field = found
    if is_map(field) or (field.is_repeated and field.message_type is not None):
        refuse(f"{shown}: takes no single value")
    if other_member(holder, field):
        refuse(f"{shown}: is given in two ways")
    try:
        if field.is_repeated:
            getattr(holder, field.name).extend([from_text(field, text) for text in texts])
        elif field.message_type is None:
            setattr(holder, field.name, from_text(field, texts[0]))
        elif is_timestamp(field):
            set_timestamp(getattr(holder, field.name), texts[0])
        else:
            refuse(f"{shown}: is an object, its members are set by {shown}.NAME")
    except WrongValue as wrong:
        refuse(f"{shown}: {wrong}")


def _set_key(message: Message, steps: Sequence[str], key: str, texts: Sequence[str]) -> None:
    shown = ".".join(steps)
    found = _walk(message, steps, shown=shown)
    if found is None:
        return
    holder, field = found
    if not is_map(field):
        refuse(f"{shown}: has no keys")
    keys, values = entry(field)
    if len(texts) != 1:
        refuse(f"{shown}: has several values for a key")
    if values.message_type is not None:
        refuse(f"{shown}: its values are objects, which a query cannot have")
    try:
        getattr(holder, field.name)[from_text(keys, key)] = from_text(values, texts[0])
    except WrongValue as wrong:
        refuse(f"{shown}: {wrong}")


def _walk(message: Message, steps: Sequence[str], *, shown: str) -> tuple[Message, FieldDescriptor] | None:
    """Give the message that holds the last of the steps, and its field; None when there is none of a name."""
    holder = message
    for step in steps[:-1]:
        field = field_named(holder, step)
        if field is None:
            return None
        if field.message_type is None or field.is_repeated or is_timestamp(field):
            refuse(f"{shown}: {step} has no members")
        if other_member(holder, field):
            refuse(f"{shown}: is given in two ways")
        holder = getattr(holder, field.name)
        holder.SetInParent()
    last = field_named(holder, steps[-1])
    return None if last is None else (holder, last)


def _parted(name: str) -> tuple[list[str], str | None]:
    """Take `spec.labels[a.b]` apart: the steps, and the key if there is one."""
    if name.endswith("]") and "[" in name:
        path, _, key = name[:-1].partition("[")
        return path.split("."), key
    return name.split("."), None
