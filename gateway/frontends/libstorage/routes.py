"""Which handler has which route."""

from __future__ import annotations

import enum
from collections.abc import Awaitable, Callable, Sequence
from typing import NamedTuple

from gateway.frontends.libstorage.ask import Ask
from gateway.frontends.libstorage.services import help as helping
from gateway.frontends.libstorage.services import services, tasks

Handler = Callable[[Ask], Awaitable[object]]
"""Gives what `encode.body` writes, or a body that is written already."""

Check = Callable[[Ask], object]
"""Refuses at once what would otherwise be the end of a task."""

_EVERY_SERVICE = frozenset({"/services", "/volumes", "/snapshots"})


class Scope(enum.Enum):
    """Which services a route is about: whoever calls it must be let in by each of them."""

    NONE = enum.auto()
    ONE = enum.auto()
    EVERY = enum.auto()


class Route(NamedTuple):
    """A verb and a path with keys in braces, each one segment. `query`: a parameter that must be there as well.

    `status`: of an answer; one of 204 has no body. `operation` names a change
    in the audit, reads have none. `task`: it may outlast its request.
    `single`: it is done once the one job is that it begins. `checks`: what is
    refused at once also when nobody waits for the rest.
    """

    verb: str
    template: str
    handler: Handler
    query: str = ""
    status: int = 200
    operation: str = ""
    task: bool = False
    single: bool = False
    checks: tuple[Check, ...] = ()

    @property
    def scope(self) -> Scope:
        """Give which services it is about."""
        if "{service}" in self.template:
            return Scope.ONE
        return Scope.EVERY if self.template in _EVERY_SERVICE else Scope.NONE

    @property
    def name(self) -> str:
        """Give it as metrics call it."""
        return f"{self.template}?{self.query}" if self.query else self.template


ROUTES: Sequence[Route] = (
    Route("GET", "/", helping.root),
    Route("GET", "/help", helping.index),
    Route("GET", "/help/version", helping.version),
    Route("GET", "/help/config", helping.secrets),
    Route("GET", "/help/env", helping.secrets),
    Route("GET", "/executors", helping.executors),
    Route("GET", "/executors/{executor}", helping.executor),
    Route("HEAD", "/executors/{executor}", helping.executor),
    Route("GET", "/services", services.enumerate_),
    Route("GET", "/services/{service}", services.inspect),
    Route("GET", "/tasks", tasks.enumerate_),
    Route("GET", "/tasks/{task}", tasks.inspect),
)
"""What is served. The first that fits a request has it."""
