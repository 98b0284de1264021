"""One call of the stand-in, and its flags."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from gateway.backends.perforce.connection import Record
from gateway.testing.perforce.state import LEVELS, NO_PERMISSION, USAGE, State


@dataclass(frozen=True)
class Call:
    """A command as the server gets it."""

    state: State
    user: str
    command: str
    args: tuple[str, ...]
    form: Record | None
    workspace: str

    def require(self, level: str) -> None:
        """Refuse whoever has less than a permission."""
        held = self.state.permission if self.state.protected else "super"
        if LEVELS.index(held) < LEVELS.index(level):
            raise NO_PERMISSION.failure()


Handler = Callable[[Call], list[Record]]


def flags(call: Call, *, plain: str = "", valued: str = "") -> tuple[dict[str, str], list[str]]:
    """Give the flags with their values, and the other arguments; an unknown flag is refused."""
    given: dict[str, str] = {}
    rest = list(call.args)
    while rest and rest[0].startswith("-"):
        flag = rest.pop(0)[1:]
        if len(flag) == 1 and flag in plain:
            given[flag] = ""
        elif len(flag) == 1 and flag in valued and rest:
            given[flag] = rest.pop(0)
        else:
            raise USAGE.failure(usage=call.command)
    return given, rest
