"""GET of a volume and of pages, against a bare server with the same bytes; and at many volumes against few."""

from __future__ import annotations

import asyncio
import itertools
import json
from collections.abc import AsyncIterator, Iterator, Sequence
from contextlib import ExitStack, asynccontextmanager
from pathlib import Path

import msgspec

from bench import requests
from bench.fill import volume_id
from bench.load import drive
from bench.measure import Cost, Round, Rounds, cpu_ratio, cpu_s, cpu_us, interleaved, wall_ms, wall_ratio
from bench.results import Result, at_least, at_most, told
from bench.subjects import Server, Sizes, bare, running
from gateway.catalog import SqliteCatalog
from gateway.core.catalog import put
from gateway.core.model import Volume
from gateway.testing.live import LiveGateway

_CONNECTIONS = 16
_HOT = 200
_PAGE = "/api/storage/volumes?fields=**&max_records=100"
_LAPS = 120
_WRITE_EVERY_S = 0.05


class Reading(msgspec.Struct, frozen=True):
    """The servers that are read from, with many volumes and with few."""

    folder: Path
    many: Server
    few: Server
    catalog_file: Path
    sizes: Sizes


async def reads(folder: Path, many: LiveGateway, few: LiveGateway, sizes: Sizes) -> list[Result]:
    """Measure everything that only reads."""
    with ExitStack() as stack:
        reading = Reading(
            folder,
            stack.enter_context(running(many)),
            stack.enter_context(running(few)),
            many.data / "catalog.sqlite",
            sizes,
        )
        return [*await _gets(reading), *await _scale(reading), *await _pages(reading), *await _ends(reading)]


def _cost(server: Server, batches: Iterator[Sequence[bytes]], *, connections: int = _CONNECTIONS) -> Round:
    """Give a round that sends the next batch."""

    async def measure() -> Cost:
        batch = next(batches)
        before = cpu_s(server.pid)
        load = await drive(server.url, batch, connections=connections)
        return Cost((cpu_s(server.pid) - before) / len(batch), load.seconds / len(batch))

    return measure


async def _gets(reading: Reading) -> list[Result]:
    sizes = reading.sizes
    one = requests.get_volume(volume_id(1))
    warm = [one] * sizes.gets
    hot = [requests.get_volume(volume_id(number % _HOT)) for number in range(sizes.gets)]
    written = _cost(reading.many, itertools.repeat(hot))
    body = (await drive(reading.many.url, [one], connections=1)).last

    async def while_written() -> Cost:
        async with _writing(reading.catalog_file):
            return await written()

    with bare(reading.folder, body) as (routed, unrouted):
        found = await interleaved(
            sizes.rounds,
            {
                "bare": _cost(routed, itertools.repeat(warm)),
                "unrouted": _cost(unrouted, itertools.repeat(warm)),
                "warm": _cost(reading.many, itertools.repeat(warm)),
                "written": while_written,
                "cold": _cost(reading.many, _ever_new(sizes)),
            },
        )
    what = f"GET by uuid, {len(body)} bytes: "
    harder = f"{cpu_ratio(found, 'unrouted', 'warm'):.2f}"
    return [
        at_least(what + "warm", cpu_ratio(found, "bare", "warm"), 0.5, stretch=0.7, detail=_costs(found, "warm")),
        told(f"{what}warm, against aiohttp without routes", harder, f"CPU {cpu_us(found, 'unrouted'):.0f} us bare"),
        at_least(
            f"{what}{_HOT} volumes, another process writes {1 / _WRITE_EVERY_S:.0f}/s",
            cpu_ratio(found, "bare", "written"),
            0.5,
            detail=_costs(found, "written"),
        ),
        at_least(what + "never the same twice", cpu_ratio(found, "bare", "cold"), 0.5, detail=_costs(found, "cold")),
    ]


def _costs(found: Rounds, name: str) -> str:
    return f"CPU {cpu_us(found, 'bare'):.0f} us bare, {cpu_us(found, name):.0f} us here"


def _ever_new(sizes: Sizes) -> Iterator[list[bytes]]:
    """Give batches of GETs of ever different volumes, so that no memory of answers can help."""
    numbers = itertools.cycle(range(_HOT, sizes.volumes))
    while True:
        yield [requests.get_volume(volume_id(number)) for number in itertools.islice(numbers, sizes.gets)]


