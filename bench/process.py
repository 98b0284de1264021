"""The process as a whole: start, memory, and how long its loop is held."""

from __future__ import annotations

import asyncio
import json
import statistics
import subprocess
import sys
import time
from collections.abc import Awaitable, Callable, Iterator
from contextlib import ExitStack, contextmanager

import msgspec

from bench import requests
from bench.fill import volume_id
from bench.load import Load, drive
from bench.measure import resident_mb
from bench.results import Result, at_most, told
from bench.subjects import Sizes, running
from gateway.testing.live import LiveGateway

_PAGE = "/api/storage/volumes?fields=**&max_records={}&order_by=name&name=>vol_{:07}"
_MEMORY_MB = 64
_CACHE_MB = 16 + 4
_CONNECTIONS = 16
_CREATES_WITHIN = 10


class Held(msgspec.Struct, frozen=True):
    """How long the loop was held by us, and how late it was for whatever reason, at most."""

    held_ms: float
    late_ms: float


async def start(many: LiveGateway, sizes: Sizes) -> list[Result]:
    """Measure from the start of the program to its first answer."""
    found: list[float] = []
    for number in range(sizes.starts + 1):
        begun = time.perf_counter()
        with running(many) as server:
            await drive(server.url, [requests.get_volume(volume_id(number))], connections=1)
            found.append(time.perf_counter() - begun)
    seconds = statistics.median(found[1:])
    detail = f"fastest {min(found):.2f} s, slowest {max(found):.2f} s"
    return [at_most(f"start to first GET at {sizes.volumes} volumes", seconds, 1.0, unit=" s", detail=detail)]


async def memory(many: LiveGateway, sizes: Sizes) -> list[Result]:
    """Measure the resident memory after the start, and after many different answers."""
    with running(many) as server:
        at_start = resident_mb(server.pid)
        gets = [requests.get_volume(volume_id(number % sizes.volumes)) for number in range(sizes.memory_gets)]
        await drive(server.url, gets, connections=_CONNECTIONS)
        await drive(server.url, _pages(sizes.memory_pages, 100), connections=_CONNECTIONS)
        later = resident_mb(server.pid)
    what = f"resident after {sizes.memory_gets} GETs and {sizes.memory_pages} pages"
    return [
        at_most(f"resident at {sizes.volumes} volumes", at_start, _MEMORY_MB, unit=" MB", digits=0),
        at_most(
            what,
            later,
            _MEMORY_MB + _CACHE_MB,
            unit=" MB",
            digits=0,
            detail=f"of it caches of at most {_CACHE_MB} MB: answers and texts 16, catalog pages 4",
        ),
    ]


def _pages(count: int, records: int) -> list[bytes]:
    """Give pages that begin at ever different volumes."""
    return [requests.get(_PAGE.format(records, number)) for number in range(count)]


async def lag(many: LiveGateway, sizes: Sizes) -> list[Result]:
    """Measure how long the loop is held under a mixture of requests, and while it makes its largest page."""
    with watched(many) as (url, held):
        await drive(url, [requests.get_volume(volume_id(0))], connections=1)
        await asyncio.sleep(1)
        held()
        await asyncio.sleep(1)
        idle = held()
        await asyncio.gather(*_mixture(url, sizes))
        mixed = held()
        records = min(10_000, sizes.volumes)
        answer = await drive(
            url, [requests.get(f"/api/storage/volumes?fields=**&max_records={records}")], connections=1
        )
        large = held()
    what = f"loop held: one page of {records} records, {len(answer.last) >> 20} MB"
    return [
        at_most(
            "loop held: GETs, pages and creates together", mixed.held_ms, 20, unit=" ms", digits=1, detail=_late(mixed)
        ),
        at_most(
            what, large.held_ms, 20, unit=" ms", digits=1, detail=f"{_late(large)}; it took {answer.seconds:.1f} s"
        ),
        told("loop held: nothing to do", f"{idle.held_ms:.1f} ms", detail=_late(idle)),
    ]


def _late(held: Held) -> str:
    return f"late {held.late_ms:.1f} ms with what other processes took"


def _mixture(url: str, sizes: Sizes) -> Iterator[Awaitable[Load]]:
    prefix = f"lag{time.time_ns()}"
    creates = [requests.create_volume(f"{prefix}_{number}", pool="memory") for number in range(sizes.creates)]
    gets = [requests.get_volume(volume_id(number % sizes.volumes)) for number in range(sizes.gets)]
    yield drive(url, gets, connections=_CONNECTIONS)
    yield drive(url, _pages(sizes.pages, 100), connections=4)
    yield drive(url, creates, connections=_CREATES_WITHIN, status=202)


@contextmanager
def watched(gateway: LiveGateway, door: str = "ontap") -> Iterator[tuple[str, Callable[[], Held]]]:
    """Give the address of a door of a gateway that watches its loop, and what asks it."""
    with ExitStack() as stack:
        log = stack.enter_context(gateway.log.open("ab"))
        process = subprocess.Popen(
            [sys.executable, "-m", "bench.host", str(gateway.config), door],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=log,
            text=True,
        )
        stack.callback(process.wait)
        stack.callback(process.kill)
        stdin, stdout = process.stdin, process.stdout
        if stdin is None or stdout is None:
            raise RuntimeError("no pipes to the gateway")
        stack.callback(stdout.close)
        stack.callback(stdin.close)
        url = stdout.readline().strip()
        if not url:
            raise RuntimeError(gateway.tail())

        def held() -> Held:
            stdin.write("\n")
            stdin.flush()
            return msgspec.convert(json.loads(stdout.readline()), Held)

        yield url, held
