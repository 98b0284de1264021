"""The stand-in's forms: streams, labels, workspaces and depots, read, saved, removed and listed."""

from __future__ import annotations

import fnmatch
from typing import Final

from gateway.backends.perforce.connection import Field, Record
from gateway.testing.perforce.calls import Call, Handler, flags
from gateway.testing.perforce.state import (
    CHANGES_PENDING,
    CHILDREN,
    FIELD_MISSING,
    FILES_OPENED,
    LOCKED,
    LOCKED_DELETE,
    NO_DEPOT,
    NO_FORM,
    NO_PERMISSION,
    STREAM_DEPTH,
    STREAM_PARENT,
    USAGE,
    WORKSPACES,
    Workspace,
)

_NOW: Final = "2026/11/27 08:00:00"
_KEYS: Final = {"stream": "Stream", "label": "Label", "client": "Client"}
_SHORT: Final = 31


def form(kind: str) -> Handler:
    """Give the command of a kind of form: `-o`, `-i` and `-d`."""

    def run(call: Call) -> list[Record]:
        given, names = flags(call, plain="oidf", valued="tSP")
        if "i" in given:
            return _save(call, kind, forced="f" in given)
        if len(names) != 1 or not {"o", "d"} & given.keys():
            raise USAGE.failure(usage=kind)
        if "d" in given:
            return _remove(call, kind, names[0], forced="f" in given)
        found = call.state.forms[kind].get(names[0])
        return [dict(found) if found is not None else _template(call, kind, names[0], given)]

    return run


def _template(call: Call, kind: str, name: str, given: dict[str, str]) -> Record:
    """Give what the server offers for a form that was never saved: without `Update` and `Access`."""
    owned: dict[str, Field] = {_KEYS[kind]: name, "Owner": call.user, "Description": f"Created by {call.user}.\n"}
    if kind == "stream":
        return owned | {
            "Name": name.rpartition("/")[2],
            "Parent": "none",
            "Type": given.get("t", "development"),
            "Options": "allsubmit unlocked toparent fromparent mergedown",
            "ParentView": "inherit",
            "Paths": ["share ..."],
        }
    if kind == "label":
        return owned | {"Options": "unlocked noautoreload", "View": ["//depot/..."]}
    stream: dict[str, Field] = {"Stream": given["S"]} if "S" in given else {}
    return (
        owned
        | stream
        | {
            "Host": "here",
            "Root": "/home/somebody",
            "Options": "noallwrite noclobber nocompress unlocked nomodtime normdir",
            "SubmitOptions": "submitunchanged",
            "LineEnd": "local",
            "View": [f"//depot/... //{name}/..."],
        }
    )


def _save(call: Call, kind: str, *, forced: bool) -> list[Record]:
    given = call.form or {}
    name = given.get(_KEYS[kind])
    if not isinstance(name, str) or not name:
        raise FIELD_MISSING.failure(name=_KEYS[kind])
    call.require("admin" if forced else "open")
    known = call.state.forms[kind].get(name)
    if known is not None and _locked(known) and known["Owner"] != call.user and not forced:
        raise LOCKED.failure(kind=kind, name=name, user=known["Owner"])
    if kind == "stream":
        _check_stream(call, name, given)
    saved = {field: value for field, value in given.items() if value not in ("", [])}
    # A text field always ends with an end of line.
    saved["Description"] = str(given.get("Description", "")).rstrip("\n") + "\n"
    call.state.forms[kind][name] = saved | {"Update": _NOW, "Access": _NOW}
    if kind == "client":
        call.state.workspaces.setdefault(name, Workspace())
    return []


def _check_stream(call: Call, name: str, given: Record) -> None:
    depot, _, rest = name.removeprefix("//").partition("/")
    if call.state.depots.get(depot) != "stream":
        raise NO_DEPOT.failure(name=depot)
    if not rest or "/" in rest or not name.startswith("//"):
        raise STREAM_DEPTH.failure(name=name)
    for field in ("Owner", "Parent", "Type", "Paths"):
        if not given.get(field):
            raise FIELD_MISSING.failure(name=field)
    parent = given["Parent"]
    if (given["Type"] == "mainline") != (parent == "none"):
        raise STREAM_PARENT.failure(name=parent)
    if parent != "none" and parent not in call.state.forms["stream"]:
        raise STREAM_PARENT.failure(name=parent)


