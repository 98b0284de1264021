"""Reading and writing what is in a stream as its clients do: with a workspace of their own, and changelists."""
# ruff: noqa: D102 - `Content` carries the contract of the methods

from __future__ import annotations

from typing import Self
from uuid import uuid4

from gateway.core.errors import InvalidState
from gateway.core.handles import AccessHandle, PerforceStream
from gateway.core.model import RootDirectory
from gateway.testing.perforce.files import read
from gateway.testing.perforce.server import StandIn


class StreamContent:
    """Content behind a `PerforceStream` handle. The workspace is made for the first file written."""

    def __init__(self, server: StandIn, handle: AccessHandle) -> None:
        if not isinstance(handle, PerforceStream):
            raise TypeError(f"no stream: {handle}")
        self._server = server
        self._handle = handle
        self._connection = server.connect("somebody")
        self._workspace = ""

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        if self._workspace:
            self._run("revert", f"//{self._workspace}/...")
            self._run("client", "-d", self._workspace)

    async def read(self, path: str) -> bytes:
        data = read(self._server.state, f"{self._file(path)}{self._handle.revision}")
        if data is None:
            raise KeyError(path)
        return data

    async def write(self, path: str, data: bytes) -> None:
        self._stage(path)
        file = self._file(path)
        self._server.state.workspaces[self._workspace].disk[file] = data
        if not self._run("edit", file):
            self._run("add", file)
        self._run("submit", "-d", f"Writes {path}.")

    async def remove(self, path: str) -> None:
        self._stage(path)
        if not self._run("delete", self._file(path)):
            raise KeyError(path)
        self._run("submit", "-d", f"Removes {path}.")

    async def paths(self) -> set[str]:
        top = f"{self._handle.stream}/"
        found = self._connection.run("files", "-e", f"{top}...{self._handle.revision}")
        return {str(line["depotFile"]).removeprefix(top) for line in found}

    async def root(self) -> RootDirectory:
        raise TypeError("a stream has no top directory with an owner")

    def _file(self, path: str) -> str:
        return f"{self._handle.stream}/{path}"

    def _run(self, command: str, *args: str) -> bool:
        return bool(self._connection.run(command, *args, workspace=self._workspace))

    def _stage(self, path: str) -> None:
        """Have a workspace that has the newest revision of a file."""
        if self._handle.read_only:
            raise InvalidState(kind="snapshot", ref=self._handle.revision, state="read_only", action="write")
        if not self._workspace:
            name = f"desk-{uuid4().hex}"
            form = self._connection.run("client", "-o", "-S", self._handle.stream, name)[0]
            self._connection.run("client", "-i", form=form)
            self._workspace = name
        self._run("sync", "-k", self._file(path))
