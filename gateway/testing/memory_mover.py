"""A mover between pools in memory: what a real one does to directories, with every step in a test's hands."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Iterable, MutableMapping

from gateway.backends.memory import MemoryBackend
from gateway.core.errors import GatewayError, Unavailable
from gateway.core.handles import InProcess
from gateway.core.model import VolumeKind
from gateway.core.mover import MoveJob, MoveProgress, Place


class MemoryMover:
    """Moves between volumes of memory pools, file by file. `pools` may grow.

    `jobs` are those that were asked for. `before_file` comes before each file
    that is written, with its path. `why_not` is why it reaches nothing.
    """

    def __init__(self, pools: Iterable[MemoryBackend] = ()) -> None:
        self.pools = [*pools]
        self.jobs: list[MoveJob] = []
        self.before_file: Callable[[str], Awaitable[object]] | None = None
        self.why_not = ""

    def reaches(self, _kind: VolumeKind, source: Place, destination: Place) -> str:
        """Give why not: it reaches what is in this process."""
        if self.why_not or (isinstance(source, InProcess) and isinstance(destination, InProcess)):
            return self.why_not
        return "it only moves within a process"

    async def move(self, job: MoveJob, *, progress: Callable[[MoveProgress], None]) -> MoveProgress:
        """Make the destination's files those of the source."""
        self.jobs.append(job)
        source, destination = self._files(job.source), self._files(job.destination)
        wanted = dict(source)
        differing = sorted(path for path, data in wanted.items() if destination.get(path) != data)
        total = sum(len(wanted[path]) for path in differing)
        moved = 0
        for path in sorted(destination.keys() - wanted.keys()):
            await self._pass(path)
            del destination[path]
        for path in differing:
            await self._pass(path)
            destination[path] = wanted[path]
            moved += len(wanted[path])
            progress(MoveProgress(bytes_transferred=moved, bytes_total=total, files=len(differing)))
        return MoveProgress(bytes_transferred=moved, bytes_total=total, files=len(differing))

    async def _pass(self, path: str) -> None:
        await asyncio.sleep(0)
        if self.before_file is not None:
            await self.before_file(path)

    def _files(self, handle: Place) -> MutableMapping[str, bytes]:
        for pool in self.pools:
            if isinstance(handle, InProcess):
                try:
                    return pool.content(handle.key)
                except GatewayError:
                    continue
        raise Unavailable(what="mover", reason="no such place")
