"""From texts to a `Parsed` request. Errors are InvalidArgument; `field` is the option's name.

A name string is `name=<name>,<option>=<value>,...`. Commas separate, and so
does a semicolon or a blank before the name of an option, which the reference
allows as well. Unlike the reference, which searches the string for each option
and so finds `size=` inside `block_size=`:

* an option is known by its whole name, and its value reaches to the separator,
* an option that is given twice, or that contradicts another one, is refused,
* a name string with an unknown option is refused; the error offers the nearest,
* a value that cannot be read is refused, never taken for zero or false,
* options that the reference takes from a map only may stand in a name string.

In a map an unknown option is a label, as in the reference. A door may have
options of its own beside these, which are read like the others and kept as
they are: `own` names them.
"""

from __future__ import annotations

import functools
import re
from collections.abc import Iterable, Mapping
from typing import Any

from gateway.core.secret import Secret
from gateway.frontends.openstorage.spec import options as table
from gateway.frontends.openstorage.spec.model import Parsed, ProxyProtocol, TokenSecret, VolumeSpec
from gateway.frontends.openstorage.spec.options import ALIASES, FORMS, LABEL_OPTIONS, NESTED, OPTIONS, PLAIN, Path
from gateway.frontends.openstorage.spec.values import hint, invalid, read_boolean, read_pairs

NAME = "name"
TEXT_MAX = 65536

_NAME = re.compile(r"[0-9A-Za-z_-]+")
_KNOWN = (NAME, *FORMS, *ALIASES)
_NONE: frozenset[str] = frozenset()


def parse_name(text: str) -> Parsed | None:
    """Give what a name string asks for, or None when the text is the plain name of a volume."""
    found = split_name(text)
    return None if found is None else _parsed(*found)


def parse_options(options: Mapping[str, str], *, name: str = "") -> Parsed:
    """Give what a map of options asks for; `name` is only passed on."""
    return _parsed(name, _usual(options.items()))


def parse_request(text: str, options: Mapping[str, str], *, own: frozenset[str] = _NONE) -> Parsed:
    """Give what a name, plain or a name string, and a map ask for together. The name string counts first.

    The reference drops the map when there is a name string, but for the token.
    """
    name, said = split_name(text, own=own) or (text, {})
    others = _usual(options.items())
    if table.TOKEN_SECRET in said:
        others.pop(table.TOKEN_SECRET_NAMESPACE, None)
    return _parsed(name, {**others, **said}, own)


def split_name(text: str, *, own: frozenset[str] = _NONE) -> tuple[str, dict[str, str]] | None:
    """Give the name and the options of a name string, as a map would give them; None for a plain name."""
    if len(text) > TEXT_MAX:
        raise invalid(NAME, f"has more than {TEXT_MAX} characters")
    parts = [part.strip() for part in _separator(own).split(text)]
    if not any(part.startswith(f"{NAME}=") for part in parts):
        return None
    said = _usual(_pair(part, number, own) for number, part in enumerate(parts, start=1) if part)
    name = said.pop(NAME)
    if not _NAME.fullmatch(name):
        raise invalid(NAME, "must have letters, digits, hyphens and underscores only", value=name)
    return name, {option: FORMS.get(option, PLAIN).from_name(value) for option, value in said.items()}


@functools.cache
def _separator(own: frozenset[str]) -> re.Pattern[str]:
    known = sorted({*_KNOWN, *own}, key=lambda word: (-len(word), word))
    return re.compile(rf",|(?:;\s?|\s)(?=(?:{'|'.join(known)})=)")


def _pair(part: str, number: int, own: frozenset[str]) -> tuple[str, str]:
    option, equals, value = part.partition("=")
    if not equals:
        # It may be the rest of a secret that holds a comma, so it is not repeated.
        raise invalid(NAME, f"part {number} is no option: write option=value")
    if option not in _KNOWN and option not in own:
        raise invalid(option[:64], f"is no option{hint(option, (*_KNOWN, *own))}")
    return option, value


