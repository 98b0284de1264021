"""The stand-in's files: what is submitted, compared, copied, counted and removed."""

from __future__ import annotations

from gateway.backends.perforce.connection import Record
from gateway.testing.perforce.calls import Call, Handler, flags
from gateway.testing.perforce.state import (
    CHANGES_PENDING,
    GONE,
    NO_CHANGE,
    NO_PROTECTIONS,
    NO_STREAM_PATH,
    NOT_EMPTY,
    NOT_SUBMITTED,
    USAGE,
    Change,
    Opened,
    Revision,
    State,
    Workspace,
    parse,
)

# --- the server ---


def info(call: Call) -> list[Record]:
    """Tell the version, and how names are compared."""
    flags(call, plain="s")
    case = "insensitive" if call.state.folds_case else "sensitive"
    version = f"P4D/LINUX26X86_64/{call.state.version}/2596294 (2024/05/16)"
    return [{"userName": call.user, "serverVersion": version, "caseHandling": case}]


def protects(call: Call) -> list[Record]:
    """Tell the user's highest permission."""
    given, _ = flags(call, plain="m")
    if "m" not in given:
        raise USAGE.failure(usage="protects")
    if not call.state.protected:
        raise NO_PROTECTIONS.failure()
    return [{"permMax": call.state.permission}]


def diskspace(call: Call) -> list[Record]:
    """Tell the disk of a depot."""
    call.require("super")
    _, names = flags(call)
    used = sum(len(each.data) for revisions in call.state.files.values() for each in revisions if not each.lazy)
    size = call.state.disk_size
    return [
        {"location": name, "freeBytes": str(size - used), "usedBytes": str(used), "totalBytes": str(size)}
        for name in names
    ]


# --- changelists ---


def changes(call: Call) -> list[Record]:
    """List changelists, newest first: by status, workspace and files."""
    given, paths = flags(call, plain="l", valued="msc")
    state = call.state
    touching = {
        each.change for path in paths for name, _, _ in state.matching(parse(path)[0]) for each in state.files[name]
    }
    found: list[Record] = [
        {
            "change": str(number),
            "status": each.status,
            "user": each.user,
            "client": each.client,
            "desc": each.description if "l" in given else each.description[:31],
        }
        for number, each in sorted(state.changes.items(), reverse=True)
        if given.get("s", each.status) == each.status
        if given.get("c", each.client) == each.client
        if not paths or number in touching
    ]
    return found[: int(given["m"])] if "m" in given else found


def change(call: Call) -> list[Record]:
    """Delete a pending changelist that has nothing in it."""
    given, names = flags(call, plain="d")
    if "d" not in given or len(names) != 1:
        raise USAGE.failure(usage="change")
    number = int(names[0])
    known = call.state.changes.get(number)
    if known is None or known.status != "pending":
        raise NO_CHANGE.failure(name=number)
    if any(each.change == number for each in call.state.workspace(known.client).opened.values()):
        raise CHANGES_PENDING.failure(name=known.client)
    del call.state.changes[number]
    return []


def submit(call: Call) -> list[Record]:
    """Submit the default changelist of a workspace: all of it, or it becomes a pending one with a number."""
    given, _ = flags(call, valued="d")
    state, work = call.state, call.state.workspace(call.workspace)
    call.require("write")
    mine = {path: each for path, each in work.opened.items() if each.change == 0}
    stream = state.forms["client"][call.workspace].get("Stream")
    stale = [path for path, each in mine.items() if len(state.files.get(path, ())) != each.base]
    if not mine or stale or any(state.stream_of(path) != stream for path in mine):
        number = state.next_change()
        state.changes[number] = Change("pending", call.user, call.workspace, given.get("d", ""))
        for each in mine.values():
            each.change = number
        raise NOT_SUBMITTED.failure(name=number)
    number = state.submit(call.user, call.workspace, given.get("d", ""))
    for path, each in mine.items():
        state.files.setdefault(path, []).append(_revision(number, path, each, work))
        work.have[path] = len(state.files[path])
        del work.opened[path]
    return [{"submittedChange": str(number)}]


def _revision(number: int, path: str, opened: Opened, work: Workspace) -> Revision:
    if opened.copied is not None:
        return Revision(number, opened.action, opened.copied.data, lazy=opened.action not in GONE)
    return Revision(number, opened.action, b"" if opened.action in GONE else work.disk[path])


# --- files of a workspace ---


def sync(call: Call) -> list[Record]:
    """Say that a workspace has the newest revisions; no file is moved (`-k`)."""
    given, paths = flags(call, plain="k")
    if "k" not in given:
        raise USAGE.failure(usage="sync")
    work = call.state.workspace(call.workspace)
    for path in paths:
        for name, number, _ in call.state.matching(path):
            work.have[name] = number or 0
    return []


