"""An NFSv4 client: the command-line tools of libnfs, and its library for what they cannot do."""

from __future__ import annotations

import contextlib
import subprocess
from pathlib import Path

from gateway.core.handles import NfsExport
from gateway.testing.wire import NfsMount


class Nfs:
    """Reaches the exports of a port. Files are small: libnfs 4.0 writes at most some 1,500 bytes at once over v4."""

    def __init__(self, port: int, folder: Path, address: str = "127.0.0.1") -> None:
        self._port = port
        self._folder = folder
        self._address = address

    def write(self, path: str, content: bytes) -> None:
        """Make a new file."""
        done = self.try_write(path, content)
        assert done.returncode == 0, done.stderr

    def try_write(self, path: str, content: bytes) -> subprocess.CompletedProcess[bytes]:
        local = self._folder / "content"
        local.write_bytes(content)
        return self._run("nfs-cp", str(local), self._url(path))

    def overwrite(self, path: str, content: bytes) -> None:
        """Give a file that exists other content."""
        folder, _, name = path.rpartition("/")
        with contextlib.closing(NfsMount(NfsExport(address=self._address, port=self._port, path=folder))) as mount:
            mount.write(f"/{name}", content)

    def read(self, path: str) -> bytes:
        done = self._run("nfs-cat", self._url(path))
        assert done.returncode == 0, done.stderr
        return done.stdout

    def names(self, path: str) -> set[str]:
        done = self._run("nfs-ls", self._url(path))
        assert done.returncode == 0, done.stderr
        return {line.split()[-1].decode() for line in done.stdout.splitlines() if line}

    def reaches(self, path: str) -> bool:
        return self._run("nfs-ls", self._url(path)).returncode == 0

    def _run(self, *argv: str) -> subprocess.CompletedProcess[bytes]:
        return subprocess.run(argv, capture_output=True, check=False, timeout=60)

    def _url(self, path: str) -> str:
        return f"nfs://{self._address}{path}?version=4&nfsport={self._port}"
