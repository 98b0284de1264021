"""What the stand-in knows: forms, changelists, files, workspaces."""

from __future__ import annotations

import importlib
import re
import threading
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any, Final

from gateway.backends.perforce.connection import Record

GONE: Final = frozenset({"delete"})
LEVELS: Final = ("none", "list", "read", "open", "write", "admin", "super")

_FILES: Final = re.compile(r"(//[^@#]+?)(?:@(\d+))?")


@dataclass(frozen=True)
class Message:
    """A message that says that a command was not done: subsystem (6 data, 7 server, 3 network), code, class, text."""

    subsystem: int
    code: int
    generic: int
    text: str

    @property
    def number(self) -> int:
        """Give the number by which clients know it."""
        return self.subsystem * 1024 + self.code

    def failure(self, **values: object) -> Failure:
        """Give what ends a command with it."""
        return Failure(self, self.text.format(**values))


class Failure(Exception):  # noqa: N818 - it never leaves the stand-in
    """A command was not done."""

    def __init__(self, message: Message, text: str) -> None:
        super().__init__(message, text)
        self.message = message
        self.text = text


USAGE = Message(7, 30, 0x01, "Usage: {usage}")
NO_COMMAND = Message(7, 26, 0x01, "Unknown command.  Try 'p4 help' for info.")
NO_PERMISSION = Message(6, 41, 0x06, "You don't have permission for this operation.")
NO_PROTECTIONS = Message(6, 456, 0x23, "Protections table is empty.")
PASSWORD = Message(7, 21, 0x24, "Perforce password (P4PASSWD) invalid or unset.")
NO_SESSION = Message(7, 312, 0x04, "Your session has expired, please login again.")
CLOSED = Message(3, 1, 0x26, "Partner exited unexpectedly.")
NO_DEPOT = Message(6, 32, 0x02, "Depot '{name}' doesn't exist.")
NO_FORM = Message(6, 34, 0x02, "{kind} '{name}' doesn't exist.")
NO_CHANGE = Message(6, 26, 0x02, "Change {name} unknown.")
LOCKED = Message(6, 68, 0x06, "Locked {kind} '{name}' owned by '{user}'; use -f to force update.")
LOCKED_DELETE = Message(6, 70, 0x06, "{kind} '{name}' is locked and can't be deleted.")
CHILDREN = Message(6, 580, 0x05, "Stream '{name}' has child streams; cannot delete until they are removed.")
WORKSPACES = Message(6, 581, 0x05, "Stream '{name}' has active clients; cannot delete until they are removed.")
FILES_OPENED = Message(6, 71, 0x05, "Client '{name}' has files opened.")
CHANGES_PENDING = Message(6, 447, 0x05, "Client '{name}' has pending changes.")
NOT_EMPTY = Message(6, 678, 0x04, "Can't populate target path when files already exist.")
NO_STREAM_PATH = Message(6, 727, 0x04, "Can't update stream target with '{name}'")
STREAM_DEPTH = Message(6, 504, 0x00, "Stream '{name}' must reside in first folder below depot level.")
STREAM_PARENT = Message(6, 542, 0x03, "Invalid parent field '{name}'. Check stream, parent and type.")
FIELD_MISSING = Message(4, 45, 0x01, "Missing required field '{name}'.")
NEEDS_CLIENT = Message(6, 99, 0x24, "{name} - must create client '{name}' to access local files.")
NOT_SUBMITTED = Message(7, 42, 0x05, "Submit failed -- fix problems above then use 'p4 submit -c {name}'.")


@dataclass
class Revision:
    """One revision of a file. Revisions that are lazy copies share `data`, and `lazy` says so."""

    change: int
    action: str
    data: bytes
    lazy: bool = False


@dataclass
class Change:
    """A changelist."""

    status: str
    user: str
    client: str
    description: str


@dataclass
class Opened:
    """A file open in a workspace: for what, on top of which revision, in which changelist (0: the default one)."""

    action: str
    base: int
    change: int = 0
    copied: Revision | None = None


@dataclass
class Workspace:
    """What the server knows of a workspace's files, and its client's disk."""

    have: dict[str, int] = field(default_factory=dict)
    opened: dict[str, Opened] = field(default_factory=dict)
    disk: dict[str, bytes] = field(default_factory=dict)


class Library:
    """Perforce's own library, p4python: forms reach the stand-in as the text that it makes of them."""

    def __init__(self) -> None:
        self._p4: Any = importlib.import_module("P4").P4()

    def through(self, kind: str, form: Record) -> Record:
        """Give a form as a server reads it. Fields that the library does not know in such forms are lost."""
        return self.read(kind, self._p4.format_spec(kind, dict(form)))

    def read(self, kind: str, text: str) -> Record:
        """Give what the text of a form says."""
        return dict(self._p4.parse_spec(kind, text))


@dataclass
class State:
    """Everything of one server, behind one lock: commands are transactions.

    `exclusive`: files that somebody holds alone. `odd`: commands that are refused, whatever they ask.
    """

    version: str = "2024.1"
    permission: str = "super"
    protected: bool = True
    folds_case: bool = False
    short_descriptions: bool = False
    depots: dict[str, str] = field(default_factory=dict)
    depth: str = "1"
    forms: dict[str, dict[str, Record]] = field(default_factory=lambda: {"stream": {}, "label": {}, "client": {}})
    changes: dict[int, Change] = field(default_factory=dict)
    counter: int = 0
    files: dict[str, list[Revision]] = field(default_factory=dict)
    workspaces: dict[str, Workspace] = field(default_factory=dict)
    exclusive: set[str] = field(default_factory=set)
    disk_size: int = 1 << 40
    odd: dict[str, Message] = field(default_factory=dict)
    library: Library = field(default_factory=Library)
    lock: threading.RLock = field(default_factory=threading.RLock)

    def next_change(self) -> int:
        """Give a number that no changelist has."""
        self.counter += 1
        return self.counter

    def submit(self, user: str, client: str, description: str) -> int:
        """Number and record a changelist that is submitted now."""
        number = self.next_change()
        self.changes[number] = Change("submitted", user, client, description)
        return number

    def matching(self, argument: str) -> Iterator[tuple[str, int | None, Revision]]:
        """Yield files that an argument names, with the revision's number that it leads to, deleted ones included."""
        pattern, change = parse(argument)
        wanted = re.compile(re.escape(pattern).replace(r"\.\.\.", ".*").replace(r"\*", "[^/]*"))
        for path in sorted(self.files):
            revisions = self.files[path]
            if wanted.fullmatch(path) is None:
                continue
            known = [n for n, each in enumerate(revisions, 1) if change is None or each.change <= change]
            if known:
                yield path, known[-1], revisions[known[-1] - 1]

    def there(self, argument: str) -> dict[str, Revision]:
        """Give the files that an argument names and that are not deleted there."""
        return {path: found for path, _, found in self.matching(argument) if found.action not in GONE}

    def stream_of(self, path: str) -> str | None:
        """Give the stream that a file is in."""
        top = "/".join(path.split("/")[:4])
        return top if top in self.forms["stream"] else None

    def workspace(self, name: str) -> Workspace:
        """Give the workspace of a client that exists."""
        if name not in self.forms["client"]:
            raise NEEDS_CLIENT.failure(name=name)
        return self.workspaces.setdefault(name, Workspace())


def parse(argument: str) -> tuple[str, int | None]:
    """Split an argument into the pattern of files and the changelist."""
    found = _FILES.fullmatch(argument)
    if found is None:
        raise USAGE.failure(usage=argument)
    return found[1], None if found[2] is None else int(found[2])
