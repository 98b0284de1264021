"""What our processes have in common: how they speak, and when they end by themselves."""

from __future__ import annotations

import os
import resource
import sys
import threading

import msgspec

from gateway.mover.wire import Line, SendLine

_NICE = 5


class Voice:
    """Says lines to the gateway. Nothing else gets there: what others print goes to standard error."""

    def __init__(self) -> None:
        self._file = os.fdopen(os.dup(sys.stdout.fileno()), "wb")
        os.dup2(sys.stderr.fileno(), sys.stdout.fileno())

    def say(self, line: Line | SendLine) -> None:
        """Say a line."""
        self._file.write(msgspec.json.encode(line) + b"\n")
        self._file.flush()


def settle_in() -> None:
    """Make room for deep trees, make files exactly as asked for, and let the gateway go first."""
    os.umask(0)
    os.nice(_NICE)
    _, most = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (most, most))


def die_unwanted() -> None:
    """From here on end everything when the other end of standard input is gone."""
    threading.Thread(target=_wait, daemon=True).start()


def _wait() -> None:
    os.read(sys.stdin.fileno(), 1)
    os._exit(1)
