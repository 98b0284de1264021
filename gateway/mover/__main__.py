"""The process: a job on standard input, and as long as that stays open it works."""

from __future__ import annotations

import sys
import traceback

from gateway.core.errors import GatewayError, Internal
from gateway.mover import kernel
from gateway.mover.ends import move
from gateway.mover.meter import Meter
from gateway.mover.voice import Voice, die_unwanted, settle_in
from gateway.mover.wire import Failed, Moved, Moving, decode_job


def main() -> int:
    """Do the one job that there is. The last line says how it ended."""
    kernel.die_with_parent()
    job = decode_job(sys.stdin.buffer.readline())
    die_unwanted()
    settle_in()
    voice = Voice()
    meter = Meter(job.throttle, lambda progress: voice.say(Moving(progress=progress)))
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


if __name__ == "__main__":
    sys.exit(main())
