"""Volume specifications as documents in JSON or YAML: a volume's name, and what it shall be.

    dbvol: {Size: 10, Format: "ext4", BlockSize: 4096, HALevel: 1, Cos: 1}

`Size` is in GiB, `BlockSize` in bytes; both may be texts with a unit as well.
"""

from __future__ import annotations

import enum
import json
from collections.abc import Callable, Mapping
from typing import Any, NoReturn

from gateway.core.errors import InvalidArgument
from gateway.core.volumes import check_name
from gateway.frontends.openstorage.spec.grammar import parse_options
from gateway.frontends.openstorage.spec.model import Parsed
from gateway.frontends.openstorage.spec.units import GIB, SIZE_MAX, parse_size
from gateway.frontends.openstorage.spec.values import hint, invalid
from gateway.frontends.openstorage.spec.yaml_text import YAML_MAX, load_yaml

DOCUMENT_MAX = YAML_MAX
FIELD = "document"


class DocumentFormat(enum.StrEnum):
    """What a document is written in."""

    JSON = "json"
    YAML = "yaml"


def load_documents(text: str, written_in: DocumentFormat) -> list[Parsed]:
    """Give the request for each volume of a document, in its order.

    InvalidArgument names what is wrong as `<volume>.<key>`. Unsupported for
    YAML where PyYAML is not installed. A large document in YAML takes half a
    second, so this is nothing for an event loop.
    """
    if len(text) > DOCUMENT_MAX:
        raise invalid(FIELD, f"has more than {DOCUMENT_MAX} characters")
    document = _LOADERS[written_in](text)
    if not isinstance(document, dict):
        raise invalid(FIELD, "must have the names of volumes at its top")
    return [_volume(name, keys) for name, keys in document.items()]


def _volume(name: Any, keys: Any) -> Parsed:
    if not isinstance(name, str) or not name.isprintable():
        raise invalid(FIELD, "has a volume whose name is no text; put it in quotes")
    check_name("name", name)
    if not isinstance(keys, dict):
        raise invalid(name, f"must have keys such as {', '.join(_KEYS)}")
    said: dict[str, str] = {}
    for key, value in keys.items():
        if key not in _KEYS:
            raise invalid(f"{name}.{str(key)[:64]}", f"unknown key{hint(str(key), _KEYS)}")
        option, write = _KEYS[key]
        try:
            said[option] = write(value)
            parse_options({option: said[option]})
        except (TypeError, ValueError) as error:
            raise invalid(f"{name}.{key}", str(error)) from None
        except InvalidArgument as error:
            raise invalid(f"{name}.{key}", str(error.reason)) from None
    return parse_options(said, name=name)


def _size(bare: int) -> Callable[[Any], str]:
    def write(value: Any) -> str:
        if isinstance(value, str):
            return f"{parse_size(value, bare=bare)}B"
        if isinstance(value, float) and value.is_integer():
            value = int(value)
        return f"{_whole(value, 'must be a whole number or a text such as 10GiB') * bare}B"

    return write


def _number(value: Any) -> str:
    return str(_whole(value, "must be a whole number"))


def _whole(value: Any, otherwise: str) -> int:
    """Give the number back. One that is too large for anything is refused before it is made a text."""
    if not isinstance(value, int) or isinstance(value, bool):
        raise TypeError(otherwise)
    if abs(value) > SIZE_MAX:
        raise ValueError(f"is not between 0 and {SIZE_MAX}")
    return value


def _text(value: Any) -> str:
    if not isinstance(value, str):
        raise TypeError("must be a text")
    return value


def _level(value: Any) -> str:
    return value if isinstance(value, str) else _number(value)


_KEYS: Mapping[str, tuple[str, Callable[[Any], str]]] = {
    "Size": ("size", _size(GIB)),
    "Format": ("fs", _text),
    "BlockSize": ("block_size", _size(1)),
    "HALevel": ("repl", _number),
    "Cos": ("io_priority", _level),
}
"""Key of a document -> the option that it is, and how its value is written as that option's."""


def _from_json(text: str) -> Any:
    def unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
        found: dict[str, Any] = {}
        for key, value in pairs:
            if key in found:
                raise invalid(FIELD, f"has the key {key[:64]!r} twice")
            found[key] = value
        return found

    def no_constant(constant: str) -> NoReturn:
        raise ValueError(f"{constant} is no JSON")

    try:
        return json.loads(text, object_pairs_hook=unique, parse_constant=no_constant)
    except json.JSONDecodeError as error:
        raise invalid(FIELD, f"is not JSON at line {error.lineno}") from None
    except (ValueError, RecursionError):
        raise invalid(FIELD, "is not JSON, or nested too deeply") from None


def _from_yaml(text: str) -> Any:
    return load_yaml(text, field=FIELD)


_LOADERS: Mapping[DocumentFormat, Callable[[str], Any]] = {
    DocumentFormat.JSON: _from_json,
    DocumentFormat.YAML: _from_yaml,
}
