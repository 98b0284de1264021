"""The process: a job on standard input, and as long as that stays open it works."""

from __future__ import annotations

import os
import resource
import sys
import threading
import traceback

import msgspec

from gateway.core.errors import GatewayError, Internal
from gateway.core.mover import MoveProgress
from gateway.mover import kernel
from gateway.mover.ends import move
from gateway.mover.meter import Meter
from gateway.mover.wire import Failed, Line, Moved, Moving, decode_job

_NICE = 5


class _Voice:
    """Says lines to the gateway. Nothing else gets there: what others print goes to standard error."""

    def __init__(self) -> None:
        self._file = os.fdopen(os.dup(sys.stdout.fileno()), "wb")
        os.dup2(sys.stderr.fileno(), sys.stdout.fileno())

    def say(self, line: Line) -> None:
        """Say a line."""
        self._file.write(msgspec.json.encode(line) + b"\n")
        self._file.flush()

    def tell(self, progress: MoveProgress) -> None:
        """Say how far it is."""
        self.say(Moving(progress=progress))


def main() -> int:
    """Do the one job that there is. The last line says how it ended."""
    kernel.die_with_parent()
    job = decode_job(sys.stdin.buffer.readline())
    threading.Thread(target=_die_unwanted, daemon=True).start()
    _settle_in()
    voice = _Voice()
    meter = Meter(job.throttle, voice.tell)
    try:
        move(job, meter)
    except GatewayError as error:
        voice.say(Failed(error=error.to_record()))
    except Exception:  # noqa: BLE001 - whatever it is, the gateway has to hear of it
        traceback.print_exc()
        voice.say(Failed(error=Internal(incident=f"move {job.id}").to_record()))
    else:
        voice.say(Moved(progress=meter.progress))
    return 0


def _settle_in() -> None:
    """Make room for deep trees, make files exactly as asked for, and let the gateway go first."""
    os.umask(0)
    os.nice(_NICE)
    _, most = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (most, most))


def _die_unwanted() -> None:
    """End everything when the other end of standard input is gone."""
    os.read(sys.stdin.fileno(), 1)
    os._exit(1)


if __name__ == "__main__":
    sys.exit(main())
