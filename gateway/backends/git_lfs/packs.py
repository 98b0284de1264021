"""The two programs of git that write and read packs, as they run beside a stream. All of it blocks."""

from __future__ import annotations

import contextlib
import os
import subprocess
import tempfile
from collections.abc import Iterable
from typing import IO

from gateway.backends.git_lfs.failures import complaint
from gateway.backends.git_lfs.repository import ENVIRONMENT, GIT, Repository
from gateway.backends.git_lfs.stream import CHUNK

_COMPLAINTS_MAX = 64 * 1024


class _Program:
    """A running git. Its complaints go to a file, so that it can never wait for us to read them."""

    def __init__(self, pool: str, repository: Repository, *arguments: str, stdin: int | IO[bytes], stdout: int) -> None:
        self._pool = pool
        self._command = arguments[0]
        self._complaints: IO[bytes] = tempfile.TemporaryFile()  # noqa: SIM115 - closed by `stop`
        try:
            self.process = subprocess.Popen(
                [GIT, f"--git-dir={repository.path}", *arguments],
                stdin=stdin,
                stdout=stdout,
                stderr=self._complaints,
                env={**os.environ, **ENVIRONMENT, "LC_ALL": "C"},
            )
        except BaseException:
            self._complaints.close()
            raise

    def wait(self) -> None:
        """Wait for its end; raise what it complains of when it failed."""
        if self.process.wait():
            self._complaints.seek(0)
            text = self._complaints.read(_COMPLAINTS_MAX).decode(errors="replace")
            raise complaint(self._pool, self._command, text)

    def stop(self) -> None:
        """End the program if it still runs, and let go of everything. Idempotent."""
        self.process.kill()
        for pipe in (self.process.stdin, self.process.stdout):
            if pipe is not None:
                with contextlib.suppress(BrokenPipeError):
                    pipe.close()
        self.process.wait()
        self._complaints.close()


class Packer:
    """Writes the pack of what some objects reach and others do not."""

    def __init__(self, pool: str, repository: Repository, wanted: Iterable[str], had: Iterable[str]) -> None:
        with tempfile.TemporaryFile() as revisions:
            revisions.write("".join([*(f"{one}\n" for one in wanted), *(f"^{one}\n" for one in had)]).encode())
            revisions.seek(0)
            line = ("pack-objects", "--quiet", "--revs", "--thin", "--delta-base-offset", "--stdout")
            self._program = _Program(pool, repository, *line, stdin=revisions, stdout=subprocess.PIPE)

    def read(self) -> bytes:
        """Give the next part, empty at the end; an error of the core when it breaks off."""
        stdout = self._program.process.stdout
        part = b"" if stdout is None else stdout.read(CHUNK)
        if not part:
            self._program.wait()
        return part

    def stop(self) -> None:
        """End it. Idempotent."""
        self._program.stop()


class Unpacker:
    """Takes a pack into a repository, completed by what is there already."""

    def __init__(self, pool: str, repository: Repository) -> None:
        line = ("index-pack", "--stdin", "--fix-thin")
        self._program = _Program(pool, repository, *line, stdin=subprocess.PIPE, stdout=subprocess.DEVNULL)

    def write(self, part: bytes) -> None:
        """Hand over the next part; what the program complains of when it does not want it."""
        try:
            if self._program.process.stdin is not None:
                self._program.process.stdin.write(part)
        except BrokenPipeError:
            self.finish()
            raise

    def finish(self) -> None:
        """End the pack and wait until all of it is taken; an error of the core when it is broken."""
        with contextlib.suppress(BrokenPipeError):
            if self._program.process.stdin is not None:
                self._program.process.stdin.close()
        self._program.wait()

    def stop(self) -> None:
        """End it. Idempotent."""
        self._program.stop()
