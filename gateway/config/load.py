from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, TypeVar

import msgspec
from msgspec import inspect

from gateway.config.documents import Document, Keys, merge, read_all, read_environment
from gateway.config.errors import ConfigError, nearest
from gateway.config.settings import BackendSettings, Settings, check_name
from gateway.config.shape import Fitter, fields_of
from gateway.core.capability import FLAGS, OPERATIONS

Options = Mapping[str, type[msgspec.Struct]]
"""Name of a driver, of a kind of export or of a door -> the record of its options."""

_OWN_KEYS: Mapping[str, inspect.Type] = {
    "driver": inspect.StrType(),
    "disable": inspect.ListType(inspect.StrType()),
}
_NONE: Options = {}
_NOUNS: Mapping[str, str] = {"export": "kind of export", "frontend": "door"}
T = TypeVar("T")
_AT = re.compile(r"(?P<reason>.*) - at `\$(?P<path>.*)`", re.DOTALL)


def load(
    paths: Sequence[Path], env: Mapping[str, str], *, drivers: Options, exporters: Options, doors: Options = _NONE
) -> Settings:
    """Give the settings that files and environment make together; ConfigError when they make none.

    Later files override earlier ones, `conf.d` beside a file follows it, and
    `GATEWAY__SECTION__KEY` variables come last. Relative paths begin at the
    folder of the file that states them (of the first file for defaults and
    variables). Only the drivers, exporters and doors that are named are looked up.
    """
    files = read_all(paths)
    if not files:
        raise ConfigError(", ".join(map(str, paths)) or "configuration", "there is no file to read")
    documents = [*files, read_environment(env, files[0].base)]
    return _Loader(documents, env, drivers=drivers, kinds={"export": exporters, "frontend": doors}).settings()


def load_table(
    table: Mapping[str, Any],
    env: Mapping[str, str],
    *,
    base: Path,
    drivers: Options,
    exporters: Options,
    doors: Options = _NONE,
) -> Settings:
    """Give the settings of a table such as a file holds; relative paths begin at `base`. See `load`."""
    document = Document(source="configuration", base=base, table=dict(table))
    return _Loader([document], env, drivers=drivers, kinds={"export": exporters, "frontend": doors}).settings()


def schema(*, drivers: Options, exporters: Options, doors: Options = _NONE) -> dict[str, Any]:
    """Give the JSON Schema of a configuration file with these drivers, exporters and doors."""
    records = [Settings, *drivers.values(), *exporters.values(), *doors.values()]
    refs, components = msgspec.json.schema_components(
        records, schema_hook=_custom_schema, ref_template="#/$defs/{name}"
    )
    names = [ref["$ref"].removeprefix("#/$defs/") for ref in refs]
    driver_names = names[1 : 1 + len(drivers)]
    top = components.pop(names[0])
    components.pop("BackendSettings", None)
    components.pop("Struct", None)
    own = {"disable": {"type": "array", "items": {"enum": sorted([*OPERATIONS, *FLAGS])}}}
    for driver, name in zip(drivers, driver_names, strict=True):
        described = components[name]
        described["properties"] = {"driver": {"const": driver}, **own, **described.get("properties", {})}
        described["additionalProperties"] = False
    tables = {driver: {"$ref": f"#/$defs/{name}"} for driver, name in zip(drivers, driver_names, strict=True)}
    top["properties"]["backend"] = {
        "type": "object",
        "minProperties": 1,
        "properties": tables,
        "additionalProperties": {"anyOf": [{**table, "required": ["driver"]} for table in tables.values()]},
    }
    others = iter(names[1 + len(drivers) :])
    for section, kinds in (("export", exporters), ("frontend", doors)):
        top["properties"][section] = {
            "type": "object",
            "properties": {kind: {"$ref": f"#/$defs/{next(others)}"} for kind in kinds},
            "additionalProperties": False,
        }
    top["required"] = ["backend"]
    return {"$schema": "https://json-schema.org/draft/2020-12/schema", **top, "$defs": components}


