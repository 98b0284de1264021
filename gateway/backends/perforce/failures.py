"""What a Perforce server says when it refuses: the numbers of its messages, and what they mean to the core.

Every message has a number that is the same in all releases and languages, and
a class. A number that is not in the table means what its class does. Texts are
for the log only: servers translate them.
"""

from __future__ import annotations

import enum
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager

from gateway.core.errors import Busy, GatewayError, Internal, InUse, NotFound, OutOfSpace, Unavailable

FAILED = 3
"""The least severity (0 to 4) of a message that says that the command was not done."""


class Meaning(enum.StrEnum):
    """Why the server did not do it."""

    MISSING = "missing"
    EXISTS = "exists"
    CHILDREN = "children"
    WORKSPACES = "workspaces"
    OPENED = "opened"
    DENIED = "denied"
    LOGIN = "login"
    LIMIT = "limit"
    SPACE = "space"
    BUSY = "busy"
    GONE = "gone"
    OPEN = "open to everybody"
    OLD = "old"
    SETUP = "setup"
    DEFECT = "defect"


class Refused(Exception):  # noqa: N818 - it never leaves the backend
    """The server refused. `text` is for the log."""

    def __init__(self, meaning: Meaning, text: str) -> None:
        super().__init__(meaning, text)
        self.meaning = meaning
        self.text = text


def _data(code: int) -> int:
    return 6 * 1024 + code


def _server(code: int) -> int:
    return 7 * 1024 + code


MESSAGES: Mapping[int, Meaning] = {
    4 * 1024 + 32: Meaning.LIMIT,  # more results than the user's group may have
    4 * 1024 + 61: Meaning.LIMIT,  # more rows than it may scan
    _data(453): Meaning.LIMIT,  # locks held longer than it may
    _data(456): Meaning.OPEN,  # no protections are set
    _data(500): Meaning.LIMIT,  # more open files than it may have
    _data(70): Meaning.OPENED,  # a locked form
    _data(71): Meaning.OPENED,  # a workspace with open files
    _data(447): Meaning.OPENED,  # a workspace with pending changelists
    _data(580): Meaning.CHILDREN,  # of a stream
    _data(581): Meaning.WORKSPACES,  # of a stream
    _data(613): Meaning.SPACE,  # less than the server's configuration wants to be free
    _data(614): Meaning.SPACE,  # less than the command needs
    _data(678): Meaning.EXISTS,  # files where a stream was to be populated
    _data(753): Meaning.EXISTS,  # files where a stream was to be made
    _data(640): Meaning.BUSY,  # a file changed while it was submitted
    _server(9): Meaning.BUSY,  # a file was unlocked while it was submitted
    _server(10): Meaning.BUSY,  # a file was locked by somebody else
    _server(21): Meaning.LOGIN,  # no password, or a wrong one
    _server(42): Meaning.BUSY,  # a changelist that has something to be done about before it is submitted
    _server(307): Meaning.LOGIN,  # a password has to be set first
    _server(312): Meaning.LOGIN,  # the ticket ran out
    _server(318): Meaning.LOGIN,  # logged out
    _server(321): Meaning.LOGIN,  # too weak a password
    _server(322): Meaning.LOGIN,  # tickets only
    _server(455): Meaning.LOGIN,  # the password ran out
    _server(891): Meaning.LOGIN,  # a second factor is wanted
}
"""Number of a message (1024 times its subsystem, plus its code) -> what it means."""

CLASSES: Mapping[int, Meaning] = {
    0x02: Meaning.MISSING,
    0x05: Meaning.OPENED,
    0x06: Meaning.DENIED,
    0x23: Meaning.SETUP,
    0x24: Meaning.SETUP,
    0x25: Meaning.OLD,
    0x26: Meaning.GONE,
    0x27: Meaning.LIMIT,
}
"""Class of a message -> what it means; any other is a defect of ours."""


def refusal(number: int, generic: int, text: str) -> Refused:
    """Give what a message means."""
    return Refused(MESSAGES.get(number) or CLASSES.get(generic, Meaning.DEFECT), text.strip())


def _unavailable(reason: str) -> Callable[[str], GatewayError]:
    return lambda pool: Unavailable(what=pool, reason=reason)


ERRORS: Mapping[Meaning, Callable[[str], GatewayError]] = {
    Meaning.MISSING: lambda _pool: NotFound(kind="volume", ref=""),
    Meaning.EXISTS: lambda pool: Busy(what=pool),
    Meaning.CHILDREN: lambda _pool: InUse(kind="volume", ref="", by="volumes"),
    Meaning.WORKSPACES: lambda _pool: InUse(kind="volume", ref="", by="sessions"),
    Meaning.OPENED: lambda pool: Busy(what=pool),
    Meaning.DENIED: _unavailable("the server's protections do not let its user do this"),
    Meaning.LOGIN: _unavailable("the server does not take its user and password"),
    Meaning.LIMIT: _unavailable("the server's limits for its user are too low"),
    Meaning.SPACE: lambda pool: OutOfSpace(pool=pool),
    Meaning.BUSY: lambda pool: Busy(what=pool),
    Meaning.GONE: _unavailable("the server does not answer"),
    Meaning.OPEN: _unavailable("the server has no protections"),
    Meaning.OLD: _unavailable("the server and the installed p4python are too far apart"),
    Meaning.SETUP: _unavailable("the server's administrator has to look at it; the log has its message"),
    Meaning.DEFECT: lambda pool: Internal(incident=f"{pool}: the server refused for an unknown reason"),
}
"""What a meaning is to the core where no caller knew better, given the pool's name.

EXISTS and OPENED come up when somebody else made or opened the same thing
meanwhile: asking again finds it so.
"""


@contextmanager
def translated(pool: str, log: Callable[[str], None]) -> Iterator[None]:
    """Turn every refusal of the body into an error of the core; `log` gets the server's words."""
    try:
        yield
    except Refused as refused:
        log(refused.text)
        raise ERRORS[refused.meaning](pool) from refused