def _usual(pairs: Iterable[tuple[str, str]]) -> dict[str, str]:
    """Give the options by their usual names; InvalidArgument for one that is given twice."""
    usual: dict[str, str] = {}
    for option, value in pairs:
        name = ALIASES.get(option, option)
        if name in usual:
            raise invalid(name, "is given twice")
        usual[name] = value
    return usual


def _parsed(name: str, everything: Mapping[str, str], own: frozenset[str] = _NONE) -> Parsed:
    said = {option: value for option, value in everything.items() if option not in own}
    values = {option.path: table.read(option, said[option.name]) for option in OPTIONS.values() if option.name in said}
    _settle(values)
    return Parsed(
        name=name,
        spec=_build(VolumeSpec, (), values),
        labels=_labels(said),
        parent=said.get(table.PARENT, ""),
        token=_token(said),
        token_secret=_token_secret(said),
        given=frozenset(OPTIONS) & frozenset(said),
        own={option: value for option, value in everything.items() if option in own},
    )


def _settle(values: dict[Path, Any]) -> None:
    """Let options that concern the same thing agree; InvalidArgument when they contradict each other."""
    if table.PASSPHRASE in values and not values.setdefault(table.ENCRYPTED, True):
        raise invalid("secure", "is false although there is a secret_key")
    if table.NODISCARD in values:
        values.setdefault(table.AUTO_FSTRIM, values[table.NODISCARD])
    if table.ENDPOINT in values:
        scheme, _, values[table.ENDPOINT] = values[table.ENDPOINT].partition("://")
        protocol = table.ENDPOINT_SCHEMES[scheme]
        if values.setdefault(table.PROTOCOL, protocol) is not protocol:
            raise invalid("backend", "is not what the scheme of proxy_endpoint says")
    if table.PURE_NAME in values:
        volume = values.pop(table.PURE_NAME)
        record = table.PURE_RECORDS.get(values.get(table.PROTOCOL, ProxyProtocol.INVALID))
        if record is None:
            raise invalid("pure_vol_name", "needs the backend pure_block or pure_file", value=volume)
        values["proxy_spec", record, "full_vol_name"] = volume


def _build(record: Any, at: Path, values: Mapping[Path, Any]) -> Any:
    """Make the record at a path, with those inside it of which something was said."""
    fields = {path[-1]: value for path, value in values.items() if path[:-1] == at}
    for path, inner in NESTED.items():
        if path[:-1] == at and any(said[: len(path)] == path for said in values):
            fields[path[-1]] = _build(inner, path, values)
    return record(**fields)


def _labels(said: Mapping[str, str]) -> dict[str, str]:
    labels: dict[str, str] = {}

    def add(key: str, value: str) -> None:
        if not key:
            raise invalid(table.LABELS, "has a value without a key")
        if key in labels:
            raise invalid(table.LABELS, f"has the key {key[:64]!r} twice")
        labels[key] = value

    for option, text in said.items():
        if option in LABEL_OPTIONS or option not in FORMS:
            add(option, text)
        elif option == table.LABELS:
            for key, value in _pairs(text).items():
                add(key, value)
        elif option == table.BEST_EFFORT and _wanted(text):
            add(option, "true")
    return labels


def _pairs(text: str) -> dict[str, str]:
    try:
        return read_pairs(text)
    except ValueError as error:
        raise invalid(table.LABELS, str(error), value=text) from None


def _wanted(text: str) -> bool:
    """Tell whether best effort is wanted. The reference takes every value for yes, also `false`."""
    try:
        return not text or read_boolean(text)
    except ValueError as error:
        raise invalid(table.BEST_EFFORT, str(error), value=text) from None


def _token(said: Mapping[str, str]) -> Secret | None:
    token = said.get(table.TOKEN, "")
    return Secret(token) if token else None


def _token_secret(said: Mapping[str, str]) -> TokenSecret | None:
    name = said.get(table.TOKEN_SECRET, "").strip("/")
    namespace = said.get(table.TOKEN_SECRET_NAMESPACE, "").strip("/")
    if namespace and not name:
        raise invalid(table.TOKEN_SECRET_NAMESPACE, "needs a token_secret")
    return TokenSecret(name=name, namespace=namespace) if name else None
