"""UNIX sockets at paths of any length: what the kernel takes at once is about a hundred bytes."""

from __future__ import annotations

import errno
import os
import socket
import stat
from contextlib import suppress
from pathlib import Path
from types import TracebackType


def connect(client: socket.socket, path: Path) -> None:
    """Connect to a socket's path, however long: what the kernel takes at once is about a hundred bytes."""
    with _Near(path.parent) as near:
        client.connect(f"{near}/{path.name}")


def listen(path: Path) -> socket.socket:
    """Give a listening socket at a path, however long; one that is there already is replaced."""
    path.unlink(missing_ok=True)
    server = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM | socket.SOCK_CLOEXEC)
    try:
        with _Near(path.parent) as near:
            server.bind(f"{near}/{path.name}")
        server.listen()
    except BaseException:
        server.close()
        raise
    return server


class SocketFile:
    """A UNIX socket's path that is ours while it is open. Whoever may write to the file may connect."""

    def __init__(self, path: Path, *, mode: int) -> None:
        self._path = path
        self._mode = mode
        self._key: tuple[int, int] | None = None

    def open(self, *, backlog: int) -> socket.socket:
        """Give a listening socket; what a process that is gone left at the path is replaced.

        OSError while somebody listens there, when the path is something other
        than a socket, and when it cannot be made.
        """
        self._clear()
        server = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM | socket.SOCK_CLOEXEC | socket.SOCK_NONBLOCK)
        try:
            with _Near(self._path.parent) as near:
                server.bind(f"{near}/{self._path.name}")
            self._key = _key(self._path)
            # Nobody can connect before `listen`, so nobody comes in by the mode that the umask left.
            self._path.chmod(self._mode)
            server.listen(backlog)
        except BaseException:
            server.close()
            self.close()
            raise
        return server

    def close(self) -> None:
        """Remove the file, unless it is somebody else's by now. Idempotent."""
        key, self._key = self._key, None
        with suppress(FileNotFoundError):
            if key is not None and _key(self._path) == key:
                self._path.unlink()

    def _clear(self) -> None:
        try:
            mode = self._path.lstat().st_mode
        except FileNotFoundError:
            return
        if not stat.S_ISSOCK(mode):
            raise FileExistsError(errno.EEXIST, "there is something that is no socket", str(self._path))
        if _answered(self._path):
            raise OSError(errno.EADDRINUSE, os.strerror(errno.EADDRINUSE), str(self._path))
        self._path.unlink(missing_ok=True)


def _answered(path: Path) -> bool:
    """Tell whether somebody listens. A full queue is somebody who is busy."""
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM | socket.SOCK_CLOEXEC | socket.SOCK_NONBLOCK) as client:
        try:
            connect(client, path)
        except (ConnectionRefusedError, FileNotFoundError):
            return False
        except BlockingIOError:
            return True
    return True


def _key(path: Path) -> tuple[int, int]:
    found = path.lstat()
    return found.st_dev, found.st_ino


class _Near:
    """A short path to a directory, for a `with` block."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._fd = -1

    def __enter__(self) -> str:
        self._fd = os.open(self._folder, os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC)
        return f"/proc/self/fd/{self._fd}"

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        os.close(self._fd)
