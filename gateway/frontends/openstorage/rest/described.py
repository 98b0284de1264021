"""What descriptors say of messages and fields."""

from __future__ import annotations

from collections.abc import Mapping
from typing import cast

from google.protobuf.descriptor import Descriptor, FieldDescriptor
from google.protobuf.message import Message

TIMESTAMP = "google.protobuf.Timestamp"


def descriptor(message: Message | type[Message]) -> Descriptor:
    """Give the descriptor of a message or its type."""
    return cast("Descriptor", message.DESCRIPTOR)


def field_named(message: Message, name: str) -> FieldDescriptor | None:
    """Give a field by its name, as it is in the definitions or in camel case."""
    described = descriptor(message)
    return described.fields_by_name.get(name) or described.fields_by_camelcase_name.get(name)


def is_map(field: FieldDescriptor) -> bool:
    """Tell whether a field holds values by key."""
    inner = field.message_type
    return inner is not None and field.is_repeated and inner.GetOptions().map_entry


def is_timestamp(field: FieldDescriptor) -> bool:
    """Tell whether a field holds one time, or each of its elements does."""
    return field.message_type is not None and field.message_type.full_name == TIMESTAMP


def entry(field: FieldDescriptor) -> tuple[FieldDescriptor, FieldDescriptor]:
    """Give the fields of a map's keys and of its values."""
    fields = cast("Descriptor", field.message_type).fields_by_name
    return fields["key"], fields["value"]


def other_member(message: Message, field: FieldDescriptor) -> bool:
    """Tell whether another member of the field's oneof is set."""
    group = field.containing_oneof
    return group is not None and message.WhichOneof(group.name) not in {None, field.name}


def fields_of(described: Descriptor) -> Mapping[str, FieldDescriptor]:
    """Give the fields by name, in the order of the definitions."""
    return {field.name: field for field in described.fields}