class _Loader:
    """One load: the documents and what their tables are checked against."""

    def __init__(
        self,
        documents: Sequence[Document],
        env: Mapping[str, str],
        *,
        drivers: Options,
        kinds: Mapping[str, Options],
    ) -> None:
        self._documents = documents
        self._environment = env
        self._drivers = drivers
        self._kinds = kinds
        self._raw = merge([document.table for document in documents])

    def settings(self) -> Settings:
        merged = merge([self._fit(document) for document in self._documents])
        backends = {name: self._backend(name, table) for name, table in self._tables(merged, "backend").items()}
        if not backends:
            raise self._documents[0].error((), "there is no [backend.NAME] table: at least one pool is needed")
        chosen = {
            section: {
                kind: self._convert(table, options[kind], (section, kind))
                for kind, table in self._tables(merged, section).items()
            }
            for section, options in self._kinds.items()
        }
        plain = {key: value for key, value in merged.items() if key not in {"backend", *self._kinds}}
        settings = self._convert(plain, Settings, ())
        base = self._documents[0].base
        tls = msgspec.structs.replace(
            settings.tls, certificate=base / settings.tls.certificate, key=base / settings.tls.key
        )
        own = base / settings.data_dir / "peer"
        certificate, key = settings.peer.certificate or own / "cert.pem", settings.peer.key or own / "key.pem"
        peer = msgspec.structs.replace(settings.peer, certificate=base / certificate, key=base / key)
        return msgspec.structs.replace(
            settings,
            peer=peer,
            data_dir=base / settings.data_dir,
            accounts=base / settings.accounts,
            tls=tls,
            backend=backends,
            **chosen,
        )

    def _fit(self, document: Document) -> dict[str, Any]:
        """Check one document's keys and resolve its paths and secrets."""
        fitter = Fitter(document, self._environment)
        table = dict(document.table)
        backends = {
            name: fitter.table(value, self._backend_fields(name), ("backend", name))
            for name, value in self._tables(table, "backend").items()
        }
        sections: dict[str, dict[str, Any]] = {"backend": backends}
        for section in self._kinds:
            sections[section] = {
                kind: fitter.table(value, self._fields_of(section, kind), (section, kind))
                for kind, value in self._tables(table, section).items()
            }
        plain = {key: value for key, value in table.items() if key not in sections}
        top = fitter.table(plain, fields_of(Settings), ())
        return {**top, **{section: tables for section, tables in sections.items() if tables}}

    def _tables(self, document: Mapping[str, Any], section: str) -> Mapping[str, Any]:
        value = document.get(section, {})
        if not isinstance(value, dict):
            raise self._error((section,), f"must hold tables, such as [{section}.NAME]")
        return value

    def _backend_fields(self, name: str) -> dict[str, inspect.Type]:
        table = self._raw["backend"][name]
        driver = table.get("driver", name) if isinstance(table, dict) else name
        if not isinstance(driver, str) or driver not in self._drivers:
            known = ", ".join(sorted(self._drivers))
            at = ("backend", name, "driver") if driver != name else ("backend", name)
            raise self._error(
                at, f"there is no driver {driver!r} (known: {known})", nearest=nearest(str(driver), self._drivers)
            )
        return {**fields_of(self._drivers[driver]), **_OWN_KEYS}

    def _fields_of(self, section: str, kind: str) -> dict[str, inspect.Type]:
        options = self._kinds[section]
        if kind not in options:
            raise self._error((section, kind), f"there is no such {_NOUNS[section]}", nearest=nearest(kind, options))
        return fields_of(options[kind])

    def _backend(self, name: str, table: Mapping[str, Any]) -> BackendSettings:
        path = ("backend", name)
        try:
            check_name("backend", name)
        except ValueError as error:
            raise self._error(path, str(error)) from None
        options = dict(table)
        driver = options.pop("driver", name)
        disable = self._convert(options.pop("disable", []), tuple[str, ...], (*path, "disable"))
        for capability in disable:
            if capability not in OPERATIONS and capability not in FLAGS:
                raise self._error(
                    (*path, "disable"),
                    f"{capability!r} is no capability",
                    nearest=nearest(capability, [*OPERATIONS, *FLAGS]),
                )
        return BackendSettings(
            name=name, driver=driver, disable=disable, options=self._convert(options, self._drivers[driver], path)
        )

    def _convert(self, value: Any, kind: type[T], path: Keys) -> T:
        try:
            return msgspec.convert(value, kind)
        except msgspec.ValidationError as error:
            text = str(error)
            inner: Keys = ()
            if match := _AT.fullmatch(text):
                text = match["reason"]
                inner = tuple(key for key in match["path"].split("[")[0].split(".") if key)
            key, colon, reason = text.partition(": ")
            if colon and key in self._raw:
                inner, text = (key,), reason
            raise self._error((*path, *inner), text) from None

    def _error(self, path: Keys, reason: str, *, nearest: str | None = None) -> ConfigError:
        """Give the error at the last document that sets the key."""
        document = next((each for each in reversed(self._documents) if each.has(path)), self._documents[0])
        return document.error(path, reason, nearest=nearest)


def _custom_schema(_kind: type) -> dict[str, Any]:
    return {"type": "string"}
