"""The git-lfs instances of the conformance suite: by a path on this host, and over HTTP by the gateway's exporter."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from pathlib import Path

from gateway.backends.git_lfs import GitLfsBackend, GitLfsOptions
from gateway.core.backend import VolumeBackend
from gateway.core.model import VolumeKind
from gateway.testing.backends import Harness
from gateway.testing.loop_pool import detach, run
from gateway.testing.wire.git import GitContent

SIZE = 128 * 1024
"""Cases write some volumes full, a sixteenth at a time, and each is a commit that is pushed."""


@contextmanager
def _memory(folder: Path) -> Iterator[Path]:
    """Give a file system of its own, whose room nobody else takes."""
    place = folder / "pool"
    place.mkdir(parents=True)
    run("mount", "-t", "tmpfs", "-o", "size=1g", "tmpfs", str(place))
    try:
        yield place
    finally:
        detach(place)


@asynccontextmanager
async def git_lfs(folder: Path) -> AsyncIterator[Harness]:
    """Open a fresh pool in a repository made in `folder`."""
    with _memory(folder) as place:

        async def opened() -> GitLfsBackend:
            backend = GitLfsBackend("conformance", GitLfsOptions(path=place))
            await backend.open()
            return backend

        async def reopen() -> VolumeBackend:
            await harness.opened.close()
            return await opened()

        harness = Harness(opened=await opened(), content=GitContent, reopen=reopen, kind=VolumeKind.TREE, size=SIZE)
        try:
            yield harness
        finally:
            await harness.opened.close()
