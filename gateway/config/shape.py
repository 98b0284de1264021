"""One source against the types it must fit: unknown keys, relative paths, secrets, untyped values.

It runs per source, before merging, so that an error names the right file and
a relative path begins at the right folder. Wrong types are left for msgspec,
which sees the merged whole.
"""

from __future__ import annotations

import os
import tomllib
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import msgspec
from msgspec import inspect

from gateway.config.documents import Document, Keys
from gateway.config.errors import ConfigError, nearest
from gateway.core.secret import AccessKeys, Secret

Fields = Mapping[str, inspect.Type]


def fields_of(record: type[msgspec.Struct]) -> dict[str, inspect.Type]:
    """Give the keys that a record takes, with their types."""
    info = inspect.type_info(record)
    assert isinstance(info, inspect.StructType)  # noqa: S101 - a Struct class has no other kind of type
    return {field.encode_name: field.type for field in info.fields}


class Fitter:
    """Fits the values of one document. `environment` is where `env:` references look."""

    def __init__(self, document: Document, environment: Mapping[str, str]) -> None:
        self._document = document
        self._environment = environment

    def table(self, value: Any, fields: Fields, path: Keys) -> Any:
        """Fit a table whose keys are known; ConfigError for another key."""
        if not isinstance(value, dict):
            raise self._document.error(path, "must be a table")
        for key in value:
            if key not in fields:
                raise self._document.error((*path, key), "unknown key", nearest=nearest(key, fields))
        return {key: self.value(item, fields[key], (*path, key)) for key, item in value.items()}

    def value(self, value: Any, kind: inspect.Type, path: Keys) -> Any:
        """Fit one value of any type."""
        if self._document.untyped and isinstance(value, str) and not _takes_text(kind):
            value = _parse(value)
        if isinstance(kind, inspect.UnionType):
            return self._union(value, kind, path)
        if isinstance(value, dict):
            return self._inner(value, kind, path)
        if isinstance(kind, (inspect.VarTupleType, inspect.ListType)) and isinstance(value, list):
            return [self.value(item, kind.item_type, path) for item in value]
        if isinstance(kind, inspect.CustomType) and isinstance(value, str):
            return self._custom(value, kind.cls, path)
        return value

    def _inner(self, value: dict[str, Any], kind: inspect.Type, path: Keys) -> Any:
        if isinstance(kind, inspect.StructType):
            return self.table(value, {field.encode_name: field.type for field in kind.fields}, path)
        if isinstance(kind, (inspect.DictType, inspect.AnyType)):
            inner = kind.value_type if isinstance(kind, inspect.DictType) else kind
            return {key: self.value(item, inner, (*path, key)) for key, item in value.items()}
        return value

    def _union(self, value: Any, kind: inspect.UnionType, path: Keys) -> Any:
        for member in kind.types:
            fitted = self.value(value, member, path)
            if fitted is not value:
                return fitted
        return value

    def _custom(self, text: str, cls: type, path: Keys) -> Any:
        if cls is Path:
            return self._path(text, path)
        if cls is Secret:
            return self._secret(text, path)
        if cls is AccessKeys:
            return self._access_keys(text, path)
        return text

    def _path(self, text: str, path: Keys) -> Path:
        if not text or "\0" in text:
            raise self._document.error(path, "is not a path")
        return self._document.base / os.path.expanduser(text)  # noqa: PTH111 - Path.expanduser raises RuntimeError

    def _secret(self, text: str, path: Keys) -> Secret:
        scheme, _, name = text.partition(":")
        if scheme == "env":
            if name not in self._environment:
                raise self._document.error(path, f"the environment has no variable {name!r}")
            return Secret(self._environment[name])
        if scheme == "file":
            return Secret(self._file(name, path).rstrip("\r\n"))
        raise self._no_reference(scheme, path)

    def _access_keys(self, text: str, path: Keys) -> AccessKeys:
        scheme, _, name = text.partition(":")
        try:
            if scheme == "env":
                return AccessKeys.named(self._environment, name)
            if scheme == "file":
                return AccessKeys.named(tomllib.loads(self._file(name, path)))
        except tomllib.TOMLDecodeError:
            raise self._document.error(path, f"the file {name!r} is not TOML") from None
        except ValueError as error:
            where = "the environment has no variable" if scheme == "env" else f"the file {name!r} has no key"
            raise self._document.error(path, f"{where} {str(error)!r}") from None
        raise self._no_reference(scheme, path)

    def _file(self, name: str, path: Keys) -> str:
        try:
            return self._path(name, path).read_text(encoding="utf-8")
        except (OSError, UnicodeDecodeError) as error:
            why = (error.strerror if isinstance(error, OSError) else None) or "it is not UTF-8 text"
            raise self._document.error(path, f"the file {name!r} cannot be read: {why}") from None

    def _no_reference(self, scheme: str, path: Keys) -> ConfigError:
        if scheme == "vault":
            return self._document.error(path, "vault: references are not supported yet; use env:NAME or file:PATH")
        return self._document.error(path, "must be a reference, env:NAME or file:PATH, not the secret itself")


def _takes_text(kind: inspect.Type) -> bool:
    if isinstance(kind, inspect.UnionType):
        return any(_takes_text(member) for member in kind.types)
    return isinstance(kind, (inspect.StrType, inspect.CustomType, inspect.EnumType, inspect.LiteralType))


def _parse(text: str) -> Any:
    """Read a TOML value other than a time; anything else is text."""
    try:
        parsed = tomllib.loads(f"value = {text}")
    except (tomllib.TOMLDecodeError, RecursionError):
        return text
    value = parsed["value"]
    return value if len(parsed) == 1 and isinstance(value, (bool, int, float, str, list, dict)) else text