@asynccontextmanager
async def _writing(catalog_file: Path) -> AsyncIterator[None]:
    """Commit, as another process of the same catalog, changes of a volume nobody reads."""

    async def write() -> None:
        for number in itertools.count():
            volume = await catalog.get(Volume, volume_id(_HOT))
            if volume is not None:
                await catalog.commit(put(msgspec.structs.replace(volume, comment=f"change {number}")))
            await asyncio.sleep(_WRITE_EVERY_S)

    catalog = SqliteCatalog(catalog_file)
    await catalog.open()
    task = asyncio.create_task(write())
    try:
        yield
    finally:
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)
        await catalog.close()


async def _scale(reading: Reading) -> list[Result]:
    sizes = reading.sizes
    found = await interleaved(
        sizes.rounds,
        {
            "many": _cost(reading.many, _spread(sizes.volumes, sizes.gets), connections=1),
            "few": _cost(reading.few, _spread(sizes.few, sizes.gets), connections=1),
        },
    )
    detail = f"one client, no answer twice; {wall_ms(found, 'many'):.2f} and {wall_ms(found, 'few'):.2f} ms"
    return [
        at_most(
            f"GET at {sizes.volumes} / at {sizes.few} volumes", wall_ratio(found, "many", "few"), 1.7, detail=detail
        ),
    ]


def _spread(volumes: int, count: int) -> Iterator[list[bytes]]:
    """Give batches over all volumes, no two requests alike: the parameter changes nothing but the address."""
    each = range(0, volumes, max(1, volumes // 1000))
    requested = (
        requests.get(f"/api/storage/volumes/{volume_id(number)}?return_timeout={lap}")
        for lap in itertools.cycle(range(_LAPS))
        for number in each
    )
    while True:
        yield list(itertools.islice(requested, count))


async def _pages(reading: Reading) -> list[Result]:
    sizes = reading.sizes
    first = [requests.get(_PAGE)] * sizes.pages
    body = (await drive(reading.many.url, first[:1], connections=1)).last
    with bare(reading.folder, body) as (routed, _):
        found = await interleaved(
            sizes.rounds,
            {"bare": _cost(routed, itertools.repeat(first)), "warm": _cost(reading.many, itertools.repeat(first))},
        )
    ratio = cpu_ratio(found, "bare", "warm")
    what = f"page of 100, {len(body) // 1024} KB: warm"
    return [at_least(what, ratio, 0.3, stretch=0.45, detail=_costs(found, "warm"))]


async def _ends(reading: Reading) -> list[Result]:
    """Compare the pages at the beginning with those at the end; every page is asked for once."""
    sizes = reading.sizes
    pages = sizes.cold_pages * (sizes.rounds + 1)
    first = await _addresses(reading.many, f"{_PAGE}", pages)
    last = await _addresses(reading.many, f"{_PAGE}&offset={max(0, sizes.volumes - 100 * (pages + 1))}", pages)
    found = await interleaved(
        sizes.rounds,
        {
            "first": _cost(reading.many, _cut(first, sizes.cold_pages), connections=1),
            "last": _cost(reading.many, _cut(last, sizes.cold_pages), connections=1),
        },
    )
    detail = f"{wall_ms(found, 'last'):.1f} and {wall_ms(found, 'first'):.1f} ms, rendered anew each time"
    what = f"last / first pages of {sizes.volumes} volumes"
    return [at_most(what, wall_ratio(found, "last", "first"), 1.3, detail=detail)]


async def _addresses(server: Server, path: str, count: int) -> list[bytes]:
    """Give the requests for pages that follow a page."""
    short = path.replace("fields=**", "fields=uuid")
    found: list[bytes] = []
    while len(found) < count:
        answer = json.loads((await drive(server.url, [requests.get(short)], connections=1)).last)
        short = answer["_links"]["next"]["href"]
        found.append(requests.get(short.replace("fields=uuid", "fields=**")))
    return found


def _cut(requested: Sequence[bytes], size: int) -> Iterator[Sequence[bytes]]:
    return (requested[start : start + size] for start in range(0, len(requested), size))
