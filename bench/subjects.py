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
    medium: int = 10_000
    rounds: int = 7
    gets: int = 3_000
    pages: int = 200
    cold_pages: int = 60
    creates: int = 400
    changes: int = 12
    starts: int = 5
    memory_gets: int = 10_000
    memory_pages: int = 500
    calls: int = 3_000
    sdk_volumes: int = 100_000
    lists: int = 300
    at_once: int = 1_000
    headers: int = 30
    moved_files: int = 5_000
    moved_mib: int = 512
    objects: int = 10_000

    def but(self, **given: int | None) -> Sizes:
        """Give these sizes with those that are not None in their place."""
        return msgspec.structs.replace(self, **{name: value for name, value in given.items() if value is not None})


QUICK = Sizes(
    volumes=2_500,
    few=200,
    medium=500,
    rounds=1,
    gets=100,
    pages=5,
    cold_pages=3,
    creates=32,
    changes=2,
    starts=1,
    memory_gets=200,
    memory_pages=5,
    calls=100,
    sdk_volumes=2_500,
    lists=10,
    at_once=50,
    headers=3,
    moved_files=100,
    moved_mib=4,
    objects=50,
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
    with _baseline("bench.bare", _body(folder, body)) as (routed, unrouted):
        yield routed, unrouted


@contextmanager
def bare_grpc(folder: Path, body: bytes, path: str) -> Iterator[Server]:
    """Give the baseline that answers the call with this body."""
    with _baseline("bench.bare_grpc", _body(folder, body), path) as (server,):
        yield server


def _body(folder: Path, body: bytes) -> str:
    file = folder / "body"
    file.write_bytes(body)
    return str(file)


@contextmanager
def _baseline(module: str, *arguments: str) -> Iterator[list[Server]]:
    """Give what the process of a baseline prints: its addresses."""
    process = subprocess.Popen([sys.executable, "-m", module, *arguments], stdout=subprocess.PIPE, text=True)
    with ExitStack() as stack:
        stack.callback(process.wait)
        stack.callback(process.kill)
        if process.stdout is None:
            raise RuntimeError("no pipe to the baseline")
        stack.callback(process.stdout.close)
        addresses = process.stdout.readline().split()
        if not addresses:
            raise RuntimeError("the baseline did not start")
        yield [Server(address, process.pid) for address in addresses]
