"""Whether containers of this host have what is mounted on it, by the tables of all mount name spaces."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from gateway.core.mount_table import Entry, at, entries
from gateway.core.needs import effective_capabilities

_PROCESSES = Path("/proc")
_HOST = "pid:[4026531836]"
"""The first process name space, from which all others can be seen; the kernel gives it this number."""

_INIT = "1"
_RIGHT = "CAP_SYS_PTRACE"


def is_shown_elsewhere(point: str, processes: Path = _PROCESSES) -> bool:
    """Tell whether a container has what is mounted at a place: whether another mount name space shows it elsewhere.

    True as well where that cannot be known, because this process may not look
    at others or does not see them. Reads a table per name space, so it takes a while.
    """
    own = processes / "self"
    ours = at(point, entries(own / "mountinfo"))
    if ours is None:
        return False
    if str((own / "ns/pid").readlink()) != _HOST or _RIGHT not in effective_capabilities(own / "status"):
        return True
    try:
        return any(_shows(table, ours) for table in _foreign_tables(processes))
    except PermissionError:
        return True


def _shows(table: tuple[Entry, ...], ours: Entry) -> bool:
    """Tell whether a table has the content of a mount, or something below it, at another place."""
    below = f"{ours.root.rstrip('/')}/"
    return any(
        (entry.filesystem, entry.source) == (ours.filesystem, ours.source)
        and entry.point != ours.point
        and f"{entry.root.rstrip('/')}/".startswith(below)
        for entry in table
    )


def _foreign_tables(processes: Path) -> Iterator[tuple[Entry, ...]]:
    """Yield the tables of all mount name spaces but our own, as their processes see them."""
    seen = {(processes / "self/ns/mnt").readlink()}
    for process in processes.iterdir():
        # The host's first process is in no container, and may be closed to everybody.
        if not process.name.isdigit() or process.name == _INIT:
            continue
        try:
            space = (process / "ns/mnt").readlink()
            if space in seen:
                continue
            table = entries(process / "mountinfo")
        except PermissionError:
            raise
        except OSError:
            continue  # it has ended; of one that nobody has waited for yet the table is an invalid argument
        seen.add(space)
        yield table