def _remove(call: Call, kind: str, name: str, *, forced: bool) -> list[Record]:
    state = call.state
    known = state.forms[kind].get(name)
    if known is None:
        raise NO_FORM.failure(kind=kind, name=name)
    call.require("admin" if forced else "open")
    if _locked(known) and not forced:
        raise LOCKED_DELETE.failure(kind=kind, name=name)
    if not forced and known["Owner"] != call.user:
        raise NO_PERMISSION.failure()
    if kind == "stream":
        if any(each.get("Parent") == name for each in state.forms["stream"].values()):
            raise CHILDREN.failure(name=name)
        if any(each.get("Stream") == name for each in state.forms["client"].values()):
            raise WORKSPACES.failure(name=name)
    if kind == "client":
        if state.workspaces[name].opened:
            raise FILES_OPENED.failure(name=name)
        if any(each.client == name and each.status == "pending" for each in state.changes.values()):
            raise CHANGES_PENDING.failure(name=name)
        del state.workspaces[name]
    del state.forms[kind][name]
    return []


def _locked(found: Record) -> bool:
    return "locked" in str(found.get("Options", "")).split()


# --- lists ---


def streams(call: Call) -> list[Record]:
    """List streams: by path, and by a field."""
    given, patterns = flags(call, valued="mF")
    field, _, value = given.get("F", "").partition("=")
    found: list[Record] = [
        {
            "Stream": name,
            "Owner": each["Owner"],
            "Parent": each["Parent"],
            "Type": each["Type"],
            "Options": each["Options"],
            "desc": _shown(call, each),
        }
        for name, each in sorted(call.state.forms["stream"].items())
        if not patterns or any(fnmatch.fnmatchcase(name, pattern) for pattern in patterns)
        if not field or each.get(field) == value
    ]
    return _most(found, given)


def labels(call: Call) -> list[Record]:
    """List labels: by name."""
    given, _ = flags(call, valued="me")
    found: list[Record] = [
        {
            "label": name,
            "Owner": each["Owner"],
            "Options": each["Options"],
            "Description": _shown(call, each),
        }
        for name, each in sorted(call.state.forms["label"].items())
        if fnmatch.fnmatchcase(name, given.get("e", "*"))
    ]
    return _most(found, given)


def clients(call: Call) -> list[Record]:
    """List workspaces: by name, and by the stream that they are for."""
    given, _ = flags(call, valued="meS")
    found: list[Record] = [
        {"client": name, "Owner": each["Owner"]}
        for name, each in sorted(call.state.forms["client"].items())
        if fnmatch.fnmatchcase(name, given.get("e", "*"))
        if "S" not in given or each.get("Stream") == given["S"]
    ]
    return _most(found, given)


def depots(call: Call) -> list[Record]:
    """List depots."""
    flags(call)
    return [{"name": name, "type": kind, "map": f"{name}/..."} for name, kind in call.state.depots.items()]


def depot(call: Call) -> list[Record]:
    """Give a depot's form."""
    given, names = flags(call, plain="o")
    if "o" not in given or len(names) != 1:
        raise USAGE.failure(usage="depot")
    kind = call.state.depots.get(names[0], "local")
    found: Record = {"Depot": names[0], "Type": kind, "Map": f"{names[0]}/..."}
    return [{**found, "StreamDepth": f"//{names[0]}/{call.state.depth}"} if kind == "stream" else found]


def _shown(call: Call, found: Record) -> Field:
    said = found["Description"]
    return str(said)[:_SHORT] if call.state.short_descriptions else said


def _most(found: list[Record], given: dict[str, str]) -> list[Record]:
    return found[: int(given["m"])] if "m" in given else found
