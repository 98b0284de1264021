"""Bodies of requests, held to their schemas as strictly as the reference does. Pure.

A member that is not known, a null, a value of another type and a missing
name are refused by a text that says where; no body at all is an empty
object. "" and 0 mean that nothing was given: REX-Ray sends them so.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, TypeVar

import msgspec

from gateway.core.secret import Secret
from gateway.frontends.libstorage.errors import LsError, bad_body, shorten
from gateway.frontends.libstorage.model import wire_name
from gateway.frontends.libstorage.opts import opts_text, too_deep
from gateway.frontends.libstorage.query import Query, as_flag, as_whole

Opts = dict[str, Any]


class VolumeCreateRequest(msgspec.Struct, frozen=True, kw_only=True, rename=wire_name):
    """A new volume, empty or from a snapshot; `size` in GiB."""

    name: str
    availability_zone: str = ""
    encrypted: bool = False
    encryption_key: Secret = Secret("")
    iops: int = 0
    size: int = 0
    type: str = ""
    opts: Opts = {}


class VolumeCopyRequest(msgspec.Struct, frozen=True, kw_only=True, rename=wire_name):
    """A copy of a volume."""

    volume_name: str
    opts: Opts = {}


class VolumeSnapshotRequest(msgspec.Struct, frozen=True, kw_only=True, rename=wire_name):
    """A snapshot of a volume."""

    snapshot_name: str
    opts: Opts = {}


class VolumeAttachRequest(msgspec.Struct, frozen=True, kw_only=True, rename=wire_name):
    """An attachment to the asking node, which proposes a device; by `force` others lose theirs."""

    next_device_name: str = ""
    force: bool = False
    opts: Opts = {}


class VolumeDetachRequest(msgspec.Struct, frozen=True, kw_only=True, rename=wire_name):
    """The end of the asking node's attachments."""

    force: bool = False
    opts: Opts = {}


class SnapshotCopyRequest(msgspec.Struct, frozen=True, kw_only=True, rename=wire_name):
    """A copy of a snapshot at another place."""

    snapshot_name: str
    destination_id: str
    opts: Opts = {}


B = TypeVar("B", bound=msgspec.Struct)

_NO_QUERY = Query()
_TYPES: Mapping[Any, tuple[str, Any]] = {
    str: ("string", str),
    Secret: ("string", str),
    bool: ("boolean", bool),
    int: ("number", (int, float)),
    Opts: ("object", dict),
}
"""Type of a member -> what the schema calls it, and what JSON has for it."""


def read_body(body: bytes, kind: type[B], *, query: Query = _NO_QUERY, opts_count: bool = False) -> B:
    """Read a body; LsError.

    What it need not have and has not it takes from the parameter of that name.
    With `opts_count` options override the members of their names.
    """
    result = _read(body, kind, query)
    return merge_opts(result) if opts_count else result


def merge_opts(request: B) -> B:
    """Give a request whose members are overridden by its options of the same name, in any case; LsError."""
    known = {field.encode_name.lower(): field for field in msgspec.structs.fields(request) if field.name != "opts"}
    opts: Opts = getattr(request, "opts", {})
    changed = {}
    for key, value in opts.items():
        if (field := known.get(key.lower())) is not None:
            changed[field.name] = _converted(value, field.type, path=f"#/opts/{key}")
    return msgspec.structs.replace(request, **changed)


def _read(body: bytes, kind: type[B], query: Query) -> B:
    known = {field.encode_name: field for field in msgspec.structs.fields(kind)}
    members = _members(body)
    for name, field in known.items():
        if field.required and name not in members:
            raise bad_body(f'"#" must have property "{name}"')
    for name in members:
        if name not in known:
            raise bad_body(f'"#/{shorten(name)}": is not a known property')
    values = {known[name].name: _checked(value, known[name].type, path=f"#/{name}") for name, value in members.items()}
    for name, field in known.items():
        if name not in members and field.type != Opts and query.has(name):
            values[field.name] = _asked(query, name, field.type)
    return kind(**values)


def _asked(query: Query, name: str, kind: Any) -> Any:
    """Give a parameter as the type of the member of its name. What is no flag is off, as it is everywhere."""
    if kind is bool:
        return query.flag(name)
    text = "" if query.values[name.lower()] is True else query.text(name)
    return _converted(text, kind, path=f"?{name}")


def _members(body: bytes) -> dict[str, Any]:
    if not body.strip():
        return {}
    try:
        value = msgspec.json.decode(body)
    except (ValueError, RecursionError):
        raise bad_body('"#": must be JSON') from None
    if not isinstance(value, dict):
        raise _wrong_type("#", "object")
    return value


def _checked(value: Any, kind: Any, *, path: str) -> Any:
    called, accepted = _TYPES[kind]
    if not isinstance(value, accepted) or (isinstance(value, bool) and kind is not bool):
        raise _wrong_type(path, called)
    if kind is int and not (isinstance(value, int) and -(2**63) <= value < 2**63):
        raise bad_body(f'"{path}": must be a whole number of 64 bits')
    if kind == Opts and too_deep(value):
        raise bad_body(f'"{path}": is nested too deeply')
    return Secret(value) if kind is Secret else value


def _converted(value: Any, kind: Any, *, path: str) -> Any:
    """Give an option as the type of the member that it overrides; null is nothing given."""
    text = "" if value is None else opts_text(value)
    if kind is Secret:
        return Secret(text)
    if kind is str:
        return text
    if not text:
        return kind()
    found = as_flag(text) if kind is bool else as_whole(text)
    if found is None:
        raise _wrong_type(path, _TYPES[kind][0])
    return found


def _wrong_type(path: str, called: str) -> LsError:
    return bad_body(f'"{shorten(path)}": must be of type "{called}"')
