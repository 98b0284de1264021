"""Configuration files and environment as tables, each remembering where it came from."""

from __future__ import annotations

import importlib
import re
import tomllib
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import msgspec

from gateway.config.errors import ConfigError

Keys = tuple[str, ...]

_ENVIRONMENT = "GATEWAY__"
_DEPTH_MAX = 32
_KEY = r"(?:[A-Za-z0-9_-]+|\"[^\"]*\"|'[^']*')"
_KEYS = rf"{_KEY}(?:\s*\.\s*{_KEY})*"
_HEADER = re.compile(rf"\s*\[\s*({_KEYS})\s*\]\s*(?:#.*)?")
_ASSIGNMENT = re.compile(rf"\s*({_KEYS})\s*=")


class Document(msgspec.Struct, frozen=True, kw_only=True):
    """One source of settings. Relative paths in it begin at `base`; `text` is set where lines can be found.

    `untyped`: every value is text whose meaning depends on the type it must have.
    """

    source: str
    base: Path
    table: dict[str, Any]
    text: str = ""
    untyped: bool = False

    def line(self, path: Keys) -> int | None:
        """Give the line that sets the key or opens the table, or None."""
        table: Keys = ()
        for number, line in enumerate(self.text.splitlines(), start=1):
            if header := _HEADER.match(line):
                table = _split(header[1])
                here = table
            elif assignment := _ASSIGNMENT.match(line):
                here = table + _split(assignment[1])
            else:
                continue
            if here[: len(path)] == path:
                return number
        return None

    def has(self, path: Keys) -> bool:
        """Tell whether this source sets the key."""
        value: Any = self.table
        for key in path:
            if not isinstance(value, dict) or key not in value:
                return False
            value = value[key]
        return True

    def error(self, path: Keys, reason: str, *, nearest: str | None = None) -> ConfigError:
        """Give the error that points at the key."""
        return ConfigError(self.source, reason, path=path, line=self.line(path) if path else None, nearest=nearest)


def read_all(paths: Sequence[Path]) -> list[Document]:
    """Read files, folders of files, and the `conf.d` folder beside each file, in that order."""
    return [document for path in paths for document in _read_with_folder(path)]


def read_environment(environment: Mapping[str, str], base: Path) -> Document:
    """Turn `GATEWAY__SECTION__KEY` into a table. Keys are lower case."""
    table: dict[str, Any] = {}
    for variable in sorted(environment):
        if not variable.startswith(_ENVIRONMENT):
            continue
        keys = variable.removeprefix(_ENVIRONMENT).lower().split("__")
        if not all(keys):
            raise ConfigError(f"environment variable {variable}", "the name has an empty part")
        place = table
        for key in keys[:-1]:
            place = place.setdefault(key, {})
            if not isinstance(place, dict):
                raise ConfigError(f"environment variable {variable}", "another variable sets a part of its name")
        if isinstance(place.get(keys[-1]), dict):
            raise ConfigError(f"environment variable {variable}", "another variable sets a part of it")
        place[keys[-1]] = environment[variable]
    return Document(source="environment", base=base, table=table, untyped=True)


def merge(documents: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    """Join tables; the later value wins, tables are joined key by key. The inputs are not changed."""
    merged: dict[str, Any] = {}
    for document in documents:
        for key, value in document.items():
            old = merged.get(key)
            merged[key] = merge([old, value]) if isinstance(old, dict) and isinstance(value, dict) else value
    return merged


def _split(keys: str) -> Keys:
    """Split a dotted TOML key."""
    value: Any = tomllib.loads(f"{keys} = 0")
    path: list[str] = []
    while isinstance(value, dict):
        [(key, value)] = value.items()
        path.append(key)
    return tuple(path)


def _read_with_folder(path: Path) -> Iterator[Document]:
    if path.is_dir():
        yield from _read_folder(path, base=path)
        return
    yield _read(path, base=path.parent)
    yield from _read_folder(path.parent / "conf.d", base=path.parent)


def _read_folder(folder: Path, *, base: Path) -> Iterator[Document]:
    if folder.is_dir():
        for path in sorted(folder.iterdir()):
            if path.suffix in _FORMATS and not path.name.startswith("."):
                yield _read(path, base=base)


def _read(path: Path, *, base: Path) -> Document:
    source = str(path)
    parse = _FORMATS.get(path.suffix)
    if parse is None:
        raise ConfigError(source, f"the name must end in one of {', '.join(_FORMATS)}")
    try:
        text = path.read_text(encoding="utf-8")
    except OSError as error:
        raise ConfigError(source, f"cannot be read: {error.strerror}") from None
    except UnicodeDecodeError:
        raise ConfigError(source, "is not UTF-8") from None
    try:
        table = parse(text, source)
    except RecursionError:
        raise ConfigError(source, "is nested too deeply") from None
    if not isinstance(table, dict):
        raise ConfigError(source, "is not a table of settings")
    _check_tables(table, source, depth=0)
    return Document(
        source=source,
        base=base.absolute(),
        table=table,
        text=text if path.suffix == ".toml" else "",
    )


def _check_tables(value: object, source: str, *, depth: int) -> None:
    """Refuse what only some formats can have: keys that are no text, tables that contain themselves."""
    if depth > _DEPTH_MAX:
        raise ConfigError(source, "is nested too deeply")
    if isinstance(value, dict):
        for key, item in value.items():
            if not isinstance(key, str):
                raise ConfigError(source, f"{key!r} is no key: keys are text")
            _check_tables(item, source, depth=depth + 1)
    elif isinstance(value, list):
        for item in value:
            _check_tables(item, source, depth=depth + 1)


def _parse_toml(text: str, source: str) -> object:
    try:
        return tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        raise ConfigError(source, f"is not TOML: {error}") from None


def _parse_json(text: str, source: str) -> object:
    try:
        return msgspec.json.decode(text)
    except msgspec.DecodeError as error:
        raise ConfigError(source, f"is not JSON: {error}") from None


def _parse_yaml(text: str, source: str) -> object:
    try:
        yaml = importlib.import_module("yaml")
    except ImportError:
        raise ConfigError(source, "YAML needs the package PyYAML (pip install 'volume-gateway[yaml]')") from None
    try:
        return yaml.safe_load(text)
    except yaml.YAMLError as error:
        raise ConfigError(source, f"is not YAML: {_yaml_problem(error)}") from None


def _yaml_problem(error: Any) -> str:
    """Give what is wrong and where. PyYAML's own text quotes the line, which may hold a secret."""
    problem = "cannot be understood"
    if type(error).__name__ in {"ParserError", "ScannerError"}:  # the others name what is in the file
        problem = str(error.problem)
    mark = getattr(error, "problem_mark", None)
    return f"{problem} (at line {mark.line + 1}, column {mark.column + 1})" if mark else problem


_FORMATS: Mapping[str, Callable[[str, str], object]] = {
    ".toml": _parse_toml,
    ".json": _parse_json,
    ".yaml": _parse_yaml,
    ".yml": _parse_yaml,
}
