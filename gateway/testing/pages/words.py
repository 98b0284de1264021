"""What classes say of themselves in their docstrings, and how types and values are written on a page."""

from __future__ import annotations

import inspect as python
import json
import re
from collections.abc import Iterable, Mapping
from pathlib import Path

import msgspec
from msgspec import inspect

from gateway.core.secret import AccessKeys, Secret

_POINTER = re.compile(r"[;,:]? \(?see `[^`]*`[^.)]*\)?")
_SENTENCE = re.compile(r"(?<=[.!?])\s+")
_LINE = re.compile(r"(?P<names>\w+(?:, \w+)*): (?P<meaning>.+)")

_SIMPLE: Mapping[type, str] = {
    inspect.BoolType: "true or false",
    inspect.StrType: "text",
    inspect.FloatType: "number",
    inspect.DictType: "table",
    inspect.AnyType: "anything",
}
_REFERENCE = "`env:NAME` or `file:PATH`"
_CUSTOM: Mapping[type, str] = {Path: "path", Secret: _REFERENCE, AccessKeys: _REFERENCE}


def introduction(described: object) -> str:
    """Give a class's docstring for readers who do not have the source: without pointers into it."""
    return _POINTER.sub("", python.getdoc(described) or "")


def first_sentence(described: object) -> str:
    """Give the sentence that says what the class is."""
    return _SENTENCE.split(" ".join(introduction(described).split()))[0]


def meanings(record: type[msgspec.Struct]) -> dict[str, str]:
    """Give what a record's docstring says of each field; ValueError naming one of which it says nothing.

    Said is either a line `name: meaning` or `name, name: meaning`, which may go
    on in lines that begin with no field's name, or a sentence that names the field.
    """
    text = python.getdoc(record) or ""
    lines = _by_line(text, record.__struct_fields__)
    found = {name: lines.get(name) or _by_sentence(text, name) for name in record.__struct_fields__}
    for name, meaning in found.items():
        if not meaning:
            raise ValueError(f"{record.__name__}: its docstring does not say what {name!r} means")
    return found


def _by_line(text: str, fields: tuple[str, ...]) -> dict[str, str]:
    found: dict[str, str] = {}
    current: list[str] = []
    for line in text.splitlines():
        match = _LINE.fullmatch(line)
        names = match["names"].split(", ") if match else []
        if match and set(names) <= set(fields):
            current = names
            found |= dict.fromkeys(names, match["meaning"])
        elif line.strip():
            found |= {name: f"{found[name]} {line.strip()}" for name in current}
        else:
            current = []
    return {name: meaning.rstrip(".") for name, meaning in found.items()}


def _by_sentence(text: str, name: str) -> str:
    sentences = _SENTENCE.split(" ".join(text.split()))
    return " ".join(sentence for sentence in sentences if f"`{name}`" in sentence).rstrip(".")


def kind_of(kind: inspect.Type) -> str:
    """Give the words for what an option takes."""
    match kind:
        case inspect.UnionType(types=types):
            words = " or ".join(kind_of(each) for each in types if not isinstance(each, inspect.NoneType))
        case inspect.IntType(ge=low, le=high):
            words = "whole number" + _bounds(low, high)
        case inspect.LiteralType(values=values):
            words = _alternatives(values)
        case inspect.EnumType(cls=members):
            words = _alternatives([member.value for member in members])
        case inspect.CustomType(cls=cls):
            words = _CUSTOM[cls]
        case inspect.VarTupleType(item_type=item) | inspect.ListType(item_type=item):
            words = f"list: {kind_of(item)}"
        case _:
            words = _SIMPLE[type(kind)]
    return words


def _bounds(low: int | None, high: int | None) -> str:
    if low is not None and high is not None:
        return f", {low} to {high}"
    return f", at least {low}" if low is not None else ""


def _alternatives(values: Iterable[object]) -> str:
    words = [f"`{value}`" for value in values]
    return " or ".join(filter(None, [", ".join(words[:-1]), words[-1]]))


def toml(value: object) -> str:
    """Give a value as it is written in a configuration file."""
    if isinstance(value, Mapping):
        return "{ " + ", ".join(f"{key} = {toml(each)}" for key, each in value.items()) + " }"
    if isinstance(value, (list, tuple)):
        return f"[{', '.join(map(toml, value))}]"
    return json.dumps(str(value) if isinstance(value, Path) else value, ensure_ascii=False)
