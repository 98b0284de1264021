"""The device of a block volume: udev makes its name some time after the volume, and tells when it has."""

from __future__ import annotations

import socket
import time
from contextlib import suppress
from pathlib import Path

from gateway.core.errors import Unavailable

FOLDER = Path("/dev/zvol")
_UEVENTS = 15
_AFTER_UDEV = 2
"""The group of messages that udev sends when it has dealt with an event of the kernel."""
_MESSAGE_MAX = 64 * 1024


def device(name: str, *, timeout_s: float, folder: Path = FOLDER) -> Path:
    """Give the device of a block volume or of a snapshot of one, once it is there; Unavailable after `timeout_s`."""
    path = folder / name
    deadline = time.monotonic() + timeout_s
    with socket.socket(socket.AF_NETLINK, socket.SOCK_DGRAM | socket.SOCK_CLOEXEC, _UEVENTS) as events:
        events.bind((0, _AFTER_UDEV))
        while not path.exists():
            left = deadline - time.monotonic()
            if left <= 0:
                raise Unavailable(what=str(path), reason="no such device; is udev running?")
            events.settimeout(left)
            with suppress(TimeoutError):
                events.recv(_MESSAGE_MAX)
    return path
