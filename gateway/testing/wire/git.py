"""Trees under version control as the stock clients of git and git-lfs see them."""
# ruff: noqa: D102 - `Content` carries the contract of the methods

from __future__ import annotations

import asyncio
import os
import shutil
import subprocess
import tempfile
from pathlib import Path
from typing import Self
from urllib.parse import quote, urlsplit, urlunsplit

from gateway.core.errors import InvalidState
from gateway.core.handles import AccessHandle, GitRemote
from gateway.core.model import RootDirectory

LARGE = "big"
"""The name of files that these clients give to git-lfs."""

_CONFIGURATION = """
[user]
    name = tester
    email = tester@example.invalid
[core]
    attributesFile = {attributes}
[init]
    defaultBranch = main
[gc]
    auto = 0
[advice]
    detachedHead = false
[filter "lfs"]
    clean = git-lfs clean -- %f
    smudge = git-lfs smudge -- %f
    process = git-lfs filter-process
    required = true
[lfs]
    locksverify = false
[lfs "transfer"]
    maxretries = 1
"""


class Failed(Exception):  # noqa: N818 - what a program said, for the test that ran it
    """A client's command did not succeed; the text is what it wrote."""


class GitClient:
    """A clone in a folder of its own, and the programs that work on it. Blocking. `configuration`: more of git's."""

    def __init__(
        self, folder: Path, handle: GitRemote, *, user: str = "tester", token: str = "", configuration: str = ""
    ) -> None:
        self.folder = folder
        self._more = configuration
        self.clone_folder = folder / "clone"
        self._handle = handle
        self._url = with_login(handle.url, user, token) if token else handle.url

    def clone(self) -> None:
        """Clone, with large files as git-lfs brings them."""
        attributes = self.folder / "attributes"
        attributes.write_text(f"{LARGE} filter=lfs diff=lfs merge=lfs -text\n", encoding="utf-8")
        configuration = _CONFIGURATION.replace("{attributes}", str(attributes)) + self._more
        (self.folder / "config").write_text(configuration, encoding="utf-8")
        self._run(self.folder, "clone", "--quiet", "--template=", self._url, str(self.clone_folder))

    def git(self, *arguments: str) -> str:
        """Run a command of git in the clone and give what it printed; Failed when it fails."""
        return self._run(self.clone_folder, *arguments)

    def commit(self, message: str) -> None:
        """Commit everything as it is in the clone."""
        self.git("add", "--all", ".")
        self.git("commit", "--quiet", "--allow-empty", "--message", message)

    def push(self, *arguments: str, large: bool = False) -> None:
        """Push; before it the large files, as git-lfs does it in its hook."""
        if large:
            self.git("lfs", "push", "origin", "HEAD")
        self.git("push", "--quiet", *(arguments or ("origin", "HEAD")))

    def _run(self, folder: Path, *arguments: str) -> str:
        environment = {
            **{name: value for name, value in os.environ.items() if not name.startswith("GIT_")},
            "LC_ALL": "C",
            "HOME": str(self.folder),
            "GIT_CONFIG_NOSYSTEM": "1",
            "GIT_CONFIG_GLOBAL": str(self.folder / "config"),
            "GIT_TERMINAL_PROMPT": "0",
            "GIT_NAMESPACE": self._handle.namespace,
        }
        done = subprocess.run(
            ("git", *arguments), cwd=folder, env=environment, capture_output=True, text=True, check=False
        )
        if done.returncode:
            raise Failed(done.stderr)
        return done.stdout


class GitContent:
    """Content behind a `GitRemote` handle: a clone for a block, in which every change is a commit that is pushed."""

    def __init__(self, handle: AccessHandle, *, token: str = "") -> None:
        if not isinstance(handle, GitRemote):
            raise TypeError(f"no git remote: {handle}")
        self._folder = Path(tempfile.mkdtemp(prefix="git-content-"))
        self._handle = handle
        self._client = GitClient(self._folder, handle, token=token)

    async def __aenter__(self) -> Self:
        await asyncio.to_thread(self._client.clone)
        return self

    async def __aexit__(self, *_: object) -> None:
        await asyncio.to_thread(shutil.rmtree, self._folder)

    async def read(self, path: str) -> bytes:
        return await asyncio.to_thread(self._read, path)

    async def write(self, path: str, data: bytes) -> None:
        await asyncio.to_thread(self._write, path, data)

    async def remove(self, path: str) -> None:
        await asyncio.to_thread(self._remove, path)

    async def paths(self) -> set[str]:
        return await asyncio.to_thread(self._paths)

    async def root(self) -> RootDirectory:
        raise TypeError("a tree under version control has no owner")

    def _read(self, path: str) -> bytes:
        try:
            return (self._client.clone_folder / path).read_bytes()
        except FileNotFoundError:
            raise KeyError(path) from None

    def _write(self, path: str, data: bytes) -> None:
        target = self._client.clone_folder / path
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_bytes(data)
        self._publish(f"write {path}", large=path == LARGE)

    def _remove(self, path: str) -> None:
        try:
            (self._client.clone_folder / path).unlink()
        except FileNotFoundError:
            raise KeyError(path) from None
        self._publish(f"remove {path}", large=False)

    def _paths(self) -> set[str]:
        top = self._client.clone_folder
        found = (path.relative_to(top) for path in top.rglob("*") if path.is_file())
        return {str(path) for path in found if path.parts[0] != ".git"}

    def _publish(self, message: str, *, large: bool) -> None:
        self._client.commit(message)
        try:
            self._client.push(large=large)
        except Failed as failed:
            if "read only" in str(failed) or "403" in str(failed):
                raise InvalidState(kind="snapshot", ref=self._handle.url, state="read_only", action="write") from failed
            raise


def with_login(url: str, user: str, token: str) -> str:
    """Give a URL with what a client is asked for."""
    parts = urlsplit(url)
    return urlunsplit(parts._replace(netloc=f"{quote(user)}:{quote(token)}@{parts.netloc}"))
