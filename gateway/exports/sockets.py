"""UNIX sockets at paths of any length: what the kernel takes at once is about a hundred bytes."""

from __future__ import annotations

import os
import socket
from pathlib import Path


def connected(path: Path, *, timeout_s: float) -> socket.socket:
    """Give a socket that is connected to the path; OSError when nobody listens there."""
    client = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM | socket.SOCK_CLOEXEC)
    try:
        client.settimeout(timeout_s)
        folder = os.open(path.parent, os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC)
        try:
            client.connect(f"/proc/self/fd/{folder}/{path.name}")
        finally:
            os.close(folder)
    except BaseException:
        client.close()
        raise
    return client
