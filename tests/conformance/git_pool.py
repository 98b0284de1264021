"""The git-lfs instance of the conformance suite: bytes go over HTTP, as the gateway's exporter serves them.

Its server runs in this process, which is quick; `tests/clients/test_git_export.py`
has it as the process that it is else.
"""

from __future__ import annotations

import time
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from pathlib import Path
from uuid import UUID

import msgspec

from gateway.backends.git_lfs import GitLfsBackend, GitLfsOptions
from gateway.core.backend import VolumeBackend
from gateway.core.exporter import TreeExport
from gateway.core.handles import AccessHandle, GitRemote
from gateway.core.model import VolumeKind
from gateway.exports.git.application import Application
from gateway.exports.git.publications import record_of
from gateway.exports.git.records import EXPORTS, Place, Record, Settings
from gateway.exports.git.serve import listening
from gateway.exports.git.tokens import Tokens
from gateway.exports.records import Records
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


class Served:
    """The exporter's server for a block of a test. A volume is published while a case has hold of its content."""

    def __init__(self, folder: Path) -> None:
        self._tokens = Tokens(b"k" * 32, time.time)
        self._folder = folder
        self._records = Records(folder / EXPORTS, Record)
        self._records.load()
        self.base = ""

    @asynccontextmanager
    async def running(self) -> AsyncIterator[None]:
        application = Application(self._folder, tokens=self._tokens, base="", processes=8)
        async with listening(application, Settings(bind="127.0.0.1", port=0, base="", processes=8)) as port:
            self.base = f"http://127.0.0.1:{port}"
            yield

    @asynccontextmanager
    async def content(self, handle: AccessHandle) -> AsyncIterator[GitContent]:
        assert isinstance(handle, GitRemote)
        volume, tree = map(UUID, handle.namespace.split("/"))
        if not handle.read_only or self._records.get(volume) is None:
            source = msgspec.structs.replace(handle, read_only=False)
            self._records.put(record_of(TreeExport(id=volume, source=source)))
        place = Place(volume, tree if handle.read_only else None)
        token = self._tokens.make(volume, write=True, lifetime_s=3600)
        async with GitContent(GitRemote(url=self.base + place.path), token=token) as content:
            yield content


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

        served = Served(folder / "export")
        harness = Harness(opened=await opened(), content=served.content, reopen=reopen, kind=VolumeKind.TREE, size=SIZE)
        try:
            async with served.running():
                yield harness
        finally:
            await harness.opened.close()
