"""The processes under test, and the folder that goes when the benchmark ends."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

import msgspec

from gateway.testing.live import LiveGateway

MEMORY_POOL = "[backend.memory]\n"


class Sizes(msgspec.Struct, frozen=True, kw_only=True):
    """How much is done. `rounds` is how often everything is repeated, in turns."""

    volumes: int = 1_000_000
    few: int = 1_000
    rounds: int = 7
    gets: int = 3_000
    pages: int = 200
    cold_pages: int = 60
    creates: int = 400
    changes: int = 12
    starts: int = 5
    memory_gets: int = 10_000
    memory_pages: int = 500

    def but(self, **given: int | None) -> Sizes:
        """Give these sizes with those that are not None in their place."""
        return msgspec.structs.replace(self, **{name: value for name, value in given.items() if value is not None})


QUICK = Sizes(
    volumes=2_500,
    few=200,
    rounds=1,
    gets=100,
    pages=5,
    cold_pages=3,
    creates=32,
    changes=2,
    starts=1,
    memory_gets=200,
    memory_pages=5,
)


class Server(msgspec.Struct, frozen=True):
    """A listening process."""

    url: str
    pid: int


@contextmanager
def running(gateway: LiveGateway) -> Iterator[Server]:
    """Give the started gateway; stop it at the end."""
    try:
        yield Server(gateway.start(), gateway.pid)
    finally:
        gateway.stop()


@contextmanager
def bare(folder: Path, body: bytes) -> Iterator[tuple[Server, Server]]:
    """Give the baselines that answer with this body: an application with routes, and a server without."""
    file = folder / "body"
    file.write_bytes(body)
    process = subprocess.Popen([sys.executable, "-m", "bench.bare", str(file)], stdout=subprocess.PIPE, text=True)
    with ExitStack() as stack:
        stack.callback(process.wait)
        stack.callback(process.kill)
        if process.stdout is None:
            raise RuntimeError("no pipe to the baseline")
        stack.callback(process.stdout.close)
        urls = process.stdout.readline().split()
        if not urls:
            raise RuntimeError("the baseline did not start")
        routed, unrouted = (Server(url, process.pid) for url in urls)
        yield routed, unrouted
