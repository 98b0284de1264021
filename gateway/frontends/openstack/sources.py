"""Configuration of OpenStack services in TOML, JSON and YAML, as a source of oslo.config.

    [DEFAULT]
    config_source = site

    [site]
    driver = gateway
    path = /etc/cinder/site.toml

Files are read and merged as the gateway's own configuration is: a `conf.d`
folder beside a file belongs to it, later files win, tables are merged key by
key, lists are replaced. A table is a group of options, `DEFAULT` is one of
them.

oslo.config logs that a source cannot be opened and goes on without it, which
would start a service with defaults. So a source that cannot be read is opened
all the same, and refuses to answer: the service's start ends with the reason.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from oslo_config import cfg, sources, types

from gateway.config.documents import Document, Keys, merge, read_all
from gateway.config.errors import ConfigError

_OPTIONS: tuple[cfg.Opt, ...] = (
    cfg.MultiStrOpt(
        "path",
        default=[],
        sample_default=["/etc/cinder/site.toml"],
        help="A file (.toml, .json, .yaml), with the files of a conf.d folder beside it, or a folder of files. "
        "May be given several times; what comes later wins.",
    ),
)
_DEFAULT = "DEFAULT"

_Found = tuple[Any, cfg.LocationInfo | None]


class FileSourceDriver(sources.ConfigurationSourceDriver):
    """Groups of options are tables of TOML, JSON or YAML files. What configuration files say wins over them."""

    def list_options_for_discovery(self) -> list[cfg.Opt]:
        """Give the options of a source."""
        return list(_OPTIONS)

    def open_source_from_opt_group(self, conf: cfg.ConfigOpts, group_name: str) -> sources.ConfigurationSource:
        """Give the source that a group of the configuration describes; one that refuses to answer if it is at fault."""
        conf.register_opts(_OPTIONS, group_name)
        try:
            return FileSource(_read(conf[group_name].path, group_name))
        except ConfigError as error:
            return Broken(str(error))


class FileSource(sources.ConfigurationSource):
    """What files say of options, each value as its option takes it."""

    def __init__(self, documents: Sequence[Document]) -> None:
        """ConfigError when a value is in no table."""
        self._documents = documents
        self._groups = merge([_groups(document) for document in documents])

    def get(self, group_name: str | None, option_name: str, opt: cfg.Opt) -> _Found:
        """Give the value and the file that set it. ConfigSourceValueError when the option cannot have it."""
        for group, name in _names(group_name, option_name, opt):
            value = self._groups.get(group, {}).get(name)
            if value is None:
                continue
            document, path = self._last(group, name)
            try:
                return _fitting(value, opt), cfg.LocationInfo(cfg.Locations.user, document.source)
            except ValueError as error:
                reason = f"is no {_type_name(opt.type)}" if opt.secret else str(error)
                raise cfg.ConfigSourceValueError(str(document.error(path, reason))) from None
        return sources._NoValue, None  # noqa: SLF001 - what the contract names

    def _last(self, group: str, name: str) -> tuple[Document, Keys]:
        return next(
            (document, (key, name))
            for document in reversed(self._documents)
            for key in reversed(document.table)
            if _normal(key) == group and name in document.table[key]
        )


class Broken(sources.ConfigurationSource):
    """A source that cannot be read. Asked for any option, it says why."""

    def __init__(self, reason: str) -> None:
        self._reason = reason

    def get(self, group_name: str | None, option_name: str, opt: cfg.Opt) -> _Found:  # noqa: ARG002 - the same for all
        """Raise ConfigSourceValueError."""
        raise cfg.ConfigSourceValueError(self._reason)


def _read(paths: Sequence[str], group: str) -> list[Document]:
    if not paths:
        raise ConfigError(f"config_source {group}", "no file is named", path=(group, "path"))
    for path in paths:
        if not Path(path).is_absolute():
            raise ConfigError(f"config_source {group}", f"{path!r} is no absolute path", path=(group, "path"))
    return read_all([Path(path) for path in paths])


def _groups(document: Document) -> dict[str, Any]:
    """Give a file's tables under the names that oslo.config has for them."""
    found: dict[str, Any] = {}
    for key, table in document.table.items():
        if not isinstance(table, dict):
            raise document.error((key,), "is in no group; options of the service itself belong to the table DEFAULT")
        found = merge([found, {_normal(key): table}])
    return found


def _names(group: str | None, name: str, opt: cfg.Opt) -> Iterator[tuple[str, str]]:
    """Yield how an option may be called: as it is, then as it was."""
    yield _normal(group or _DEFAULT), name
    for old in opt.deprecated_opts:
        yield _normal(old.group or group or _DEFAULT), old.name or name


def _normal(group: str) -> str:
    return group if group == _DEFAULT else group.lower()


def _fitting(value: Any, opt: cfg.Opt) -> Any:
    """Give a value as oslo.config converts it without a guess. ValueError when the option cannot have it."""
    if not opt.multi:
        return _fit(value, opt.type)
    return [_fit(item, opt.type) for item in (value if isinstance(value, list) else [value])]


def _fit(value: Any, kind: Any) -> Any:
    if isinstance(value, list) and isinstance(kind, types.List):
        return [_fit(item, kind.item_type) for item in value]
    if isinstance(value, Mapping) and isinstance(kind, types.Dict):
        # oslo.config takes a table as it is, also what is in it.
        return {key: kind.value_type(_fit(item, kind.value_type)) for key, item in value.items()}
    if isinstance(value, str):
        _check(value, kind)
        return value
    if isinstance(value, bool):
        fits = isinstance(kind, types.Boolean)
    elif isinstance(value, float):
        fits = isinstance(kind, types.Float)
    else:
        fits = isinstance(value, int)
    if not fits:
        hint = "; a text is written in quotes" if isinstance(kind, types.String) else ""
        raise ValueError(f"{_shown(value)} is no {_type_name(kind)}{hint}")
    fitting = value if isinstance(value, bool) or isinstance(kind, types.Number) else str(value)
    _check(fitting, kind)
    return fitting


def _check(value: Any, kind: Any) -> None:
    """Let the option's type look at a value. One with a `$` is complete only when oslo.config has filled it in."""
    if not (isinstance(value, str) and "$" in value):
        kind(value)


def _type_name(kind: Any) -> str:
    return str(getattr(kind, "type_name", "value of this option"))


def _shown(value: Any) -> str:
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, (int, float)):
        return str(value)
    if isinstance(value, dict):
        return "a table"
    return f"a {type(value).__name__}"