def open_for(action: str) -> Handler:
    """Give the command that opens files of a workspace for an action."""

    def run(call: Call) -> list[Record]:
        _, paths = flags(call)
        call.require("open")
        work = call.state.workspace(call.workspace)
        found: list[Record] = []
        for path in paths:
            there = path in call.state.there(path)
            if there == (action == "add") or (there and path not in work.have):
                continue
            base = len(call.state.files.get(path, ())) if action == "add" else work.have[path]
            work.opened[path] = Opened(action, base)
            found.append({"depotFile": path, "action": action})
        return found

    return run


def opened(call: Call) -> list[Record]:
    """List what a workspace has open."""
    flags(call)
    work = call.state.workspace(call.workspace)
    return [{"depotFile": path, "action": each.action} for path, each in sorted(work.opened.items())]


def revert(call: Call) -> list[Record]:
    """Close what a workspace has open."""
    flags(call, plain="k")
    call.state.workspace(call.workspace).opened.clear()
    return []


# --- files of the depot ---


def files(call: Call) -> list[Record]:
    """List files that are there."""
    _, paths = flags(call, plain="e")
    return [{"depotFile": path} for argument in paths for path in call.state.there(argument)]


def read(state: State, argument: str) -> bytes | None:
    """Give a file's bytes, as `print` does; None when there is no such file."""
    return next((each.data for each in state.there(argument).values()), None)


def sizes(call: Call) -> list[Record]:
    """Add up files: the ones that are there, or all revisions that are no lazy copies."""
    given, paths = flags(call, plain="saz")
    if "s" not in given:
        raise USAGE.failure(usage="sizes")
    found: list[Record] = []
    for path in paths:
        if "a" in given:
            revisions = [each for name, _, _ in call.state.matching(path) for each in call.state.files[name]]
            counted = [each for each in revisions if not (each.lazy and "z" in given)]
        else:
            counted = list(call.state.there(path).values())
        if counted:
            size = sum(len(each.data) for each in counted)
            found.append({"path": path, "fileCount": str(len(counted)), "fileSize": str(size)})
    return found


def diff2(call: Call) -> list[Record]:
    """List files that differ between two sets of the same path."""
    given, arguments = flags(call, plain="q")
    if "q" not in given or len(arguments) != 2:
        raise USAGE.failure(usage="diff2")
    left, right = (call.state.there(each) for each in arguments)
    found: list[Record] = []
    for path in sorted({*left, *right}):
        if path not in right:
            found.append({"status": "left only", "depotFile": path})
        elif path not in left:
            found.append({"status": "right only", "depotFile2": path})
        elif left[path].data != right[path].data:
            found.append({"status": "content", "depotFile": path, "depotFile2": path})
    return found


def copy(call: Call) -> list[Record]:
    """Open in a workspace what makes the target the same as the source; its files are not touched (`-v`)."""
    given, arguments = flags(call, plain="v")
    if "v" not in given or len(arguments) != 2:
        raise USAGE.failure(usage="copy")
    state, work = call.state, call.state.workspace(call.workspace)
    call.require("open")
    source, target = (state.there(each) for each in arguments)
    stream = state.forms["client"][call.workspace].get("Stream")
    found: list[Record] = []
    for path in sorted({*source, *target}):
        same = path in source and path in target and source[path].data == target[path].data
        # What somebody holds exclusively is left out, and only told of.
        if same or path in state.exclusive or state.stream_of(path) != stream:
            continue
        action = "delete" if path not in source else "edit" if path in target else "branch"
        work.opened[path] = Opened(action, len(state.files[path]), copied=source.get(path) or target[path])
        found.append({"toFile": path, "action": action})
    return found


def populate(call: Call) -> list[Record]:
    """Branch files to where there are none, submitted at once."""
    given, arguments = flags(call, valued="d")
    if len(arguments) != 2:
        raise USAGE.failure(usage="populate")
    call.require("write")
    state, (source, target) = call.state, arguments
    start, end = (parse(each)[0].removesuffix("...") for each in (source, target))
    if state.stream_of(end + "x") is None:
        raise NO_STREAM_PATH.failure(name=target)
    if state.there(target):
        raise NOT_EMPTY.failure()
    branched = state.there(source)
    if not branched:
        return []
    number = state.submit(call.user, call.workspace, given.get("d", ""))
    for path, each in branched.items():
        made = Revision(number, "branch", each.data, lazy=True)
        state.files.setdefault(end + path.removeprefix(start), []).append(made)
    return []


def obliterate(call: Call) -> list[Record]:
    """Remove files with their history."""
    given, paths = flags(call, plain="y")
    call.require("admin")
    if "y" in given:
        for path in paths:
            for name, _, _ in list(call.state.matching(path)):
                del call.state.files[name]
    return []
