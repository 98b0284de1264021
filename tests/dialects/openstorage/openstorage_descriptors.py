"""The descriptors of our modules as facts in the form of `descriptors.json`."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from importlib import import_module
from pkgutil import iter_modules
from typing import Any

from google.protobuf.descriptor import Descriptor, EnumDescriptor, FieldDescriptor, FileDescriptor

from gateway.frontends.openstorage import pb

PACKAGE = "openstorage.api"
FILES: list[FileDescriptor] = [
    import_module(f"{pb.__name__}.{module.name}").DESCRIPTOR for module in iter_modules(pb.__path__)
]
SCALARS = {
    getattr(FieldDescriptor, f"TYPE_{name.upper()}"): name
    for name in ("bool", "double", "enum", "int32", "int64", "message", "string", "uint32", "uint64")
}


def every_message(described: Iterable[Descriptor] | None = None) -> Iterator[Descriptor]:
    """Yield every message type, with those inside of others."""
    tops = (each for file in FILES for each in file.message_types_by_name.values())
    for each in tops if described is None else described:
        yield each
        yield from every_message(each.nested_types)


def every_enum() -> Iterator[EnumDescriptor]:
    """Yield every enum, with those inside of messages."""
    for file in FILES:
        yield from file.enum_types_by_name.values()
    for message in every_message():
        yield from message.enum_types


def relative(name: str) -> str:
    return name.removeprefix(f"{PACKAGE}.")


def message_facts(described: Descriptor) -> dict[str, dict[str, Any]]:
    return {field.name: field_facts(field) for field in described.fields}


def field_facts(field: FieldDescriptor) -> dict[str, Any]:
    kind = field.message_type or field.enum_type
    is_map = field.message_type is not None and field.message_type.GetOptions().map_entry
    return {
        "number": field.number,
        "type": SCALARS[field.type],
        "label": "map" if is_map else "repeated" if field.is_repeated else "optional",
        "type_name": relative(kind.full_name) if kind is not None else None,
        "oneof": field.containing_oneof.name if field.containing_oneof is not None else None,
        "json_name": field.json_name,
    }


def enum_facts(described: EnumDescriptor) -> dict[str, int]:
    return {value.name: value.number for value in described.values}
