"""A request as its handlers get it."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from typing import Generic, TypeVar
from uuid import UUID

import msgspec

from gateway.core import errors
from gateway.core.change import Started
from gateway.core.context import Core
from gateway.core.door import Trace
from gateway.core.jobs import FINAL
from gateway.frontends.native.errors import GoingOn

Q = TypeVar("Q", bound=msgspec.Struct)
B = TypeVar("B", bound=msgspec.Struct)


class Ask(msgspec.Struct, Generic[Q, B], frozen=True, kw_only=True):
    """A request. `core` acts for the caller; `keys` is what its path has in place of braces.

    `until`: when, by the loop's clock, the end of a change is not waited for any longer.
    """

    core: Core
    query: Q
    body: B
    keys: Mapping[str, str] = {}
    until: float = 0.0
    trace: Trace = msgspec.field(default_factory=Trace)

    def key(self, name: str, kind: str) -> UUID:
        """Give the id that the path has for a key; NotFound for a text that is none."""
        try:
            return UUID(self.keys[name])
        except ValueError:
            raise errors.NotFound(kind=kind, ref=self.keys[name][:64]) from None

    async def done(self, started: Started) -> UUID:
        """Wait for a change and give the id of what it is about.

        Raises what it failed with, and GoingOn when it takes longer than the request waits.
        """
        self.trace.job, self.trace.target = str(started.job.id), str(started.job.target_id)
        job = await started.wait(max(0.0, self.until - asyncio.get_running_loop().time()))
        if job.error is None and job.state not in FINAL:
            raise GoingOn(str(job.id))
        job = await started.result()
        if job.target_id is None:
            raise AssertionError
        return job.target_id
