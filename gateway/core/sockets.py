"""UNIX sockets at paths of any length: what the kernel takes at once is about a hundred bytes."""

from __future__ import annotations

import os
import socket
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
