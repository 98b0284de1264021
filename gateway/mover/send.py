"""The process that sends: a job on standard input, and as long as that stays open it waits, and answers one client."""

from __future__ import annotations

import sys

import msgspec

from gateway.core.errors import Unsupported
from gateway.mover.wire import Failed, decode_send_job


def main() -> int:
    """Serve the one client that there is. The last line says how it ended."""
    decode_send_job(sys.stdin.buffer.readline())
    error = Unsupported(capability="replicate", backend="mover", reason="nothing is sent yet")
    sys.stdout.buffer.write(msgspec.json.encode(Failed(error=error.to_record())) + b"\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
