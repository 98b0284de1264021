"""The libStorage door: a service's volumes, against a bare handler with the same bytes; and the largest header."""

from __future__ import annotations

import itertools
import json
from collections.abc import Iterator, Sequence
from contextlib import ExitStack
from pathlib import Path

from bench.load import drive
from bench.measure import Cost, Round, cpu_ratio, cpu_s, cpu_us, interleaved
from bench.process import Held, watched
from bench.results import Result, at_least, at_most, told
from bench.subjects import MEMORY_POOL, Server, Sizes, bare, running
from gateway.testing.live import LiveGateway

_DOOR = '[frontend.libstorage]\nlisten = "127.0.0.1:0"\n'
_NAME = "libstorage"
_VOLUMES = "/volumes/memory"
_COUNT = 100
_CONNECTIONS = 16
_HEADER_BYTES = 256 * 1024
_ATTACHED = 20
_DEVICES = 6_000
_HOST = "host"
_HELD_MS = 5


async def libstorage(folder: Path, sizes: Sizes) -> list[Result]:
    """Measure lists of a hundred volumes, and how long the loop is held by a header of 256 kB."""
    gateway = LiveGateway(folder / "libstorage", pools=MEMORY_POOL, extra=_DOOR, faults=False)
    return [*await _lists(folder, gateway, sizes), *await _header(gateway, sizes)]


async def _lists(folder: Path, gateway: LiveGateway, sizes: Sizes) -> list[Result]:
    with ExitStack() as stack:
        started = stack.enter_context(running(gateway))
        here = Server(gateway.addresses[_NAME], started.pid)
        await _filled(here.url)
        warm = [_request("GET", _VOLUMES)] * sizes.lists
        body = (await drive(here.url, warm[:1], connections=1)).last
        routed, _ = stack.enter_context(bare(folder, body))
        found = await interleaved(
            sizes.rounds,
            {
                "bare": _cost(routed, itertools.repeat(warm)),
                "warm": _cost(here, itertools.repeat(warm)),
                "cold": _cost(here, _ever_new(sizes.lists)),
            },
        )
    what = f"libStorage GET of {_COUNT} volumes, {len(body) >> 10} kB: "
    detail = f"CPU {cpu_us(found, 'bare'):.0f} us bare, {{:.0f}} us here"
    return [
        at_least(what + "warm", cpu_ratio(found, "bare", "warm"), 0.3, detail=detail.format(cpu_us(found, "warm"))),
        told(
            what + "by ever other instances",
            f"{cpu_ratio(found, 'bare', 'cold'):.2f}",
            detail.format(cpu_us(found, "cold")),
        ),
    ]


async def _header(gateway: LiveGateway, sizes: Sizes) -> list[Result]:
    """Let an instance that has volumes tell of as many devices as its header takes, ever others."""
    with watched(gateway, _NAME) as (url, held):
        ids = (await _filled(url))[:_ATTACHED]
        attached = [_request("POST", f"{_VOLUMES}/{each}?attach", instance=_HOST, body=b"{}") for each in ids]
        await drive(url, attached, connections=_CONNECTIONS)
        asked = [_request("GET", f"{_VOLUMES}?attachments=7", instance=_HOST, devices=_devices(0))]
        await drive(url, asked, connections=1)
        held()
        most = Held(held_ms=0, late_ms=0)
        for number in range(1, sizes.headers + 1):
            devices = _devices(number)
            asked = [_request("GET", f"{_VOLUMES}?attachments=7", instance=_HOST, devices=devices)]
            await drive(url, asked, connections=1)
            most = max(most, held(), key=lambda one: one.held_ms)
    what = f"libStorage: loop held by a header of {len(devices) >> 10} kB"
    detail = f"{devices.count('::')} devices, {len(ids)} volumes attached; late {most.late_ms:.1f} ms"
    return [at_most(what, most.held_ms, _HELD_MS, unit=" ms", digits=1, detail=detail)]


def _devices(number: int) -> str:
    """Give a table of mounts that is as long as one may be."""
    each = [f"192.0.2.{n % 250}:/exports/{number}/volume-{n:06}::/var/lib/volumes/{n:06}" for n in range(_DEVICES)]
    return ",".join(each)[:_HEADER_BYTES].rpartition(",")[0]


async def _filled(url: str) -> list[str]:
    """Make the volumes, and give their ids."""
    bodies = [b'{"name": "vol-%03d", "size": 1}' % number for number in range(_COUNT)]
    made = [_request("POST", _VOLUMES, body=body) for body in bodies]
    await drive(url, made, connections=_CONNECTIONS, status=201)
    listed = await drive(url, [_request("GET", _VOLUMES)], connections=1)
    return list(json.loads(listed.last))


def _cost(server: Server, batches: Iterator[Sequence[bytes]]) -> Round:
    """Give a round that makes the requests of the next batch."""

    async def measure() -> Cost:
        batch = next(batches)
        before = cpu_s(server.pid)
        load = await drive(server.url, batch, connections=_CONNECTIONS)
        return Cost((cpu_s(server.pid) - before) / len(batch), load.seconds / len(batch))

    return measure


def _ever_new(count: int) -> Iterator[list[bytes]]:
    """Give lists as instances ask for them that never asked before."""
    numbers = itertools.count()
    while True:
        batch = itertools.islice(numbers, count)
        yield [_request("GET", f"{_VOLUMES}?attachments=1", instance=f"host{number}") for number in batch]


def _request(method: str, path: str, *, instance: str = "", devices: str = "", body: bytes = b"") -> bytes:
    """Give a request, of an instance that tells of its devices where that is given."""
    heads = ["Host: localhost", f"Content-Length: {len(body)}"]
    heads += [f"Libstorage-Instanceid: vfs={instance}"] if instance else []
    heads += [f"Libstorage-Localdevices: vfs={devices}"] if devices else []
    return "\r\n".join([f"{method} {path} HTTP/1.1", *heads, "", ""]).encode() + body
